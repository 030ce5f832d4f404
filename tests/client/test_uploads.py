"""Large files are uploaded beside everything else: nothing waits behind them but what has to come after them."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from tests.client.test_killed import killed_itself, synced
from tests.client.test_web import Answer, stub, taken

import keepwell
from keepwell.bootstrap import open_house
from keepwell.client import reading, session, syncing
from keepwell.client.lanes import Behind, Staged
from keepwell.settings import read_client_settings, read_settings
from keepwell.tracking import service, wire

LARGE = bytes(range(256)) * 1_000


def test_points_of_all_runs_pass_an_upload_and_the_end_of_its_run_does_not(tmp_path: Path) -> None:
    got: list[wire.Op | str] = []
    gate, arrived = threading.Event(), threading.Event()

    def answer(method: str, path: str, body: bytes) -> Answer:
        if method == "PUT":
            arrived.set()
            gate.wait(30)
            got.append(path)
            return 200, {}, b"{}"
        got.extend(op for _, op in wire.unpack(body).ops)
        return taken(body)

    def kinds(run: str) -> list[str]:
        return [type(op).__name__ for op in got if not isinstance(op, str) and op.run == run]

    with stub(answer) as uri:
        session.choose(read_client_settings(uri, None, {"KEEPWELL_HOME": str(tmp_path)}))
        try:
            with keepwell.start_run("slow") as slow:
                slow.log_bytes(LARGE, "large.bin")
                assert arrived.wait(20)
                keepwell.log_metric("after", 1)
            with keepwell.start_run("next") as following:
                keepwell.log_metric("m", 1)
            assert not keepwell.flush(2.0) and session.current().sender.left == 2
            assert kinds(slow.id) == ["Start", "Log"] and kinds(following.id) == ["Start", "Log", "Finish"]
            gate.set()
            assert keepwell.flush(20)
        finally:
            gate.set()
            session.finish(10)
    assert got[-2] == f"/api/runs/{slow.id}/artifacts/large.bin" and kinds(slow.id) == ["Start", "Log", "Finish"]
    assert [p for p in (tmp_path / "spool").iterdir() if p.name.startswith("ses_")] == []


def test_the_last_file_of_a_path_stays_whatever_its_size(home: Path) -> None:
    with keepwell.start_run() as run:
        run.log_bytes(LARGE, "a.bin")
        run.log_bytes(b"small", "a.bin")
        run.log_bytes(b"small", "b.bin")
        run.log_bytes(LARGE, "b.bin")
    assert keepwell.flush(30)
    with reading._library() as library:
        sizes = {one.path: one.size for one in library.artifacts(run.id, "")}
    assert sizes == {"a.bin": 5, "b.bin": len(LARGE)}
    assert keepwell.get_run(run.id).status == "finished"
    assert list(session.current().spool.folder.glob("files/*")) == list(session.current().spool.folder.glob("lane/*"))


@pytest.mark.parametrize("point", ["before", "client.stored", "client.acked", "client.uploaded"])
def test_a_process_that_is_killed_on_the_way_leaves_its_upload_to_sync(tmp_path: Path, point: str) -> None:
    home = tmp_path / "home"
    run = killed_itself(
        home,
        f"""
import os, keepwell
from keepwell.client.transports.home import Home
from keepwell.core import failpoints
if {point!r} == "before":
    Home.upload = lambda *_: os.kill(os.getpid(), 9)
else:
    failpoints.arm("{point}:kill")
with keepwell.start_run() as run:
    print(run.id, flush=True)
    run.log_bytes(bytes(range(256)) * 1_000, "deep/large.bin")
    keepwell.log_metric("m", 1)
keepwell.flush(60)
""",
    )
    told = synced(home)
    assert [one["state"] for one in told] == ["sent"] and told[0]["refused"] == 0
    kit = open_house(read_settings(str(home), {}))
    with kit.read() as tx:
        found = service.run(tx, run)
        (file,) = [one for one in service.all_artifacts(tx, run) if one.path == "deep/large.bin"]
    assert found.status == "finished" and found.metrics == {"m": 1.0} and found.error is None
    assert file.digest is not None and kit.blobs.get(file.digest) == LARGE
    assert list((home / "spool").iterdir()) == []


def test_what_waits_in_the_lane_is_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def answer(method: str, _path: str, body: bytes) -> Answer:
        return (503, {}, b"") if method == "PUT" else taken(body)

    with stub(answer) as uri:
        session.choose(read_client_settings(uri, None, {"KEEPWELL_HOME": str(tmp_path)}))
        with keepwell.start_run() as run:
            run.log_bytes(LARGE, "large.bin")
        began = time.monotonic()
        session.finish(1.5)
        assert time.monotonic() - began < 8
    assert "2 records wait in" in caplog.text and "'keepwell sync' sends them" in caplog.text
    (folder,) = (tmp_path / "spool").glob("ses_*")
    assert syncing.waiting(folder).records == 2


def test_a_file_that_is_never_taken_is_told_and_its_run_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    def answer(method: str, _path: str, body: bytes) -> Answer:
        if method == "PUT":
            return 413, {}, json.dumps({"error": {"code": "too_large", "message": "Too large."}}).encode()
        ended.extend(op.run for _, op in wire.unpack(body).ops if isinstance(op, wire.Finish))
        return taken(body)

    with stub(answer) as uri:
        session.choose(read_client_settings(uri, None, {"KEEPWELL_HOME": str(tmp_path)}))
        with keepwell.start_run() as run:
            run.log_bytes(LARGE, "large.bin")
        assert keepwell.flush(20)
        session.finish(5)
    assert ended == [run.id] and caplog.text.count("large.bin: Too large.") == 1


def test_only_what_must_come_after_a_file_takes_its_lane() -> None:
    behind = Behind()
    finish, put = wire.Finish(run="run_1"), wire.Put(run="run_1", path="a", data=b"")
    assert not behind.waits(finish) and not behind.waits(put)
    behind.add(Staged(run="run_1", path="a", name="1", size=1))
    behind.add(Staged(run="run_2", path="b", name="2", size=1, model="m-1"))
    assert behind.waits(finish) and behind.waits(put) and behind.waits(wire.Start(run="run_1", resume=True))
    assert behind.waits(wire.Finish(run="run_2")) and behind.waits(wire.Ready(run="run_2", model="m-1"))
    assert behind.waits(wire.Put(run="run_2", path="b", data=b"", model="m-1"))
    for op in (
        wire.Put(run="run_1", path="b", data=b""), wire.Put(run="run_2", path="b", data=b""),
        wire.Finish(run="run_3"), wire.Log(run="run_1"), wire.Start(run="run_1"), wire.Ready(run="run_1", model="m-2"),
    ):  # fmt: skip
        assert not behind.waits(op), op
