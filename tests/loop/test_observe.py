"""What the loop sees of a fleet: what is not known says so, and a snapshot changes nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np

from keepwell.core.clock import SimulatedClock
from keepwell.flows.kit import Kit
from keepwell.flows.promote import ask
from keepwell.flows.receive import receive
from keepwell.flows.train import code_of_training, train
from keepwell.flows.watch import watch
from keepwell.governance.charters import current_charter
from keepwell.loop.decisions import EVERYTHING, Fact, Hold
from keepwell.loop.model import Approval, Compared, Gates, Health, Known, State, Training, state_digest
from keepwell.loop.observe import ALERT, observe, over
from keepwell.models import service as models
from keepwell.monitoring import service as monitoring
from keepwell.testing.fleets import generated_fleet
from keepwell.testing.weekly import MODEL, OWNER, Weekly, live, morning, started
from keepwell.tracking import service as tracking

SEGMENTS = ("kind=k0000", "kind=k0001")


def seen(kit: Kit, model: str = MODEL) -> State:
    with kit.read() as tx:
        applied = current_charter(tx, model)
    return observe(kit, applied, watch(kit, applied, f"loop:{model}"))


def test_of_an_empty_house_nothing_is_known(kit: Kit, tmp_path: Path) -> None:
    Weekly(tmp_path / "stalls").begin(kit)
    state = seen(kit)
    assert state.segments == ()
    assert (state.data_latest, state.scored, state.scored_slot) == (None, Known.UNKNOWN, None)
    assert (state.arrivals, state.incidents) == ((), ())


def test_a_file_that_waits_and_then_a_fleet_without_versions(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    clock.move_to(morning(80))
    fleet = Weekly(tmp_path / "stalls")
    applied = fleet.begin(kit)
    path = fleet.arrive(0, 80)
    assert [a.id for a in seen(kit).arrivals or ()] == [str(path)]
    receive(kit, applied, OWNER)
    state = seen(kit)
    assert state.segments == SEGMENTS
    assert set(state.champion.tolist()) == {Known.NO}
    assert set(state.challenger.tolist()) == {Known.NO}
    assert set(state.training.tolist()) == {Training.NEVER}
    assert state.scored == Known.NO


def test_a_fleet_that_answers(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    state = seen(kit)
    assert set(state.champion.tolist()) == {Known.YES}
    assert set(state.can_answer.tolist()) == {Known.YES}
    assert set(state.training.tolist()) == {Training.FINISHED}
    assert set(state.trained_data.tolist()) == {state.data_latest}
    assert set(state.trained_code.tolist()) == {code_of_training()}
    assert (state.champion_since == np.datetime64(clock.now().replace(tzinfo=None))).all()
    assert set(state.performance.tolist()) == {Health.UNKNOWN}
    assert state.scored_slot == morning(80) - timedelta(hours=2)


def test_looking_twice_sees_the_same(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    assert state_digest(seen(kit)) == state_digest(seen(kit))


def test_a_challenger(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    live(kit, clock, fleet, 81, 92)
    with kit.read() as tx:
        applied = current_charter(tx, MODEL)
    before = seen(kit)
    done = train(kit, applied, [SEGMENTS[0]], OWNER, cause="person")
    state = seen(kit)
    assert state.challenger.tolist() == [Known.YES, before.challenger[1]]
    assert state.challenger_id[0] == done.certified.versions[SEGMENTS[0]]
    assert state.gates[0] in (Gates.PASSED, Gates.FAILED, Gates.UNDECIDED)
    assert state.compared[0] in (Compared.BETTER, Compared.SAME, Compared.WORSE)
    assert (state.held_windows[0], state.reached[0]) == (0, -1)
    clock.advance(timedelta(days=15))
    assert seen(kit).held_windows[0] == 2
    with kit.write() as tx:
        models.set_state(tx, kit.call(OWNER), [str(state.challenger_id[0])], "discarded", "not wanted")
    assert seen(kit).challenger[0] == Known.NO


def test_approvals(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    changes = {"release": {"environments": ["prod"], "approvals": {"prod": ["owner"]}}}
    clock.move_to(morning(80))
    fleet = Weekly(tmp_path / "stalls")
    applied = fleet.begin(kit, changes)
    fleet.arrive(0, 80)
    receive(kit, applied, OWNER)
    ids = list(train(kit, applied, None, "loop:stalls", cause="x").certified.versions.values())
    assert set(seen(kit).approval.tolist()) == {Approval.NOT_ASKED}
    ask(kit, applied, "prod", ids, "loop:stalls")
    assert set(seen(kit).approval.tolist()) == {Approval.ASKED}


def test_a_training_that_failed_is_remembered_when_others_were_trained_since(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    started(kit, clock, tmp_path)
    with kit.read() as tx:
        [first] = tracking.runs(tx, model=MODEL)
    for number, (segment, status) in enumerate([(SEGMENTS[0], "failed"), (SEGMENTS[1], "finished")]):
        clock.advance(timedelta(hours=1))
        with kit.write() as tx:
            run = tracking.start_run(
                tx, kit.call(OWNER), name=f"run {number}", kind="train", params={"named": [segment]}, inputs=[],
                code=first.code, model=MODEL,
            )  # fmt: skip
            tracking.finish_run(tx, kit.call(OWNER), run.id, status)  # type: ignore[arg-type]
    assert seen(kit).training.tolist() == [Training.FAILED, Training.FINISHED]


def test_a_pack_that_was_changed_cannot_answer(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    with kit.read() as tx:
        champions = models.champion_ids(tx, MODEL, "prod")
        [pack] = set(models.packs(tx, list(champions.values())).values())
    path = kit.blobs.path(pack)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[::-1])
    assert set(seen(kit).can_answer.tolist()) == {Known.NO}


def test_members_without_data_are_those_with_versions(kit: Kit) -> None:
    generated_fleet(kit, 20)
    state = seen(kit, "generated")
    assert len(state.segments) == 20
    assert state.scored == Known.UNKNOWN
    assert set(state.training.tolist()) == {Training.UNKNOWN}


def test_an_alert_is_over_when_its_cause_no_longer_stands(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    with kit.write() as tx:
        alert = monitoring.open_incident(
            tx, kit.call("loop:stalls"), kind=ALERT, model=MODEL, subject=f"model:{MODEL}", title="It is stale.",
            severity="watch", facts={"x": "y"}, cause="blocked:staleness",
        )  # fmt: skip
    state = seen(kit)
    assert [r.incident for r in state.recoveries] == [alert.id]
    hold = Hold(scope=EVERYTHING, reason="Well.", clause="retrain", facts=(Fact("a", "b"),), until="Later.")
    standing = Hold(
        scope=EVERYTHING, reason="Told.", clause="retrain", facts=(Fact("a", "b"),), until="Later.", cause=alert.cause
    )
    assert over(state, (hold,))
    assert not over(state, (standing,))
