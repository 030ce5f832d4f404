"""The loop over a small fleet whose weeks arrive as files: what goes well, and everything that does not."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from keepwell.datasets import service as datasets
from keepwell.datasets.parts import decode
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.flows.promote import approve
from keepwell.flows.receive import settle
from keepwell.governance.charters import current_charter
from keepwell.ledger.service import entries
from keepwell.loop import service as ticks
from keepwell.loop import tick as ticking
from keepwell.loop import wishes
from keepwell.loop.decisions import Alert, Decision, Hold, Promote, Train, kind_of
from keepwell.loop.lease import holding
from keepwell.loop.tick import Ticked, look, settled, tick
from keepwell.models import service as models
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import Incident
from keepwell.serving import service as serving
from keepwell.serving.model import Scoring
from keepwell.testing.fleets import generated_fleet
from keepwell.testing.weekly import MODEL, OWNER, live, morning, started
from keepwell.tracking import service as tracking

SEGMENTS = ["kind=k0000", "kind=k0001"]


def kinds(ticked: Ticked) -> list[str]:
    return [kind_of(d) for d in ticked.decisions if not isinstance(d, Hold)]


def of(ticked: Ticked, kind: type) -> list[Any]:
    return [d for d in ticked.decisions if isinstance(d, kind)]


def looked(kit: Kit) -> tuple[Decision, ...]:
    with kit.read() as tx:
        applied = current_charter(tx, MODEL)
    return look(kit, applied)[1]


def champions(kit: Kit, environment: str = "prod") -> dict[str, int]:
    with kit.read() as tx:
        return {s: c.number for s, c in models.champions(tx, MODEL, environment).items()}


def incidents(kit: Kit, state: Any = "open") -> list[Incident]:
    with kit.read() as tx:
        return monitoring.incidents(tx, model=MODEL, state=state)


def newest(kit: Kit) -> Scoring:
    with kit.read() as tx:
        return serving.scorings(tx, MODEL)[0]


def settles(kit: Kit, ticked: Ticked) -> None:
    """The tick ended with nothing left to do, and deciding again right after gives only holds."""
    assert ticked.settled
    assert settled(looked(kit)), [kind_of(d) for d in looked(kit)]
    again = tick(kit, MODEL)
    assert [kind_of(d) for d in again.decisions if not isinstance(d, Hold)] == []
    assert fsck(kit) == []


def test_a_first_tick_conditions_trains_promotes_and_scores(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    _, first = started(kit, clock, tmp_path)
    assert kinds(first) == ["condition", "train", "promote", "score"]
    assert champions(kit) == dict.fromkeys(SEGMENTS, 1)
    assert newest(kit).answered == {"champion": 6, "last_champion": 0, "baseline": 0}
    assert (newest(kit).first, newest(kit).slot) == ("2025-07-14", morning(80) - timedelta(hours=2))
    settles(kit, first)


def test_nothing_to_do_is_one_round_of_holds(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    live(kit, clock, fleet, 81, 83)
    clock.advance(timedelta(hours=1))
    assert [len(r.decisions) for r in tick(kit, MODEL).rounds] == [1]


def test_a_broken_file_blocks_training_until_a_person_settles_it(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    fleet, _ = started(kit, clock, tmp_path, {"retrain.stale_after": "14d", "monitor.performance": {}})
    clock.move_to(morning(81))
    fleet.arrive(80, times=100, name="broken.csv")
    settles(kit, tick(kit, MODEL))
    [data] = incidents(kit)
    assert (data.kind, data.datasets) == ("data", ("sales",))
    assert "broken.csv is in quarantine" in data.title
    done = live(kit, clock, fleet, 82, 85)
    assert [of(t, Train) for t in done] == [[], [], []]
    alerts = [a for t in done for a in of(t, Alert)]
    assert [(a.clause, a.owner) for a in alerts] == [("retrain.stale_after", "forecasting")]
    assert "open incident (broken.csv is in quarantine" in alerts[0].reason
    assert sorted(i.kind for i in incidents(kit)) == ["alert", "data"]
    settles(kit, done[-1])

    with kit.read() as tx:
        [held] = datasets.arrivals(tx, "sales", "quarantined")
    settle(kit, held.id, OWNER, "reject", "It is in cents; the supplier sends it again.")
    fleet.arrive(80, name="week_0080_again.csv")
    after = tick(kit, MODEL)
    assert of(after, Train)
    assert incidents(kit) == []
    settles(kit, after)


def test_what_a_person_releases_is_learned_from(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path, {"retrain.on": ["new_data"], "retrain.cool_down": "1d"})
    clock.move_to(morning(81))
    fleet.arrive(80, times=100, name="large.csv")
    assert not of(tick(kit, MODEL), Train)
    with kit.read() as tx:
        [held] = datasets.arrivals(tx, "sales", "quarantined")
    settle(kit, held.id, OWNER, "release", "It was a fair.")
    done = tick(kit, MODEL)
    [train] = of(done, Train)
    assert train.triggers == ("new_data",)
    assert incidents(kit) == []
    assert done.settled


def test_decay_trains_and_promotes_only_what_is_better(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    changes = {"forecast.history": "20w", "forecast.hold_back": "6w", "retrain.cool_down": "1w",
               "monitor.performance": {"wmape": 0.2}, "evaluate.last": "6w"}  # fmt: skip
    fleet, _ = started(kit, clock, tmp_path, changes)
    done = live(kit, clock, fleet, 81, 83) + live(kit, clock, fleet, 83, 94, effect=4.0)
    trains = [d for t in done for d in of(t, Train)]
    assert "performance" in trains[0].triggers
    assert not any(of(t, Train) for t in done[:2])
    promoted = [d for t in done for d in of(t, Promote)]
    assert promoted
    with kit.read() as tx:
        for promotion in promoted:
            for version in models.versions_by_id(tx, promotion.versions):
                against = models.version(tx, version.id).facts["against_champion"]
                assert against["outcome"] == "better"
    assert all(ticked.settled for ticked in done)
    assert fsck(kit) == []


def rows_of(kit: Kit, scoring: Scoring) -> Any:
    return decode(kit.blobs.path(scoring.part))


def lose_pack(kit: Kit, segment: str) -> None:
    with kit.read() as tx:
        champion = models.champions(tx, MODEL, "prod")[segment]
        [pack] = set(models.packs(tx, [champion.version_id]).values())
    kit.blobs.path(pack).unlink()


def test_a_champion_whose_pack_is_gone_falls_back_and_is_replaced(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    live(kit, clock, fleet, 81, 82)
    lose_pack(kit, SEGMENTS[0])
    [lost] = live(kit, clock, fleet, 82, 83)
    assert "fail_over" in kinds(lost)
    rows = rows_of(kit, newest(kit))
    assert set(rows["answered_by"]) == {"baseline"}
    assert rows["version"].null_count() == rows.height
    assert rows["forecast"].null_count() == 0
    assert [d.triggers[0] for d in of(lost, Train)] == ["cannot_answer"]
    done = [lost, *live(kit, clock, fleet, 83, 84)]
    assert "fail_over" in {i.kind for i in incidents(kit, "closed")}
    assert champions(kit) == dict.fromkeys(SEGMENTS, 2)
    assert set(rows_of(kit, newest(kit))["answered_by"]) == {"champion"}
    assert incidents(kit) == []
    assert done[-1].settled
    assert settled(looked(kit))
    assert {p.invariant for p in fsck(kit)} == {"I1"}


def test_a_charter_that_makes_other_columns_trains_and_goes_on(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    live(kit, clock, fleet, 81, 84)
    fleet.apply(kit, {"data.known_ahead": [], "data.joins": []})
    done = live(kit, clock, fleet, 84, 87)
    with kit.read() as tx:
        scorings = serving.scorings(tx, MODEL)
    assert len(scorings) == 7
    assert [t.settled for t in done] == [True] * 3
    assert "fail_over" in kinds(done[0])
    assert champions(kit) == dict.fromkeys(SEGMENTS, 2)
    assert scorings[0].answered["champion"] == 6


def test_a_missed_week_is_scored_for_the_coming_week(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    clock.move_to(morning(81))
    tick(kit, MODEL)  # the file of week 80 has not come
    late = newest(kit)
    assert (late.origin, late.first, late.last) == ("2025-07-07", "2025-07-21", "2025-07-21")
    assert late.answered["champion"] == 6
    clock.move_to(morning(84))  # the loop was down for two weeks
    fleet.arrive(80)
    for week in (81, 82, 83):
        fleet.arrive(week)
    assert tick(kit, MODEL).settled
    there = newest(kit)
    assert (there.origin, there.first) == ("2025-08-04", "2025-08-11")
    with kit.read() as tx:
        assert [s.joined for s in serving.scorings(tx, MODEL)] == [0, 6, 6]


def test_whole_numbers_as_time(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, first = started(kit, clock, tmp_path, whole=True)
    assert kinds(first) == ["condition", "train", "promote", "score"]
    assert newest(kit).first == "80"
    live(kit, clock, fleet, 81, 85)
    assert newest(kit).first == "84"
    with kit.read() as tx:
        windows = monitoring.performance(tx, MODEL)
        signals = {s.segment: s.state for s in monitoring.signals(tx, MODEL, kind="performance")}
    assert len(windows.segment) == 8
    assert signals == dict.fromkeys(SEGMENTS, "ok")
    settles(kit, tick(kit, MODEL))


def test_approvals_are_asked_once_and_waited_for(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    changes = {"release": {"environments": ["test", "prod"], "approvals": {"prod": ["owner"]}}}
    fleet, first = started(kit, clock, tmp_path, changes)
    assert kinds(first).count("ask_approval") == 1
    assert kinds(first).count("advance") <= 1
    assert champions(kit) == {}
    settles(kit, first)
    with kit.read() as tx:
        applied = current_charter(tx, MODEL)
        latest = [v.id for v in models.latest_versions(tx, MODEL).values()]
    approve(kit, applied, "prod", latest, OWNER, reason="seen")
    after = tick(kit, MODEL)
    assert "promote" in kinds(after)
    assert champions(kit) == dict.fromkeys(SEGMENTS, 1)
    assert champions(kit, "test") == dict.fromkeys(SEGMENTS, 1)
    settles(kit, after)
    assert live(kit, clock, fleet, 81, 82)[0].settled


def test_a_training_that_wants_a_person_waits_for_one(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    from keepwell.flows.train import train

    _, first = started(kit, clock, tmp_path, {"retrain.approval": "ask"})
    assert sorted(kinds(first)) == ["ask_approval", "condition", "score"]
    settles(kit, first)
    [asked] = incidents(kit)
    with kit.read() as tx:
        applied = current_charter(tx, MODEL)
    clock.advance(timedelta(hours=1))
    train(kit, applied, None, OWNER, cause="person")
    after = tick(kit, MODEL)
    assert "promote" in kinds(after)
    assert incidents(kit) == []
    settles(kit, after)
    assert incidents(kit, "closed")[0].id == asked.id


def test_who_closes_the_request_refuses_the_training(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path, {"retrain.approval": "ask"})
    [asked] = incidents(kit)
    with kit.write() as tx:
        monitoring.close_incident(tx, kit.call(OWNER), asked.id, "Not before the move.", {"person": OWNER})
    after = tick(kit, MODEL)
    assert "ask_approval" not in kinds(after)
    settles(kit, after)
    clock.advance(timedelta(weeks=2, days=1))
    assert "ask_approval" in kinds(tick(kit, MODEL))


def test_a_training_that_fails_is_told_and_not_tried_again_at_once(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    (tmp_path / "stalls").mkdir()
    (tmp_path / "stalls/own.py").write_text("def fit(*arguments, **named):\n    raise ValueError('no luck')\n")
    changes = {"forecast.own": {"mine": "own.py:fit"}, "forecast.candidates": ["lasso", "mine"]}
    _, first = started(kit, clock, tmp_path, changes)
    assert kinds(first)[:2] == ["condition", "train"]
    assert kinds(first).count("train") == 1
    assert "alert" in kinds(first)
    [alert] = of(first, Alert)
    assert "fail" in alert.reason
    assert newest(kit).answered["baseline"] == 6
    settles(kit, first)
    clock.advance(timedelta(weeks=2, days=1))
    again = tick(kit, MODEL)
    assert kinds(again).count("train") == 1
    with kit.read() as tx:
        assert [r.status for r in tracking.runs(tx, model=MODEL)] == ["failed", "failed"]


def test_one_thing_that_fails_does_not_keep_the_fleet_from_being_scored(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    plan = (fleet.folder / "plan.csv").read_bytes()
    (fleet.folder / "plan.csv").write_text("stall,week\n")
    clock.move_to(morning(81))
    fleet.arrive(80)
    with kit.read() as tx:
        before = len(serving.scorings(tx, MODEL))
    try:
        tick(kit, MODEL)
    except Exception as error:  # noqa: BLE001
        assert "plan.csv" in str(error) or "promo" in str(error), error
    with kit.read() as tx:
        assert len(serving.scorings(tx, MODEL)) == before + 1
    (fleet.folder / "plan.csv").write_bytes(plan)
    assert tick(kit, MODEL).settled


def test_a_segment_that_the_data_no_longer_holds_is_left_alone(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    fleet.apply(kit, {"data.where": "kind = 'k0000'", "data.dataset": "sales-2", "retrain.stale_after": "1d"})
    done = tick(kit, MODEL)
    assert done.rounds[-1].size == 1
    assert done.settled
    clock.advance(timedelta(weeks=3))
    assert tick(kit, MODEL).settled


def test_other_gates_judge_the_challengers_anew(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, first = started(kit, clock, tmp_path, {"gates": ["wmape <= 0.0001"]})
    assert champions(kit) == {}
    assert first.settled
    latest = dict(first.rounds[-1].counts)
    assert latest
    fleet.apply(kit, {"gates": ["wmape <= 0.9"], "retrain.cool_down": "2w"})
    clock.advance(timedelta(minutes=5))
    settles(kit, tick(kit, MODEL))


def test_two_ticks_at_once(kit: Kit, clock: SimulatedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started(kit, clock, tmp_path)
    with holding(kit, f"loop:{MODEL}"), pytest.raises(Unavailable, match="being worked on by another process"):
        tick(kit, MODEL)
    assert tick(kit, MODEL).settled

    seen: list[object] = []
    inside, go = threading.Event(), threading.Event()
    look_once = ticking.look

    def slow(*arguments: Any) -> Any:
        inside.set()
        go.wait(10)
        return look_once(*arguments)

    monkeypatch.setattr(ticking, "look", slow)
    thread = threading.Thread(target=lambda: seen.append(tick(kit, MODEL)))
    thread.start()
    inside.wait(10)
    with pytest.raises(Unavailable):
        tick(kit, MODEL)
    go.set()
    thread.join()
    assert isinstance(seen[0], Ticked)


def test_alerts_that_a_dead_tick_only_recorded_are_told(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path, {"retrain.stale_after": "14d", "monitor.performance": {}})
    clock.move_to(morning(81))
    fleet.arrive(80, times=100, name="broken.csv")
    live(kit, clock, fleet, 82, 83)
    clock.move_to(morning(84))
    with kit.read() as tx:
        applied = current_charter(tx, MODEL)
    state, decisions = look(kit, applied)
    if not any(isinstance(d, Alert) for d in decisions):
        tick(kit, MODEL)
        return
    with kit.write() as tx:
        ticks.record_tick(tx, kit.call(f"loop:{MODEL}"), state, clock.now(), decisions)
    tick(kit, MODEL)
    assert [i.kind for i in incidents(kit)].count("alert") == 1


def test_ten_thousand_members_with_nothing_to_do(kit: Kit, clock: SimulatedClock) -> None:
    generated_fleet(kit, 10_000)
    took = []
    for _ in range(3):
        began = time.process_time()
        done = tick(kit, "generated")
        took.append(time.process_time() - began)
        assert done.settled
    print(f"idle ticks of 10,000 members: {', '.join(f'{t:.2f} s' for t in took)}")
    assert min(took) < 3


def test_a_held_challenger_of_many_environments_goes_in_the_end(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    changes = {"release": {"environments": ["test", "prod"], "approvals": {}, "hold_windows": 2},
               "retrain": {"on": ["new_data"], "cool_down": "5w"}}  # fmt: skip
    fleet, _ = started(kit, clock, tmp_path, changes)
    done = live(kit, clock, fleet, 81, 90)
    assert all(t.settled for t in done)
    said = [k for t in done for k in kinds(t)]
    assert {"train", "advance", "discard"} <= set(said)
    with kit.read() as tx:
        test, prod = (models.champion_ids(tx, MODEL, e) for e in ("test", "prod"))
        states = {v.id: v.state for v in models.versions_by_id(tx, [*test.values(), *prod.values()])}
    assert set(states.values()) == {"promoted"}
    assert fsck(kit) == []


def wished(kit: Kit, segments: list[str] | None = None) -> wishes.Wish:
    with kit.write() as tx:
        return wishes.wish(tx, kit.call(OWNER), MODEL, segments or [], "The shop was rebuilt.")


def test_what_a_person_wishes_is_trained_within_the_cool_down(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    live(kit, clock, fleet, 81, 82)
    clock.advance(timedelta(hours=1))
    made = wished(kit, [SEGMENTS[0]])
    clock.advance(timedelta(hours=1))
    done = tick(kit, MODEL)
    [training] = of(done, Train)
    assert (training.triggers, list(training.scope.segments)) == (("person",), [SEGMENTS[0]])
    assert training.reason == "A person asked for a training."
    settles(kit, done)
    with kit.read() as tx:
        assert wishes.wishes(tx, MODEL) == [made]
        assert [e.subject for e in entries(tx, kind="training.wished")] == [f"model:{MODEL}"]


def test_a_wish_for_the_fleet_and_one_that_is_taken_back(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    clock.advance(timedelta(hours=1))
    made = wished(kit)
    [training] = [d for d in looked(kit) if isinstance(d, Train)]
    assert training.scope.size(len(SEGMENTS)) == len(SEGMENTS)
    with kit.write() as tx:
        wishes.withdraw(tx, kit.call(OWNER), made.id)
    assert [d for d in looked(kit) if isinstance(d, Train)] == []
    with kit.write() as tx, pytest.raises(Conflict, match="already"):
        wishes.withdraw(tx, kit.call(OWNER), made.id)
    wished(kit)
    clock.advance(wishes.LIFE)
    assert "person" not in {t for d in looked(kit) if isinstance(d, Train) for t in d.triggers}


def test_a_wish_does_not_learn_from_data_with_an_incident(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, _ = started(kit, clock, tmp_path)
    fleet.arrive(80, times=100, name="broken.csv")
    clock.advance(timedelta(hours=1))
    wished(kit)
    done = tick(kit, MODEL)
    assert of(done, Train) == []
    with kit.read() as tx:
        [held] = datasets.arrivals(tx, state="quarantined")
    settle(kit, held.id, OWNER, "reject", "It is another unit.")
    [training] = of(tick(kit, MODEL), Train)
    assert training.triggers == ("person",)


def test_a_wish_names_segments_that_there_are_and_says_why(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    started(kit, clock, tmp_path)
    with kit.write() as tx:
        with pytest.raises(NotFound, match="no segment 'kind=zz'"):
            wishes.wish(tx, kit.call(OWNER), MODEL, ["kind=zz"], "why not")
        with pytest.raises(InvalidInput, match="Say why"):
            wishes.wish(tx, kit.call(OWNER), MODEL, [], " ")
