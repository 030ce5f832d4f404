"""The verbs, in process: what is logged is stored as it was said."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import keepwell
from keepwell.client import reading, session
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.flows.kit import Kit


def stored() -> None:
    assert keepwell.flush(30)


def test_a_run_is_stored_whole(home: Path, tmp_path: Path) -> None:
    keepwell.set_experiment("first")
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    with keepwell.start_run("try", params={"depth": 4, "rate": 0.1}, tags={"team": "a"}) as run:
        keepwell.log_param("kind", "tree")
        keepwell.log_metric("loss", 0.5)
        keepwell.log_metric("loss", 0.25)
        keepwell.log_metric("loss", 0.2, step=10)
        keepwell.log_metric("loss", 0.1)
        keepwell.log_metrics({"acc": 1, "odd": math.nan, "far": math.inf})
        keepwell.log_points("curve", [3.0, 2.0, 1.0], steps=[5, 6, 7])
        keepwell.log_text("hello", "notes/a.txt")
        keepwell.log_dict({"x": [1, 2]}, "d.json")
        keepwell.log_dict({"x": [1, 2]}, "d.yaml")
        keepwell.log_table({"a": [1, 2], "b": ["x", "y"]}, "t.csv")
        keepwell.log_image([[0.0, 1.0], [0.5, 0.2]], key="map", step=3)
        keepwell.log_artifact(tmp_path / "data.csv", "in")
        keepwell.log_input(tmp_path / "data.csv", context="training")
        keepwell.set_tag("team", "b")
        keepwell.set_tag("gone", "x")
        keepwell.delete_tag("gone")
        with keepwell.start_run("part", nested=True) as part:
            keepwell.log_metric("loss", 9)
    stored()
    found = reading.get_run(run.id)
    assert (found.status, found.name, found.params) == ("finished", "try", {"depth": 4, "rate": 0.1, "kind": "tree"})
    assert found.metrics == {
        "loss": 0.1, "acc": 1.0, "odd": "NaN", "far": "Infinity", "curve": 1.0,
    }  # fmt: skip
    assert found.tags["team"] == "b" and "gone" not in found.tags
    history = reading.metric_history(run.id, "loss")
    assert list(zip(history.steps, history.values, strict=True)) == [(0, 0.5), (1, 0.25), (10, 0.2), (11, 0.1)]
    assert list(reading.metric_history(run.id, "curve").steps) == [5, 6, 7]
    assert [i.name for i in found.inputs] == ["data.csv"] and found.inputs[0].digest
    child = reading.get_run(part.id)
    assert (child.parent, child.experiment) == (run.id, found.experiment)
    place = reading.download_artifacts(run.id, dst_path=tmp_path / "out")
    names = sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())
    assert names == ["d.json", "d.yaml", "images/map/00000003.png", "in/data.csv", "notes/a.txt", "t.csv"]
    assert (place / "notes/a.txt").read_text() == "hello" and (place / "t.csv").read_text() == "a,b\n1,x\n2,y\n"
    assert json.loads((place / "d.json").read_text()) == {"x": [1, 2]}
    assert found.code.commit or found.code.source
    assert found.environment is not None and found.machine["processors"]
    assert [r.id for r in reading.search_runs("metrics.acc = 1", experiments="first")] == [run.id]


def test_large_files_are_taken_as_they_were_when_they_were_logged(home: Path, tmp_path: Path) -> None:
    large = tmp_path / "weights.bin"
    large.write_bytes(b"one" * 100_000)
    with keepwell.start_run() as run:
        keepwell.log_artifact(large)
        large.write_bytes(b"two" * 100_000)
    stored()
    place = reading.download_artifacts(run.id, "weights.bin", tmp_path / "out")
    assert place.read_bytes() == b"one" * 100_000
    assert not list((home / "spool").rglob("files/*"))


def test_a_block_that_raises_ends_its_run_as_failed(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), keepwell.start_run() as run:
        keepwell.log_metric("m", 1)
        _ = 1 / 0
    with pytest.raises(KeyboardInterrupt), keepwell.start_run() as other:
        raise KeyboardInterrupt
    stored()
    assert (reading.get_run(run.id).status, reading.get_run(run.id).error) == (
        "failed", "ZeroDivisionError: division by zero",
    )  # fmt: skip
    assert reading.get_run(other.id).status == "interrupted"


def test_a_run_is_taken_up_again_and_its_steps_go_on(home: Path) -> None:
    with keepwell.start_run("again") as run:
        keepwell.log_metric("m", 1, step=41)
    with keepwell.start_run(run_id=run.id):
        keepwell.log_metric("m", 2)
    stored()
    found = reading.get_run(run.id)
    assert found.status == "finished" and found.name == "again"
    assert list(reading.metric_history(run.id, "m").steps) == [41, 42]
    with pytest.raises(NotFound):
        keepwell.start_run(run_id="run_" + "0" * 26)


def test_secrets_reach_neither_the_spool_nor_the_store(home: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """L05."""
    with keepwell.start_run(params={"db_password": "canary-1"}) as run:
        keepwell.log_params({"api_key": "canary-2", "deep": {"token": "canary-3"}, "url": "https://u:canary-4@h/x"})
        keepwell.set_tags({"remote": "https://ci:canary-5@git.example/x.git", "secret": "canary-6"})
        keepwell.log_metric("m", 1)
        spooled = b"".join(f.read_bytes() for f in (home / "spool").rglob("*") if f.is_file())
        run.end("failed", "could not reach https://u:canary-7@h/")
    stored()
    assert b"canary" not in spooled and len(spooled) > 500
    for file in home.rglob("*"):
        if file.is_file():
            assert b"canary" not in file.read_bytes(), file
    assert reading.get_run(run.id).params["url"] == "https://(hidden)@h/x"


def test_what_is_refused_is_told_and_the_rest_is_kept(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with keepwell.start_run() as run:
        keepwell.log_param("a", 1)
        stored()
        keepwell.log_param("a", 2)
        keepwell.log_metric("m", 7)
        keepwell.set_tag("t", "v")
    stored()
    found = reading.get_run(run.id)
    assert found.params == {"a": 1} and found.metrics == {"m": 7.0} and found.tags["t"] == "v"
    assert found.status == "finished"
    assert sum("not recorded" in r.getMessage() for r in caplog.records) == 1


@pytest.mark.parametrize("name", ["", "x" * 251, "a\nb", 7, None])
def test_a_bad_name_is_told_at_once(home: Path, name: object) -> None:
    with keepwell.start_run():
        for verb in (keepwell.log_metric, keepwell.log_param, keepwell.set_tag):
            with pytest.raises(InvalidInput):
                verb(name, 1)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../b", "a\\b", "", "a//b", "~/x", "a/.", "x\0y", "e\u0301"])
def test_a_bad_path_is_told_at_once(home: Path, path: str) -> None:
    with keepwell.start_run(), pytest.raises(InvalidInput):
        keepwell.log_text("x", path)


@pytest.mark.parametrize("value", ["0.5", b"1", None, [1, 2], object()])
def test_what_is_no_number_is_no_metric(home: Path, value: object) -> None:
    with keepwell.start_run(), pytest.raises(InvalidInput):
        keepwell.log_metric("m", value)


def test_runs_side_by_side_in_threads_do_not_mix(home: Path) -> None:
    runs: dict[int, str] = {}

    def work(worker: int) -> None:
        with keepwell.start_run(f"w{worker}") as run:
            runs[worker] = run.id
            for step in range(100):
                keepwell.log_metric("mine", worker * 1000 + step)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored()
    for worker, run in runs.items():
        assert list(reading.metric_history(run, "mine").values) == [float(worker * 1000 + s) for s in range(100)]


def test_a_second_run_needs_a_word(home: Path) -> None:
    with keepwell.start_run(), pytest.raises(Conflict, match="nested=True"):
        keepwell.start_run()
    assert keepwell.active_run() is None


def test_a_forked_worker_logs_to_its_parents_run_and_does_not_end_it(home: Path, tmp_path: Path) -> None:
    code = """
