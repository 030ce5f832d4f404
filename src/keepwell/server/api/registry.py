"""The registry by name and number: models, versions, tags, aliases, stages, the timeline; and the feed of changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.manifests import File as Listed
from keepwell.flows import registering
from keepwell.flows import registry as governed
from keepwell.ledger import feed
from keepwell.ledger.feed import Changes
from keepwell.models import registry
from keepwell.models.registry_model import RegisteredModel, RegisteredVersion, Span
from keepwell.server.routing import Ask, Body, Download, Name, Page, Paging, Query, Route

Text = Annotated[str, msgspec.Meta(max_length=registry.MOST_DESCRIPTION)]
Source = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
Tags = Annotated[dict[str, str], msgspec.Meta(max_length=1_000)]
Filter = Annotated[str, msgspec.Meta(max_length=10_000)]
Seq = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]

_WAITING = threading.BoundedSemaphore(4)
"""So many calls of the feed wait at once; another one is answered at once."""


class SearchQuery(Paging, frozen=True, kw_only=True):
    """Which, and in which order.

    Attributes:
        filter: such as `name LIKE 'dem%' AND tags.team = 'retail'`.
        order_by: clauses between commas, such as `name DESC`.
    """

    filter: Filter = ""
    order_by: Filter = ""


class NewModel(Body, frozen=True, kw_only=True):
    """A model without versions."""

    name: Name
    description: Text | None = None
    tags: Tags = msgspec.field(default_factory=dict)


class Described(Body, frozen=True, kw_only=True):
    """Another description; null for none."""

    description: Text | None


class Renamed(Body, frozen=True, kw_only=True):
    """Another name."""

    name: Name


class Tagged(Body, frozen=True, kw_only=True):
    """Tags to write, over those of the same name."""

    tags: Tags


class TagQuery(Query, frozen=True, kw_only=True):
    """Which tag."""

    tag: Annotated[str, msgspec.Meta(min_length=1, max_length=250)]


class Numbered(Body, frozen=True, kw_only=True):
    """Which version an alias names."""

    number: Annotated[int, msgspec.Meta(ge=1, le=10**9)]


class NewVersion(Body, frozen=True, kw_only=True):
    """What to register: a source that names something stored here; see `models.sources`."""

    source: Source
    run_id: Name | None = None
    logged_model: Name | None = None
    run_link: Source | None = None
    description: Text | None = None
    tags: Tags = msgspec.field(default_factory=dict)
    aliases: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()


class Staged(Body, frozen=True, kw_only=True):
    """Which stage, and whether its other holders are archived."""

    stage: Name
    archive_existing: bool = False


class TimelineQuery(Query, frozen=True, kw_only=True):
    """Of which segment; of all if absent."""

    segment: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 1_000


class ChangesQuery(Query, frozen=True, kw_only=True):
    """After which entry, of what, and how many seconds to wait for something to happen."""

    after: Seq = 0
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=300)] | None = None
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    wait: Annotated[float, msgspec.Meta(ge=0, le=feed.LONGEST)] = 0.0


class Was(msgspec.Struct, frozen=True):
    """Whether it was there."""

    was_there: bool


class Gone(msgspec.Struct, frozen=True):
    """How many versions were deleted."""

    versions: int


def search_models(ask: Ask[SearchQuery, None]) -> Page[RegisteredModel]:
    """Search models."""
    start = ask.after(int) or 0
    with ask.read() as tx:
        found = registry.search_models(tx, ask.query.filter, _clauses(ask), ask.limit + 1, start)
    return _page(ask, found, start)


def search_versions(ask: Ask[SearchQuery, None]) -> Page[RegisteredVersion]:
    """Search versions."""
    start = ask.after(int) or 0
    with ask.read() as tx:
        found = registry.search_versions(tx, ask.query.filter, _clauses(ask), ask.limit + 1, start)
    return _page(ask, found, start)


def create_model(ask: Ask[None, NewModel]) -> RegisteredModel:
    """Make a model."""
    with ask.write() as tx:
        return registry.create_model(tx, ask.call(), ask.body.name, ask.body.description, ask.body.tags)


def model(ask: Ask[None, None]) -> RegisteredModel:
    """Return a model."""
    with ask.read() as tx:
        return registry.registered_model(tx, ask.path["model"])


def describe_model(ask: Ask[None, Described]) -> RegisteredModel:
    """Describe a model."""
    with ask.write() as tx:
        return registry.update_model(tx, ask.call(), ask.path["model"], ask.body.description)


def rename_model(ask: Ask[None, Renamed]) -> RegisteredModel:
    """Rename a model."""
    with ask.write() as tx:
        return governed.rename_model(tx, ask.call(), ask.path["model"], ask.body.name)


def delete_model(ask: Ask[None, None]) -> Gone:
    """Delete a model."""
    with ask.write() as tx:
        return Gone(governed.delete_model(tx, ask.call(), ask.path["model"]))


def tag_model(ask: Ask[None, Tagged]) -> Mapping[str, str]:
    """Write tags of a model."""
    with ask.write() as tx:
        registry.set_model_tags(tx, ask.call(), ask.path["model"], ask.body.tags)
        return registry.registered_model(tx, ask.path["model"]).tags


def untag_model(ask: Ask[TagQuery, None]) -> Was:
    """Remove a tag of a model."""
    with ask.write() as tx:
        return Was(registry.delete_model_tag(tx, ask.call(), ask.path["model"], ask.query.tag))


def alias(ask: Ask[None, None]) -> RegisteredVersion:
    """Return the version that an alias names."""
    with ask.read() as tx:
        return governed.by_alias(tx, ask.path["model"], ask.path["alias"])


def set_alias(ask: Ask[None, Numbered]) -> RegisteredVersion:
    """Let an alias name a version."""
    with ask.write() as tx:
        governed.set_alias(tx, ask.call(), ask.path["model"], ask.path["alias"], ask.body.number)
        return registry.registered_version(tx, ask.path["model"], ask.body.number)


def delete_alias(ask: Ask[None, None]) -> Was:
    """Let an alias name nothing."""
    with ask.write() as tx:
        return Was(governed.delete_alias(tx, ask.call(), ask.path["model"], ask.path["alias"]))


def create_version(ask: Ask[None, NewVersion]) -> RegisteredVersion:
    """Register a version."""
    new = ask.body
    with ask.write() as tx:
        return registering.register_from(
            tx, ask.kit, ask.call(), ask.path["model"], new.source, new.run_id, logged_model=new.logged_model,
            run_link=new.run_link, description=new.description, tags=new.tags, aliases=new.aliases,
        )  # fmt: skip


def version(ask: Ask[Any, Any]) -> RegisteredVersion:
    """Return a version."""
    with ask.read() as tx:
        return registry.registered_version(tx, ask.path["model"], _number(ask))


def describe_version(ask: Ask[None, Described]) -> RegisteredVersion:
    """Describe a version."""
    with ask.write() as tx:
        return registry.update_version(tx, ask.call(), ask.path["model"], _number(ask), ask.body.description)


def delete_version(ask: Ask[None, None]) -> Gone:
    """Delete a version."""
    with ask.write() as tx:
        return Gone(registry.delete_version(tx, ask.call(), ask.path["model"], _number(ask)))


def restore_version(ask: Ask[None, None]) -> RegisteredVersion:
    """Bring a deleted version back."""
    with ask.write() as tx:
        registry.restore_version(tx, ask.call(), ask.path["model"], _number(ask))
        return registry.registered_version(tx, ask.path["model"], _number(ask))


def tag_version(ask: Ask[None, Tagged]) -> Mapping[str, str]:
    """Write tags of a version."""
    with ask.write() as tx:
        registry.set_version_tags(tx, ask.call(), ask.path["model"], _number(ask), ask.body.tags)
        return registry.registered_version(tx, ask.path["model"], _number(ask)).tags


def untag_version(ask: Ask[TagQuery, None]) -> Was:
    """Remove a tag of a version."""
    with ask.write() as tx:
        return Was(registry.delete_version_tag(tx, ask.call(), ask.path["model"], _number(ask), ask.query.tag))


def stage(ask: Ask[None, Staged]) -> RegisteredVersion:
    """Set the stage of a version."""
    body = ask.body
    with ask.write() as tx:
        return governed.transition_stage(
            tx, ask.call(), ask.path["model"], _number(ask), body.stage, body.archive_existing
        )


def files(ask: Ask[None, None]) -> Sequence[Listed]:
    """List the files of a version."""
    return registering.files_of(ask.kit, version(ask))


def file(ask: Ask[None, None]) -> Download:
    """Return one file of a version."""
    path = ask.path["path"]
    found = next((one for one in files(ask) if one.path == path), None)
    if found is None:
        raise NotFound("The version has no such file; its `files` lists those it has.", where="path")
    return Download(ask.kit.blobs.path(found.digest), found.digest, path.rpartition("/")[2])


def timeline(ask: Ask[TimelineQuery, None]) -> Sequence[Span]:
    """Say who held which place when, newest first."""
    with ask.read() as tx:
        return registry.timeline(tx, ask.path["model"], segment=ask.query.segment, limit=ask.query.limit)


def changes(ask: Ask[ChangesQuery, None]) -> Changes:
    """Say what happened after an entry; wait for something to happen when asked to."""
    wanted = ask.query
    waits = wanted.wait > 0 and _WAITING.acquire(blocking=False)
    try:
        return feed.wait_for_changes(
            ask.kit.db, wanted.after, wanted.wait if waits else 0.0, subject=wanted.subject, kind=wanted.kind,
            limit=wanted.limit, now=time.monotonic, sleep=time.sleep,
        )  # fmt: skip
    finally:
        if waits:
            _WAITING.release()


def _number(ask: Ask[Any, Any]) -> int:
    text = ask.path["number"]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidInput("A version has a whole number.", where="number")
    return int(text)


def _clauses(ask: Ask[SearchQuery, None]) -> list[str]:
    return [clause.strip() for clause in ask.query.order_by.split(",") if clause.strip()]


def _page(ask: Ask[SearchQuery, None], found: Sequence[Any], start: int) -> Page[Any]:
    return ask.page(found, lambda _: start + ask.limit)


_READ, _WRITE, _DELETE = "models.read", "models.write", "models.delete"
_AT = "/api/registry/models/{model}"
_VERSION = _AT + "/versions/{number}"
ROUTES = (
    Route("GET", "/api/registry/models", _READ, search_models, "Search registered models.",
          query=SearchQuery, answer=Page[RegisteredModel]),
    Route("POST", "/api/registry/models", _WRITE, create_model, "Make a model without versions.",
          body=NewModel, answer=RegisteredModel, status=201),
    Route("GET", _AT, _READ, model, "Return a registered model.", answer=RegisteredModel),
    Route("PUT", _AT, _WRITE, describe_model, "Describe a model.", body=Described, answer=RegisteredModel),
    Route("DELETE", _AT, _DELETE, delete_model, "Delete a model with its versions.", answer=Gone),
    Route("POST", _AT + "/rename", _WRITE, rename_model, "Rename a model.", body=Renamed, answer=RegisteredModel),
    Route("PUT", _AT + "/tags", _WRITE, tag_model, "Write tags of a model.", body=Tagged, answer=dict[str, str]),
    Route("DELETE", _AT + "/tags", _WRITE, untag_model, "Remove a tag of a model.", query=TagQuery, answer=Was),
    Route("GET", _AT + "/aliases/{alias}", _READ, alias, "Return the version that an alias names.",
          answer=RegisteredVersion),
    Route("PUT", _AT + "/aliases/{alias}", _WRITE, set_alias, "Let an alias name a version.",
          body=Numbered, answer=RegisteredVersion),
    Route("DELETE", _AT + "/aliases/{alias}", _WRITE, delete_alias, "Let an alias name nothing.", answer=Was),
    Route("GET", _AT + "/timeline", _READ, timeline, "Say who held which place when, newest first.",
          query=TimelineQuery, answer=list[Span]),
    Route("POST", _AT + "/versions", _WRITE, create_version, "Register a version from what is stored here.",
          body=NewVersion, answer=RegisteredVersion, status=201),
    Route("GET", _VERSION, _READ, version, "Return a version by its number.", answer=RegisteredVersion),
    Route("PUT", _VERSION, _WRITE, describe_version, "Describe a version.", body=Described, answer=RegisteredVersion),
    Route("DELETE", _VERSION, _DELETE, delete_version, "Delete a version.", answer=Gone),
    Route("POST", _VERSION + "/restore", _DELETE, restore_version, "Bring a deleted version back.",
          answer=RegisteredVersion),
    Route("PUT", _VERSION + "/tags", _WRITE, tag_version, "Write tags of a version.",
          body=Tagged, answer=dict[str, str]),
    Route("DELETE", _VERSION + "/tags", _WRITE, untag_version, "Remove a tag of a version.",
          query=TagQuery, answer=Was),
    Route("PUT", _VERSION + "/stage", _WRITE, stage, "Set the stage of a version.",
          body=Staged, answer=RegisteredVersion),
    Route("GET", _VERSION + "/files", _READ, files, "List the files of a version.", answer=list[Listed]),
    Route("GET", _VERSION + "/files/{path...}", _READ, file, "Return a file of a version, verified.", answer=Download),
    Route("GET", "/api/registry/versions", _READ, search_versions, "Search versions of all models.",
          query=SearchQuery, answer=Page[RegisteredVersion]),
    Route("GET", "/api/changes", "ledger.read", changes, "Say what happened after an entry, or wait for it.",
          query=ChangesQuery, answer=Changes),
)  # fmt: skip
