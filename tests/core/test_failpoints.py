"""Failpoints do nothing until they are armed, and then what they were told."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from keepwell.core import failpoints
from keepwell.core.errors import InvalidInput


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_nothing_happens_unarmed_or_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    failpoints.reach("a.b")
    failpoints.arm("x.y:log")
    failpoints.reach("a.b")
    assert capsys.readouterr().err == ""


def test_log_names_every_point(capsys: pytest.CaptureFixture[str]) -> None:
    failpoints.arm("*:log")
    failpoints.reach("a.b")
    failpoints.reach("c.d")
    assert capsys.readouterr().err == "failpoint a.b\nfailpoint c.d\n"


def test_an_error_comes_at_the_nth_time_only() -> None:
    failpoints.arm("disk:errno:28@2, nap:sleep:0")
    failpoints.reach("disk")
    failpoints.reach("nap")
    with pytest.raises(OSError, match="space") as caught:
        failpoints.reach("disk")
    assert caught.value.errno == errno.ENOSPC
    failpoints.reach("disk")


@pytest.mark.parametrize("spec", ["a", "a:", "a:kill@x"])
def test_what_is_no_failpoint_is_refused(spec: str) -> None:
    with pytest.raises(InvalidInput):
        failpoints.arm(spec)


def test_an_unknown_action_is_refused_when_reached() -> None:
    failpoints.arm("a:dance")
    with pytest.raises(InvalidInput):
        failpoints.reach("a")


def test_kill_ends_the_process_at_once() -> None:
    code = "from keepwell.core import failpoints as f; f.arm('a:kill'); f.reach('a'); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == -9
    assert done.stdout == b""


def test_stop_and_kill_signal_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number) if pid == os.getpid() else None)
    failpoints.arm("a:stop,b:kill")
    failpoints.reach("a")
    with pytest.raises(SystemExit):
        failpoints.reach("b")
    assert sent == [signal.SIGSTOP, signal.SIGKILL]
