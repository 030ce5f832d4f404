"""The properties of the decision, by hypothesis, on states of which anything may be known, wrong or missing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import keepwell
from keepwell.charter.model import Charter, Consumed, Data, Monitor, Owner, Release, Retrain
from keepwell.core.errors import InvalidInput
from keepwell.loop.decide import decide
from keepwell.loop.decisions import (
    Advance,
    Alert,
    AskApproval,
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
    causes,
    encode,
    outcomes,
)
from keepwell.loop.model import (
    CODES,
    Approval,
    Arriving,
    Compared,
    Gates,
    Health,
    Known,
    Recovery,
    State,
    Training,
    state_digest,
    take,
    unknown_state,
    with_columns,
)
from keepwell.monitoring.model import Incident

NOW = datetime(2026, 1, 5, 7, tzinfo=UTC)
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CAUSES = tuple(f"demand:{cause}" for cause in ("harm", "performance", "drift", "staleness"))
TRIGGERS = ("schedule", "new_data", "drift", "performance", "staleness", "code")


# --- what may come


@st.composite
def charters(draw: st.DrawFn) -> Charter:
    environments = draw(st.sampled_from([("prod",), ("test", "prod"), ("dev", "test", "prod")]))
    approved = draw(st.none() | st.lists(st.sampled_from(environments), unique=True))
    return Charter(
        model="demand",
        owner=Owner(business="planning", technical="forecasting"),
        data=Data(dataset="sales", time="week", target="units"),
        consumed=Consumed(how=draw(st.sampled_from(["batch", "online"]))),
        release=Release(
            environments=environments,
            approvals=None if approved is None else dict.fromkeys(approved, ("mlops",)),
            hold_windows=draw(st.integers(0, 3)),
        ),
        retrain=Retrain(
            on=tuple(draw(st.lists(st.sampled_from(TRIGGERS), unique=True))),
            approval=draw(st.sampled_from(["automatic", "ask"])),
        ),
        monitor=Monitor(
            performance=draw(st.sampled_from([{}, {"wmape": 0.3}])), fresh_within=draw(st.sampled_from([None, "10d"]))
        ),
    )


@st.composite
def incidents(draw: st.DrawFn, number: int) -> Incident:
    kind = draw(st.sampled_from(["data", "freshness", "performance"]))
    return Incident(
        id=f"inc_{number}",
        kind=kind,
        model=None,
        subject="dataset:sales",
        title=f"Finding {number}",
        severity="bad",
        datasets=draw(st.sampled_from([("sales",), (), ("weather",), ("sales", "weather")])),
        segments=tuple(draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=2))),
        facts={"x": 1},
        cause="freshness:sales" if kind == "freshness" else f"arrival:arr_{number}",
        state="open",
        opened_at=NOW,
        opened_by="service:test",
    )


@st.composite
def states(draw: st.DrawFn) -> State:
    names = tuple(draw(st.permutations("abcd"))[: draw(st.integers(1, 4))])
    n = len(names)

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    days = st.none() | st.integers(0, 100).map(lambda d: NOW - timedelta(days=d))
    codes = {name: column(st.sampled_from(list(kind))) for name, kind in CODES.items()}
    found = draw(st.none() | st.lists(st.integers(0, 3), unique=True, max_size=3))
    arrivals = st.builds(Arriving, st.sampled_from(["arr_a", "arr_b"]), st.sampled_from([Gates.UNKNOWN, Gates.FAILED]))
    slots = st.none() | st.integers(-10, 10).map(lambda d: NOW + timedelta(days=d))
    return with_columns(
        unknown_state("demand", "sha256:charter", names),
        **codes,
        champion_id=[f"ver_{s}_1" for s in names],
        champion_since=column(days),
        previous_id=[f"ver_{s}_0" for s in names],
        challenger_id=[f"ver_{s}_2" for s in names],
        gates_reason=column(st.sampled_from([None, "wmape <= 0.45", "wmape < baseline.wmape"])),
        held_windows=column(st.integers(-1, 4)),
        reached=column(st.integers(-2, 2)),
        approval_id=column(st.sampled_from([None, "apr_1"])),
        training_id=column(st.sampled_from([None, "run_1", "run_2"])),
        trained_at=column(days),
        trained_data=column(st.sampled_from([None, "dsv_1", "dsv_2"])),
        trained_code=column(st.sampled_from([None, "code_1", "code_2"])),
        signals_id=draw(st.sampled_from([None, "sig_1"])),
        data_latest=draw(st.sampled_from([None, "dsv_2"])),
        code_latest=draw(st.sampled_from([None, "code_1"])),
        freshness=draw(st.sampled_from(list(Health))),
        quality=draw(st.sampled_from(list(Health))),
        incidents=None if found is None else tuple(draw(incidents(i)) for i in found),
        recoveries=tuple(Recovery(f"inc_{i}", "Sent again.", ("arr_9",)) for i in draw(st.sets(st.integers(0, 3)))),
        arrivals=draw(st.none() | st.lists(arrivals, max_size=3).map(tuple)),
        conditioning=draw(st.sampled_from(list(Known))),
        scoring=draw(st.sampled_from(list(Known))),
        scored=draw(st.sampled_from(list(Known))),
        scored_slot=draw(slots),
        alerted=frozenset(
            draw(st.sets(st.sampled_from([f"demand:{c}" for c in ("harm", "performance", "drift", "staleness")])))
        ),
    )


# --- what acting does to the state: long work is queued and under way, the rest is done


def act(state: State, decisions: tuple[Decision, ...]) -> State:
    for decision in decisions:
        state = _act(state, decision)
    return replace(state, alerted=causes(decisions))


def _act(state: State, decision: Decision) -> State:
    rows = np.asarray([decision.scope.covers(s) for s in state.segments])
    unknown = {"performance": 0, "staleness": 0, "drift": 0, "guard": 0, "can_answer": 0, "compared": 0}
    nothing = {"challenger": Known.NO, "gates": 0, "compared": 0, "approval": 0}
    match decision:
        case Promote(versions=versions):
            new = {**unknown, **nothing, "champion": Known.YES, "previous": Known.YES, "champion_since": NOW}
            return _put(_put(state, rows, **new), rows, champion_id=list(versions))
        case RollBack(to=to):
            new = {**unknown, "previous": Known.UNKNOWN, "champion_since": NOW}
            return _put(_put(state, rows, **new), rows, champion_id=list(to))
        case Discard(versions=versions) | Train(replaces=versions) | Alert(discards=versions):
            gone = rows & np.isin(state.challenger_id, versions)
            state = _put(state, gone, **nothing)
            if isinstance(decision, Train):
                return _put(state, rows, training=Training.RUNNING, trained_at=NOW, wanted=Known.NO)
            return state
        case AskApproval(what="promotion"):
            return _put(state, rows, approval=Approval.ASKED)
        case AskApproval():
            return _put(state, rows, train_approval=Approval.ASKED)
        case Advance():
            return _put(state, rows, reached=2)
        case FailOver():
            return _put(state, rows, failed_over=Known.YES)
        case Quarantine(arrivals=names):
            return replace(state, arrivals=tuple(a for a in state.arrivals or () if a.id not in names))
        case Condition(arrivals=names):
            left = tuple(a for a in state.arrivals or () if a.id not in names)
            return replace(state, arrivals=left, conditioning=Known.YES)
        case OpenIncident():
            opened = Incident(
                id=f"inc_new_{decision.cause}", kind=decision.incident_kind, model="demand", subject=decision.subject,
                title=decision.title, severity=decision.severity, datasets=decision.datasets, segments=(),
                facts={"x": 1}, cause=decision.cause, state="open", opened_at=NOW, opened_by="loop:demand",
            )  # fmt: skip
            return replace(state, incidents=(*(state.incidents or ()), opened))
        case CloseIncident(incident=incident):
            return replace(state, incidents=tuple(i for i in state.incidents or () if i.id != incident))
        case Score():
            return replace(state, scoring=Known.YES)
        case Hold():
            return state


def _put(state: State, rows: Any, **values: object) -> State:
    columns = {}
    for name, value in values.items():
        column = getattr(state, name).copy()
        column[rows] = np.datetime64(value.replace(tzinfo=None), "us") if isinstance(value, datetime) else value
        columns[name] = column
    return with_columns(state, **columns)


def told(state: State, decisions: tuple[Decision, ...]) -> dict[str, tuple[Any, ...]]:
    """Each segment's outcome, without its scope and the ids of others in it."""
    return {s: (type(d), d.reason, d.clause) for d in outcomes(decisions) for s in d.scope.of(state.segments)}


