"""The ledger and the blobs beside what they cannot be faster than: a bare SQLite commit, a bare durable file, sha256.

Commits and files are wall time, medians, because a durable write waits for the disk; both sides of a ratio are measured
turn about, so that a busy disk hits both. Verification is CPU time of this process.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from keepwell.blobs import LocalBlobs
from keepwell.bootstrap import open_house
from keepwell.core.clock import SystemClock
from keepwell.core.events import Event
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.ledger import append, once, service, verify
from keepwell.ledger.checkpoints import checkpoint
from keepwell.ledger.export import check, export
from keepwell.ledger.keys import load_or_make_key
from keepwell.settings import read_settings

COMMITS, FILES, ENTRIES, WRITERS, EACH = 400, 200, 100_000, 50, 40
BARE_TABLES = """
CREATE TABLE entries (seq INTEGER PRIMARY KEY, at TEXT, actor TEXT, kind TEXT, subject TEXT, body TEXT, hash TEXT);
CREATE TABLE outbox (seq INTEGER PRIMARY KEY);
CREATE TABLE keys (actor TEXT, key TEXT, answer TEXT, PRIMARY KEY (actor, key));
"""


def rows() -> Iterator[dict[str, object]]:
    """Yield a row a walk."""
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp)
        yield from _commits(root)
        yield _put(root)
        yield from _long(root)
        yield from _writers(root)


def _house(home: Path) -> Kit:
    return open_house(read_settings(str(home), {}), clock=SystemClock())


def _event(number: int) -> Event:
    return Event("thing.made", f"thing:{number}", {"number": number, "digest": "sha256:" + "0" * 64}, note="because")


def _commits(root: Path) -> Iterator[dict[str, object]]:
    kit, bare = _house(root / "house"), _bare(root / "bare.db")

    def ours(number: int) -> None:
        call = kit.call("person:ann", key=f"k{number}")

        def effect() -> int:
            return append(tx, call, _event(number))[0].seq

        with write(kit.db) as tx:
            once(tx, call, {"n": number}, effect, int)

    def limit(number: int) -> None:
        bare.execute("BEGIN IMMEDIATE")
        row = (
            number,
            "2026-01-01T00:00:00.000000Z",
            "person:ann",
            "thing.made",
            f"thing:{number}",
            "{}" * 20,
            "0" * 64,
        )
        bare.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        bare.execute("INSERT INTO outbox VALUES (?)", (number,))
        bare.execute("INSERT INTO keys VALUES (?, ?, ?)", ("person:ann", f"k{number}", "1"))
        bare.execute("COMMIT")

    low, high, cpu_low, cpu_high = _turn_about(limit, ours, COMMITS)
    what = "event + outbox + note + idempotency key, one commit"
    yield _row(what, "bare SQLite commit of 3 rows", low * 1e3, high * 1e3, "ms", max(2.0, 2e3 * low))
    yield _row(f"{what}, CPU", "bare SQLite commit of 3 rows", cpu_low * 1e3, cpu_high * 1e3, "CPU ms", None)
    started = time.process_time()
    with write(kit.db) as tx:
        append(tx, kit.call("person:ann"), *(_event(number) for number in range(5000)))
    each = (time.process_time() - started) / 5000
    started = time.process_time()
    bare.execute("BEGIN IMMEDIATE")
    values = [(10_000_000 + n, "2026", "a", "k", "s", "{}" * 20, "0" * 64) for n in range(5000)]
    bare.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    bare.execute("COMMIT")
    low = (time.process_time() - started) / 5000
    yield _row("one of 5,000 events in one commit", "executemany", low * 1e6, each * 1e6, "CPU us", None)


def _bare(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(BARE_TABLES)
    return connection


def _put(root: Path) -> dict[str, object]:
    blobs, folder = LocalBlobs(root / "blobs"), root / "bare"
    folder.mkdir()
    for number in range(3000):  # so that all 256 folders are there
        if len(list((root / "blobs").iterdir())) == 257:
            break
        blobs.put(b"warm %d" % number)

    def bare(_: int) -> None:
        temp = folder / "temp"
        handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        data = secrets.token_bytes(1024)
        os.write(handle, data)
        os.fsync(handle)
        os.close(handle)
        temp.replace(folder / hashlib.sha256(data).hexdigest())
        parent = os.open(folder, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)

    low, high, _, _ = _turn_about(bare, lambda _: blobs.put(secrets.token_bytes(1024)), FILES)
    return _row("put a blob of 1 KiB", "write, fsync, rename, fsync", low * 1e3, high * 1e3, "ms", None)


def _long(root: Path) -> Iterator[dict[str, object]]:
    kit = _house(root / "long")
    for start in range(0, ENTRIES, 10_000):
        with write(kit.db) as tx:
            append(tx, kit.call("person:ann"), *(_event(number) for number in range(start, start + 10_000)))
    checkpoint(kit.db, kit.home, kit.call("person:ann"))
    with write(kit.db) as tx:
        append(tx, kit.call("person:ann"), *(_event(number) for number in range(1000)))
    started = time.process_time()
    for _ in range(2000):
        hashlib.sha256(b"\1" * 65).digest()
    low = time.process_time() - started
    started = time.perf_counter()
    checkpoint(kit.db, kit.home, kit.call("person:ann"))
    took = time.perf_counter() - started
    yield _row("checkpoint over 1,000 new of 101,000 entries", "2,000 sha256", low * 1e3, took * 1e3, "ms", 100.0)
    started = time.process_time()
    with read(kit.db) as tx:
        newest = [service.entries(tx, kind="thing.", limit=50) for _ in range(20)]
    assert len(newest[0]) == 50
    took = (time.process_time() - started) / 20
    yield _row("list the newest 50 of a kind, of 101,000", "-", None, took * 1e3, "CPU ms", 20.0)
    export(kit.db, root / "export", load_or_make_key(kit.home), kit.call("person:ann"))
    lines = (root / "export" / "entries.jsonl").read_bytes().splitlines(keepends=True)
    started = time.process_time()
    for line in lines:
        json.loads(line)
        hashlib.sha256(line).digest()
    low = time.process_time() - started
    started = time.process_time()
    report = verify.verify(root / "export", kit.home / "checkpoint.json")
    assert report.ok, report.what
    took = time.process_time() - started
    yield _row("verify an export of 101,000 entries", "json.loads + sha256", low, took, "CPU s", 5.0)


def _writers(root: Path) -> Iterator[dict[str, object]]:
    home = root / "crowd"
    _house(home).db.engine.dispose()
    children = [_writer(home, root / f"waits{number}.json") for number in range(WRITERS)]
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    waits = sorted(w for n in range(WRITERS) for w in json.loads((root / f"waits{n}.json").read_text() or "[]"))
    kit = _house(home)
    with read(kit.db) as tx:
        whole = service.size(tx) == len(waits) == WRITERS * EACH and check(tx).ok
    yield _row(f"{WRITERS} processes x {EACH} appends: failed or lost", "-", None, failed + (not whole), "", 0)
    yield _row(
        f"{WRITERS} processes x {EACH} appends: longest of 99 %", "-", None, waits[len(waits) * 99 // 100], "s", 2.0
    )


def _writer(home: Path, place: Path) -> int:
    child = os.fork()
    if child:
        return child
    code, waits = 1, []
    try:
        kit = _house(home)
        for number in range(EACH):
            started = time.perf_counter()
            with write(kit.db) as tx:
                append(tx, kit.call(f"person:{os.getpid()}"), _event(number))
            waits.append(time.perf_counter() - started)
        code = 0
    finally:
        place.write_text(json.dumps(waits))
        os._exit(code)


def _turn_about(one: Callable[[int], object], other: Callable[[int], object], times: int) -> tuple[float, ...]:
    """Return the medians of both in seconds, wall and then CPU."""
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for number in range(times):
        for place, function in enumerate((one, other)):
            started, busy = time.perf_counter(), time.process_time()
            function(number)
            cpu[place].append(time.process_time() - busy)
            wall[place].append(time.perf_counter() - started)
    return (*(statistics.median(w) for w in wall), *(statistics.median(c) for c in cpu))


def _row(
    walk: str, limit_name: str, limit: float | None, ours: float, unit: str, bar: float | None
) -> dict[str, object]:
    return {
        "walk": walk,
        "limit_name": limit_name,
        "limit": limit,
        "ours": ours,
        "unit": unit,
        "ratio": ours / limit if limit else None,
        "bar": bar,
        "ok": None if bar is None else ours <= bar,
    }
