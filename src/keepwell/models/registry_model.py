"""Values of the registry as a person or a client sees it: names, versions with their labels, and the timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from keepwell.models.model import VersionState

Stage = Literal["None", "Staging", "Production", "Archived"]
"""Where a version of a model without a charter is in its life; a word that a person sets."""

Status = Literal["ready", "pending", "failed"]
"""Whether a version's bytes are there and usable."""

LaneKind = Literal["environment", "alias", "stage"]


class RegisteredVersion(msgspec.Struct, frozen=True):
    """One version of a model, with what persons wrote on it.

    Attributes:
        id: its id (`ver_...`).
        model: the model's name.
        number: counts the model's versions; never given again.
        manifest: digest of its bytes: for a folder, of the canonical list of its files (`registering.Manifest`).
        size: how many bytes `manifest` has.
        files: how many files the manifest lists; None for bytes that are no list.
        source: where it was registered from, as the caller wrote it: for reading, never opened.
        run_id: the run that made it.
        run_link: an address of that run somewhere else.
        logged_model: the logged model it is a version of.
        dataset_version: what it learned from.
        code: commit, or digest of the code.
        environment: digest of the environment it was made in.
        state: what its promotions made of it.
        stage: the stage that a person set.
        status: whether it can be used.
        status_message: why it cannot.
        description: what a person wrote of it.
        created_at: when it was registered.
        created_by: who registered it.
        updated_at: when it or what is written on it last changed.
        tags: name to text.
        aliases: which aliases name it now, by name.
    """

    id: str
    model: str
    number: int
    manifest: str
    size: int
    files: int | None
    source: str | None
    run_id: str | None
    run_link: str | None
    logged_model: str | None
    dataset_version: str | None
    code: str | None
    environment: str | None
    state: VersionState
    stage: Stage
    status: Status
    status_message: str | None
    description: str | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    tags: Mapping[str, str]
    aliases: Sequence[str]


class RegisteredModel(msgspec.Struct, frozen=True):
    """A registered name, with what persons wrote on it.

    Attributes:
        name: as it was first written; names that differ in case only are one.
        description: what a person wrote of it.
        created_at: when it was made.
        updated_at: when it or one of its versions last changed.
        tags: name to text.
        aliases: alias to the number of the version that it names.
        latest: the newest version in each stage that has one, newest first.
    """

    name: str
    description: str | None
    created_at: datetime
    updated_at: datetime
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
    latest: Sequence[RegisteredVersion]


class Span(NamedTuple):
    """From when until when a version held a place: an environment's champion, an alias, a stage.

    Attributes:
        kind: of the lane.
        lane: name of the environment, alias or stage.
        segment: of which segment; `all` for a model without segments.
        version_id: the version.
        number: its number.
        since: from when.
        until: until when; None while it holds it.
        by: who put it there.
        ended_by: who ended it, where that is known.
        cause: why: `promotion`, `rollback` or `set`.
        seq: the ledger's entry that tells of it.
    """

    kind: LaneKind
    lane: str
    segment: str
    version_id: str
    number: int
    since: datetime
    until: datetime | None
    by: str
    ended_by: str | None
    cause: str
    seq: int


class Listing(msgspec.Struct, frozen=True):
    """How a search of models or versions is asked: filter and order in the one grammar of searches, and the page.

    Attributes:
        filter: such as `name LIKE 'dem%' AND tags.team = 'retail'`; empty: everything.
        order_by: such as `["name DESC"]`.
        limit: how many at most.
        offset: how many to skip.
    """

    filter: str = ""
    order_by: Sequence[str] = ()
    limit: int = 100
    offset: int = 0
