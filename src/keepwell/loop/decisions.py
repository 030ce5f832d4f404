"""Decisions as frozen values: what is to be done, for which segments, why, by which clause, resting on which facts.

Live, a decision becomes work; in replay it is counted; on a page it is explained. A decision that does not say its
scope, reason, clause and facts does not type-check, and is refused when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from keepwell.core.errors import InvalidInput

Severity = Literal["watch", "bad"]
Trigger = Literal["no_model", "cannot_answer", "performance", "drift", "staleness", "schedule", "new_data", "code",
                  "person"]  # fmt: skip
TRIGGERS: tuple[Trigger, ...] = (
    "no_model",
    "cannot_answer",
    "person",
    "performance",
    "drift",
    "staleness",
    "schedule",
    "new_data",
    "code",
)
"""What starts a training, most pressing first."""


class Scope(msgspec.Struct, frozen=True):
    """The segments that a decision is about.

    Attributes:
        segments: named segments, sorted.
        others: the scope is every segment of the fleet but the named ones.
    """

    segments: tuple[str, ...] = ()
    others: bool = False

    def covers(self, segment: str) -> bool:
        """Tell whether a segment of the fleet is in the scope."""
        return (segment in self.segments) is not self.others

    def of(self, fleet: Sequence[str]) -> tuple[str, ...]:
        """Return the scope's segments, in the order of the fleet."""
        if not self.others:
            return self.segments
        but = frozenset(self.segments)
        return tuple(s for s in fleet if s not in but)

    def size(self, fleet_size: int) -> int:
        """Return how many segments of a fleet of that size are in the scope."""
        return fleet_size - len(self.segments) if self.others else len(self.segments)


EVERYTHING = Scope(others=True)
"""The whole fleet."""


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """One thing a decision rests on: what it is, and its id (or its value, where it has no id)."""

    what: str
    id: str


