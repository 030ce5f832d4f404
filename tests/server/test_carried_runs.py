"""What was moved in from MLflow answers to the ids it had there, and can be moved on from here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.flows.moving_stores import content, copied

from keepwell.flows.fsck import fsck
from keepwell.flows.moving.carry import carry, open_source
from keepwell.flows.moving.report import Notes
from keepwell.settings import MlflowAccess
from keepwell.testing.walks import house

ME = "person:ada"


def test_a_run_is_found_by_its_old_id(serve: Callable[..., Any], tmp_path: Path) -> None:
    served, notes = serve(), Notes()
    store = copied("folder", tmp_path)
    with closing(open_source(str(store), notes, MlflowAccess())) as source:
        carry(served.kit, source, ME, notes)
    old = next(f.parent.name for f in store.rglob("meta.yaml") if "run_name: grid" in f.read_text())
    info = served.get(f"/api/2.0/mlflow/runs/get?run_id={old}").json()["run"]["info"]
    assert info["run_name"] == "grid" and info["run_id"].startswith("run_")
    points = served.get(f"/api/2.0/mlflow/metrics/get-history?run_id={old}&metric_key=loss").json()["metrics"]
    assert len(points) == 25
    files = served.get(f"/api/2.0/mlflow/artifacts/list?run_id={old}").json()
    assert "notes.txt" in {file["path"] for file in files["files"]}
    served.post("/api/2.0/mlflow/runs/set-tag", json={"run_id": old, "key": "later", "value": "yes"})
    tags = served.get(f"/api/2.0/mlflow/runs/get?run_id={info['run_id']}").json()["run"]["data"]["tags"]
    assert {"key": "later", "value": "yes"} in tags
    assert served.get(f"/api/2.0/mlflow/runs/get?run_id={'0' * 32}").status_code == 404
    assert served.get(f"/api/2.0/mlflow/runs/get?run_id={old}", signed_in=False).status_code == 401


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server of Keepwell over a house into which a store of MLflow was moved."""
    home = tmp_path / "first"
    kit, notes = house(home), Notes()
    with closing(open_source(str(copied("folder", tmp_path)), notes, MlflowAccess())) as source:
        carry(kit, source, ME, notes)
    kit.db.engine.dispose()
    command = [sys.executable, "-m", "keepwell", "server", "--home", str(home), "--port", "0", "--auth", "none"]
    environment = {name: value for name, value in os.environ.items() if name != "KEEPWELL_DATABASE"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert server.stdout is not None
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
            if found:
                break
        yield found[0]  # type: ignore[index]
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)


@pytest.mark.sqlite_only
def test_what_was_moved_in_can_be_moved_on(address: str, tmp_path: Path) -> None:
    first, second, notes = house(tmp_path / "first"), house(tmp_path / "second"), Notes()
    with closing(open_source(address, notes, MlflowAccess())) as source:
        report = carry(second, source, ME, notes)
    assert (report.counts.runs, report.counts.points, report.counts.files, report.counts.versions) == (7, 32, 8, 3)
    assert content(second) == content(first)
    assert fsck(second) == []
    first.db.engine.dispose()
    second.db.engine.dispose()
