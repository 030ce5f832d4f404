"""Over HTTP: a server that is away, busy, or hostile."""

from __future__ import annotations

import http.server
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import keepwell
from keepwell.client import fluent, reading, session
from keepwell.client.rules import wait_seconds
from keepwell.client.transports.web import check_address
from keepwell.core.errors import Denied, InvalidInput, Unavailable
from keepwell.settings import read_client_settings
from keepwell.tracking import wire

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def stub(answer: Callable[[str, str, bytes], Answer]) -> Iterator[str]:
    """A server that answers what it is told to, and its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, headers, data = answer(self.command, self.path, body)
            self.send_response(status)
            for name, value in {"content-length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def to(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Record to an address; everything is ended afterwards."""

    def choose(uri: str) -> None:
        session.choose(read_client_settings(uri, None, {"KEEPWELL_HOME": str(tmp_path), "KEEPWELL_TOKEN": "kwt_t"}))

    yield choose
    fluent._end_all()
    session.finish(0.1)


def taken(body: bytes) -> Answer:
    return 200, {}, json.dumps({"upto": wire.unpack(body).ops[-1][0]}).encode()


@pytest.mark.parametrize("name", [".git/hooks/post-checkout", "a/.GIT/config", "git~1/x", ".keepwell/keys"])
def test_nothing_is_fetched_into_a_repositorys_own_folder(to: Callable[[str], None], tmp_path: Path, name: str) -> None:
    """C17."""

    def answer(_method: str, path: str, _body: bytes) -> Answer:
        if "/artifacts/" in path:
            return 200, {}, b"probe"
        return 200, {}, json.dumps([{"path": name, "is_dir": False}]).encode()

    with stub(answer) as uri:
        to(uri)
        with pytest.raises(InvalidInput, match="repository"):
            reading.download_artifacts("run_" + "0" * 26, dst_path=tmp_path / "repo")
    assert list((tmp_path / "repo").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["../../.bashrc-probe", "/tmp/probe", "a/../../b", "..", "C:/x", "a\\..\\b", "~/x", ".", "a//b", "x\u202ey", "a\0b",
     "con:", "a/b/../../../c"],
)  # fmt: skip
def test_what_a_server_calls_its_files_never_leads_out_of_the_folder(
    to: Callable[[str], None], tmp_path: Path, name: str
) -> None:
    """C03."""
    inside, outside = tmp_path / "deep" / "down", set(tmp_path.parent.iterdir())

    def answer(_method: str, path: str, _body: bytes) -> Answer:
        if "/artifacts?" in path or path.endswith("/artifacts"):
            return 200, {}, json.dumps([{"path": name, "is_dir": False}]).encode()
        return 200, {}, b"probe"

    with stub(answer) as uri:
        to(uri)
        with pytest.raises(InvalidInput):
            reading.download_artifacts("run_" + "0" * 26, dst_path=inside)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.read_bytes() == b"probe"]
    assert set(tmp_path.parent.iterdir()) == outside


def test_folders_without_end_and_links_are_refused(to: Callable[[str], None], tmp_path: Path) -> None:
    def endless(_method: str, path: str, _body: bytes) -> Answer:
        folder = path.partition("folder=")[2].replace("%2F", "/")
        return 200, {}, json.dumps([{"path": f"{folder}/d".lstrip("/"), "is_dir": True}]).encode()

    def elsewhere(_method: str, path: str, _body: bytes) -> Answer:
        if "/artifacts/" in path:
            return 200, {}, b"probe"
        return 200, {}, json.dumps([{"path": "out/probe", "is_dir": False}]).encode()

    with stub(endless) as uri:
        to(uri)
        with pytest.raises(InvalidInput, match="nested"):
            reading.download_artifacts("run_" + "0" * 26, dst_path=tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "b" / "out").symlink_to(tmp_path / "target")
    with stub(elsewhere) as uri:
        to(uri)
        with pytest.raises(Denied):
            reading.download_artifacts("run_" + "0" * 26, dst_path=tmp_path / "b")
    assert list((tmp_path / "target").iterdir()) == []


def test_a_server_that_is_busy_is_asked_again_when_it_said(to: Callable[[str], None]) -> None:
    seen: list[tuple[float, int]] = []

    def answer(_method: str, path: str, body: bytes) -> Answer:
        if path != "/api/log":
            return 404, {}, b""
        seen.append((time.monotonic(), wire.unpack(body).ops[0][0]))
        return (503, {"retry-after": "1"}, b"") if len(seen) == 1 else taken(body)

    with stub(answer) as uri:
        to(uri)
        with keepwell.start_run():
            keepwell.log_metric("m", 1)
        assert keepwell.flush(20)
    assert len(seen) >= 2 and seen[1][0] - seen[0][0] >= 1.0 and seen[0][1] == seen[1][1]