def got(state: State, decisions: tuple[Decision, ...], *kinds: type) -> set[str]:
    return {s for d in decisions if isinstance(d, kinds) for s in d.scope.of(state.segments)}


# --- 1 to 10 of the design


@QUICK
@given(charters(), states(), st.randoms())
def test_deterministic_and_independent_of_order(charter: Charter, state: State, random: Any) -> None:
    made = decide(charter, state, NOW)
    order = list(range(len(state.segments)))
    random.shuffle(order)
    shuffled = replace(
        take(state, np.asarray(order)),
        incidents=None if state.incidents is None else tuple(random.sample(state.incidents, len(state.incidents))),
        arrivals=None if state.arrivals is None else tuple(random.sample(state.arrivals, len(state.arrivals))),
        recoveries=tuple(random.sample(state.recoveries, len(state.recoveries))),
    )
    assert encode(decide(charter, shuffled, NOW)) == encode(made)
    assert state_digest(shuffled) == state_digest(state)
    written = msgspec.to_builtins(charter)
    backwards = {key: written[key] for key in reversed(written)}
    backwards["retrain"] = {**written["retrain"], "on": list(reversed(written["retrain"]["on"]))}
    assert encode(decide(msgspec.convert(backwards, Charter), state, NOW)) == encode(made)


