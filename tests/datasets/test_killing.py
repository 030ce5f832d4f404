"""Killed anywhere while a version is added or an arrival is settled: clean, and the retry ends as undisturbed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("walk", "points"),
    [
        ("refer", {"dataset.scanned", "dataset.manifest_stored", "dataset.profile_stored", "dataset.version_written"}),
        ("publish", {"dataset.part_stored", "dataset.manifest_stored", "dataset.version_written"}),
        ("settle", {"settle.drafted", "dataset.version_written", "dataset.arrival_settled", "settle.written"}),
    ],
)
def test_kill_everywhere(tmp_path: Path, walk: str, points: set[str]) -> None:
    script = Path(__file__).with_name("killing_walks.py")
    done = subprocess.run(
        [sys.executable, script, walk, tmp_path / "kill"], capture_output=True, text=True, check=False
    )
    outcome = json.loads(done.stdout) if done.stdout else {"points": [], "violations": [done.stderr]}
    assert outcome["violations"] == []
    assert points <= {point.split("@")[0] for point in outcome["points"]}
