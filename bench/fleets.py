"""A fleet of 10,000 segments with five versions each on a fresh SQLite home, beside bare SQLite with the same rows.

The limit of a call that writes is the same rows of the same tables, indexes included, by `executemany` in one durable
transaction of a bare connection; the limit of one that reads is the bare SELECT.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from keepwell.bootstrap import open_house
from keepwell.flows.certify import Certified, register_and_gate
from keepwell.flows.kit import Kit
from keepwell.flows.promote import promote_fleet
from keepwell.models import service as models
from keepwell.releases import store as releases_store
from keepwell.settings import read_settings
from keepwell.testing import fleets

MEMBERS, VERSIONS, ACTOR = 10_000, 5, "loop:generated"
WRITTEN = ("model_batches", "model_versions", "fleet_members", "evidence", "verdicts", "verdict_gates")
Answer = TypeVar("Answer")


def rows() -> Iterator[dict[str, object]]:
    assert releases_store.measurements is not None  # its tables are made with the house
    with tempfile.TemporaryDirectory() as folder:
        kit = open_house(read_settings(str(Path(folder) / "home"), {}))
        applied = fleets.applied_charter(kit, "generated", ACTOR)
        for generation in range(VERSIONS):
            made, lineage = fleets.members(MEMBERS, generation), fleets.lineage(kit)
            took, done = _timed(lambda m=made, of=lineage: register_and_gate(kit, applied, m, of, ACTOR))
            if generation in (0, VERSIONS - 1):
                limit = _bare_insert(kit, folder, WRITTEN, generation)
                what = "first versions" if not generation else "fifth, against champions"
                yield _row(f"register + gate 10,000 members: {what}", "bare executemany, durable", limit, took, "s", 3)
            took, count = _timed(lambda d=done: _promote(kit, applied, d))
            if generation == 0:
                limit = _bare_insert(kit, folder, ("champions",), generation)
                yield _row(f"promote the {count:,} that passed", "bare executemany, durable", limit, took, "s", 3)
        yield from _reads(kit)
        yield from _single(kit)


def _promote(kit: Kit, applied: fleets.AppliedCharter, done: Certified) -> int:
    return len(promote_fleet(kit, applied, "prod", done.that("passed"), ACTOR, "it passed").promoted)


def _reads(kit: Kit) -> Iterator[dict[str, object]]:
    """Searches and pages of the whole fleet, each the median of repeated calls in fresh transactions."""
    bare = sqlite3.connect(kit.db.file or ":memory:")
    like = "SELECT m.segment, v.state FROM fleet_members m JOIN model_versions v ON v.id = m.latest WHERE m.model = ? "
    ordered = "ORDER BY m.segment LIMIT 100"
    searches: Sequence[tuple[str, dict[str, object], str]] = (
        ("first page of the list", {}, ""),
        ("part of a key, 2,000 found", {"q": "region=south"}, "AND m.search LIKE '%region=south%'"),
        ("three parts, 1 found", {"q": "south large 00771"}, "AND m.search LIKE '%00771%'"),
        ("nothing found", {"q": "nowhere"}, "AND m.search LIKE '%nowhere%'"),
        ("state and number", {"q": "held v5"}, "AND v.state = 'held' AND m.number = 5"),
        ("the worst by a metric", {"worst": "wmape"}, ""),
        ("the worst of a part", {"worst": "wmape", "q": "region=south"}, "AND m.search LIKE '%region=south%'"),
    )
    for what, asked, where in searches:
        limit = _median(lambda w=where: bare.execute(f"{like} {w} {ordered}", ("generated",)).fetchall())

        def ours(asked: dict[str, object] = asked) -> object:
            with kit.read() as tx:
                return models.fleet(tx, "generated", "prod", limit=100, **asked)

        yield _row(f"search 10,000 x 5: {what}", "bare SELECT", limit * 1e3, _median(ours) * 1e3, "ms", 200)
    whole = "SELECT m.segment, v.state, v.metrics FROM fleet_members m JOIN model_versions v ON v.id = m.latest"
    limit = _median(lambda: bare.execute(whole).fetchall())

    def columns() -> object:
        with kit.read() as tx:
            return models.fleet_columns(tx, "generated", "prod")

    yield _row("the whole fleet as columns", "bare SELECT", limit * 1e3, _median(columns) * 1e3, "ms", 200)
    bare.close()


def _single(kit: Kit) -> Iterator[dict[str, object]]:
    """One version of one model: register and make it champion, with the ledger; and ask who is champion."""
    bare = sqlite3.connect(str(kit.home / "bare.db"), isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    bare.execute("CREATE TABLE v (name TEXT, number INTEGER, digest TEXT, PRIMARY KEY (name, number))")
    bare.execute("CREATE TABLE a (name TEXT PRIMARY KEY, number INTEGER)")
    number = iter(range(1, 10_000))

    def limit() -> None:
        at = next(number)
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO v VALUES ('single', ?, ?)", (at, "sha256:" + "0" * 64))
        bare.execute("INSERT OR REPLACE INTO a VALUES ('single', ?)", (at,))
        bare.execute("COMMIT")

    def ours() -> None:
        pack, members = models.pack(kit.blobs, {"all": f"model {next(number)}".encode()})
        call = kit.call("person:bench")
        with kit.write() as tx:
            made = models.register_batch(
                tx, call, "single", members, pack=pack, run_id=None, dataset_version=None, code="abc",
                environment=None, trained_at=call.now, trained_until="2026-01-01", blobs=kit.blobs,
            )  # fmt: skip
            models.promote(tx, call, "single", "prod", list(models.ids_of_batch(tx, made).values()), "newest")

    def read() -> object:
        with kit.read() as tx:
            return models.champion(tx, "single", "all", "prod")

    def bare_read() -> object:
        return bare.execute("SELECT number FROM a WHERE name = 'single'").fetchone()

    yield _row(
        "register a version + champion, bytes and ledger", "bare INSERTs, durable", _cpu(limit, 200) * 1e3,
        _cpu(ours, 200) * 1e3, "CPU ms", 2,
    )  # fmt: skip
    yield _row(
        "get the champion of a model", "bare SELECT", _cpu(bare_read, 500) * 1e3, _cpu(read, 500) * 1e3, "CPU ms", 0.5
    )
    bare.close()


def _bare_insert(kit: Kit, folder: str, tables: Sequence[str], generation: int) -> float:
    """Return how long one generation of these rows takes in a new database of the same schema."""
    place = Path(folder) / f"bare-{tables[0]}-{generation}.db"
    source = sqlite3.connect(kit.db.file or ":memory:")
    target = sqlite3.connect(place, isolation_level=None)
    for (schema,) in source.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name"):
        if not schema.startswith("CREATE TABLE sqlite_"):
            target.execute(schema)
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA synchronous=FULL")
    new = [(table, source.execute(f"SELECT * FROM {table}").fetchall()) for table in tables]
    share = 1 / (generation + 1)
    start = time.perf_counter()
    target.execute("BEGIN IMMEDIATE")
    for table, found in new:
        if found:
            target.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(found[0]))})", found)
    target.execute("COMMIT")
    took = time.perf_counter() - start
    source.close()
    target.close()
    place.unlink()
    return took * share


def _timed(call: Callable[[], Answer]) -> tuple[float, Answer]:
    start = time.perf_counter()
    answer = call()
    return time.perf_counter() - start, answer


def _median(call: Callable[[], object], times: int = 15) -> float:
    call()
    return statistics.median(_timed(call)[0] for _ in range(times))


def _cpu(call: Callable[[], object], times: int) -> float:
    """Return the least CPU seconds (user and system) of a call."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return min(spent)


def _row(walk: str, limit_name: str, limit: float, ours: float, unit: str, bar: float | None) -> dict[str, object]:
    return {
        "walk": walk, "limit_name": limit_name, "limit": limit, "ours": ours, "unit": unit,
        "ratio": ours / limit if limit else None, "bar": bar, "ok": None if bar is None else ours <= bar,
    }  # fmt: skip
