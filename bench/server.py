"""Start-up, idle cost and requests of the server, and the weight of the installation.

CPU seconds are user and system of the measured process, from the kernel, the least of the runs; they repeat where wall
time does not. `KEEPWELL_BENCH_INSTALL=1` also installs the base into a fresh environment, which takes a minute.
"""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TICK = os.sysconf("SC_CLK_TCK")
REQUESTS = 2_000
IDLE_SECONDS = 5.0
BARE = """
import uvicorn
body = b'{"status":"ok"}'
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=%d, http="httptools", loop="uvloop", lifespan="off", log_config=None, access_log=False)
"""


def rows() -> Iterator[dict[str, object]]:
    """Yield a row a walk."""
    bare, help_, package = _cpu_of("pass"), _cpu_of(HELP), _cpu_of("import keepwell")
    yield _row("import keepwell", "bare interpreter", bare, package, "CPU s", 0.060)
    yield _row("keepwell --help", "bare interpreter", bare, help_, "CPU s", 0.080)
    with tempfile.TemporaryDirectory() as temp:
        yield from _served(Path(temp))
    if os.environ.get("KEEPWELL_BENCH_INSTALL"):
        yield from _installed()


HELP = "import sys; sys.argv = ['keepwell', '--help']; from keepwell.cli import main; main()"


def _served(folder: Path) -> Iterator[dict[str, object]]:
    with _listening([sys.executable, "-c", BARE % (port := _free_port())], port) as (process, limit_start):
        limit = _cpu_of_requests(process.pid, port, _request(port, "/"))
        limit_memory = _memory(process.pid)
    token = _token(folder)
    port = _free_port()
    command = [sys.executable, "-m", "keepwell", "server", "--home", str(folder / "home"), "--port", str(port)]
    starts = []
    for _ in range(2):
        with _listening(command, port, "/health") as (process, start):
            starts.append(start)
    with _listening(command, port, "/health") as (process, start):
        starts.append(start)
        cpu, wall = min(starts)
        yield _row("server start to first answer", "bare ASGI app", limit_start[0], cpu, "CPU s", 1.0)
        yield _row("the same on this machine's wall clock", "bare ASGI app", limit_start[1], wall, "s", None)
        _exchange(port, _request(port, "/api/me", token))  # by now every route is loaded
        before = _cpu(process.pid)
        time.sleep(IDLE_SECONDS)
        share = (_cpu(process.pid) - before) / IDLE_SECONDS
        yield _row("idle server, memory", "bare ASGI app", limit_memory, _memory(process.pid), "MB", 200.0)
        yield _row("idle server, share of a core", "nothing", None, share, "", 0.005)
        yield _row("idle server, processes", "one", 1, _processes(process.pid), "", 1)
        health = _cpu_of_requests(process.pid, port, _request(port, "/health"))
        yield _row("GET /health: guard, thread, one query", "bare ASGI app", limit, health, "ms CPU", None)
        small = _cpu_of_requests(process.pid, port, _request(port, "/api/me", token))
        yield _row("GET /api/me: and who asks", "bare ASGI app", limit, small, "ms CPU", None)


def _installed() -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory() as temp:
        venv, python = Path(temp, "venv"), Path(temp, "venv/bin/python")
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        size = _size(venv)
        command = [python, "-m", "pip", "install", "-q", "--only-binary", ":all:", "-c", ROOT / "constraints.txt", ROOT]
        subprocess.run([str(part) for part in command], check=True)
        listed = subprocess.run([str(python), "-m", "pip", "list", "--format", "freeze"],
                                check=True, capture_output=True, text=True).stdout.splitlines()  # fmt: skip
        packages = [line for line in listed if not line.lower().startswith(("pip=", "setuptools=", "wheel="))]
        yield _row("install: packages of the base", "keepwell alone", 1, len(packages), "", 40)
        yield _row("install: size of the base", "empty environment", size, _size(venv) - size, "MB", 300.0)


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


def _cpu_of(code: str, runs: int = 5) -> float:
    """Return the least CPU seconds of an interpreter that runs some code."""
    spent = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


@contextmanager
def _listening(
    command: list[str], port: int, path: str = "/"
) -> Iterator[tuple[subprocess.Popen[bytes], tuple[float, float]]]:
    """Start a server; yield its process, and the CPU and wall seconds to its first answer."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        while True:
            try:
                _exchange(port, _request(port, path))
                break
            except OSError:
                if process.poll() is not None or time.monotonic() - started > 30:
                    raise RuntimeError(f"{command[:3]} did not start") from None
                time.sleep(0.005)
        yield process, (_cpu(process.pid), time.monotonic() - started)
    finally:
        process.terminate()
        process.wait(20)


def _request(port: int, path: str, token: str | None = None) -> bytes:
    sign = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{sign}\r\n".encode()


def _exchange(port: int, request: bytes, times: int = 1) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        for _ in range(times):
            connection.sendall(request)
            got = connection.recv(65_536)
            head, _, body = got.partition(b"\r\n\r\n")
            while len(body) < int(re.search(rb"content-length: (\d+)", head)[1]):  # type: ignore[index]
                body += connection.recv(65_536)
            assert got.startswith(b"HTTP/1.1 200 "), got


def _cpu_of_requests(pid: int, port: int, request: bytes) -> float:
    """Return the server's CPU milliseconds a request, one connection, one at a time."""
    _exchange(port, request, 200)
    spent = []
    for _ in range(2):
        before = _cpu(pid)
        _exchange(port, request, REQUESTS)
        spent.append((_cpu(pid) - before) / REQUESTS * 1000)
    return min(spent)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _memory(pid: int) -> float:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024  # type: ignore[index]


def _processes(pid: int) -> int:
    """Return how many processes a server is, itself and its children."""
    parents = [
        int(stat.read_text().rpartition(")")[2].split()[1])
        for stat in Path("/proc").glob("[0-9]*/stat")
        if stat.parent.name != str(pid) and stat.is_file()
    ]
    return 1 + parents.count(pid)


def _token(folder: Path) -> str:
    command = [sys.executable, "-m", "keepwell", "token", "new", "bench", "--home", str(folder / "home")]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _size(folder: Path) -> float:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir()) / 1e6
