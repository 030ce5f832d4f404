"""Register a version with an alias and get it by the alias, as a service and over HTTP, beside bare SQLite.

CPU seconds, user and system: of the call itself for services, of the server's process for requests. The limit writes a
version and an alias, or reads one, by prepared statements of a bare connection in durable WAL mode.
"""

from __future__ import annotations

import http.client
import json
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

from keepwell.bootstrap import open_house
from keepwell.flows.kit import Kit
from keepwell.flows.registering import register_from
from keepwell.flows.registry import by_alias
from keepwell.models import registry
from keepwell.settings import read_settings
from keepwell.tracking import service as tracking

ACTOR = "person:bench"
TIMES = 300
TICK = os.sysconf("SC_CLK_TCK")


def rows() -> Iterator[dict[str, object]]:
    """Yield a row a walk."""
    with tempfile.TemporaryDirectory() as temp:
        home = Path(temp) / "home"
        kit = open_house(read_settings(str(home), {}))
        source, token = _furnished(kit), _token(home)
        write, read = _bare(Path(temp) / "bare.db")
        bare_write, bare_read = _cpu(write, TIMES), _cpu(read, TIMES)
        what, limit = "register a version, alias, ledger", "bare SQLite, version + alias"
        origin = registry.Origin(kit.blobs.put(b"[]"), 2, files=0, source=source)
        yield _row(f"{what}: service", limit, bare_write, _cpu(lambda: _create(kit, origin), TIMES), 0.8)
        took = _cpu(lambda: _register(kit, source), TIMES)
        yield _row("the same, with the files of a run looked up", limit, bare_write, took, None)
        yield _row("get by alias: service", "bare SELECT", bare_read, _cpu(lambda: _get(kit), 2_000), 0.15)
        for path, answer in _served(home, token, source):
            bar, bare = (2.0, bare_write) if path == "POST" else (0.5, bare_read)
            name = f"{what}: HTTP" if path == "POST" else "get by alias: HTTP"
            yield _row(name, limit if path == "POST" else "bare SELECT", bare, answer, bar)
        yield from _searches(kit, source)


def _furnished(kit: Kit) -> str:
    with kit.write() as tx:
        call = kit.call(ACTOR)
        run = tracking.start_run(tx, call, name="fit").id
        for name in ("MLmodel", "model.skops", "requirements.txt"):
            tracking.put_artifact(tx, call, run, f"model/{name}", kit.blobs.put(name.encode()), len(name))
        registry.create_model(tx, call, "iris")
    return f"runs:/{run}/model"


def _token(home: Path) -> str:
    command = [sys.executable, "-m", "keepwell", "token", "new", "bench", "--home", str(home)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _register(kit: Kit, source: str) -> None:
    with kit.write() as tx:
        register_from(tx, kit, kit.call(ACTOR), "iris", source, aliases=["best"])


def _create(kit: Kit, origin: registry.Origin) -> None:
    with kit.write() as tx:
        registry.create_version(tx, kit.call(ACTOR), "iris", origin, aliases=["best"])


def _get(kit: Kit) -> None:
    with kit.read() as tx:
        by_alias(tx, "iris", "best")


def _bare(place: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    bare = sqlite3.connect(str(place), isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    bare.execute("CREATE TABLE v (name TEXT, number INTEGER, digest TEXT, PRIMARY KEY (name, number))")
    bare.execute("CREATE TABLE a (name TEXT, alias TEXT, number INTEGER, PRIMARY KEY (name, alias))")
    number = iter(range(1, 10**6))

    def write() -> None:
        at = next(number)
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO v VALUES ('iris', ?, ?)", (at, "sha256:" + "0" * 64))
        bare.execute("INSERT OR REPLACE INTO a VALUES ('iris', 'best', ?)", (at,))
        bare.execute("COMMIT")

    def read() -> object:
        query = "SELECT v.* FROM a JOIN v ON v.name = a.name AND v.number = a.number WHERE a.name = ? AND a.alias = ?"
        return bare.execute(query, ("iris", "best")).fetchone()

    return write, read


def _served(home: Path, token: str, source: str) -> Iterator[tuple[str, float]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "keepwell", "server", "--home", str(home), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        connection = _connected(port)
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        body = json.dumps({"source": source, "aliases": ["best"]})
        at = "/api/registry/models/iris"
        for method, path, data, times in (
            ("POST", f"{at}/versions", body, TIMES), ("GET", f"{at}/aliases/best", None, 2_000),
        ):  # fmt: skip

            def ask(method: str = method, path: str = path, data: str | None = data) -> None:
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status in (200, 201), answer.status

            for _ in range(20):
                ask()
            start = _spent(process.pid)
            for _ in range(times):
                ask()
            yield method, (_spent(process.pid) - start) / times
    finally:
        process.terminate()
        process.wait()


def _connected(port: int) -> http.client.HTTPConnection:
    for _ in range(1_200):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/health")
            connection.getresponse().read()
            return connection
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("The server does not answer.")


def _searches(kit: Kit, source: str) -> Iterator[dict[str, object]]:
    """Searches among all the versions that were registered above, and the whole timeline."""
    bare = sqlite3.connect(str(kit.db.file))
    limit = _cpu(lambda: bare.execute("SELECT * FROM model_versions WHERE model = 'iris' LIMIT 50").fetchall(), 50)

    def search() -> None:
        with kit.read() as tx:
            registry.search_versions(tx, "name = 'iris'", ["version_number DESC"], 50)

    def timeline() -> None:
        with kit.read() as tx:
            registry.timeline(tx, "iris", limit=1_000)

    yield _row("search versions of a model, newest 50", "bare SELECT", limit, _cpu(search, 50), 5.0)
    yield _row("timeline of a model", "bare SELECT", limit, _cpu(timeline, 20), None)
    bare.close()


def _spent(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _cpu(call: Callable[[], object], times: int) -> float:
    """Return the median CPU seconds of a call."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def _row(walk: str, limit_name: str, limit: float, ours: float, bar: float | None) -> dict[str, object]:
    limit, ours = limit * 1e3, ours * 1e3
    return {
        "walk": walk, "limit_name": limit_name, "limit": limit, "ours": ours, "unit": "CPU ms",
        "ratio": ours / limit if limit else None, "bar": bar, "ok": None if bar is None else ours <= bar,
    }  # fmt: skip