@QUICK
@given(charters(), states())
def test_every_segment_gets_exactly_one_outcome(charter: Charter, state: State) -> None:
    found = [s for d in outcomes(decide(charter, state, NOW)) for s in d.scope.of(state.segments)]
    assert sorted(found) == sorted(state.segments)


@QUICK
@given(charters(), states())
def test_settled_after_acting(charter: Charter, state: State) -> None:
    after = act(state, decide(charter, state, NOW))
    again = decide(charter, after, NOW)
    assert {type(d) for d in again} == {Hold}, [d for d in again if not isinstance(d, Hold)]
    assert encode(decide(charter, act(after, again), NOW)) == encode(again)


@QUICK
@given(charters(), states(), incidents(7))
def test_opening_an_incident_never_adds_work_and_closing_never_takes_a_rollback(
    charter: Charter, state: State, incident: Incident
) -> None:
    assume(state.incidents is not None)
    without = decide(charter, state, NOW)
    worse = replace(state, incidents=(*(state.incidents or ()), incident))
    within = decide(charter, worse, NOW)
    for kinds in ((Train,), (Promote,), (Advance,)):
        assert got(worse, within, *kinds) <= got(state, without, *kinds)
    assert got(state, without, RollBack) == got(worse, within, RollBack)


@QUICK
@given(charters(), states(), st.sampled_from(["challenger", "gates", "champion", "compared", "approval", "reached"]))
def test_unknown_never_promotes_or_advances(charter: Charter, state: State, column: str) -> None:
    blind = with_columns(state, **{column: -2 if column == "reached" else 0})
    made = decide(charter, blind, NOW)
    if column in ("challenger", "gates", "champion"):
        assert not got(blind, made, Promote)
    if column == "compared":
        first = {s for s, c in zip(blind.segments, blind.champion, strict=True) if c == Known.NO}
        assert got(blind, made, Promote) <= first
    if column == "approval" and charter.release.approvals and any(charter.release.approvals.values()):
        assert not got(blind, made, Promote)
    if column in ("challenger", "gates", "reached"):
        assert not got(blind, made, Advance)
    assert got(blind, made, Promote, Advance) <= got(state, decide(charter, state, NOW), Promote, Advance)


