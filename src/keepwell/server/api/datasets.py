"""Datasets: versions, profiles, differences; arrivals and what becomes of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.ids import check_id
from keepwell.core.names import name_key
from keepwell.datasets import checking, difference, service, store
from keepwell.datasets.content import manifest_of, profile_of, rows_of
from keepwell.datasets.difference import Difference
from keepwell.datasets.model import Arrival, ArrivalState, DatasetSummary, DatasetVersion, Manifest, Noticed
from keepwell.datasets.parts import decode
from keepwell.db import Transaction
from keepwell.flows.receive import settle
from keepwell.server.routing import MAX_PAGE, Ask, Body, Name, Page, Paging, Query, Reason, Route

Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]


class Against(Query, frozen=True, kw_only=True):
    """The other version; the one before it if absent."""

    before: Name | None = None


class OfState(Query, frozen=True, kw_only=True):
    """Arrivals of one state."""

    state: ArrivalState | None = None
    limit: Limit = 100


class ArrivalsQuery(Paging, frozen=True, kw_only=True):
    """Arrivals of one state."""

    state: ArrivalState | None = None


class RowsQuery(Query, frozen=True, kw_only=True):
    """How many rows."""

    limit: Limit = 100


class Why(Body, frozen=True, kw_only=True):
    """The reason that is recorded."""

    reason: Reason


class Rows(msgspec.Struct, frozen=True):
    """Some rows of a table, and how many there are in all."""

    total: int
    rows: list[dict[str, Any]]


def all_datasets(ask: Ask[Paging, None]) -> Page[DatasetSummary]:
    """List datasets."""
    with ask.read() as tx:
        found = service.datasets(tx)
    return ask.page_of(found, lambda one: one.name)


def one_dataset(ask: Ask[None, None]) -> DatasetSummary:
    """Return one dataset."""
    with ask.read() as tx:
        name = _known(tx, ask)
        return next(one for one in service.datasets(tx) if one.name == name)


def versions(ask: Ask[Paging, None]) -> Page[DatasetVersion]:
    """List the versions of a dataset, newest first."""
    with ask.read() as tx:
        found = service.versions(tx, _known(tx, ask), before=ask.after(int), limit=ask.limit + 1)
    return ask.page(found, lambda one: one.number)


def version(ask: Ask[Any, Any]) -> DatasetVersion:
    """Return one version."""
    with ask.read() as tx:
        return service.version(tx, check_id(ask.path["version"], "dsv"))


def profile(ask: Ask[None, None]) -> dict[str, Any]:
    """Return the profile of a version."""
    found = profile_of(ask.kit.blobs, version(ask))
    if found is None:
        raise NotFound("This version was not read as a table, so it has no profile.")
    return found


def manifest(ask: Ask[None, None]) -> Manifest:
    """Return what a version is made of."""
    return manifest_of(ask.kit.blobs, version(ask))


def compare(ask: Ask[Against, None]) -> Difference:
    """Return what is different between a version and an earlier one."""
    after = version(ask)
    named = ask.query.before or after.parent
    if named is None:
        raise InvalidInput("This is the first version; name the other one.", where="before")
    with ask.read() as tx:
        before = service.version(tx, check_id(named, "dsv"))
    old, new = manifest_of(ask.kit.blobs, before), manifest_of(ask.kit.blobs, after)
    files = difference.files(old.sources(), new.sources())
    if before.rows is None or after.rows is None:
        return Difference([], None, [], files)
    form = old.form if old.form == new.form else None
    return difference.compare(rows_of(ask.kit.blobs, old), rows_of(ask.kit.blobs, new), form, files)


def noticed(ask: Ask[None, None]) -> list[Noticed]:
    """Look whether the files of the newest version are where and what they were."""
    with ask.read() as tx:
        name = _known(tx, ask)
        newest = service.latest(tx, name)
        known, arrived = service.seen(tx, name)
    if newest is None:
        return []
    return checking.check_sources(manifest_of(ask.kit.blobs, newest), known=known, arrived=arrived).noticed


def dataset_arrivals(ask: Ask[ArrivalsQuery, None]) -> Page[Arrival]:
    """List the arrivals of a dataset, newest first."""
    with ask.read() as tx:
        found = service.arrivals(tx, _known(tx, ask), ask.query.state, before=ask.after(int), limit=ask.limit + 1)
    return ask.page(found, lambda one: one.seq)


def all_arrivals(ask: Ask[OfState, None]) -> list[Arrival]:
    """List the newest arrivals of every dataset."""
    with ask.read() as tx:
        return service.arrivals(tx, None, ask.query.state, limit=ask.query.limit)


def arrival(ask: Ask[Any, Any]) -> Arrival:
    """Return one arrival."""
    with ask.read() as tx:
        return service.arrival(tx, check_id(ask.path["arrival"], "arr"))


def failed_rows(ask: Ask[RowsQuery, None]) -> Rows:
    """Return the rows of an arrival that failed its contract, with a column `reason`."""
    found = arrival(ask)
    if found.failed_rows is None:
        return Rows(0, [])
    frame = decode(ask.kit.blobs.path(found.failed_rows))
    return Rows(frame.height, frame.head(ask.query.limit).to_dicts())


def release(ask: Ask[None, Why]) -> Arrival:
    """Let a quarantined arrival in after all."""
    return settle(ask.kit, check_id(ask.path["arrival"], "arr"), ask.actor, "release", ask.body.reason)


def reject(ask: Ask[None, Why]) -> Arrival:
    """Turn a quarantined arrival away."""
    return settle(ask.kit, check_id(ask.path["arrival"], "arr"), ask.actor, "reject", ask.body.reason)


def _known(tx: Transaction, ask: Ask[Any, Any]) -> str:
    """Return the name of the dataset that the address names, when there is one."""
    name = ask.path["dataset"]
    if store.named(tx, name_key(name)) != name:
        raise NotFound("There is no such dataset; the list of datasets shows those there are.", where="dataset")
    return name


_READ, _SETTLE = "datasets.read", "datasets.settle"
ROUTES = (
    Route("GET", "/api/datasets", _READ, all_datasets, "List datasets.", query=Paging, answer=Page[DatasetSummary]),
    Route("GET", "/api/datasets/{dataset}", _READ, one_dataset, "Return a dataset.", answer=DatasetSummary),
    Route("GET", "/api/datasets/{dataset}/versions", _READ, versions, "List a dataset's versions, newest first.",
          query=Paging, answer=Page[DatasetVersion]),
    Route("GET", "/api/datasets/{dataset}/arrivals", _READ, dataset_arrivals, "List a dataset's arrivals.",
          query=ArrivalsQuery, answer=Page[Arrival]),
    Route("GET", "/api/datasets/{dataset}/check", _READ, noticed, "Say which source files moved, changed or vanished.",
          answer=list[Noticed]),
    Route("GET", "/api/dataset-versions/{version}", _READ, version, "Return a version.", answer=DatasetVersion),
    Route("GET", "/api/dataset-versions/{version}/profile", _READ, profile, "Return a version's profile.",
          answer=dict[str, Any]),
    Route("GET", "/api/dataset-versions/{version}/manifest", _READ, manifest, "Return what a version is made of.",
          answer=Manifest),
    Route("GET", "/api/dataset-versions/{version}/difference", _READ, compare, "Compare a version with an earlier one.",
          query=Against, answer=Difference),
    Route("GET", "/api/arrivals", _READ, all_arrivals, "List the newest arrivals of every dataset.",
          query=OfState, answer=list[Arrival]),
    Route("GET", "/api/arrivals/{arrival}", _READ, arrival, "Return an arrival and its findings.", answer=Arrival),
    Route("GET", "/api/arrivals/{arrival}/failed-rows", _READ, failed_rows, "Return the rows that failed, and why.",
          query=RowsQuery, answer=Rows),
    Route("POST", "/api/arrivals/{arrival}/release", _SETTLE, release, "Let a quarantined arrival in.",
          body=Why, answer=Arrival),
    Route("POST", "/api/arrivals/{arrival}/reject", _SETTLE, reject, "Turn a quarantined arrival away.",
          body=Why, answer=Arrival),
)  # fmt: skip
