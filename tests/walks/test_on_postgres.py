"""A real server process on PostgreSQL: first use, a day's calls, killed and started again, and several at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keepwell.testing.postgres import Server

MLFLOW = "/api/2.0/mlflow"


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    postgres.drop("walk")
    postgres.make("walk")
    yield postgres.url("walk")
    postgres.drop("walk")


def environment(url: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KEEPWELL")}
    return {**kept, "PYTHONUNBUFFERED": "1", "KEEPWELL_DATABASE": url}


def keepwell(home: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keepwell", *words, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(url), check=False)


class Running:
    """A server process and one good token."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port, self.token = process, port, ""

    def ask(self, method: str, path: str, body: object = None) -> Any:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)


@contextmanager
def running(home: Path, url: str) -> Iterator[Running]:
    with (home.parent / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "keepwell", "server", "--home", str(home), "--port", "0"],
            stdout=subprocess.PIPE, stderr=log, text=True, env=environment(url),
        )  # fmt: skip
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert first.startswith("Keepwell is at http"), (first, (home.parent / "log").read_text())
        yield Running(process, int(first.strip().rpartition(":")[2]))
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_server_is_used_killed_and_started_again(tmp_path: Path, url: str) -> None:
    home = tmp_path / "home"
    with running(home, url) as server:
        health = server.ask("GET", "/health")
        assert (health["status"], health["database"], health["warning"]) == ("ok", "ok", None)
        server.token = token = keepwell(home, url, "token", "new", "walk").stdout.strip()
        made = server.ask("POST", f"{MLFLOW}/experiments/create", {"name": "walk"})
        run = server.ask("POST", f"{MLFLOW}/runs/create", {"experiment_id": made["experiment_id"], "start_time": 1})
        run_id = run["run"]["info"]["run_id"]
        for step in range(20):
            points = [{"key": f"m{n}", "value": step / 3, "timestamp": step, "step": step} for n in range(50)]
            server.ask("POST", f"{MLFLOW}/runs/log-batch", {"run_id": run_id, "metrics": points})
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.ask("POST", f"{MLFLOW}/experiments/create", {"name": "nul \0"})
        assert refused.value.code == 400, refused.value.read()
        refused.value.close()
        server.process.kill()
        server.process.wait()
    with running(home, url) as server:
        server.token = token
        query = {"experiment_ids": [made["experiment_id"]], "filter": "metrics.m7 > 6", "order_by": ["metrics.m7 DESC"]}
        found = server.ask("POST", f"{MLFLOW}/runs/search", query)
        assert [row["info"]["run_id"] for row in found["runs"]] == [run_id]
        history = server.ask("GET", f"{MLFLOW}/metrics/get-history?run_id={run_id}&metric_key=m7")
        assert [point["step"] for point in history["metrics"]] == list(range(20))
        server.ask("POST", f"{MLFLOW}/runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": 9})
    for words in (("fsck",), ("audit", "verify")):
        done = keepwell(home, url, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not (home / "keepwell.db").exists()
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log and "kwt_" not in log


def test_a_server_whose_database_is_away_says_so(tmp_path: Path) -> None:
    done = keepwell(tmp_path / "home", "postgresql+psycopg://ann:secret-word@127.0.0.1:1/x", "server", "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (7, 1), done.stderr
    assert "cannot be reached" in done.stderr and "secret-word" not in done.stderr + done.stdout


@pytest.mark.parametrize("count", [4, 8])
def test_commands_at_once_on_first_use(tmp_path: Path, url: str, count: int) -> None:
    """So many processes open a database in which nothing was made yet, and each writes: none fails."""
    command = [sys.executable, "-m", "keepwell", "token", "new", "first", "--home", str(tmp_path / "home")]
    racers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(url))
        for _ in range(count)
    ]
    said = [racer.communicate(timeout=120) for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * count, said
    assert len({out for out, _ in said}) == count
    listed = json.loads(keepwell(tmp_path / "home", url, "token", "list", "--json").stdout)
    assert len(listed) == count