@QUICK
@given(charters(), states())
def test_unknown_never_closes_an_incident(charter: Charter, state: State) -> None:
    blind = replace(state, freshness=Health.UNKNOWN, recoveries=())
    assert not [d for d in decide(charter, blind, NOW) if isinstance(d, CloseIncident)]
    bare = replace(state, recoveries=tuple(replace(r, facts=()) for r in state.recoveries), freshness=Health.BAD)
    assert not [d for d in decide(charter, bare, NOW) if isinstance(d, CloseIncident)]


@given(charters())
def test_of_what_nothing_is_known_everything_holds(charter: Charter) -> None:
    assert {type(d) for d in decide(charter, unknown_state("demand", "sha256:c", "abc"), NOW)} == {Hold}


@QUICK
@given(charters(), states(), st.integers(1, 3))
def test_splitting_a_fleet_decides_the_same_for_each_segment(charter: Charter, state: State, cut: int) -> None:
    whole = told(state, decide(charter, state, NOW))
    place = np.arange(len(state.segments))
    halves = [take(state, place[place % 4 < cut]), take(state, place[place % 4 >= cut])]
    parts: dict[str, tuple[Any, ...]] = {}
    for half in halves:
        parts |= told(half, decide(charter, half, NOW))
    assert parts == whole


@QUICK
@given(charters(), states(), st.integers(1, 200))
def test_an_earlier_clock_adds_no_work(charter: Charter, state: State, days: int) -> None:
    now, before = decide(charter, state, NOW), decide(charter, state, NOW - timedelta(days=days))
    for kind in (Train, Promote, RollBack, Advance):
        assert got(state, before, kind) <= got(state, now, kind)


@QUICK
@given(charters(), states())
def test_the_same_event_twice_changes_nothing(charter: Charter, state: State) -> None:
    doubled = replace(
        state,
        incidents=None if state.incidents is None else state.incidents * 2,
        arrivals=None if state.arrivals is None else state.arrivals * 2,
        recoveries=state.recoveries * 2,
    )
    assert encode(decide(charter, doubled, NOW)) == encode(decide(charter, state, NOW))


@QUICK
@given(charters(), states())
def test_a_missed_week_changes_nothing(charter: Charter, state: State) -> None:
    """What was decided in between leaves no trace but its effects: holds have none."""
    week = timedelta(weeks=1)
    state = replace(state, alerted=frozenset())
    held = tuple(d for d in decide(charter, state, NOW) if isinstance(d, Hold))
    assert encode(decide(charter, act(state, held), NOW + week)) == encode(decide(charter, state, NOW + week))


def test_a_decision_without_reason_clause_or_facts_is_refused() -> None:
    good = {"scope": Scope(), "reason": "Because.", "clause": "gates", "facts": (Fact("x", "1"),), "until": "x"}
    assert Hold(**good)  # type: ignore[arg-type]
    for name, empty in (("reason", " "), ("clause", ""), ("facts", ())):
        with pytest.raises(InvalidInput):
            Hold(**{**good, name: empty})  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            Hold(**{k: v for k, v in good.items() if k != name})  # type: ignore[arg-type]
    with pytest.raises((AttributeError, TypeError)):
        Hold(**good).reason = "Other."  # type: ignore[misc, arg-type]


def test_a_decision_without_reason_clause_or_facts_does_not_type_check(tmp_path: Path) -> None:
    given_all = {"scope": "Scope()", "reason": "'r'", "clause": "'gates'", "facts": "(Fact('x', '1'),)", "until": "'u'"}
    lines = ["from keepwell.loop.decisions import Fact, Hold, Scope"]
    for missing in (None, "scope", "reason", "clause", "facts"):
        arguments = ", ".join(f"{k}={v}" for k, v in given_all.items() if k != missing)
        lines.append(f"Hold({arguments})")
    (tmp_path / "made.py").write_text("\n".join(lines) + "\n")
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary",
         f"--cache-dir={tmp_path}/cache", "made.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "MYPYPATH": str(Path(keepwell.__file__).parents[1])},
    )  # fmt: skip
    found = ended.stdout.splitlines()
    assert [line.split(":")[1] for line in found] == ["3", "4", "5", "6"], ended.stdout + ended.stderr
    assert all("Missing named argument" in line for line in found)


