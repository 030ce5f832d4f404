"""The SDK beside what it cannot be faster than: one write to a file, one insert of SQLite, the same work without HTTP.

The caller's thread, over 100,000 calls while the sender works beside it: the median call in wall time, and the mean in
CPU time of that thread; the mean in wall time, which others on the machine move, is shown without a bar. All else is
CPU time of the client and of the server together, over a real connection, the least of three.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keepwell
from keepwell.client import session
from keepwell.client.transports.reading import WebLibrary
from keepwell.client.transports.web import Web
from keepwell.core.errors import KeepwellError
from keepwell.core.points import batch_of, pack
from keepwell.settings import read_client_settings
from keepwell.tracking import wire

CALLS, BATCHES, RUNS, LONG, FOUND = 100_000, 100, 100, 100_000, 1_000
TICK = os.sysconf("SC_CLK_TCK")


def rows() -> Iterator[dict[str, object]]:
    """Yield a row a walk."""
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        server, uri = _serve(folder)
        try:
            session.choose(read_client_settings(uri, None, {"KEEPWELL_HOME": str(folder / "client")}))
            yield from _calls(folder)
            yield _batches(folder, server.pid)
            yield _whole_runs(folder, server.pid)
            yield _history(server.pid, uri)
            yield _search(server.pid, uri)
            session.finish(30)
        finally:
            server.terminate()
            server.wait()


def _calls(folder: Path) -> Iterator[dict[str, object]]:
    """log_metric in the caller's thread, and what it then costs until it is stored."""
    handle = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    record = bytes(39)
    bare = _timed(CALLS, lambda: os.write(handle, record))
    os.close(handle)
    with keepwell.start_run("calls"):
        keepwell.flush(30)
        mine = _timed(CALLS, lambda: keepwell.log_metric("loss", 0.5))
        assert keepwell.flush(60)
        began = time.thread_time()
        for _ in range(CALLS):
            keepwell.log_metric("loss", 0.5)
        cpu = (time.thread_time() - began) / CALLS * 1e6
        assert keepwell.flush(60)
    walk, limit_name, limit = (
        "log a metric in the caller's thread",
        "one write to a file",
        statistics.median(bare) / 1000,
    )
    yield _row(f"{walk}, median", limit_name, limit, statistics.median(mine) / 1000, "us", 10.0)
    yield _row(f"{walk}, mean CPU", limit_name, limit, cpu, "us", 10.0)
    yield _row(
        f"{walk}, mean wall", limit_name, statistics.fmean(bare) / 1000, statistics.fmean(mine) / 1000, "us", None
    )


def _timed(count: int, call: Callable[[], object]) -> list[int]:
    clock = time.perf_counter_ns
    found = []
    for _ in range(count):
        began = clock()
        call()
        found.append(clock() - began)
    return found


def _batches(folder: Path, server: int) -> dict[str, object]:
    """Points in batches of 1,000, from the caller to the store, the sender and the HTTP server included."""
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("CREATE TABLE points (run INTEGER, name TEXT, step INTEGER, at INTEGER, value REAL)")
    points = [(1, "loss", n, n, 0.5) for n in range(1_000)]

    def limit() -> None:
        for _ in range(BATCHES):
            bare.execute("BEGIN")
            bare.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", points)
            bare.execute("COMMIT")

    values = [n / 7 for n in range(1_000)]

    def ours() -> None:
        with keepwell.start_run("batches"):
            for _ in range(BATCHES):
                keepwell.log_points("loss", values)
        assert keepwell.flush(60)

    each = 1e6 / BATCHES / 1_000
    return _row("points in batches of 1,000, stored over HTTP", "SQLite executemany, WAL", each * _cpu(limit),
                each * _cpu(ours, server), "us", 4.0)  # fmt: skip


