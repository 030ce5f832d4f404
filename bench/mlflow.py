"""MLflow's protocol over HTTP: CPU of the server and of a raw client on one keep-alive connection.

The limit of each walk is the same server answering `GET server-info`: guard, credential, thread, no work.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.server import _cpu, _exchange, _free_port, _row, _token

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "/api/2.0/mlflow"


class Connection:
    """One keep-alive connection that says little more than it must."""

    def __init__(self, port: int, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self._socket.sendall(f"{method} {PREFIX}{path} HTTP/1.1\r\n{self._head}{length}\r\n".encode() + body)
        got = self._socket.recv(262_144)
        head, _, rest = got.partition(b"\r\n\r\n")
        size = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        parts = [rest]
        left = size - len(rest)
        while left > 0:
            parts.append(self._socket.recv(1 << 20))
            left -= len(parts[-1])
        assert got.startswith(b"HTTP/1.1 200 "), got[:600]
        return b"".join(parts)

    def put(self, path: str, body: bytes) -> None:
        head = f"PUT {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        got = self._socket.recv(65_536)
        assert got.startswith(b"HTTP/1.1 200 "), got

    def post(self, path: str, **fields: object) -> dict[str, object]:
        return json.loads(self.send("POST", path, json.dumps(fields).encode()))  # type: ignore[no-any-return]


def rows() -> Iterator[dict[str, object]]:
    """Yield a row a walk."""
    with tempfile.TemporaryDirectory() as temp:
        token, port = _token(Path(temp)), _free_port()
        home = str(Path(temp, "home"))
        with _server([sys.executable, "-m", "keepwell", "server", "--home", home, "--port", str(port)], port) as pid:
            yield from _walks(pid, Connection(port, token))


def _walks(pid: int, to: Connection) -> Iterator[dict[str, object]]:
    limit = _per_call(pid, lambda _: _version(to), 2_000)
    run = _start(to)
    metric = json.dumps({"run_id": run, "key": "loss", "value": 0.5, "timestamp": 1_700_000_000_000, "step": 1_000_000})
    one = metric.encode()
    ours = _per_call(pid, lambda n: to.send("POST", "/runs/log-metric", one.replace(b"1000000", b"%d" % n)), 3_000)
    yield _row("log-metric: one value", "GET server-info", limit, ours, "ms CPU", 0.7)
    batches = [_batch(run, start) for start in range(0, 60_000, 1_000)]
    ours = _per_call(pid, lambda n: to.send("POST", "/runs/log-batch", batches[n % 60]), 60)
    yield _row("log-batch: a point of 1,000", "GET server-info", None, ours, "us CPU", 8.0)
    ours = _per_call(pid, lambda n: _whole_run(to, n), 500)
    yield _row(
        "one run: create, 10 params, 10 metrics, tags, end", "three GET server-info", 3 * limit, ours, "ms CPU", None
    )
    read = f"/metrics/get-history?run_id={run}&metric_key=m1"
    ours = _per_call(pid, lambda _: to.send("GET", read), 20)
    yield _row("history of 6,000 points", "GET server-info", limit, ours, "ms CPU", None)
    search = json.dumps({"experiment_ids": ["0"], "filter": "metrics.m1 > 0.5", "order_by": ["metrics.m1 DESC"],
                         "max_results": 50}).encode()  # fmt: skip
    ours = _per_call(pid, lambda _: to.send("POST", "/runs/search", search), 50)
    yield _row("search of 500 runs: first 50", "GET server-info", limit, ours, "ms CPU", None)
    to.post("/registered-models/create", name="m")
    to.put(f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/model/MLmodel", b"flavors: {}")
    source = f"mlflow-artifacts:/0/{run}/artifacts/model"
    ours = _per_call(pid, lambda n: _register(to, run, source, n), 200)
    yield _row("register a version, and an alias to it", "two GET server-info", 2 * limit, ours, "ms CPU", 2.0)
    ours = _per_call(pid, lambda _: to.send("GET", "/registered-models/alias?name=m&alias=best"), 1_000)
    yield _row("get by alias", "GET server-info", limit, ours, "ms CPU", 0.5)


def _version(to: Connection) -> None:
    to.send("GET", "/server-info")


def _start(to: Connection) -> str:
    return str(to.post("/runs/create", experiment_id="0", run_name="bench")["run"]["info"]["run_id"])  # type: ignore[index]


def _batch(run: str, start: int) -> bytes:
    metrics = [
        {"key": f"m{n % 10}", "value": n / 7, "timestamp": 1_700_000_000_000 + n, "step": n}
        for n in range(start, start + 1_000)
    ]
    return json.dumps({"run_id": run, "metrics": metrics}).encode()


def _whole_run(to: Connection, n: int) -> None:
    run = _start(to)
    to.post(
        "/runs/log-batch",
        run_id=run,
        metrics=[
            {"key": f"m{k}", "value": (n + k) / 500, "timestamp": 1_700_000_000_000, "step": 1} for k in range(10)
        ],
        params=[{"key": f"p{k}", "value": str(k)} for k in range(10)],
        tags=[{"key": f"t{k}", "value": str(k)} for k in range(3)],
    )
    to.post("/runs/update", run_id=run, status="FINISHED", end_time=1_900_000_000_000)


def _register(to: Connection, run: str, source: str, _n: int) -> None:
    made = to.post("/model-versions/create", name="m", source=source, run_id=run)
    number = made["model_version"]["version"]  # type: ignore[index]
    to.post("/registered-models/alias", name="m", alias="best", version=number)


def _per_call(pid: int, work: Callable[[int], object], times: int) -> float:
    """Return CPU milliseconds a call of the server and of this process, the lesser of two rounds."""
    for n in range(min(times // 10 + 1, 100)):
        work(n)
    spent = []
    for turn in range(2):
        before = _cpu(pid) + time.process_time()
        for n in range(turn * times, (turn + 1) * times):
            work(n)
        spent.append((_cpu(pid) + time.process_time() - before) / times * 1_000)
    return min(spent)


@contextmanager
def _server(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=os.environ)
    try:
        for _ in range(600):
            try:
                _exchange(port, f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                break
            except OSError:
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)
