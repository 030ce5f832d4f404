"""What Today shows, from what the services answer: who needs a person, worst first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from keepwell.charter.crons import next_moments
from keepwell.governance.charters import AppliedCharter
from keepwell.loop.decisions import Alert, AskApproval, Hold
from keepwell.loop.ticks import Recorded, Tick
from keepwell.models.registry_model import RegisteredModel
from keepwell.monitoring.model import Incident
from keepwell.releases.model import Waiting
from keepwell.server.ui import links
from keepwell.server.ui.words import plural, segment_words
from keepwell.tracking.model import Run

RANK = {"bad": 0, "watch": 1, "unknown": 2, "ok": 3, "none": 4}


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that wants a person.

    Attributes:
        tone: `bad` needs someone now, `watch` soon.
        kind: word of what it is: incident, alert, approval, waiting.
        title: what it is, in a sentence.
        href: its page.
        model: whose it is.
        why: more words: what rests on it, what would end it.
        size: how many models it is about.
        of: of how many.
        since: since when.
        approval: id of the approval to settle here, if it is one.
        roles: who decides.
    """

    tone: str
    kind: str
    title: str
    href: str
    model: str
    why: str
    size: int
    of: int
    since: datetime
    approval: str | None = None
    roles: str = ""


@dataclass(frozen=True, slots=True)
class FleetToday:
    """One fleet on Today.

    Attributes:
        name: of the model or fleet.
        purpose: what it is for.
        members: how many models; `answering` of them have a champion.
        states: words of state to how many models are in it, worst first; healthy ones are not named.
        error: the leading metric over the newest whole week; `metric` its name, `limit` what the charter allows.
        trend: that by week, oldest first.
        scored_at: when it was last scored.
        decided: the newest tick.
        due: when it is scored next.
    """

    name: str
    purpose: str
    members: int
    answering: int
    states: Sequence[tuple[str, str, int]]
    metric: str
    error: float | None
    baseline: float | None
    limit: float | None
    trend: Sequence[float | None]
    scored_at: datetime | None
    decided: Tick | None
    due: datetime | None

    @property
    def tone(self) -> str:
        """The worst state that any of its models is in."""
        return min((tone for tone, _, n in self.states if n), key=RANK.__getitem__, default="ok")


@dataclass(frozen=True, slots=True)
class Today:
    """The page: needs, worst first, and the fleets; where there is none, what was logged and registered lately."""

    needs: Sequence[Need]
    fleets: Sequence[FleetToday]
    models: int
    recent: Sequence[Run] = ()
    registered: Sequence[RegisteredModel] = ()

    @property
    def tended(self) -> Sequence[tuple[str, str]]:
        """Tone and words of what is not well and needs nobody, over all fleets: the loop sees to it."""
        found: dict[tuple[str, str], int] = {}
        for fleet in self.fleets:
            for tone, word, count in fleet.states:
                if tone in ("bad", "watch"):
                    found[tone, word] = found.get((tone, word), 0) + count
        return [(tone, f"{count:,} {word}") for (tone, word), count in found.items()]

    @property
    def counts(self) -> Sequence[tuple[str, str]]:
        """Tone and words of what needs someone, by kind."""
        words = {"incident": "open incident", "alert": "alert", "approval": "waiting for approval",
                 "waiting": "on hold for a person"}  # fmt: skip
        found = []
        for kind, word in words.items():
            of_kind = [n for n in self.needs if n.kind == kind]
            if of_kind:
                tone = "bad" if any(n.tone == "bad" for n in of_kind) else "watch"
                noun = plural(len(of_kind), word) if kind in ("incident", "alert") else f"{len(of_kind)} {word}"
                found.append((tone, noun))
        return found


def needs_of(
    incidents: Sequence[Incident], waiting: Sequence[Waiting], standing: Sequence[Recorded], sizes: Mapping[str, int]
) -> list[Need]:
    """Return what wants a person, worst first, then oldest first.

    Args:
        incidents: open ones.
        waiting: approvals asked for and not settled.
        standing: decisions of the newest ticks that want a person.
        sizes: fleet to how many models it has.
    """
    causes = {one.cause for one in incidents}
    subjects = {one.model for one in waiting}
    found = [_of_incident(one, sizes) for one in incidents]
    found += [_of_approval(one, sizes) for one in waiting]
    for one in standing:
        decision = one.decision
        if isinstance(decision, Alert) and decision.cause not in causes:
            found.append(_of_alert(one, decision))
        elif (
            (isinstance(decision, AskApproval) and decision.what == "training")
            or (isinstance(decision, Hold) and decision.waits_for_a_person and one.model not in subjects)
            or (isinstance(decision, Hold) and decision.cause is not None and decision.cause not in causes)
        ):
            found.append(_of_waiting(one))
    return sorted(found, key=lambda need: (RANK[need.tone], need.since))


def next_due(applied: AppliedCharter, now: datetime) -> datetime | None:
    """Return when the fleet is scored next; None when it answers online."""
    consumed = applied.charter.consumed
    return next_moments(consumed.schedule, now)[0] if consumed.how == "batch" else None


def _of_incident(one: Incident, sizes: Mapping[str, int]) -> Need:
    of = sizes.get(one.model or "", 0)
    return Need(
        tone=one.severity,
        kind="incident",
        title=one.title,
        href=links.incident(one.id),
        model=one.model or "",
        why="",
        size=len(one.segments) or of,
        of=of,
        since=one.opened_at,
    )


def _of_approval(one: Waiting, sizes: Mapping[str, int]) -> Need:
    return Need(
        tone="watch",
        kind="approval",
        title=f"{plural(one.count, 'version')} of {one.model} may go to {one.environment} when you approve",
        href=links.version(one.version_ids[0]) if one.version_ids else links.model(one.model),
        model=one.model,
        why="The gates have passed; the charter asks a person before these answer.",
        size=one.count,
        of=sizes.get(one.model, one.count),
        since=one.asked_at,
        approval=one.id,
        roles=one.role,
    )


def _of_alert(one: Recorded, decision: Alert) -> Need:
    return Need(
        tone=decision.severity,
        kind="alert",
        title=_about(one, decision.reason),
        href=links.tick(one.tick),
        model=one.model,
        why=f"Stands until {_lower(decision.until)}",
        size=one.size,
        of=one.fleet_size,
        since=one.at,
        roles=decision.owner,
    )


def _of_waiting(one: Recorded) -> Need:
    until = one.decision.until if isinstance(one.decision, Hold) else ""
    return Need(
        tone="watch",
        kind="waiting",
        title=_about(one, one.decision.reason),
        href=links.tick(one.tick),
        model=one.model,
        why=f"On hold until {_lower(until)}" if until else "",
        size=one.size,
        of=one.fleet_size,
        since=one.at,
    )


def _about(one: Recorded, reason: str) -> str:
    scope = one.decision.scope
    if one.size == 1 and len(scope.segments) == 1 and one.fleet_size > 1 and not scope.others:
        return f"{segment_words(scope.segments[0])}: {reason}"
    return reason


def _lower(sentence: str) -> str:
    text = sentence.strip().rstrip(".")
    first, _, rest = text.partition(" ")
    plain = first[:1].isupper() and first[1:].islower()
    return f"{first.lower() if plain else first} {rest}".strip() + "." if text else ""
