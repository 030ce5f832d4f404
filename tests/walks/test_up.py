"""`keepwell up` as a process: it serves, it ticks, and it ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.flows.fsck import fsck
from keepwell.loop import service as ticks
from keepwell.serving import service as serving
from keepwell.settings import read_settings
from keepwell.testing.weekly import MODEL, Weekly, morning


def environment(**more: str) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if not k.startswith("KEEPWELL")}, "PYTHONUNBUFFERED": "1", **more}


def command(home: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "keepwell", "up", "--home", str(home), *options]


def within(seconds: float, ask: Callable[[], object]) -> object:
    """Ask until there is an answer that is true."""
    until = time.monotonic() + seconds
    while not (found := ask()) and time.monotonic() < until:
        time.sleep(0.2)
    return found


def health(port: int) -> dict[str, object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


@pytest.mark.both_databases
def test_it_serves_ticks_and_ends_when_told(tmp_path: Path, empty_url: str) -> None:
    home, database = tmp_path / "home", {"KEEPWELL_DATABASE": empty_url}
    kit = open_house(read_settings(str(home), database), clock=SimulatedClock(morning(80)))
    fleet = Weekly(tmp_path / "stalls")
    fleet.begin(kit)
    fleet.arrive(0, 80)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command(home, "--port", "0", "--every", "1"), stdout=subprocess.PIPE, stderr=log, text=True,
            env=environment(**database),
        )  # fmt: skip
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("Keepwell is at http"), (first, (tmp_path / "log").read_text())
        port = int(first.strip().rpartition(":")[2])
        assert health(port)["status"] == "ok"
        age = within(60, lambda: health(port)["loop_age_seconds"])
        assert age is not None, (tmp_path / "log").read_text()
        with kit.read() as tx:
            assert len(ticks.ticks(tx, MODEL)) >= 4
            assert serving.scorings(tx, MODEL)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - began < 10
    finally:
        process.kill()
        process.wait()
        said = first + process.stdout.read()
        process.stdout.close()
    assert f"{MODEL}: condition, train, promote, score" in said
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert fsck(kit) == []
    kit.db.engine.dispose()


@pytest.mark.parametrize("options", [("--auth", "none", "--host", "0.0.0.0"), ("--host", "0.0.0.0")])
def test_off_this_machine_it_wants_sign_in_and_tls(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = subprocess.run(
        command(tmp_path / "home", "--port", "0", *options), capture_output=True, text=True, check=False,
        env=environment(), timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()
