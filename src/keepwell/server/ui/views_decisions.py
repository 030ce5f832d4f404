"""What the pages of decisions show: each as its sentence, clause, facts, and what would change it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from keepwell.loop.decisions import (
    Alert,
    Decision,
    Fact,
    Hold,
    OpenIncident,
    kind_of,
)
from keepwell.loop.ticks import Recorded
from keepwell.server.ui import links
from keepwell.server.ui.words import Tone, plural, segment_words, short

SHOWN = 8
QUIET = frozenset({"hold", "score", "condition", "close_incident"})
"""Kinds that say less than the others, unless someone should know of them."""
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}")
TONES: dict[str, Tone] = {
    "roll_back": "bad", "fail_over": "bad", "quarantine": "bad", "open_incident": "bad", "alert": "bad",
    "ask_approval": "watch", "discard": "watch",
}  # fmt: skip
"""The colour of kinds that someone should know of; the others have none."""
VERBS = {
    "roll_back": "Rolled back", "fail_over": "Failed over", "quarantine": "Quarantined",
    "open_incident": "Opened an incident", "close_incident": "Closed an incident", "condition": "Conditioned",
    "score": "Scored", "advance": "Advanced", "promote": "Promoted", "ask_approval": "Asked a person",
    "discard": "Discarded", "train": "Retrained", "alert": "Alerted", "hold": "Held",
}  # fmt: skip
"""What a kind of decision did, in a word or two."""


@dataclass(frozen=True, slots=True)
class Linked:
    """A fact: what it is, its text, the whole of it, its page if it has one."""

    what: str
    text: str
    whole: str
    href: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """One decision as a page explains it.

    Attributes:
        kind: as it is written.
        verb: what it did, in a word or two.
        tone: its colour.
        about: the segments in words: `3 of 8 models`, `all 8 models`, or the one.
        segments: the first of them, key and words; `more` how many there are besides.
        reason: the sentence.
        clause: the charter's clause that it follows; `charter` its page.
        facts: what it rests on.
        until: what would change it.
    """

    kind: str
    verb: str
    tone: Tone
    about: str
    segments: Sequence[tuple[str, str]]
    more: int
    reason: str
    clause: str
    charter: str
    facts: Sequence[Linked]
    until: str

    @property
    def quiet(self) -> bool:
        """Whether it says that all is well, or only what is done every week."""
        return self.kind in QUIET and self.tone == "none"


@dataclass(frozen=True, slots=True)
class TickLine:
    """Decisions of one tick that are shown together."""

    id: str
    number: int
    at: datetime
    model: str
    size: int
    decisions: Sequence[Explained]


def ticks_of(found: Sequence[Recorded]) -> list[TickLine]:
    """Return recorded decisions, newest first, by the tick that they were made in."""
    lines = []
    for _, of_tick in groupby(found, key=lambda one: one.seq):
        mine = list(of_tick)
        first = mine[0]
        explained = [explain(one.decision, one.model, one.size, one.fleet_size) for one in mine]
        lines.append(TickLine(first.tick, first.number, first.at, first.model, first.fleet_size, explained))
    return lines


def explain(decision: Decision, model: str, size: int, fleet: int) -> Explained:
    """Return a decision as a page explains it.

    Args:
        decision: the decision.
        model: its fleet.
        size: how many of the fleet's segments it is about.
        fleet: how many there are.
    """
    kind = kind_of(decision)
    scope = decision.scope
    named = scope.segments if not scope.others else ()
    return Explained(
        kind=kind,
        verb=VERBS.get(kind, kind),
        tone=_tone(decision, kind),
        about=_about(named, size, fleet),
        segments=[(key, segment_words(key)) for key in named[:SHOWN]] if fleet > 1 else [],
        more=max(0, len(named) - SHOWN),
        reason=decision.reason,
        clause=decision.clause,
        charter=links.charter(model),
        facts=[linked(fact, model) for fact in decision.facts],
        until=until_of(decision),
    )


UNTIL: dict[str, str] = {
    "train": "It is over when the new version is registered and its gates are judged.",
    "promote": "A challenger that is better replaces it, and harm by it brings back the one before.",
    "roll_back": "A version that beats the baseline again.",
    "fail_over": "A version that can answer.",
    "ask_approval": "The answer of the person who was asked, or the end of the approval's time.",
    "quarantine": "A person releases or rejects the file.",
    "open_incident": "Evidence that it is over, or a person who closes it.",
    "close_incident": "The same cause again opens a new one.",
    "discard": "Nothing brings it back; the next training makes another version.",
    "advance": "It goes on to production when it is better there and approved.",
    "condition": "It is over when it is done.",
    "score": "It is over when it is done.",
}
"""What would change a decision of a kind that does not say so itself."""


def until_of(decision: Decision) -> str:
    """Return what would change a decision, in a sentence."""
    return decision.until if isinstance(decision, Hold | Alert) else UNTIL[kind_of(decision)]


def linked(fact: Fact, model: str) -> Linked:
    """Return a fact with its page."""
    what = fact.what.replace("_", " ")
    page = links.of_id(fact.id)
    if page is None:
        page = {"charter": links.charter(model), "signals": links.model(model)}.get(fact.what)
    return Linked(what, _text(fact.id), fact.id, page)


def counts_in_words(counts: Mapping[str, int]) -> list[tuple[Tone, str]]:
    """Return a tick's counts by kind with their colours, holds last."""
    ordered = sorted(counts.items(), key=lambda item: (item[0] == "hold", -_rank(item[0])))
    return [(TONES.get(kind, "none"), f"{VERBS.get(kind, kind).lower()} {n:,}") for kind, n in ordered]


def _text(fact: str) -> str:
    if _MOMENT.match(fact):
        return fact[:16].replace("T", " ")
    return short(fact) if len(fact) > 24 else fact


def _rank(kind: str) -> int:
    return {"bad": 2, "watch": 1}.get(TONES.get(kind, "none"), 0)


def _tone(decision: Decision, kind: str) -> Tone:
    if isinstance(decision, Alert | OpenIncident):
        return decision.severity
    if isinstance(decision, Hold) and (decision.cause is not None or decision.waits_for_a_person):
        return "watch"
    return TONES.get(kind, "none")


def _about(named: Sequence[str], size: int, fleet: int) -> str:
    if fleet == 1:
        return "the model"
    if size == fleet:
        return f"all {plural(fleet, 'model')}"
    return segment_words(named[0]) if size == 1 and len(named) == 1 else f"{size:,} of {plural(fleet, 'model')}"
