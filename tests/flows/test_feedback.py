"""Outcomes meet forecasts: when they come, late, in parts, corrected, or never."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.flows.feedback import GRACE, join_outcomes
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.flows.receive import receive
from keepwell.flows.score import score
from keepwell.governance.charters import AppliedCharter
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import Windows
from keepwell.serving import service as serving
from keepwell.serving.model import Scoring
from keepwell.testing.weekly import MODEL, OWNER, Weekly, morning

LOOP = f"loop:{MODEL}"


@pytest.fixture
def fleet(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> Weekly:
    """A fleet that was scored by its baseline for week 80."""
    return scored(kit, clock, Weekly(tmp_path / "stalls"))


def scored(kit: Kit, clock: SimulatedClock, fleet: Weekly) -> Weekly:
    clock.move_to(morning(80))
    applied = fleet.begin(kit)
    fleet.arrive(0, 80)
    receive(kit, applied, OWNER)
    score(kit, applied, morning(80) - timedelta(hours=2), OWNER)
    clock.move_to(morning(81))
    return fleet


def joined(kit: Kit, fleet: Weekly) -> int:
    applied = charter(kit, fleet)
    receive(kit, applied, OWNER)
    return join_outcomes(kit, applied, LOOP)


def charter(kit: Kit, fleet: Weekly) -> AppliedCharter:
    return fleet.apply(kit)


def only(kit: Kit) -> Scoring:
    with kit.read() as tx:
        return serving.scorings(tx, MODEL)[-1]


def windows(kit: Kit) -> Windows:
    with kit.read() as tx:
        return monitoring.performance(tx, MODEL)


def part(fleet: Weekly, week: int, name: str, stalls: list[str], times: float = 1.0) -> None:
    rows = fleet.rows(week, week + 1, times=times).filter(pl.col("stall").is_in(stalls))
    rows.drop("promo").write_csv(fleet.folder / "arriving" / name)


def test_before_they_come_nothing_is_recorded(kit: Kit, fleet: Weekly) -> None:
    assert joined(kit, fleet) == 0
    assert (only(kit).joined, only(kit).closed, only(kit).joined_input) == (0, False, only(kit).input)
    assert len(windows(kit).segment) == 0


def test_a_week_is_one_window_a_segment(kit: Kit, fleet: Weekly) -> None:
    fleet.arrive(80)
    assert joined(kit, fleet) == 2
    found = windows(kit)
    assert list(found.segment) == ["kind=k0000", "kind=k0001"]
    assert found.n.tolist() == [3, 3]
    assert set(found.complete.tolist()) == {True}
    assert (only(kit).joined, only(kit).closed) == (6, False)
    [start] = set(found.window_start.tolist())
    assert start.replace(tzinfo=UTC) == datetime(2025, 7, 14, tzinfo=UTC)
    actual = fleet.rows(80, 81).filter(pl.col("kind") == "k0000")["units"].sum()
    assert found.volume[0] == pytest.approx(actual)
    assert joined(kit, fleet) == 0
    assert fsck(kit) == []


def test_outcomes_in_parts(kit: Kit, fleet: Weekly) -> None:
    part(fleet, 80, "north.csv", ["s0000", "s0001"])
    assert joined(kit, fleet) == 2
    assert (only(kit).joined, only(kit).closed) == (2, False)
    part(fleet, 80, "south.csv", ["s0002", "s0003", "s0004", "s0005"])
    assert joined(kit, fleet) == 2
    assert (only(kit).joined, only(kit).closed) == (6, False)
    assert windows(kit).n.tolist() == [3, 3]


def test_a_correction_that_comes_while_others_are_waited_for(kit: Kit, fleet: Weekly) -> None:
    part(fleet, 80, "a.csv", ["s0000"])
    joined(kit, fleet)
    before = windows(kit).volume.tolist()
    part(fleet, 80, "b.csv", ["s0000"], times=2)
    assert joined(kit, fleet) == 1
    assert windows(kit).volume.tolist() == [pytest.approx(before[0] * 2, rel=1e-3)]
    with kit.read() as tx:
        assert monitoring.performance_revisions(tx, MODEL).volume.tolist() == before


def test_a_correction_that_comes_when_all_were_there(kit: Kit, fleet: Weekly, clock: SimulatedClock) -> None:
    fleet.arrive(80)
    joined(kit, fleet)
    before = windows(kit).volume.tolist()
    clock.move_to(morning(82))
    fleet.arrive(81)
    assert joined(kit, fleet) == 0
    part(fleet, 80, "corrected.csv", ["s0000"], times=2)
    assert joined(kit, fleet) == 1
    assert sorted(windows(kit).volume.tolist()) != sorted(before)
    with kit.read() as tx:
        assert monitoring.performance_revisions(tx, MODEL).volume.tolist()[0] in before
    for week in range(82, 80 + GRACE + 1):
        clock.move_to(morning(week + 1))
        fleet.arrive(week)
        assert joined(kit, fleet) == 0
    assert only(kit).closed
    after = windows(kit).volume.tolist()
    part(fleet, 80, "too late.csv", ["s0000"], times=3)
    assert joined(kit, fleet) == 0
    assert windows(kit).volume.tolist() == after
    assert fsck(kit) == []


def test_what_never_comes_is_not_waited_for_for_ever(kit: Kit, fleet: Weekly, clock: SimulatedClock) -> None:
    rest = ["s0001", "s0002", "s0003", "s0004", "s0005"]
    for week in range(80, 80 + GRACE + 1):
        clock.move_to(morning(week + 1))
        part(fleet, week, f"{week}.csv", rest)
        joined(kit, fleet)
        assert only(kit).closed is (week == 80 + GRACE)
    assert only(kit).joined == 5


def test_whole_numbers_count_from_the_moment_of_the_schedule(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet = scored(kit, clock, Weekly(tmp_path / "whole", whole=True))
    fleet.arrive(80)
    assert joined(kit, fleet) == 2
    [start] = set(windows(kit).window_start.tolist())
    assert start.replace(tzinfo=UTC) == datetime(2025, 7, 14, tzinfo=UTC)
