"""Tracking by its services on a SQLite file, beside what SQLite itself needs for the same rows.

Wall medians and CPU means where a commit waits for the disk, measured turn about with the limit; CPU time of this
process for reading.
The store of a million runs is built by `bench.million`.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from keepwell.bootstrap import open_house
from keepwell.core.points import batch_of
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.settings import read_settings
from keepwell.testing.runs import fill
from keepwell.tracking import service
from keepwell.tracking.model import Code

ACTOR = "person:ann"
BATCH = 1_000
RUNS = 10_000
POINTS = 100_000


def rows() -> Iterator[dict[str, object]]:
    """Measure: points in batches, one run, search of 10,000 runs, history of 100,000 points."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        yield from _batches(root)
        yield from _one_run(root)
        yield from searches(root, RUNS, 5.0)
        yield from _history(root)


def house(home: Path) -> Kit:
    """Open a house of its own."""
    return open_house(read_settings(str(home), {}))


def _batches(root: Path) -> Iterator[dict[str, object]]:
    kit = house(root / "points")
    limit = sqlite3.connect(root / "limit.db", isolation_level=None)
    limit.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
        "CREATE TABLE points (run INT, name TEXT, step INT, at INT, value REAL, "
        "PRIMARY KEY (run, name, step, at, value)) WITHOUT ROWID"
    )
    with write(kit.db) as tx:
        run = service.start_run(tx, kit.call(ACTOR), name="points", code=Code(), machine={}).id
    given = [
        [(f"metric{n % 10}", random.random(), start + n // 10, 1_700_000_000_000 + start + n) for n in range(BATCH)]
        for start in range(0, 60 * BATCH, BATCH)
    ]
    batches = [batch_of(points) for points in given]

    def bare(number: int) -> None:
        limit.execute("BEGIN IMMEDIATE")
        limit.executemany("INSERT INTO points VALUES (1, ?, ?, ?, ?)", [(n, s, a, v) for n, v, s, a in given[number]])
        limit.execute("COMMIT")

    def ours(number: int) -> None:
        with write(kit.db) as tx:
            service.log_points(tx, kit.call(ACTOR), run, batches[number])

    low, high, low_cpu, high_cpu = _turn_about(bare, ours, len(batches))
    walk, what = "log 1,000 points, compaction in it: a point", "SQLite executemany, WAL, fsync"
    yield row(walk, what, low_cpu * 1e6 / BATCH, high_cpu * 1e6 / BATCH, "CPU us", 2.0)
    yield row(walk, what, low * 1e6 / BATCH, high * 1e6 / BATCH, "us", None)


def _one_run(root: Path) -> Iterator[dict[str, object]]:
    kit = house(root / "one")
    limit = sqlite3.connect(root / "limit1.db", isolation_level=None)
    limit.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
        "CREATE TABLE r (id TEXT PRIMARY KEY, name TEXT); "
        "CREATE TABLE p (run TEXT, name TEXT, value TEXT, PRIMARY KEY (run, name)) WITHOUT ROWID; "
        "CREATE TABLE m (run TEXT, name TEXT, value REAL, PRIMARY KEY (run, name)) WITHOUT ROWID"
    )
    params = {f"param{n}": n / 7 for n in range(10)}
    tags = {"team": "retail", "stage": "try", "mlflow.user": "ann"}

    def bare(number: int) -> None:
        limit.execute("BEGIN IMMEDIATE")
        limit.execute("INSERT INTO r VALUES (?, ?)", (f"run{number}", "x"))
        limit.executemany("INSERT INTO p VALUES (?, ?, ?)", [(f"run{number}", k, str(v)) for k, v in params.items()])
        limit.executemany("INSERT INTO p VALUES (?, ?, ?)", [(f"run{number}", k, v) for k, v in tags.items()])
        limit.executemany("INSERT INTO m VALUES (?, ?, ?)", [(f"run{number}", f"metric{n}", n / 3) for n in range(10)])
        limit.execute("COMMIT")

    def ours(number: int) -> None:
        call = kit.call(ACTOR)
        batch = batch_of([(f"metric{n}", n / 3, 0, 1_700_000_000_000 + number) for n in range(10)])
        with write(kit.db) as tx:
            run = service.start_run(tx, call, name="one", params=params, tags=tags, code=Code(), machine={})
            service.log_batch(tx, call, run.id, batch)
            service.update_run(tx, call, run.id, "finished")

    low, high, low_cpu, high_cpu = _turn_about(bare, ours, 200)
    walk, what = "one run: 10 params, 10 metrics, tags, start, end", "the rows alone, WAL, fsync"
    yield row(walk, what, low_cpu * 1e3, high_cpu * 1e3, "CPU ms", 0.8)
    yield row(walk, what, low * 1e3, high * 1e3, "ms", None)


def searches(root: Path, count: int, bar: float) -> Iterator[dict[str, object]]:
    """Measure searches over so many runs of one experiment, against a bare SQLite query of the same rows."""
    kit = house(root / f"search{count}")
    began = time.perf_counter()
    experiment = fill(kit, count)
    built = time.perf_counter() - began
    size = (kit.db.file or Path()).stat().st_size
    yield row(f"{count:,} runs x 10 metrics, 10 params, 3 tags: built", "-", None, built, "s", None)
    yield row(f"{count:,} runs: bytes a run", "-", None, size / count, "B", None)
    limit = sqlite3.connect(kit.db.file or "")
    bare = (
        "SELECT r.id FROM run_metrics m JOIN runs r ON r.no = m.run WHERE m.experiment = ? AND m.name = 'metric3' "
        "AND m.value > 0.5 ORDER BY m.value DESC LIMIT 50"
    )
    low = _cpu(lambda: limit.execute(bare, (experiment,)).fetchall(), 50)
    cases: Sequence[tuple[str, str, tuple[str, ...], float | None]] = (
        ("filter on a metric, order by it, first 50", "metrics.metric3 > 0.5", ("metrics.metric3 DESC",), bar),
        ("newest 50", "", (), bar),
        ("rare metric value, newest first", "metrics.metric4 > 0.999", (), None),
        ("common metric and param, newest first", "metrics.metric4 > 0.3 AND params.param1 = '3'", (), None),
        (
            "param and tag, order by another metric",
            "params.param2 = '7' AND tags.team = 'team1'",
            ("metrics.metric5",),
            None,
        ),
        ("tag LIKE, order by a param", "tags.team LIKE 'team%'", ("params.param3 ASC",), None),
        ("a page at an offset of 2,000", "metrics.metric3 > 0.5", ("metrics.metric3 DESC",), None),
    )
    with read(kit.db) as tx:
        for words, text, order, its_bar in cases:
            offset = 2_000 if "offset" in words else 0
            search = partial(service.search_runs, tx, [experiment], text, order_by=order, limit=50, offset=offset)
            assert search(), words
            took = _cpu(search, 10)
            yield row(
                f"search {count:,} runs: {words}", "the ids by bare SQL", low * 1e3, took * 1e3, "CPU ms", its_bar
            )
        took = _cpu(lambda: service.count_runs(tx, [experiment], "metrics.metric3 > 0.5", most=10_000), 5)
        yield row(f"count of {count:,} runs, up to 10,000", "-", None, took * 1e3, "CPU ms", None)
        took = _cpu(lambda: service.run_columns(tx, [experiment]), 5)
        yield row(f"columns in use of {count:,} runs", "-", None, took * 1e3, "CPU ms", None)
    limit.close()
    kit.db.engine.dispose()


def _history(root: Path) -> Iterator[dict[str, object]]:
    kit = house(root / "history")
    with write(kit.db) as tx:
        run = service.start_run(tx, kit.call(ACTOR), name="long", code=Code(), machine={}).id
    for start in range(0, POINTS, BATCH):
        batch = batch_of([("loss", random.random(), start + n, 1_700_000_000_000 + start + n) for n in range(BATCH)])
        with write(kit.db) as tx:
            service.log_points(tx, kit.call(ACTOR), run, batch)
    steps = np.arange(POINTS)
    low = _cpu(lambda: sorted(zip(steps.tolist(), steps.tolist(), strict=True)), 3)
    with read(kit.db) as tx:
        assert len(service.history(tx, run, "loss")) == POINTS
        took = _cpu(lambda: service.history(tx, run, "loss"), 10)
        yield row(f"history of {POINTS:,} points", "as many tuples sorted", low * 1e3, took * 1e3, "CPU ms", 50.0)
        took = _cpu(lambda: service.histories(tx, [run], "loss", max_points=1_000), 10)
        yield row(
            f"1,000 of {POINTS:,} points for a chart", "as many tuples sorted", low * 1e3, took * 1e3, "CPU ms", 60.0
        )


def _cpu(work: Callable[[], object], times: int) -> float:
    work()
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def _turn_about(one: Callable[[int], object], other: Callable[[int], object], times: int) -> tuple[float, ...]:
    """Return the medians of both in seconds of wall time, and the means of both in seconds of CPU."""
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for number in range(times):
        for place, function in enumerate((one, other)):
            started, busy = time.perf_counter(), time.process_time()
            function(number)
            cpu[place].append(time.process_time() - busy)
            wall[place].append(time.perf_counter() - started)
    return (*(statistics.median(w) for w in wall), *(statistics.mean(c) for c in cpu))


def row(
    walk: str, limit_name: str, limit: float | None, ours: float, unit: str, bar: float | None
) -> dict[str, object]:
    """Return one row of the table."""
    ratio = ours / limit if limit else None
    ok = None if bar is None else ours <= bar
    return {
        "walk": walk,
        "limit_name": limit_name,
        "limit": limit,
        "ours": ours,
        "unit": unit,
        "ratio": ratio,
        "bar": bar,
        "ok": ok,
    }