import multiprocessing, keepwell
def work(n):
    for step in range(50):
        keepwell.log_metric(f"worker{n}", step)
if __name__ == "__main__":
    run = keepwell.start_run("parent")
    keepwell.log_metric("before", 1)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(n,)) for n in range(3)]
    [w.start() for w in workers]
    keepwell.log_metric("meanwhile", 2)
    [w.join() for w in workers]
    keepwell.log_metric("after", 3)
    print(run.id)
"""
    script = tmp_path / "train.py"
    script.write_text(code)
    environment = {"KEEPWELL_HOME": str(home), "PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    found = reading.get_run(done.stdout.strip())
    assert found.status == "finished"
    assert found.metrics == {"before": 1.0, "meanwhile": 2.0, "after": 3.0} | {f"worker{n}": 49.0 for n in range(3)}
    assert [len(reading.metric_history(found.id, f"worker{n}").steps) for n in range(3)] == [50, 50, 50]
    assert list((home / "spool").iterdir()) == []


def test_a_program_that_fails_leaves_a_failed_run(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import keepwell\nrun = keepwell.start_run()\nprint(run.id, flush=True)\nraise ValueError('no')\n"
    )
    environment = {"KEEPWELL_HOME": str(home), "PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, check=False)
    assert "ValueError: no" in done.stderr
    found = reading.get_run(done.stdout.strip())
    assert (found.status, found.error) == ("failed", "ValueError: no")


def test_importing_keepwell_loads_nothing_heavy() -> None:
    code = (
        "import sys, keepwell; a = set(sys.modules); keepwell.log_metric; b = set(sys.modules);"
        "heavy = {'sqlalchemy', 'numpy', 'polars', 'starlette', 'http.client', 'ssl'};"
        "print(sorted(heavy & b), len([m for m in a if m.startswith('keepwell')]))"
    )
    environment = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[] 1"


def test_a_moment_is_in_milliseconds() -> None:
    assert 1_700_000_000_000 < session.milliseconds() < 5_000_000_000_000


def test_what_differs_from_the_commit_is_kept_without_its_secrets(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()

    def git(*words: str) -> None:
        named = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True)

    (folder / "train.py").write_text("import keepwell\nrun = keepwell.start_run()\nprint(run.id)\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    git("remote", "add", "origin", "https://ci:canary-1@git.example/x.git")
    with (folder / "train.py").open("a") as file:
        file.write(
            "api_key = 'canary-2'\nrate = 0.5\nurl = 'https://u:canary-3@h/'\ntoken = 'ghp_canary4canary4canary4'\n"
        )
    environment = {"KEEPWELL_HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "train.py"], cwd=folder, capture_output=True, text=True, env=environment, check=True
        )
        assert done.stderr == ""
    found = reading.get_run(done.stdout.strip())
    assert found.code.dirty and found.code.commit and found.code.remote == "https://(hidden)@git.example/x.git"
    patch = reading.download_artifacts(found.id, "code/changes.patch", tmp_path / "out").read_text()
    assert "+rate = 0.5" in patch and "+api_key = (hidden)" in patch
    assert not [f for f in home.rglob("*") if f.is_file() and b"canary" in f.read_bytes()]


def test_values_that_no_text_can_be_are_recorded_as_near_as_it_goes(home: Path) -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd\0thing"

    with keepwell.start_run(params={"half": "a\ud800b", "odd": Odd(), "many": list(range(5)), "nan": math.nan}) as run:
        keepwell.set_tag("half", "x\udfffy")
        keepwell.log_param("big", 1 << 80)
        with pytest.raises(InvalidInput):
            keepwell.log_param("huge", ["x" * 8000] * 1000)
        with pytest.raises(InvalidInput):
            keepwell.start_run("y", experiment="e" * 2000, nested=True)
    stored()
    found = reading.get_run(run.id)
    assert found.params == {
        "half": "a?b", "odd": "odd\ufffdthing", "many": [0, 1, 2, 3, 4], "nan": "nan", "big": str(1 << 80),
    }  # fmt: skip
    assert found.tags["half"] == "x?y"
