"""Decisions become work: each once under its key, one failure does not stop the others, a lost lease stops all."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, NotFound
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.governance.charters import AppliedCharter, current_charter
from keepwell.ledger.service import entries
from keepwell.loop.act import act
from keepwell.loop.decisions import (
    EVERYTHING,
    Alert,
    CloseIncident,
    Condition,
    Decision,
    Discard,
    Fact,
    FailOver,
    Hold,
    OpenIncident,
    Promote,
    Quarantine,
    RollBack,
    Scope,
    Score,
    Train,
)
from keepwell.loop.ticks import Tick
from keepwell.models import service as models
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import Incident
from keepwell.serving import service as serving
from keepwell.testing.weekly import MODEL, OWNER, live, morning, started

SEGMENTS = ("kind=k0000", "kind=k0001")
LOOP = f"loop:{MODEL}"
SAID = {"reason": "It is so.", "clause": "retrain", "facts": (Fact("signals", "sig_1"),)}


def do(kit: Kit, *decisions: Decision, tick: str = "tick_1") -> None:
    made = Tick(1, tick, MODEL, 1, kit.clock.now(), LOOP, "sha256:c", "sha256:s", 2, {}, decisions)
    act(kit, applied(kit), made, SEGMENTS, LOOP)


def applied(kit: Kit) -> AppliedCharter:
    with kit.read() as tx:
        return current_charter(tx, MODEL)


def incidents(kit: Kit) -> list[Incident]:
    with kit.read() as tx:
        return monitoring.incidents(tx, model=MODEL, state="open")


def events(kit: Kit) -> int:
    with kit.read() as tx:
        return len(entries(tx, limit=1000))


def latest(kit: Kit) -> list[str]:
    with kit.read() as tx:
        return [v.id for _, v in sorted(models.latest_versions(tx, MODEL).items())]


def champions(kit: Kit) -> list[str]:
    with kit.read() as tx:
        return [v for _, v in sorted(models.champion_ids(tx, MODEL, "prod").items())]


def train(**changes: object) -> Train:
    parts = {"scope": EVERYTHING, "triggers": ("person",), "dataset_version": None, "replaces": (), **SAID}
    return Train(**{**parts, **changes})  # type: ignore[arg-type]


def alert(**changes: object) -> Alert:
    parts = {"scope": EVERYTHING, "cause": "blocked:x", "severity": "bad", "owner": "ops", "until": "Later.", **SAID}
    return Alert(**{**parts, **changes})  # type: ignore[arg-type]


def test_a_train_is_done_once_from_the_same_versions_and_again_after_them(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    started(kit, clock, tmp_path)
    before = latest(kit)
    do(kit, train(scope=Scope((SEGMENTS[0],))))
    once = latest(kit)
    assert once[0] != before[0] and once[1] == before[1]
    do(kit, train(scope=Scope((SEGMENTS[0],)), replaces=(once[0],)), tick="tick_2")
    twice = latest(kit)
    assert twice[0] != once[0]
    with kit.read() as tx:
        assert models.version(tx, once[0]).state == "discarded"


def test_promote_roll_back_and_discard(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path, {"gates": []})
    old = champions(kit)
    do(kit, train())
    new = tuple(latest(kit))
    promote = Promote(scope=EVERYTHING, environment="prod", versions=new, replaces=tuple(old), **SAID)  # type: ignore[arg-type]
    do(kit, promote, tick="tick_1b")
    assert champions(kit) == list(new)
    count = events(kit)
    do(kit, promote, tick="tick_1b")
    assert events(kit) == count
    do(kit, RollBack(scope=EVERYTHING, environment="prod", versions=new, to=tuple(old), **SAID), tick="tick_2")  # type: ignore[arg-type]
    assert champions(kit) == old
    do(kit, Discard(scope=EVERYTHING, versions=new, **SAID), tick="tick_3")  # type: ignore[arg-type]
    with kit.read() as tx:
        assert {v.state for v in models.versions_by_id(tx, new)} == {"discarded"}


def test_incidents_are_opened_once_and_closed(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    opening = OpenIncident(
        scope=EVERYTHING, incident_kind="freshness", cause="freshness:sales", subject="dataset:sales",
        title="No data has come", severity="watch", datasets=("sales",), **SAID,
    )  # type: ignore[arg-type]  # fmt: skip
    over = FailOver(scope=Scope((SEGMENTS[1],)), versions=("ver_1",), fallback=("baseline",), **SAID)  # type: ignore[arg-type]
    for number in range(2):
        do(kit, opening, over, alert(), tick=f"tick_{number}")
    found = {i.kind: i for i in incidents(kit)}
    assert sorted(found) == ["alert", "fail_over", "freshness"]
    assert len(incidents(kit)) == 3
    assert found["fail_over"].segments == (SEGMENTS[1],)
    assert found["alert"].segments == ()
    closing = CloseIncident(scope=EVERYTHING, incident=found["freshness"].id, **SAID)  # type: ignore[arg-type]
    do(kit, closing, tick="tick_3")
    assert sorted(i.kind for i in incidents(kit)) == ["alert", "fail_over"]


def test_an_alert_lets_its_challengers_go(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    do(kit, train())
    gone = tuple(latest(kit))
    do(kit, alert(discards=gone), tick="tick_2")
    with kit.read() as tx:
        assert {v.state for v in models.versions_by_id(tx, gone)} == {"discarded"}


def test_conditioning_and_scoring(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    clock.move_to(morning(81))
    path = fleet.arrive(80)
    slot = (morning(81) - timedelta(hours=2)).isoformat()
    condition = Condition(scope=EVERYTHING, arrivals=(str(path),), **SAID)  # type: ignore[arg-type]
    due = Score(scope=EVERYTHING, slot=slot, fallback=Scope(), **SAID)  # type: ignore[arg-type]
    for number in range(2):
        do(kit, condition, due, tick=f"tick_{number}")
    with kit.read() as tx:
        assert [s.first for s in serving.scorings(tx, MODEL)] == ["2025-07-21", "2025-07-14"]


def test_what_only_says_something_changes_nothing(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    count = events(kit)
    do(
        kit,
        Hold(scope=EVERYTHING, until="Later.", **SAID),  # type: ignore[arg-type]
        Quarantine(scope=EVERYTHING, arrivals=("a.csv",), **SAID),  # type: ignore[arg-type]
    )
    assert events(kit) == count


def test_one_that_fails_does_not_stop_the_others(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    broken = CloseIncident(scope=EVERYTHING, incident="inc_none", **SAID)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="no such incident"):
        do(kit, broken, alert())
    assert [i.kind for i in incidents(kit)] == ["alert"]


def test_a_lost_lease_stops_everything(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    live(kit, clock, fleet, 81, 82)

    def gone(_: Transaction) -> None:
        raise Conflict("Another process took over.", code="lease_lost")

    made = Tick(1, "tick_1", MODEL, 1, clock.now(), LOOP, "c", "s", 2, {}, (train(), alert()))
    count = events(kit)
    with pytest.raises(Conflict, match="took over"):
        act(kit.guarded(gone), applied(kit), made, SEGMENTS, LOOP)
    assert events(kit) == count
    assert OWNER not in {i.opened_by for i in incidents(kit)}
