"""What one segment can get: an ordered list of rules over columns; the first that holds is the segment's outcome. Pure.

Each rule is a mask over the segments, a key by which the segments it chooses are grouped into one decision, and the
function that words that decision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from keepwell.loop import holding, words
from keepwell.loop.decisions import Outcome
from keepwell.loop.model import Approval, Compared, Gates, Health, Known, Training
from keepwell.loop.view import PRESSING, Ints, Mask, Rows, View

Word = Callable[[View, Rows], Outcome]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule.

    Attributes:
        holds: where it holds.
        word: makes the decision for the segments at some rows, which share a key.
        key: what else must be equal for segments to share a decision; None when nothing.
    """

    holds: Mask
    word: Word
    key: npt.NDArray[np.generic] | None = None


def rules(v: View) -> list[Rule]:
    """Return the rules in order: harm first, then what is better, then learning, then telling, then cleaning up."""
    return [*_releases(v), *_trainings(v), *_alerts(v), *discards(v), *_holds(v), Rule(_all(v), holding.well)]


def choose(rules: Sequence[Rule], among: Mask) -> list[tuple[Rule, Rows]]:
    """Return each rule with the rows of each group of segments, among some, that it is the first to hold for."""
    first = np.full(len(among), -1, np.int64)
    free = among.copy()
    for i, rule in enumerate(rules):
        mine = free & rule.holds
        first[mine] = i
        free &= ~mine
    chosen: list[tuple[Rule, Rows]] = []
    for i in np.unique(first[first >= 0]).tolist():
        rows = np.flatnonzero(first == i)
        key = rules[i].key
        if key is None:
            chosen.append((rules[i], rows))
            continue
        _, group = np.unique(key[rows], return_inverse=True)
        chosen.extend((rules[i], rows[group == g]) for g in range(int(group.max()) + 1))
    return chosen


def _releases(v: View) -> list[Rule]:
    s = v.state
    harm = v.has_champion & (s.guard == Health.BAD)
    rules = [Rule(harm & (s.previous == Known.YES), words.roll_back)]
    asked_for = v.candidate & v.clear & v.fired("person")
    settling = v.changed & ~v.fired("cannot_answer") & ~asked_for
    rules.append(Rule(settling, holding.settling, _days(v.settled_at, v.changed)))
    first = np.select([v.no_champion, s.can_answer == Known.NO, s.compared == Compared.SAME], [1, 3, 2], 0)
    if not v.roles:
        return [*rules, Rule(v.ready, words.promote, first)]
    asked = s.approval
    return [
        *rules,
        Rule(v.ready & (asked == Approval.GIVEN), words.promote, first),
        Rule(v.ready & (asked == Approval.NOT_ASKED), words.ask_promotion, first),
        Rule(v.ready & (asked == Approval.EXPIRED), words.ask_promotion_again, first),
        Rule(v.ready & (asked == Approval.ASKED), holding.waits_for_approval),
        Rule(v.ready, holding.approval_unknown),
    ]


def _trainings(v: View) -> list[Rule]:
    s = v.state
    go = v.candidate & v.clear
    if v.charter.retrain.approval == "automatic":
        return [Rule(go, words.train, v.bits)]
    asked, person = s.train_approval, v.fired("person")
    return [
        Rule(go & (person | (asked == Approval.GIVEN)), words.train, v.bits),
        Rule(go & ((asked == Approval.NOT_ASKED) | (asked == Approval.EXPIRED)), words.ask_training, v.bits),
        Rule(go & (asked == Approval.ASKED), holding.waits_for_training_approval),
    ]


def discards(v: View) -> list[Rule]:
    """Return the rules by which challengers go."""
    s = v.state
    failed = v.out & (s.gates == Gates.FAILED)
    worse = v.out & (s.gates == Gates.PASSED) & (s.compared == Compared.WORSE)
    return [
        Rule(failed, words.discard_failed, _codes(s.gates_reason, failed)),
        Rule(v.refused, words.discard_refused),
        Rule(worse, words.discard_worse),
        Rule(v.out, words.discard_held, _untold(v)),
    ]