class Made(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every decision says.

    Attributes:
        scope: the segments it is about.
        reason: why, in one sentence for people.
        clause: the place in the charter that it follows.
        facts: what it rests on, by id; never empty.
    """

    scope: Scope
    reason: str
    clause: str
    facts: tuple[Fact, ...]

    def __post_init__(self) -> None:
        if not (self.reason.strip() and self.clause.strip() and self.facts):
            raise InvalidInput(f"A {type(self).__name__} needs a reason, a clause of the charter, and facts.")


class RollBack(Made, frozen=True, kw_only=True, tag="roll_back"):
    """A guard shows harm: the version before answers again.

    Attributes:
        environment: where.
        versions: what answers now, one a segment of the scope, in its order.
        to: what answered before, likewise.
    """

    environment: str
    versions: tuple[str, ...]
    to: tuple[str, ...]


class FailOver(Made, frozen=True, kw_only=True, tag="fail_over"):
    """A version cannot answer: what the charter names as fallback answers.

    Attributes:
        versions: what cannot answer, one a segment of the scope, in its order.
        fallback: tried in order: `last_champion`, `baseline`.
    """

    versions: tuple[str, ...]
    fallback: tuple[str, ...]


class Quarantine(Made, frozen=True, kw_only=True, tag="quarantine"):
    """An arrival breaches its contract: nothing reads it until a person settles it.

    Attributes:
        arrivals: the arrivals.
    """

    arrivals: tuple[str, ...]


class OpenIncident(Made, frozen=True, kw_only=True, tag="open_incident"):
    """A finding with one root cause.

    Attributes:
        incident_kind: `data`, `freshness`, ...
        cause: the root cause as a stable text; while it is open it opens no second one.
        subject: what it is about, as `<type>:<id or name>`.
        title: one sentence for people.
        severity: `bad` needs someone now, `watch` soon.
        datasets: what it makes doubtful.
    """

    incident_kind: str
    cause: str
    subject: str
    title: str
    severity: Severity
    datasets: tuple[str, ...]


class CloseIncident(Made, frozen=True, kw_only=True, tag="close_incident"):
    """There is evidence that an incident is over.

    Attributes:
        incident: its id.
    """

    incident: str


class Condition(Made, frozen=True, kw_only=True, tag="condition"):
    """Files arrived: condition them, hold them to their contract, add them to the dataset.

    Attributes:
        arrivals: ids or names of the files, sorted.
    """

    arrivals: tuple[str, ...]


class Score(Made, frozen=True, kw_only=True, tag="score"):
    """The fleet is due to be scored.

    Attributes:
        slot: the moment of the schedule that it is for.
        fallback: segments without a version that can answer; their rows come from the fallback and say so.
    """

    slot: str
    fallback: Scope


class Advance(Made, frozen=True, kw_only=True, tag="advance"):
    """A challenger that passed its gates goes on to an environment before production.

    Attributes:
        environment: the last one that wants no approval; the ones before it are passed on the way.
        versions: one a segment of the scope, in its order.
    """

    environment: str
    versions: tuple[str, ...]


class Promote(Made, frozen=True, kw_only=True, tag="promote"):
    """A challenger is better, or the first to pass, and approved where that is demanded: it answers from now on.

    Attributes:
        environment: production; the environments before it are passed on the way.
        versions: one a segment of the scope, in its order.
        replaces: the champions they replace, likewise; None for a segment that had none.
    """

    environment: str
    versions: tuple[str, ...]
    replaces: tuple[str | None, ...]


class AskApproval(Made, frozen=True, kw_only=True, tag="ask_approval"):
    """The charter wants a person before this goes on.

    Attributes:
        what: `promotion` of the versions, or `training` of the segments.
        environment: where they would be promoted to.
        roles: who must approve.
        versions: one a segment of the scope, in its order; empty for a training.
    """

    what: Literal["promotion", "training"]
    environment: str
    roles: tuple[str, ...]
    versions: tuple[str, ...]


class Discard(Made, frozen=True, kw_only=True, tag="discard"):
    """A challenger failed, is worse, was refused, or was held for as long as the charter says.

    Attributes:
        versions: one a segment of the scope, in its order.
        cause: the cause of an alert that still stands for these segments; None when there is none.
    """

    versions: tuple[str, ...]
    cause: str | None = None


class Train(Made, frozen=True, kw_only=True, tag="train"):
    """A trigger fired, and nothing stands against training.

    Attributes:
        triggers: what fired, most pressing first.
        dataset_version: what to learn from; None when there is no other than the latest.
        replaces: challengers that the new version takes the place of; discarded with it.
    """

    triggers: tuple[Trigger, ...]
    dataset_version: str | None
    replaces: tuple[str, ...]


class Alert(Made, frozen=True, kw_only=True, tag="alert"):
    """Someone must know. Sent once per cause while the cause stands.

    Attributes:
        cause: the cause as a stable text.
        severity: `bad` needs someone now, `watch` soon.
        owner: whom it is for, from the charter.
        until: what would end it.
        discards: challengers of the scope that go meanwhile, as they failed or were held long enough.
    """

    cause: str
    severity: Severity
    owner: str
    until: str
    discards: tuple[str, ...] = ()


class Hold(Made, frozen=True, kw_only=True, tag="hold"):
    """Nothing is to be done.

    Attributes:
        until: what would change that.
        cause: the cause of an alert that still stands; None when there is none.
        waits_for_a_person: a person was asked for an approval and has not answered.
    """

    until: str
    cause: str | None = None
    waits_for_a_person: bool = False


Decision = (
    RollBack
    | FailOver
    | Quarantine
    | OpenIncident
    | CloseIncident
    | Condition
    | Score
    | Advance
    | Promote
    | AskApproval
    | Discard
    | Train
    | Alert
    | Hold
)
Outcome = RollBack | Promote | AskApproval | Discard | Train | Alert | Hold
"""What a segment gets exactly one of, each tick. The others are work of the whole fleet beside it."""
OUTCOMES = (RollBack, Promote, AskApproval, Discard, Train, Alert, Hold)


def kind_of(decision: Decision) -> str:
    """Return a decision's kind as it is written: `train`, `hold`, ..."""
    return str(decision.__struct_config__.tag)


def outcomes(decisions: Iterable[Decision]) -> list[Outcome]:
    """Return those decisions that are outcomes of segments."""
    return [d for d in decisions if isinstance(d, OUTCOMES)]


def causes(decisions: Iterable[Decision]) -> frozenset[str]:
    """Return the causes that someone was told of and that still stand after these decisions."""
    return frozenset(d.cause for d in decisions if isinstance(d, Alert | Hold | Discard) and d.cause is not None)


def encode(decisions: Sequence[Decision]) -> bytes:
    """Return decisions as JSON, the same bytes for the same decisions."""
    return msgspec.json.encode(decisions)


_DECODER = msgspec.json.Decoder(tuple[Decision, ...])
_ONE: msgspec.json.Decoder[Decision] = msgspec.json.Decoder(Decision)


def decode(text: bytes | str) -> tuple[Decision, ...]:
    """Return the decisions that `encode` wrote."""
    return _DECODER.decode(text)


def decode_one(text: bytes | str) -> Decision:
    """Return the decision that a place of `encode` wrote."""
    return _ONE.decode(text)
