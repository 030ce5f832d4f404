"""What the registry accepts: members, changes of state, whom a roll-back returns to, what a search means. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from keepwell.core.digests import check_digest
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.core.segments import ALL, segment_values
from keepwell.models.model import Champion, Member, ModelVersion, VersionState

MOST_MEMBERS = 100_000
"""Members of one batch."""

TRANSITIONS: Mapping[str, frozenset[str]] = {
    "registered": frozenset({"held", "promoted", "discarded"}),
    "held": frozenset({"registered", "promoted", "discarded"}),
    "promoted": frozenset({"retired"}),
    "retired": frozenset({"promoted", "discarded"}),
    "discarded": frozenset(),
}
"""From which state to which a version may go."""

STATES: tuple[str, ...] = get_args(VersionState)

_REFUSED = {
    "promoted": "it is a champion; roll back or promote another version first",
    "discarded": "it was discarded, which is final; register a new version",
    "retired": "it was a champion before; promote it or discard it",
}
_SEGMENT = re.compile(r"[^,=]+=[^,=]+(?:,[^,=]+=[^,=]+)*\Z")
_NUMBER = re.compile(r"v([1-9][0-9]{0,8})\Z")


def check_transition(label: str, state: str, to: str) -> None:
    """Refuse a change of state that is not allowed; staying the same is allowed.

    Raises:
        Conflict: a version in `state` cannot become `to`.
    """
    if state != to and to not in TRANSITIONS[state]:
        why = _REFUSED.get(state, f"a version that is {state} can become {', '.join(sorted(TRANSITIONS[state]))}")
        raise Conflict(f"{label} cannot become {to}: {why}.", code="wrong_state")


def check_state(state: str) -> str:
    """Return `state` when a version can be in it.

    Raises:
        InvalidInput: it is no state.
    """
    if state not in STATES:
        raise InvalidInput(f"{state!r} is not a state of a version; there are {', '.join(STATES)}.", where="state")
    return state


def check_members(members: Sequence[Member]) -> list[Member]:
    """Return the members ordered by segment, when they can be registered together.

    Raises:
        InvalidInput: there are none or too many, a segment is named twice or cannot be one, or a number is not finite.
    """
    if not 0 < len(members) <= MOST_MEMBERS:
        raise InvalidInput(f"A batch holds 1 to {MOST_MEMBERS:,} members; this one has {len(members):,}.")
    ordered = sorted(members, key=lambda member: member.segment)
    for before, member in zip([None, *ordered], ordered, strict=False):
        if before is not None and before.segment == member.segment:
            raise InvalidInput(f"The segment {member.segment!r} is in the batch twice; give it one artifact.")
        _check_segment(member.segment)
        check_digest(member.artifact)
        if member.offset < 0 or member.length <= 0:
            raise InvalidInput(f"The artifact of {member.segment} has no bytes; every member needs some.")
        check_metrics(member.segment, member.metrics)
    return ordered


def check_metrics(segment: str, metrics: Mapping[str, float | None]) -> None:
    """Refuse metrics that are neither finite nor None (unknown).

    Raises:
        InvalidInput: one is NaN or an infinity.
    """
    for name, value in metrics.items():
        if value is not None and not math.isfinite(value):
            raise InvalidInput(f"The metric {name} of {segment} is {value}; give None for a metric that is not known.")


def _check_segment(segment: str) -> None:
    if segment != ALL and (len(segment) > 500 or not _SEGMENT.match(segment) or not segment.isprintable()):
        raise InvalidInput(
            f"{ascii(segment)[:80]} is not a segment's key: write 'all', or column=value pairs like region=South.",
            where="segment",
        )


def one_a_segment(model: str, versions: Sequence[ModelVersion]) -> list[ModelVersion]:
    """Return versions of one model by segment, when each segment has at most one.

    Raises:
        InvalidInput: a version is of another model, or two are of one segment.
    """
    of_segment: dict[str, ModelVersion] = {}
    for version in versions:
        if version.model != model:
            raise InvalidInput(f"{version.id} is a version of {version.model}, not of {model}.")
        if of_segment.setdefault(version.segment, version).id != version.id:
            raise InvalidInput(f"Two versions of {version.segment} are named; one of them can be its champion.")
    return [of_segment[segment] for segment in sorted(of_segment)]


def search_text(segment: str) -> str:
    """Return what a search of parts looks in: the key without escapes and without case."""
    if "%" in segment:
        segment = ",".join(f"{name}={value}" for name, value in segment_values(segment).items())
    return segment.casefold()


@dataclass(frozen=True, slots=True)
class Query:
    """What a search of a fleet asks for.

    Attributes:
        parts: each is somewhere in the segment's key, in any case.
        state: state of the newest version.
        number: number of the newest version.
    """

    parts: tuple[str, ...] = ()
    state: str | None = None
    number: int | None = None


def parse_query(text: str | None) -> Query:
    """Read a search: words of the segment's key, a state, a version like `v3`, in any order.

    Raises:
        InvalidInput: the text is too long or holds control characters, or names two states or two versions.
    """
    if not text:
        return Query()
    if len(text) > 400 or not text.isprintable():
        raise InvalidInput("A search is at most 400 printable characters.", where="q")
    parts: list[str] = []
    states: list[str] = []
    numbers: list[int] = []
    for word in text.casefold().split():
        if word in STATES:
            states.append(word)
        elif match := _NUMBER.match(word):
            numbers.append(int(match[1]))
        else:
            parts.append(word)
    if len(set(states)) > 1 or len(set(numbers)) > 1:
        raise InvalidInput("A version has one state and one number; search for one of each.", where="q")
    return Query(tuple(parts), states[0] if states else None, numbers[0] if numbers else None)


def previous_version(history: Iterable[Champion], discarded: frozenset[str] = frozenset()) -> str | None:
    """Return the version that a roll-back returns to, or None when there is none.

    Promotions stack up and roll-backs take the top away, so that rolling back twice goes back two promotions instead
    of returning to the version that was rolled back from.

    Args:
        history: the champions of one segment in one environment, oldest first.
        discarded: versions that may not come back.
    """
    stack: list[str] = []
    for champion in history:
        if champion.cause == "rollback" and champion.version_id in stack:
            while stack[-1] != champion.version_id:
                stack.pop()
        else:
            stack.append(champion.version_id)
    present = stack[-1] if stack else None
    return next((version for version in reversed(stack) if version != present and version not in discarded), None)


def badness(metrics: Mapping[str, float | None], metric: str) -> float | None:
    """Return how bad a metric is, larger is worse; None when it is not known. A bias is bad on both sides."""
    value = metrics.get(metric)
    if value is None or not math.isfinite(value):
        return None
    return abs(value) if metric == "bias" else value


def parse_reference(text: str) -> tuple[str, str, int | None]:
    """Read how a person names a version: `MODEL/SEGMENT/vN`, `MODEL/vN`, `MODEL/SEGMENT` or `MODEL` (the newest).

    Returns:
        The model, the segment, and the number or None.

    Raises:
        InvalidInput: the text is empty, too long or not printable.
    """
    if not 0 < len(text) <= 800 or not text.isprintable():
        raise InvalidInput("A version is named by its id, or as MODEL/SEGMENT/vN.", where="version")
    model, _, rest = text.partition("/")
    segment, slash, last = rest.rpartition("/")
    match = _NUMBER.match(last)
    if match is None:
        return model, rest or ALL, None
    return model, segment if slash else ALL, int(match[1])


def rank(members: Iterable[tuple[str, Mapping[str, float | None]]], metric: str) -> list[str]:
    """Return segments, the worst by a metric first; those where it is not known come last, by key."""
    judged = [(segment, badness(metrics, metric)) for segment, metrics in members]
    known = sorted(((-value, segment) for segment, value in judged if value is not None))
    return [segment for _, segment in known] + sorted(segment for segment, value in judged if value is None)


def narrow(asked: Query, state: str | None, number: int | None) -> Query:
    """Return the search narrowed to a state and a number given beside it.

    Raises:
        InvalidInput: the state is no state, or the number is not positive.
    """
    if state is not None:
        asked = replace(asked, state=check_state(state))
    if number is not None:
        if isinstance(number, bool) or not 1 <= number <= 10**9:
            raise InvalidInput("A version's number is a whole number from 1.", where="number")
        asked = replace(asked, number=number)
    return asked
