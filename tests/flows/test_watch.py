"""Signals over a fleet: performance, age, harm, drift, freshness and quality, and unknown where nothing is known."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from keepwell.core.clock import SimulatedClock
from keepwell.flows import watch as watching
from keepwell.flows.kit import Kit
from keepwell.flows.watch import Watched, watch
from keepwell.governance.charters import current_charter
from keepwell.monitoring import service as monitoring
from keepwell.testing.fleets import generated_fleet
from keepwell.testing.weekly import MODEL, Weekly, live, morning, started

UNKNOWN, OK, BAD = 0, 1, 2


def watched(kit: Kit, model: str = MODEL) -> Watched:
    with kit.read() as tx:
        applied = current_charter(tx, model)
    return watch(kit, applied, f"loop:{model}")


def codes(found: Watched, kind: str) -> list[int]:
    return [int(code) for code in found.judged[kind].codes]


def states(found: Watched) -> dict[str, str]:
    return {s.kind: s.state for s in found.fleet}


def test_an_empty_fleet_has_nothing_to_judge(kit: Kit, tmp_path: Path) -> None:
    Weekly(tmp_path / "stalls").begin(kit)
    found = watched(kit)
    assert found.segments == ()
    assert "drift" not in found.judged
    assert states(found) == {"quality": "unknown"}


def test_without_outcomes_performance_is_unknown(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    found = watched(kit)
    assert codes(found, "performance") == [UNKNOWN, UNKNOWN]
    assert codes(found, "staleness") == [OK, OK]
    assert states(found)["quality"] == "ok"


def test_with_outcomes_it_is_judged(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    live(kit, clock, fleet, 81, 84)
    assert codes(watched(kit), "performance") == [OK, OK]
    live(kit, clock, fleet, 84, 86, effect=6.0)
    assert BAD in codes(watched(kit), "performance")


def test_age(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    clock.advance(timedelta(days=59))
    assert codes(watched(kit), "staleness") == [OK, OK]
    clock.advance(timedelta(days=2))
    assert codes(watched(kit), "staleness") == [BAD, BAD]


def test_quality_and_freshness(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path, {"monitor.fresh_within": "10d"})
    assert states(watched(kit)) == {"freshness": "ok", "quality": "ok"}
    clock.move_to(morning(81))
    fleet.arrive(80, times=100)
    live(kit, clock, fleet, 82, 83)
    assert states(watched(kit))["quality"] == "bad"
    clock.advance(timedelta(days=11))
    assert states(watched(kit))["freshness"] == "bad"


def test_the_same_judgement_again_records_nothing(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    live(kit, clock, fleet, 81, 83)
    first, again = watched(kit), watched(kit)
    assert first.recording == again.recording
    with kit.read() as tx:
        assert monitoring.signals_id(tx, MODEL) == first.recording


def test_drift_is_measured_once_a_version_of_the_data(
    kit: Kit, clock: SimulatedClock, tmp_path: Path, monkeypatch: Any
) -> None:
    fleet, _ = started(kit, clock, tmp_path, {"monitor.drift": 0.25})
    live(kit, clock, fleet, 81, 82)
    measured = []
    once = watching.drift_rules.measure_drift
    monkeypatch.setattr(watching.drift_rules, "measure_drift", lambda *a: measured.append(1) or once(*a))
    first = watched(kit)
    again = watched(kit)
    assert codes(first, "drift") == codes(again, "drift")
    assert measured == []
    live(kit, clock, fleet, 82, 83)
    assert measured == [1]


def test_drift_with_whole_numbers_as_time(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path, {"monitor.drift": 0.25}, whole=True)
    live(kit, clock, fleet, 81, 83)
    found = watched(kit)
    assert found.judged["drift"].window_end <= clock.now()


def test_members_without_data_are_unknown(kit: Kit) -> None:
    generated_fleet(kit, 50)
    found = watched(kit, "generated")
    assert set(codes(found, "performance")) == {UNKNOWN}