def _clauses(charter: Charter) -> set[str]:
    found: set[str] = set()

    def walk(value: object, path: str) -> None:
        found.add(path)
        if isinstance(value, msgspec.Struct):
            for name in value.__struct_fields__:
                walk(getattr(value, name), f"{path}.{name}" if path else name)

    walk(charter, "")
    return found - {""}


@QUICK
@given(charters(), states())
def test_every_clause_is_a_place_in_the_charter_and_facts_are_there(charter: Charter, state: State) -> None:
    places = _clauses(charter)
    for decision in decide(charter, state, NOW):
        assert decision.clause in places
        assert decision.facts
        assert all(fact.what and fact.id for fact in decision.facts)
        assert decision.reason.endswith(".")
        assert "None" not in decision.reason


def ten_thousand(busy: bool) -> State:
    n = 10_000
    rng = np.random.default_rng(1)
    state = with_columns(
        unknown_state("demand", "sha256:c", [f"region=r{i % 7},store={i:05}" for i in range(n)]),
        champion=Known.YES, champion_id=[f"ver_{i}" for i in range(n)], can_answer=Known.YES, guard=Health.OK,
        challenger=Known.NO, training=Training.FINISHED, trained_at=np.full(n, np.datetime64("2025-12-01", "us")),
        performance=Health.OK, staleness=Health.OK, drift=Health.OK, incidents=(), arrivals=(),
        conditioning=Known.NO, scoring=Known.NO, scored=Known.YES, scored_slot=NOW,
    )  # fmt: skip
    if not busy:
        return state
    columns = {name: rng.integers(0, len(kind), n) for name, kind in CODES.items()}
    return with_columns(state, **columns, held_windows=rng.integers(-1, 6, n), previous_id=["ver_p"] * n)


@pytest.mark.parametrize("busy", [False, True])
def test_ten_thousand_segments_are_decided_in_a_moment(busy: bool) -> None:
    charter = Charter(model="demand", data=Data(dataset="sales", time="week", target="units"))
    state = ten_thousand(busy)
    decide(charter, state, NOW)
    start = time.process_time()
    made = decide(charter, state, NOW)
    assert time.process_time() - start < 0.5
    assert (len(made) == 1) is not busy
    assert len(made) < 200


# --- single rules, in words


@pytest.fixture
def one(fleets: Any) -> Callable[..., tuple[Decision, ...]]:
    """Decide for one segment in which all is well but what is given."""

    def run(charter: Charter | None = None, **changes: object) -> tuple[Decision, ...]:
        return decide(charter or fleets.charter(), fleets.well(("a",), **changes), NOW)

    return run


INCIDENT = Incident(
    id="inc_1", kind="data", model=None, subject="arrival:arr_1", title="Week 30 is in another unit", severity="bad",
    datasets=("sales",), segments=(), facts={"failed": 168}, cause="arrival:arr_1", state="open", opened_at=NOW,
    opened_by="service:test",
)  # fmt: skip
BETTER = {"challenger": Known.YES, "challenger_id": ["ver_a_2"], "gates": Gates.PASSED, "compared": Compared.BETTER}
NO_CHAMPION = {"champion": Known.NO, "champion_id": [None]}


def test_decay_trains_and_says_why(one: Any) -> None:
    (train,) = one(performance=Health.BAD)
    assert isinstance(train, Train)
    assert (train.triggers, train.clause, train.dataset_version) == (("performance",), "monitor.performance", "dsv_2")
    assert "wmape at most 0.3" in train.reason
    (both,) = one(performance=Health.BAD, staleness=Health.BAD)
    assert isinstance(both, Train)
    assert both.triggers == ("performance", "staleness")


def test_a_cool_down_holds_until_its_last_day(one: Any) -> None:
    (hold,) = one(performance=Health.BAD, trained_at=[NOW - timedelta(days=3)])
    assert isinstance(hold, Hold)
    assert (hold.clause, hold.until) == ("retrain.cool_down", "The end of the cool-down, on 2026-01-17.")


