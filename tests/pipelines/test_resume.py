"""Real processes that are killed and interrupted: what was done stays done, and the end is the undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from keepwell.bootstrap import open_house
from keepwell.db import read
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.pipelines.service import output, pipeline_run, pipeline_runs, steps
from keepwell.settings import read_settings

PIPELINE = """
import os, time
from pathlib import Path
from keepwell.pipelines import Pipeline, step

def witness(folder, what):
    handle = os.open(Path(folder) / "witness", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (what + "\\n").encode())
    os.close(handle)

@step
def items(folder: str, n: int) -> list[int]:
    witness(folder, "items")
    return list(range(n))

@step(map_over="items", chunk=2)
def fit(items: list[int], folder: str, pause: float) -> dict[int, bytes]:
    time.sleep(pause)
    witness(folder, f"fit {items[0]}")
    return {i: bytes([i % 256]) * 20_000 for i in items}

@step
def total(fit: dict[int, bytes], folder: str) -> int:
    witness(folder, "total")
    return sum(map(len, fit.values()))

fleet = Pipeline("fleet", (items, fit, total), {"folder": "", "n": 12, "pause": 0.0})
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "pipe.py").write_text(PIPELINE)
    return tmp_path


def start(place: Path, *more: str, failpoints: str = "", home: str = "home") -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "keepwell", "pipeline", "run", str(place / "pipe.py"), "--json",
            "--home", str(place / home), *more]  # fmt: skip
    if "--resume" not in more:
        argv += ["--param", f"folder={place}"]
    environment = {"PATH": os.defpath, "KEEPWELL_FAILPOINTS": failpoints}
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def finish(process: subprocess.Popen[bytes]) -> tuple[int, dict[str, Any], str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, json.loads(out) if out else {}, err.decode()


def house(place: Path, home: str = "home") -> Kit:
    return open_house(read_settings(str(place / home), {}))


def only_run(kit: Kit) -> str:
    with read(kit.db) as tx:
        (run,) = pipeline_runs(tx)
    return run.id


def what_was_made(kit: Kit, run_id: str) -> tuple[Any, ...]:
    """Return what must not depend on how a run came to its end."""
    with read(kit.db) as tx:
        run = pipeline_run(tx, run_id)
        made = [(s.position, s.part, s.name, s.key, s.outputs, s.formats) for s in steps(tx, run_id)]
        ended = entries(tx, kind="pipeline.run_finished", limit=1)[0]
        return run.state, run.counts, run.plan, made, ended.body["record"], output(tx, kit.blobs, run_id, "total")


def ran(place: Path) -> list[str]:
    return (place / "witness").read_text().splitlines() if (place / "witness").exists() else []


POINTS = [
    "pipelines.run_added:kill",
    "pipelines.started:kill",
    "pipelines.stored:kill",
    "pipelines.stored:kill@4",
    "pipelines.recorded:kill@2",
    "db.before_commit:kill@4",  # the first one of a new home makes its first experiment
    "pipelines.finished:kill",
]


def test_killed_at_every_point_and_resumed_is_as_undisturbed(place: Path) -> None:
    settings = ("--workers", "0", "--param", "pause=0.05")
    code, whole, err = finish(start(place, *settings, home="calm"))
    assert code == 0 and whole["state"] == "finished", err
    expected = what_was_made(house(place, "calm"), whole["id"])
    assert expected[0] == "finished" and expected[-1] == 240_000
    for number, point in enumerate(POINTS):
        (place / "witness").unlink(missing_ok=True)
        home = f"home{number}"
        killed = start(place, *settings, failpoints=point, home=home)
        assert finish(killed)[0] == -signal.SIGKILL, point
        kit = house(place, home)
        with read(kit.db) as tx:
            found = pipeline_runs(tx)
        if not found:
            assert point == "pipelines.run_added:kill"
            resumed = finish(start(place, *settings, home=home))
        else:
            assert found[0].state == "interrupted", point
            resumed = finish(start(place, "--workers", "0", "--resume", found[0].id, home=home))
        assert resumed[0] == 0, (point, resumed[2])
        assert what_was_made(kit, resumed[1]["id"]) == expected, point
        assert resumed[1]["attempts"] == (1 if point == "pipelines.run_added:kill" else 2)
        assert max(ran(place).count(line) for line in ran(place)) <= 2, point
        assert not list((kit.home / "work").glob("*")), point


def test_kill_9_in_the_middle_with_workers(place: Path) -> None:
    process = start(place, "--workers", "2", "--param", "n=24", "--param", "pause=0.1")
    kit = house(place)
    done: set[tuple[str, int]] = set()
    until = time.monotonic() + 40
    while len(done) < 4 and time.monotonic() < until:
        time.sleep(0.05)
        with read(kit.db) as tx:
            runs = pipeline_runs(tx)
            done = {(s.name, s.part) for s in steps(tx, runs[0].id, state="done")} if runs else set()
    workers = children(process.pid)
    process.kill()
    process.communicate()
    run_id = only_run(kit)
    with read(kit.db) as tx:
        assert pipeline_run(tx, run_id).state == "interrupted"
        done = {(s.name, s.part) for s in steps(tx, run_id, state="done")}
        assert not steps(tx, run_id, state="running") or {s.state for s in steps(tx, run_id)} <= {"done", "interrupted"}
    assert 4 <= len(done) < 14
    wait_for(lambda: not any(alive(pid) for pid in workers), "workers end with the process that started them")
    before = ran(place)
    code, found, err = finish(start(place, "--workers", "2", "--resume", run_id))
    assert code == 0 and found["state"] == "finished" and found["counts"] == {"done": 15}, err
    again = ran(place)[len(before) :]
    kept = {f"fit {part * 2}" for name, part in done if name == "fit"}
    assert kept and not kept & set(again), "what was recorded as done is not done again"
    with read(kit.db) as tx:
        assert output(tx, kit.blobs, run_id, "total") == 24 * 20_000


def test_ctrl_c(place: Path) -> None:
    process = start(place, "--workers", "1", "--param", "n=40", "--param", "pause=0.2")
    wait_for(lambda: len(ran(place)) >= 3, "it runs")
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130 and "Interrupted; what was done stays done" in err and "Traceback" not in err
    kit = house(place)
    run_id = only_run(kit)
    assert f"--resume {run_id}" in err
    with read(kit.db) as tx:
        run = pipeline_run(tx, run_id)
    assert run.state == "interrupted" and run.counts["done"] >= 2 and run.counts["interrupted"] >= 1
    assert not list((kit.home / "work").glob("*"))


def test_two_processes_do_not_resume_one_run(place: Path) -> None:
    process = start(place, "--workers", "0", "--param", "pause=0.3")
    wait_for(lambda: len(ran(place)) >= 1, "it runs")
    run_id = only_run(house(place))
    code, _, err = finish(start(place, "--resume", run_id))
    assert code == 5 and "running in another process" in err
    assert finish(process)[0] == 0


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(text) for text in path.read_text().split()] if path.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(holds: Any, what: str) -> None:
    until = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.03)