def _whole_runs(folder: Path, server: int) -> dict[str, object]:
    """One run: 10 params, 10 metrics, 3 tags, begun and ended."""
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    bare.execute("CREATE TABLE facts (run INTEGER, kind TEXT, name TEXT, value TEXT)")
    facts = [(1, "param", f"p{n}", "1") for n in range(24)]

    def limit() -> None:
        for _ in range(RUNS):
            bare.execute("BEGIN")
            bare.executemany("INSERT INTO facts VALUES (?, ?, ?, ?)", facts)
            bare.execute("COMMIT")

    params = {f"p{n}": n for n in range(10)}
    metrics = {f"m{n}": n / 3 for n in range(10)}
    tags = {"a": "1", "b": "2", "c": "3"}

    def ours() -> None:
        for _ in range(RUNS):
            with keepwell.start_run("one", params=params):
                keepwell.log_metrics(metrics)
                keepwell.set_tags(tags)
        assert keepwell.flush(60)

    each = 1e3 / RUNS
    return _row("one run: 10 params, 10 metrics, tags, over HTTP", "SQLite, one commit", each * _cpu(limit),
                each * _cpu(ours, server), "ms", 1.5)  # fmt: skip


def _history(server: int, uri: str) -> dict[str, object]:
    """The history of 100,000 points."""
    with keepwell.start_run("long") as run:
        keepwell.log_points("loss", [n / 7 for n in range(LONG)])
    assert keepwell.flush(60)
    bare = sqlite3.connect(":memory:")
    bare.execute("CREATE TABLE points (step INTEGER, at INTEGER, value REAL)")
    bare.executemany("INSERT INTO points VALUES (?, ?, ?)", [(n, n, n / 7) for n in range(LONG)])
    library = WebLibrary(Web(uri))

    def ours() -> None:
        for _ in range(20):
            assert len(library.history(run.id, "loss").steps) == LONG

    limit = _cpu(lambda: bare.execute("SELECT step, at, value FROM points").fetchall())
    return _row("history of 100,000 points over HTTP", "SQLite, all rows", limit, _cpu(ours, server) / 20, "s", 0.15)


def _search(server: int, uri: str) -> dict[str, object]:
    """The first 50 of some runs by a metric, as whole runs; the store's own benchmark has 10,000 and 1,000,000."""
    web = Web(uri)
    for first in range(0, FOUND, 250):
        ops: list[tuple[int, wire.Op]] = []
        for number in range(first, min(first + 250, FOUND)):
            run = session.ids().new("run")
            ops.append((3 * number + 1, wire.Start(run=run, name=f"r{number}", experiment="many")))
            points = pack(batch_of([("loss", number / 7, 0, 1_700_000_000_000)]))
            ops.append((3 * number + 2, wire.Log(run=run, points=points, params={"depth": number % 9})))
            ops.append((3 * number + 3, wire.Finish(run=run)))
        web.send(wire.Batch(session.ids().new("ses"), ops))
    library = WebLibrary(web)

    def ours() -> None:
        for _ in range(20):
            assert len(library.search(["many"], "metrics.loss > 10", "active", ["metrics.loss ASC"], 50, 0)) == 50

    def health() -> None:
        for _ in range(20):
            web.raw("GET", "/health")

    return _row(f"search {FOUND:,} runs by a metric, first 50 whole, over HTTP", "GET /health",
                1e3 / 20 * _cpu(health, server), 1e3 / 20 * _cpu(ours, server), "ms", None)  # fmt: skip


def _cpu(work: Callable[[], object], server: int | None = None) -> float:
    """Return the least CPU seconds of three runs, those of the server included."""
    found = []
    for _ in range(3):
        before = time.process_time() + _of_process(server)
        work()
        found.append(time.process_time() + _of_process(server) - before)
    return min(found)


def _of_process(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _serve(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "keepwell", "server", "--home", str(folder / "home"), "--port", str(port),
               "--auth", "none"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    web = Web(f"http://127.0.0.1:{port}")
    for _ in range(200):
        try:
            web.raw("GET", "/api/experiments")
            break
        except KeepwellError:
            time.sleep(0.05)
    return process, web.uri


def _row(walk: str, limit_name: str, limit: float, ours: float, unit: str, bar: float | None) -> dict[str, object]:
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
