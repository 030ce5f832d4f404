"""A realistic day with MLflow's own, unmodified client, in an environment of its own, against a server process.

The day is a program (`day/`) that prints a line for each of its checks; here each line is a test. With several workers
of pytest the first to come runs the day, and the others read what it wrote.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keepwell import db
from keepwell.bootstrap import open_house
from keepwell.flows.fsck import fsck
from keepwell.governance import identity
from keepwell.settings import read_settings
from keepwell.testing.postgres import LACKING, binaries

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
DAY = HERE / "day"
NAMES = [
    f"{file.stem}.{name}"
    for file in sorted(DAY.glob("*.py"))
    for name in re.findall(r"^def check_(\w+)", file.read_text(), re.MULTILINE)
]
DATABASES = ("sqlite", "postgres")


@dataclass(frozen=True)
class Day:
    """What a day left: its lines by name, the server's log, what an inspection of the house found, and the token."""

    lines: dict[str, Any]
    log: str
    found: list[str]
    token: str
    said: str


def client_python() -> Path:
    """Return the interpreter of MLflow's environment; `./run test` makes it."""
    given = os.environ.get("KEEPWELL_MLFLOW_VENV")
    python = Path(given or ROOT / ".venv-mlflow") / "bin" / "python"
    if not python.exists():
        assert given is None, f"{python} is not there; './run test' makes it"
        pytest.skip("MLflow's client is not installed; './run test' installs it")
    return python


@contextmanager
def serving(home: Path, environment: dict[str, str]) -> Iterator[str]:
    with (home.parent / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "keepwell", "server", "--home", str(home), "--port", "0"],
            stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=home.parent,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("Keepwell is at http"), (first, (home.parent / "log").read_text())
        yield first.split()[-1]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def live(folder: Path, url: str | None) -> dict[str, Any]:
    """Run a day in a folder; return it as JSON."""
    python = client_python()
    folder.mkdir(parents=True, exist_ok=True)
    home = folder / "home"
    settings = {} if url is None else {"KEEPWELL_DATABASE": url}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("KEEPWELL", "MLFLOW", "PYTHON"))}
    kit = open_house(read_settings(str(home), settings))
    with db.write(kit.db) as tx:
        call = kit.call("person:ada")
        identity.ensure_owner(tx, call)
        token = identity.new_token(tx, call, "person:ada", "day").secret
    signed = (
        {"MLFLOW_TRACKING_TOKEN": token}
        if url is None
        else {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": token}
    )
    served = {**clean, **settings, "PYTHONUNBUFFERED": "1", "USER": "ada", "LOGNAME": "ada"}
    with serving(home, {**served, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}) as address:
        client = {**clean, **signed, "MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
                  "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}  # fmt: skip
        done = subprocess.run(
            [str(python), str(DAY)], env=client, cwd=folder, capture_output=True, text=True, timeout=500, check=False
        )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = [str(finding) for finding in fsck(kit)]
    kit.db.engine.dispose()
    return {
        "lines": {line["name"]: line for line in lines},
        "log": (folder / "log").read_text(),
        "found": found,
        "token": token,
        "said": done.stderr[-2_000:],
    }


@pytest.fixture(scope="module", params=DATABASES)
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Day:
    database = str(request.param)
    if database == "postgres" and binaries() is None:
        pytest.skip(LACKING)
    client_python()
    base, together = tmp_path_factory.getbasetemp(), os.environ.get("PYTEST_XDIST_TESTRUNUID")
    folder = (base.parent / f"mlflow-{together}" if together else base / "mlflow") / database
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = folder / "day.json"
        if not told.exists():
            url = None
            if database == "postgres":
                server = request.getfixturevalue("postgres")
                server.make("mlflow_day")
                url = server.url("mlflow_day")
            told.write_text(json.dumps(live(folder, url)))
    return Day(**json.loads(told.read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_day(day: Day, name: str) -> None:
    assert name in day.lines, day.said
    assert day.lines[name]["ok"], day.lines[name]["problem"]


def test_there_are_many_checks() -> None:
    assert len(NAMES) >= 100 and len(set(NAMES)) == len(NAMES)


def test_the_day_leaves_a_whole_house(day: Day) -> None:
    assert day.found == []


def test_the_log_tells_of_no_failure_and_no_secret(day: Day) -> None:
    assert "request.failed" not in day.log, [line for line in day.log.splitlines() if "request.failed" in line][:3]
    assert day.token not in day.log
