"""Values of the registry: members and versions, batches, champions, and a fleet as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

VersionState = Literal["registered", "held", "promoted", "retired", "discarded"]
"""What a version is: new; kept back with a reason; a champion somewhere; a champion no more; given up."""

Cause = Literal["promotion", "rollback"]
"""Why a champion became one."""


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a fleet, as it is handed to the registry.

    Attributes:
        segment: key of its segment (`core.segments`); `all` for a model without segments.
        artifact: digest of its bytes.
        offset: where its bytes start in the pack.
        length: how many bytes it has.
        facts: what the training says of it: rows, series, weights. JSON.
        metrics: its own metrics over all rows, for lists and search; None is unknown.
    """

    segment: str
    artifact: str
    offset: int
    length: int
    facts: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Versions that were registered in one call: a fleet, a part of one, or a single model.

    Attributes:
        id: its id (`bat_...`).
        model: name of the model or fleet.
        count: how many versions it holds.
        run_id: the run that trained them.
        dataset_version: the data they learned from.
        code: commit, or digest of the code.
        environment: digest of the environment they were trained in.
        pack: digest of the blob that holds their bytes, one after the other.
        members: digest of the canonical list of (version, segment, number, artifact, offset, length).
        trained_at: when the training ended.
        trained_until: last time value they have seen.
        created_at: when they were registered.
        created_by: stable id of who registered them: the author.
    """

    id: str
    model: str
    count: int
    run_id: str | None
    dataset_version: str | None
    code: str | None
    environment: str | None
    pack: str
    members: str
    trained_at: datetime
    trained_until: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One immutable version of one member.

    Attributes are those of its batch and of its member; besides, `number` counts the versions of the segment from 1
    without a gap and is never given again, `state` is what it is now, and `reason` says why.
    """

    id: str
    model: str
    segment: str
    number: int
    batch: str
    artifact: str
    pack: str
    offset: int
    length: int
    run_id: str | None
    dataset_version: str | None
    code: str | None
    environment: str | None
    trained_at: datetime
    trained_until: str
    state: VersionState
    created_at: datetime
    created_by: str
    reason: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a version is now, without where it came from."""

    id: str
    model: str
    segment: str
    number: int
    state: VersionState
    reason: str | None


@dataclass(frozen=True, slots=True)
class Champion:
    """A version that answers, or answered, for a segment in an environment.

    Attributes:
        seq: number of the ledger's entry that made it champion; orders the history, also when clocks do not.
        model: name of the model or fleet.
        environment: where.
        segment: for which segment.
        version_id: which version.
        number: its number.
        since: from when.
        until: until when; None while it is the champion.
        cause: `promotion` or `rollback`.
        decision: id of the decision of the loop that asked for it, if one did.
        by: stable id of who did it.
    """

    seq: int
    model: str
    environment: str
    segment: str
    version_id: str
    number: int
    since: datetime
    until: datetime | None
    cause: Cause
    decision: str | None
    by: str


@dataclass(frozen=True, slots=True)
class Model:
    """A registered name: one model, or a fleet.

    Attributes:
        name: as it was first written; names that differ in case only are one.
        members: how many segments have a version.
        versions: how many versions there are.
        created_at: when the first was registered.
    """

    name: str
    members: int
    versions: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FleetMember:
    """What a list of a fleet shows of one segment: its newest version and its champion.

    Attributes:
        segment: key of the segment.
        version_id: its newest version.
        number: that version's number.
        state: that version's state.
        reason: why it is in that state.
        metrics: that version's own metrics over all rows.
        trained_at: when it was trained.
        champion_id: the version that answers in the environment asked for, or None.
        champion_number: its number.
        champion_since: from when it answers.
        champion_metrics: its own metrics over all rows when it was certified.
    """

    segment: str
    version_id: str
    number: int
    state: VersionState
    reason: str | None
    metrics: Mapping[str, float | None]
    trained_at: datetime
    champion_id: str | None
    champion_number: int | None
    champion_since: datetime | None
    champion_metrics: Mapping[str, float | None] | None


@dataclass(frozen=True, slots=True)
class FleetPage:
    """A page of a fleet's members.

    Attributes:
        members: at most as many as were asked for.
        total: how many match in all.
        after: give this to get the next page; None on the last.
    """

    members: Sequence[FleetMember]
    total: int
    after: str | None


@dataclass(frozen=True, slots=True)
class VersionPage:
    """A page of versions; `after` as in `FleetPage`."""

    versions: Sequence[ModelVersion]
    after: str | None


class MemberStanding(NamedTuple):
    """What answers for one segment, and what wants to; for pages of whole fleets.

    Attributes:
        segment: its key.
        version_id: its newest version.
        number: that version's number.
        state: that version's state.
        reason: why.
        trained_at: when what answers, else the newest version, was trained, as `core.clock.iso` writes it.
        champion_id: the version that answers, or None.
        champion_number: its number, or None.
        champion_since: from when, as text, or None.
    """

    segment: str
    version_id: str
    number: int
    state: VersionState
    reason: str | None
    trained_at: str
    champion_id: str | None
    champion_number: int | None
    champion_since: str | None


@dataclass(frozen=True, slots=True)
class FleetColumns:
    """A whole fleet as columns of equal length, ordered by segment; for the loop and for the map.

    Attributes:
        segment: keys.
        version_id: newest version of each.
        number: its number.
        state: its state.
        reason: why.
        trained_at: when it was trained, as `core.clock.iso` writes it.
        metrics: its own metrics over all rows.
        facts: what its training said of it.
        champion_id: the version that answers in the environment, or None.
        champion_number: its number, or None.
        champion_since: from when, as text, or None.
        champion_trained_at: when it was trained, as text, or None.
        champion_metrics: its metrics when it was certified, or None.
    """

    segment: Sequence[str]
    version_id: Sequence[str]
    number: Sequence[int]
    state: Sequence[str]
    reason: Sequence[str | None]
    trained_at: Sequence[str]
    metrics: Sequence[Mapping[str, float | None]]
    facts: Sequence[Mapping[str, object]]
    champion_id: Sequence[str | None]
    champion_number: Sequence[int | None]
    champion_since: Sequence[str | None]
    champion_trained_at: Sequence[str | None]
    champion_metrics: Sequence[Mapping[str, float | None] | None]
