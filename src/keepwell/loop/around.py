"""What is decided for the fleet as a whole, beside its segments' outcomes: arrivals, incidents, scoring. Pure."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from keepwell.charter.crons import last_moment
from keepwell.charter.model import Charter
from keepwell.core.clock import iso
from keepwell.loop.decisions import (
    EVERYTHING,
    CloseIncident,
    Condition,
    Fact,
    FailOver,
    OpenIncident,
    Quarantine,
    Scope,
    Score,
)
from keepwell.loop.model import Gates, Health, Known, State
from keepwell.loop.view import Block
from keepwell.monitoring.model import Incident

CLAUSES = {"data": "data.contract", "freshness": "monitor.fresh_within", "performance": "monitor.performance"}
"""Kind of incident to the clause that it follows from; others follow from `monitor`."""


def freshness_cause(dataset: str) -> str:
    """Return the cause under which late data is an incident."""
    return f"freshness:{dataset}"


def arrival_cause(arrival: str) -> str:
    """Return the cause under which a breach of an arrival's contract is an incident."""
    return f"arrival:{arrival}"


def quarantines(state: State) -> list[Quarantine]:
    """Return what to quarantine: arrivals that were judged and breach their contract."""
    broken = sorted({(a.id, a.reason) for a in state.arrivals or () if a.contract == Gates.FAILED})
    if not broken:
        return []
    reason = "; ".join(f"{name} {why or 'breaches its contract'}" for name, why in broken[:3])
    more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
    return [
        Quarantine(
            scope=EVERYTHING,
            reason=f"{reason}{more}.",
            clause="data.contract",
            facts=tuple(Fact("arrival", name) for name, _ in broken),
            arrivals=tuple(name for name, _ in broken),
        )
    ]


def openings(charter: Charter, state: State) -> list[OpenIncident]:
    """Return the incidents to open: one a root cause, none for a cause that is open or that is not known."""
    if state.incidents is None:
        return []
    standing = {i.cause for i in state.incidents}
    return [o for o in _findings(charter, state) if o.cause not in standing]


def closings(charter: Charter, state: State) -> list[CloseIncident]:
    """Return the open incidents of which there is evidence that they are over, and none that they are not."""
    late = freshness_cause(charter.data.dataset)
    still = {o.cause for o in _findings(charter, state)}
    evidence = {r.incident: r for r in sorted(state.recoveries, key=lambda r: (r.incident, r.reason)) if r.facts}
    found = []
    for incident in _unique(state):
        recovery = evidence.get(incident.id)
        if incident.cause in still:
            continue
        if recovery is not None:
            facts = tuple(Fact("evidence", f) for f in sorted(recovery.facts))
            found.append(_closing(incident, recovery.reason, facts))
        elif incident.cause == late and state.freshness == Health.OK:
            found.append(_closing(incident, "Data comes in time again.", _signals(state)))
    return found


def blocks(
    charter: Charter, state: State, opening: list[OpenIncident], closing: list[CloseIncident]
) -> tuple[Block, ...]:
    """Return the incidents that stand against training this tick: open or opening, not closing, on the fleet's data."""
    dataset = charter.data.dataset
    over = {c.incident for c in closing}
    standing = [
        Block(i.cause, i.id, i.title, frozenset(i.segments))
        for i in _unique(state)
        if dataset in i.datasets and i.id not in over
    ]
    coming = [Block(o.cause, None, o.title, frozenset()) for o in opening if dataset in o.datasets]
    return tuple(sorted(standing + coming, key=lambda b: (b.cause, b.incident or "")))


def conditions(state: State) -> list[Condition]:
    """Return what to condition: arrivals that were not judged, unless conditioning is under way or may be."""
    names = tuple(sorted({a.id for a in state.arrivals or () if a.contract != Gates.FAILED}))
    if not names or state.conditioning != Known.NO:
        return []
    what = f"{len(names)} files have arrived." if len(names) > 1 else f"{names[0]} has arrived."
    facts = tuple(Fact("arrival", name) for name in names)
    return [Condition(scope=EVERYTHING, reason=what, clause="data.source", facts=facts, arrivals=names)]