def _alerts(v: View) -> list[Rule]:
    s = v.state
    pressing = v.candidate & v.fired(*PRESSING)
    stuck = pressing & ~v.running & (s.training != Training.UNKNOWN) & ~v.cooling
    failed = s.training == Training.FAILED
    on = v.charter.retrain.on
    watched = v.has_champion & ~v.running & ~v.ready & ~v.held
    silent = [
        Rule(watched & (column == Health.BAD), word)
        for name, column, word in (
            ("performance", s.performance, words.decayed_unanswered),
            ("staleness", s.staleness, words.stale_unanswered),
            ("drift", s.drift, words.drifted_unanswered),
        )
        if name not in on
    ]
    return [
        Rule(v.has_champion & (s.guard == Health.BAD) & ~v.running, words.harm),
        Rule(stuck & (v.block >= 0), words.blocked, _pair(v.block, v.bits)),
        Rule(failed & v.candidate, words.training_failed, _codes(s.training_id, failed)),
        Rule(stuck & v.nothing_new, words.nothing_new, v.bits),
        *silent,
    ]


def _holds(v: View) -> list[Rule]:
    s = v.state
    unknown_incidents = np.full(len(s.segments), not v.incidents_known)
    arriving = np.full(len(s.segments), v.arriving)
    silent = v.has_champion & (s.performance == Health.UNKNOWN)
    return [
        Rule(v.running, holding.in_training),
        Rule(~v.has_champion & ~v.no_champion, holding.champion_unknown),
        Rule(v.candidate & (s.training == Training.UNKNOWN), holding.training_unknown),
        Rule(v.candidate & v.cooling, holding.cooling, _pair(_days(v.cool_until, v.cooling), v.bits)),
        Rule(v.candidate & (v.block >= 0), holding.blocked_quietly, _pair(v.block, v.bits)),
        Rule(v.candidate & unknown_incidents, holding.incidents_unknown),
        Rule(v.candidate & v.nothing_new, holding.nothing_new_quietly, v.bits),
        Rule(v.candidate & arriving, holding.data_arriving, v.bits),
        Rule(v.candidate, holding.training_approval_open, v.bits),
        Rule(v.held, holding.held, _pair(_untold(v), s.held_windows + 1)),
        Rule(v.no_champion, holding.nothing_answers),
        Rule(silent, holding.too_few_outcomes, s.staleness.astype(np.int64)),
    ]


def _untold(v: View) -> Ints:
    """Group held challengers by what is not known of them."""
    s = v.state
    judged = np.where(s.compared == Compared.SAME, 3, 2)
    return np.where(s.gates == Gates.UNKNOWN, 0, np.where(s.gates == Gates.UNDECIDED, 1, judged)).astype(np.int64)


def _days(until: npt.NDArray[np.datetime64], where: Mask) -> Ints:
    return np.where(where, until.astype("datetime64[D]").astype(np.int64), 0)


def _pair(a: npt.NDArray[np.integer], b: npt.NDArray[np.integer]) -> Ints:
    return (a.astype(np.int64) << 24) + b.astype(np.int64)


def _codes(texts: npt.NDArray[np.object_], where: Mask) -> Ints:
    """Return a number for each distinct text, in the texts' order, where it matters; 0 elsewhere."""
    rows = np.flatnonzero(where)
    names = [str(t) if t is not None else "" for t in texts[rows].tolist()]
    numbers = {name: i for i, name in enumerate(sorted(set(names)))}
    codes = np.zeros(len(texts), np.int64)
    codes[rows] = [numbers[name] for name in names]
    return codes


def _all(v: View) -> Mask:
    return np.ones(len(v.state.segments), np.bool_)
