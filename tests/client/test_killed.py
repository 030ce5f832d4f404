"""A training that is killed at any moment: `keepwell sync` stores each point that a verb had returned from, once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keepwell.bootstrap import open_house
from keepwell.settings import read_settings
from keepwell.tracking import service

TRAIN = """
import os, sys, keepwell
run = keepwell.start_run("killed")
os.write(1, f"{run.id}\\n".encode())
with keepwell.start_run("part", nested=True) as part:
    keepwell.log_metric("part", 1)
keepwell.log_params({"depth": 4})
for step in range(10_000_000):
    keepwell.log_metric("loss", step / 7)
    if step % 100 == 0:
        keepwell.log_metrics({"a": step, "b": -step}, step=step)
        keepwell.set_tag("at", str(step))
    os.pwrite(3, step.to_bytes(8, "little"), 0)
"""


def environment(home: Path) -> dict[str, str]:
    return {"KEEPWELL_HOME": str(home), "PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}


def killed_after(home: Path, folder: Path, seconds: float) -> tuple[str, int]:
    """Start a training, kill it so long after its run began, and return the run and the last step that was logged."""
    note = os.open(folder / "note", os.O_RDWR | os.O_CREAT)
    with subprocess.Popen(
        [sys.executable, "-c", f"import os\nos.dup2({note}, 3)\n{TRAIN}"],
        stdout=subprocess.PIPE, pass_fds=(note,), env=environment(home), text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    last = os.pread(note, 8, 0)
    os.close(note)
    (folder / "note").unlink()
    return run, int.from_bytes(last, "little") if last else -1


def killed_itself(home: Path, code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=environment(home), check=False, stdout=subprocess.PIPE)
    assert done.returncode == -9
    return done.stdout.decode().strip()


def synced(home: Path) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "keepwell", "sync", "--json"],
        capture_output=True, text=True, env=environment(home), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("seconds", [0.0, 0.15, 0.9])
def test_what_a_verb_returned_from_is_there_once(tmp_path: Path, seconds: float) -> None:
    home = tmp_path / "home"
    run, last = killed_after(home, tmp_path, seconds + random.Random(seconds).random() / 10)
    told = synced(home)
    assert [one["state"] for one in told] == ["sent"] and told[0]["refused"] == 0
    kit = open_house(read_settings(str(home), {}))
    with kit.read() as tx:
        found, loss = service.run(tx, run), service.history(tx, run, "loss")
        parts = service.search_runs(tx, [found.experiment], "attributes.run_name = 'part'")
    steps = sorted(loss.steps.tolist())
    assert steps == list(range(len(steps))) and len(steps) - 1 in (last, last + 1)
    assert all(value == step / 7 for step, value in zip(loss.steps.tolist(), loss.values.tolist(), strict=True))
    assert found.status == "interrupted" and "without ending" in str(found.error)
    assert all(part.parent == run and part.status in ("finished", "interrupted") for part in parts)
    if last >= 0:
        assert found.params == {"depth": 4} and [part.status for part in parts] == ["finished"]
    if last > 101:
        assert int(found.tags["at"]) in (last - last % 100, last - last % 100 + 100)
    assert list((home / "spool").iterdir()) == [] and synced(home) == []


def test_a_record_that_was_cut_off_is_told_and_the_rest_is_sent(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run, _ = killed_after(home, tmp_path, 0.1)
    (segment,) = sorted((home / "spool").glob("ses_*/*.log"))[-1:]
    with segment.open("ab") as file:
        file.write(b"\x1f\x00\x00\x00torn")
    (told,) = synced(home)
    assert told["unreadable"] == 8 and told["state"] == "sent"
    kit = open_house(read_settings(str(home), {}))
    with kit.read() as tx:
        assert service.run(tx, run).status == "interrupted"


def test_a_run_that_goes_on_elsewhere_is_not_ended_by_what_is_left_of_its_first_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    begin = "import keepwell, os; r = keepwell.start_run(); keepwell.flush(60); keepwell.log_metric('m', 1)"
    run = killed_itself(home, f"{begin}; print(r.id, flush=True); os.kill(os.getpid(), 9)")
    killed_itself(
        home, f"import keepwell, os; keepwell.start_run(run_id={run!r}); keepwell.flush(60); os.kill(os.getpid(), 9)"
    )
    sessions = sorted((home / "spool").glob("ses_*"))
    assert len(sessions) == 2
    (sessions[1] / "lock").rename(home / "lock")  # only the first is sent
    sessions[1].rename(home / "second")
    synced(home)
    kit = open_house(read_settings(str(home), {}))
    with kit.read() as tx:
        assert service.run(tx, run).status == "running"


def test_a_live_process_is_left_to_send_by_itself(tmp_path: Path) -> None:
    home = tmp_path / "home"
    code = "import keepwell, sys; keepwell.log_metric('m', 1); print('go', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=environment(home), text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "go\n"
        assert [one["state"] for one in synced(home)] == ["live"]
        process.communicate("")
    assert process.returncode == 0 and synced(home) == []