def test_staleness_with_its_data_under_an_incident_escalates_once(one: Any) -> None:
    (alert,) = one(staleness=Health.BAD, incidents=(INCIDENT,))
    assert isinstance(alert, Alert)
    assert (alert.cause, alert.severity) == ("demand:blocked:arrival:arr_1", "bad")
    assert "Week 30 is in another unit" in alert.reason
    (hold,) = one(staleness=Health.BAD, incidents=(INCIDENT,), alerted=frozenset({alert.cause}))
    assert isinstance(hold, Hold)
    assert hold.cause == alert.cause
    (other,) = one(staleness=Health.BAD, incidents=(replace(INCIDENT, segments=("b",)),))
    assert isinstance(other, Train)


def test_late_data_is_an_incident_that_blocks_at_once_and_closes_on_evidence(one: Any, fleets: Any) -> None:
    charter = fleets.charter(monitor=Monitor(performance={"wmape": 0.3}, fresh_within="10d"))
    opened, alert = one(charter, freshness=Health.BAD, staleness=Health.BAD)
    assert isinstance(opened, OpenIncident)
    assert isinstance(alert, Alert)
    late = replace(INCIDENT, kind="freshness", cause=opened.cause)
    assert not [d for d in one(charter, freshness=Health.UNKNOWN, incidents=(late,)) if isinstance(d, CloseIncident)]
    closed, train = one(charter, freshness=Health.OK, staleness=Health.BAD, incidents=(late,))
    assert isinstance(closed, CloseIncident)
    assert isinstance(train, Train)


def test_a_broken_arrival_is_quarantined_and_an_incident(one: Any) -> None:
    broken = Arriving("arr_1", Gates.FAILED, "has temperatures over 1")
    quarantine, opened, hold = one(arrivals=(broken,))
    assert isinstance(quarantine, Quarantine)
    assert isinstance(opened, OpenIncident)
    assert opened.cause == "arrival:arr_1"
    assert isinstance(hold, Hold)


def test_training_waits_for_data_that_is_being_let_in(one: Any) -> None:
    condition, hold = one(arrivals=(Arriving("arr_1"),), performance=Health.BAD)
    assert isinstance(condition, Condition)
    assert isinstance(hold, Hold)
    assert hold.clause == "data.source"


def test_nothing_new_to_learn_tells_someone_and_does_not_train(one: Any) -> None:
    (alert,) = one(staleness=Health.BAD, trained_data=["dsv_2"])
    assert isinstance(alert, Alert)
    assert alert.clause == "retrain.stale_after"
    (train,) = one(staleness=Health.BAD, trained_data=["dsv_2"], wanted=Known.YES)
    assert isinstance(train, Train)


def test_nothing_new_to_learn_is_a_quiet_hold_where_nothing_presses(one: Any, fleets: Any) -> None:
    (hold,) = one(fleets.charter(retrain=Retrain(on=("schedule",))), trained_data=["dsv_2"])
    assert isinstance(hold, Hold)
    assert "same data with the same code" in hold.reason
    (quiet,) = one(fleets.charter(retrain=Retrain(on=("new_data",))), incidents=(INCIDENT,))
    assert isinstance(quiet, Hold)
    assert quiet.facts == (Fact("incident", "inc_1"),)


def test_a_charter_without_limits_says_so(one: Any, fleets: Any) -> None:
    (hold,) = one(fleets.charter(monitor=Monitor()), performance=Health.UNKNOWN)
    assert "sets no limit" in hold.reason
    (few,) = one(performance=Health.UNKNOWN)
    assert "fewer than 20 rows" in few.reason


def test_the_first_version_is_promoted_when_it_passes(one: Any) -> None:
    (train,) = one(**NO_CHAMPION, training=Training.NEVER, trained_at=[None], trained_data=[None])
    assert isinstance(train, Train)
    assert train.triggers == ("no_model",)
    (promote,) = one(**NO_CHAMPION, **{**BETTER, "compared": Compared.UNKNOWN})
    assert isinstance(promote, Promote)
    assert (promote.versions, promote.replaces, promote.environment) == (("ver_a_2",), (None,), "prod")