def test_a_server_that_is_away_costs_a_caller_nothing_and_everything_comes_later(
    to: Callable[[str], None], tmp_path: Path
) -> None:
    got: list[wire.Op] = []
    away = threading.Event()
    away.set()

    def answer(_method: str, _path: str, body: bytes) -> Answer:
        if away.is_set():
            return 500, {}, b"broken"
        got.extend(op for _, op in wire.unpack(body).ops)
        return taken(body)

    with stub(answer) as uri:
        to(uri)
        began = time.monotonic()
        with keepwell.start_run() as run:
            for step in range(2_000):
                keepwell.log_metric("m", step)
        assert time.monotonic() - began < 5
        assert not keepwell.flush(0.5)
        away.clear()
        assert keepwell.flush(30)
    kinds = [type(op).__name__ for op in got]
    assert kinds[0] == "Start" and kinds[-1] == "Finish" and {op.run for op in got} == {run.id}


def test_a_short_program_waits_less_for_a_server_that_never_answered(
    to: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "AWAY_SECONDS", 0.5)
    to("http://127.0.0.1:9")
    with keepwell.start_run():
        keepwell.log_metric("m", 1)
    began = time.monotonic()
    session.finish(60)
    assert time.monotonic() - began < 20


def test_a_token_that_is_not_good_is_told_once_and_nothing_is_lost(
    to: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    said = json.dumps({"error": {"code": "unauthenticated", "message": "No."}}).encode()
    with stub(lambda *_: (401, {}, said)) as uri:
        to(uri)
        keepwell.start_run().end()
        assert not keepwell.flush(1.0)
        left = session.current().sender.left
    assert left == 2 and sum("does not let us in" in r.getMessage() for r in caplog.records) == 1
    assert "kwt_t" not in caplog.text


def test_a_batch_that_is_never_taken_is_taken_apart(
    to: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    good: list[str] = []

    def answer(_method: str, _path: str, body: bytes) -> Answer:
        ops = wire.unpack(body).ops
        if any(isinstance(op, wire.Start) and op.name == "poison" for _, op in ops):
            return 400, {}, json.dumps({"error": {"code": "invalid_input", "message": "Not this one."}}).encode()
        good.extend(op.name for _, op in ops if isinstance(op, wire.Start))
        return taken(body)

    with stub(answer) as uri:
        to(uri)
        for name in ("a", "b", "poison", "c"):
            keepwell.start_run(name).end()
        assert keepwell.flush(20)
    assert sorted(good) == ["a", "b", "c"]
    assert sum("Not this one" in r.getMessage() for r in caplog.records) == 1


def test_reading_from_a_server_that_is_away_is_told(to: Callable[[str], None]) -> None:
    to("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="cannot be reached"):
        keepwell.search_runs()


@pytest.mark.parametrize(
    "uri",
    ["http://user:pw@host", "ftp://x", "http://", "http://h/path", "http://h?x=1", "http://h:99999", "https://h:x"],
)
def test_an_address_that_cannot_be_is_told(uri: str) -> None:
    with pytest.raises(InvalidInput):
        check_address(uri)


def test_credentials_in_the_address_are_told_and_written_nowhere(to: Callable[[str], None], tmp_path: Path) -> None:
    """L03, L05."""
    to("http://ann:canary-99zz@127.0.0.1:1")
    with pytest.raises(InvalidInput, match="KEEPWELL_TOKEN"):
        keepwell.start_run("x")
    assert not any(b"canary-99zz" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_waiting_is_jittered_bounded_and_at_least_what_was_asked_for() -> None:
    draw = random.Random(3)
    for attempt in range(1, 40):
        waits = [wait_seconds(attempt, draw) for _ in range(50)]
        assert all(0 <= w <= min(30.0, 0.5 * 2 ** (attempt - 1)) for w in waits) and len(set(waits)) == 50
        assert all(7 <= wait_seconds(attempt, draw, told=7.0) <= 7.5 for _ in range(50))
    assert wait_seconds(1, draw, told=1e9) <= 301 and wait_seconds(1, draw, told=float("nan")) <= 0.5


def test_at_the_end_a_line_says_what_waits(tmp_path: Path) -> None:
    code = (
        "import keepwell; from keepwell.client import session; session.EXIT_SECONDS = 0.5;keepwell.log_metric('m', 1)"
    )
    environment = {
        "PATH": os.defpath, "PYTHONPATH": ":".join(sys.path), "KEEPWELL_HOME": str(tmp_path),
        "KEEPWELL_TRACKING_URI": "http://127.0.0.1:1",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if "wait in" in line]
    assert lines and all("'keepwell sync' sends them" in line for line in lines), done.stderr
    command = [sys.executable, "-m", "keepwell", "sync", "--list", "--json"]
    listed: Any = json.loads(
        subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    )
    assert sum(one["records"] for one in listed) >= 3
    failed = subprocess.run(
        [sys.executable, "-m", "keepwell", "sync"], capture_output=True, text=True, env=environment, check=False
    )
    assert failed.returncode == 7 and "waits" in failed.stdout and "Traceback" not in failed.stderr
