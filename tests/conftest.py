"""Fixtures that every test may use."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.flows.kit import Kit
from keepwell.settings import read_settings


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(datetime(2026, 1, 5, 6, tzinfo=UTC))


@pytest.fixture
def kit(tmp_path: Path, clock: SimulatedClock) -> Kit:
    """An empty house in a temp folder, on a simulated clock."""
    return open_house(read_settings(str(tmp_path / "home"), {}), clock=clock, ids=SeededIds(clock, 1))