def test_better_is_promoted_or_a_person_is_asked(one: Any, fleets: Any) -> None:
    (promote,) = one(**BETTER)
    assert isinstance(promote, Promote)
    assert promote.replaces == ("ver_a_1",)
    asking = fleets.charter(release=Release(environments=("test", "prod"), approvals={"prod": ("mlops",)}))
    advance, ask = one(asking, **BETTER, reached=-1, approval=Approval.NOT_ASKED)
    assert isinstance(advance, Advance)
    assert advance.environment == "test"
    assert isinstance(ask, AskApproval)
    assert (ask.roles, ask.environment, ask.versions) == (("mlops",), "prod", ("ver_a_2",))
    (wait,) = one(asking, **BETTER, reached=0, approval=Approval.ASKED)
    assert isinstance(wait, Hold)
    assert wait.waits_for_a_person
    (given_one,) = one(asking, **BETTER, approval=Approval.GIVEN, approval_id=["apr_1"])
    assert isinstance(given_one, Promote)
    assert Fact("approval", "apr_1") in given_one.facts
    (refused,) = one(asking, **BETTER, approval=Approval.REFUSED)
    assert isinstance(refused, Discard)
    (again,) = one(asking, **BETTER, approval=Approval.EXPIRED, reached=0)
    assert isinstance(again, AskApproval)
    assert "expired" in again.reason


def test_no_champion_and_an_unknown_challenger_is_not_called_well(one: Any) -> None:
    (hold,) = one(**NO_CHAMPION, challenger=Known.UNKNOWN)
    assert "not known" in hold.reason


def test_an_incident_is_not_closed_while_its_cause_is_there(one: Any, fleets: Any) -> None:
    charter = fleets.charter(monitor=Monitor(fresh_within="10d"))
    late = replace(INCIDENT, kind="freshness", cause="freshness:sales")
    over = (Recovery("inc_1", "Sent again.", ("arr_2",)),)
    (hold,) = one(charter, incidents=(late,), recoveries=over, freshness=Health.BAD)
    assert isinstance(hold, Hold)
    closed, _ = one(charter, incidents=(late,), recoveries=over)
    assert isinstance(closed, CloseIncident)
    assert closed.facts == (Fact("evidence", "arr_2"),)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"compared": Compared.WORSE}, Discard, "worse"),
        ({"compared": Compared.SAME, "held_windows": 1}, Hold, "held for 1 of 4 windows"),
        ({"compared": Compared.SAME, "held_windows": 4}, Discard, "as long as the charter says"),
        ({"compared": Compared.SAME, "held_windows": -1}, Hold, "not known"),
        ({"compared": Compared.UNKNOWN, "held_windows": 0}, Hold, "could not be compared"),
        ({"gates": Gates.FAILED, "gates_reason": ["wmape <= 0.45"]}, Discard, "wmape <= 0.45"),
        ({"gates": Gates.UNDECIDED, "held_windows": 0}, Hold, "too little evidence"),
        ({"gates": Gates.UNKNOWN, "held_windows": 0}, Hold, "not judged"),
    ],
)
def test_what_is_not_better_is_held_or_goes(one: Any, changes: dict[str, object], kind: type, words: str) -> None:
    (made,) = one(**{**BETTER, **changes})
    assert isinstance(made, kind)
    assert words in made.reason


def test_only_decay_trains_over_a_held_challenger(one: Any) -> None:
    held = {**BETTER, "compared": Compared.SAME, "held_windows": 1}
    (hold,) = one(**held, staleness=Health.BAD)
    assert isinstance(hold, Hold)
    (train,) = one(**held, performance=Health.BAD)
    assert isinstance(train, Train)
    assert train.replaces == ("ver_a_2",)


def test_harm_rolls_back_first_and_then_holds_for_a_window(one: Any) -> None:
    (back,) = one(guard=Health.BAD, previous=Known.YES, previous_id=["ver_a_0"], **BETTER, performance=Health.BAD)
    assert isinstance(back, RollBack)
    assert (back.versions, back.to) == (("ver_a_1",), ("ver_a_0",))
    (hold,) = one(champion_since=[NOW - timedelta(days=1)], performance=Health.BAD)
    assert isinstance(hold, Hold)
    assert hold.clause == "monitor.window"
    (alert,) = one(guard=Health.BAD, previous=Known.NO)
    assert isinstance(alert, Alert)