def scorings(charter: Charter, state: State, now: datetime, *, promoted: frozenset[str], coming: bool) -> list[Score]:
    """Return the scoring that is due.

    A fleet in which nothing can answer yet is not scored while its first versions are `coming`; otherwise a segment
    without a version that can answer falls back as the charter says. What is `promoted` this tick can.
    """
    slot = last_moment(charter.consumed.schedule, now) if charter.consumed.how == "batch" else None
    due = state.scored == Known.NO or (
        state.scored == Known.YES and state.scored_slot is not None and slot is not None and state.scored_slot < slot
    )
    if slot is None or not due or state.scoring != Known.NO or not state.segments:
        return []
    new = np.asarray([s in promoted for s in state.segments], np.bool_)
    fit = ((state.champion == Known.YES) & (state.can_answer != Known.NO)) | new
    if coming and not fit.any():
        return []
    missing = tuple(state.segments[i] for i in np.flatnonzero(~fit).tolist())
    fallback = EVERYTHING if len(missing) == len(state.segments) else Scope(missing)
    marked = f"; {len(missing)} of {len(state.segments)} segments fall back" if missing else ""
    facts = [Fact("slot", iso(slot))]
    if state.data_latest is not None:
        facts.append(Fact("dataset_version", state.data_latest))
    return [
        Score(
            scope=EVERYTHING,
            reason=f"The scoring of {slot:%Y-%m-%d %H:%M} UTC is due{marked}.",
            clause="consumed.schedule",
            facts=tuple(facts),
            slot=iso(slot),
            fallback=fallback,
        )
    ]


def fail_overs(charter: Charter, state: State) -> list[FailOver]:
    """Return the versions that cannot answer and for which nothing answers yet."""
    broken = (state.champion == Known.YES) & (state.can_answer == Known.NO) & (state.failed_over != Known.YES)
    rows = np.flatnonzero(broken).tolist()
    if not rows:
        return []
    what = f"{len(rows)} versions" if len(rows) > 1 else f"The version of {state.segments[rows[0]]}"
    instead = " then ".join(charter.fallback) or "nothing"
    return [
        FailOver(
            scope=Scope(tuple(state.segments[i] for i in rows)),
            reason=f"{what} cannot answer; {instead} answers instead.",
            clause="fallback",
            facts=tuple(Fact("version", str(state.champion_id[i])) for i in rows),
            versions=tuple(str(state.champion_id[i]) for i in rows),
            fallback=tuple(charter.fallback),
        )
    ]


def _findings(charter: Charter, state: State) -> list[OpenIncident]:
    """Return what is wrong with the data now, each as the incident that it is, open already or not."""
    dataset = charter.data.dataset
    found: list[OpenIncident] = []
    for name, why in sorted({(a.id, a.reason) for a in state.arrivals or () if a.contract == Gates.FAILED}):
        title = f"An arrival of {dataset} {why or 'breaches its contract'}"
        fact = Fact("arrival", name)
        found.append(_opening("data", arrival_cause(name), title, "bad", "data.contract", dataset, (fact,)))
    if state.freshness == Health.BAD and charter.monitor.fresh_within is not None:
        title = f"No data has come for {dataset} within {charter.monitor.fresh_within}"
        facts, cause = _signals(state), freshness_cause(dataset)
        found.append(_opening("freshness", cause, title, "watch", "monitor.fresh_within", dataset, facts))
    return found


def _opening(
    kind: str, cause: str, title: str, severity: str, clause: str, dataset: str, facts: tuple[Fact, ...]
) -> OpenIncident:
    return OpenIncident(
        scope=EVERYTHING,
        reason=title + ".",
        clause=clause,
        facts=facts,
        incident_kind=kind,
        cause=cause,
        subject=f"dataset:{dataset}",
        title=title,
        severity="bad" if severity == "bad" else "watch",
        datasets=(dataset,),
    )


def _closing(incident: Incident, reason: str, facts: tuple[Fact, ...]) -> CloseIncident:
    scope = Scope(incident.segments) if incident.segments else EVERYTHING
    clause = CLAUSES.get(incident.kind, "monitor")
    return CloseIncident(scope=scope, reason=reason, clause=clause, facts=facts, incident=incident.id)


def _unique(state: State) -> list[Incident]:
    return [i for _, i in sorted({i.id: i for i in state.incidents or () if i.state == "open"}.items())]


def _signals(state: State) -> tuple[Fact, ...]:
    if state.signals_id is None:
        return (Fact("charter", state.charter),)
    return (Fact("signals", state.signals_id),)
