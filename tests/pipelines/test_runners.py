"""Both runners keep the promises of a runner."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepwell.core.errors import InvalidInput
from keepwell.pipelines.runners import InProcess, Processes
from keepwell.testing.runners import RemoteConformance, RunnerConformance, doze, run_all, task_of, whoami


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes(2) as runner:
        yield runner


class TestInProcess(RunnerConformance):
    @pytest.fixture
    def runner(self) -> InProcess:
        return InProcess()


class TestProcesses(RemoteConformance):
    @pytest.fixture
    def runner(self, processes: Processes) -> Processes:
        return processes


def test_a_worker_ends_with_who_started_it(tmp_path: Path) -> None:
    with Processes(1) as runner:
        worker = run_all(runner, [task_of(tmp_path, whoami, 1)])[1]
        assert worker.error is None
        pid = int.from_bytes(worker.outputs["result"].read()[1:], "big")
        assert Path(f"/proc/{pid}").exists() or not Path("/proc").exists()
    until = time.monotonic() + 10
    while time.monotonic() < until and _runs(pid):
        time.sleep(0.02)
    assert not _runs(pid)


def test_a_wait_has_an_end(tmp_path: Path) -> None:
    with Processes(1) as runner:
        runner.submit(task_of(tmp_path, doze, 1, seconds=30.0), None)
        started = time.monotonic()
        assert list(runner.wait(0.2)) == []
        assert time.monotonic() - started < 5
        runner.cancel()
        assert list(runner.wait(None)) == []


@pytest.mark.parametrize("count", [0, -1, 257])
def test_how_many_processes(count: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 256"):
        Processes(count)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