def test_a_version_that_cannot_answer_fails_over_and_trains(one: Any) -> None:
    over, train = one(can_answer=Known.NO)
    assert isinstance(over, FailOver)
    assert over.fallback == ("last_champion", "baseline")
    assert isinstance(train, Train)


def test_a_failed_training_is_told_with_its_run(one: Any) -> None:
    failed = {"training": Training.FAILED, "training_id": ["run_1"], "trained_at": [NOW - timedelta(days=1)]}
    (alert,) = one(performance=Health.BAD, **failed)
    assert isinstance(alert, Alert)
    assert alert.cause == "demand:training_failed:run_1"
    assert alert.facts == (Fact("run", "run_1"),)


def test_a_training_that_wants_a_person_is_asked_for(one: Any, fleets: Any) -> None:
    charter = fleets.charter(retrain=Retrain(approval="ask"))
    for approval, kind in (
        (Approval.NOT_ASKED, AskApproval),
        (Approval.ASKED, Hold),
        (Approval.GIVEN, Train),
        (Approval.REFUSED, Hold),
        (Approval.UNKNOWN, Hold),
    ):
        (made,) = one(charter, performance=Health.BAD, train_approval=approval)
        assert isinstance(made, kind)


@pytest.mark.parametrize(
    ("on", "changes", "trigger"),
    [
        ("drift", {"drift": Health.BAD}, "drift"),
        ("new_data", {}, "new_data"),
        ("code", {"trained_code": ["code_0"]}, "code"),
        ("schedule", {}, "schedule"),
        ("staleness", {"staleness": Health.BAD}, "staleness"),
    ],
)
def test_each_trigger_trains_where_the_charter_has_it(
    one: Any, fleets: Any, on: str, changes: dict[str, object], trigger: str
) -> None:
    (train,) = one(fleets.charter(retrain=Retrain(on=(on,))), **changes)
    assert isinstance(train, Train)
    assert train.triggers == (trigger,)
    (other,) = one(fleets.charter(retrain=Retrain(on=())), **changes)
    assert isinstance(other, Hold | Alert)


def test_a_due_scoring_marks_what_falls_back(one: Any, fleets: Any) -> None:
    last_week = NOW - timedelta(weeks=1)
    score, hold = one(scored_slot=last_week)
    assert isinstance(score, Score)
    assert (score.slot, score.fallback) == ("2026-01-05T05:00:00.000000Z", Scope())
    assert isinstance(hold, Hold)
    assert [type(d) for d in one(scored=Known.NO, scored_slot=None)] == [Score, Hold]
    assert [type(d) for d in one(scored_slot=last_week, scored=Known.UNKNOWN)] == [Hold]
    assert [type(d) for d in one(scored_slot=last_week, scoring=Known.YES)] == [Hold]
    state = fleets.well(("a", "b"), scored_slot=last_week, can_answer=[Known.YES, Known.NO], failed_over=Known.YES)
    score = next(d for d in decide(fleets.charter(), state, NOW) if isinstance(d, Score))
    assert score.fallback == Scope(("b",))
    first = one(**NO_CHAMPION, training=Training.NEVER, trained_at=[None], scored=Known.NO, scored_slot=None)
    assert [type(d) for d in first] == [Train]
    promoted = one(**NO_CHAMPION, **BETTER, scored=Known.NO, scored_slot=None)
    assert [type(d) for d in promoted] == [Promote, Score, Hold][:2]


def test_a_state_holds_one_place_a_segment() -> None:
    with pytest.raises(InvalidInput, match="twice"):
        unknown_state("m", "c", ["a", "a"])
    state = unknown_state("m", "c", ["a", "b"])
    with pytest.raises(InvalidInput, match="one place"):
        with_columns(state, champion=[1])
    with pytest.raises(InvalidInput, match="code"):
        with_columns(state, champion=[9, 0])
