"""Clients log while the server is killed and restarted: every point is there once, and nobody saw an error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from keepwell.testing.storm import storm


@pytest.mark.both_databases
def test_a_server_that_dies_under_load_costs_no_point(tmp_path: Path, database_url: str) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(p for p in sys.path if p),
        "KEEPWELL_DATABASE": database_url,
    }
    report = storm(tmp_path, clients=8, seconds=12, kills=3, environment=environment, pause=0.02)
    assert report.good, report
    assert report.kills == 3 and report.points > 500
