"""Decide: charter, state and now in, decisions out. Pure: the same arguments give the same decisions, to the byte."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np

from keepwell.charter.model import Charter
from keepwell.charter.risk import all_approvals
from keepwell.loop import around, holding, outcomes, words
from keepwell.loop.decisions import (
    Advance,
    Alert,
    AskApproval,
    Decision,
    Discard,
    Fact,
    Hold,
    Outcome,
    Promote,
    RollBack,
    Scope,
    Train,
)
from keepwell.loop.model import Gates, Known, State, ordered
from keepwell.loop.outcomes import Rule
from keepwell.loop.phrases import scope_of
from keepwell.loop.view import Mask, Rows, View, view_of

URGENCY = (RollBack, Promote, AskApproval, Discard, Train, Alert, Hold)


def decide(charter: Charter, state: State, now: datetime) -> tuple[Decision, ...]:
    """Return everything that is to be done for a fleet at `now`, in the order in which it is to be done.

    Every segment gets exactly one outcome (`decisions.Outcome`); segments with the same outcome for the same cause
    share one decision. Work of the fleet as a whole stands beside the outcomes.

    Args:
        charter: what must be.
        state: what is, as far as it is known.
        now: the moment of the tick.
    """
    state = ordered(state)
    opening = around.openings(charter, state)
    closing = around.closings(charter, state)
    view = view_of(charter, state, now, around.blocks(charter, state, opening, closing))
    every = np.ones(len(state.segments), np.bool_)
    made = [d for rule, rows in outcomes.choose(outcomes.rules(view), every) for d in _word(view, rule, rows)]
    made.sort(key=lambda d: URGENCY.index(type(d)))
    releases = [d for d in made if isinstance(d, RollBack | Promote)]
    coming = bool(view.running.any()) or any(isinstance(d, Train) for d in made)
    return (
        *(d for d in releases if isinstance(d, RollBack)),
        *around.fail_overs(charter, state),
        *around.quarantines(state),
        *opening,
        *closing,
        *around.conditions(state),
        *_advances(view, made),
        *(d for d in releases if isinstance(d, Promote)),
        *around.scorings(charter, state, now, promoted=_promoted(releases), coming=coming),
        *(d for d in made if not isinstance(d, RollBack | Promote)),
    )


def _word(view: View, rule: Rule, rows: Rows) -> list[Outcome]:
    """Word a rule for a group of segments. Alerts are sent once while their cause stands; later the segments hold."""
    said = rule.word(view, rows)
    if not isinstance(said, Alert):
        return [said]
    going = view.out[rows]
    if said.cause not in view.state.alerted:
        gone = view.state.challenger_id[rows[going]].tolist()
        return [msgspec.structs.replace(said, discards=tuple(str(v) for v in gone if v is not None))]
    among = np.zeros(len(view.state.segments), np.bool_)
    among[rows[going]] = True
    leaving = outcomes.choose(outcomes.discards(view), among)
    made = [words.still(other.word(view, places), said.cause) for other, places in leaving]
    rest = rows[~going]
    if rest.size:
        alert: Alert = msgspec.structs.replace(said, scope=scope_of(view, rest))
        made.append(holding.standing(alert))
    return made


def _advances(view: View, made: Sequence[Outcome]) -> list[Advance]:
    """Return the challengers that go on to environments before production which want no approval."""
    s, environments = view.state, view.charter.release.environments
    approvals = all_approvals(view.charter)
    free = [i for i, e in enumerate(environments[:-1]) if not any(approvals.get(x) for x in environments[: i + 1])]
    if not free:
        return []
    target = free[-1]
    passed = (s.challenger == Known.YES) & (s.gates == Gates.PASSED) & (s.reached >= -1) & (s.reached < target)
    rows = np.flatnonzero(passed & _staying(view, made))
    if not rows.size:
        return []
    ids = tuple(str(s.challenger_id[i]) for i in rows.tolist())
    return [
        Advance(
            scope=Scope(tuple(s.segments[i] for i in rows.tolist())),
            reason=f"{len(ids)} challengers passed their gates, and {environments[target]} wants no approval.",
            clause="release.environments",
            facts=tuple(Fact("version", i) for i in ids),
            environment=environments[target],
            versions=ids,
        )
    ]


def _staying(view: View, made: Sequence[Outcome]) -> Mask:
    """Return the segments whose outcome leaves their challenger where it is."""
    names = view.state.segments
    leaving: set[str] = set()
    for decision in made:
        if isinstance(decision, RollBack | Promote | Discard | Train):
            leaving.update(decision.scope.of(names))
    return ~view.out & np.asarray([name not in leaving for name in names], np.bool_)


def _promoted(releases: Sequence[RollBack | Promote]) -> frozenset[str]:
    """Return the segments whose challenger answers from this tick on, or whose former version does again."""
    return frozenset(segment for decision in releases for segment in decision.scope.segments)
