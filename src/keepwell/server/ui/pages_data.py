"""Data: the list of datasets, one dataset with its columns, contract and arrivals, a version, two versions compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from keepwell.charter.contract import Contract, contract_of, read_contract
from keepwell.core.errors import KeepwellError, NotFound
from keepwell.core.ids import check_id
from keepwell.core.names import name_key
from keepwell.datasets import service as datasets
from keepwell.datasets import store
from keepwell.datasets.content import manifest_of, profile_of
from keepwell.datasets.model import ArrivalState, DatasetVersion
from keepwell.db import Transaction
from keepwell.governance.charters import AppliedCharter, current_charters
from keepwell.monitoring import service as monitoring
from keepwell.server.routing import MAX_PAGE, Ask, Html, Name, Paging, Query, Route
from keepwell.server.ui import links
from keepwell.server.ui.listing import first_link, next_link
from keepwell.server.ui.render import page
from keepwell.server.ui.views_data import columns_of, line_of, rules_of, state_counts
from keepwell.tracking import service as tracking

VERSIONS = 12
_DATA = [("Data", "/data")]


class DatasetQuery(Paging, frozen=True, kw_only=True):
    """Which arrivals are listed."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 12
    state: ArrivalState | None = None


class Before(Query, frozen=True, kw_only=True):
    """The other version; the one before it if absent."""

    before: Name | None = None


def all_data(ask: Ask[None, None]) -> Html:
    """Show every dataset, those with something wrong first."""
    with ask.read() as tx:
        found = datasets.datasets(tx)
        charters = current_charters(tx)
        incidents = monitoring.incidents(tx, state="open", limit=500)
        lines = [
            line_of(
                one,
                datasets.history(tx, one.name, 50),
                incidents,
                [a.charter.model for a in charters if a.charter.data.dataset == one.name],
            )
            for one in found
        ]
    lines.sort(key=lambda one: (one.tone == "ok", one.name))
    waiting = [a for a in charters if a.charter.data.dataset not in {one.name for one in lines}]
    return page(ask, "data.html", title="Data", nav="data", json="/api/datasets", lines=lines, waiting=waiting)


def one_dataset(ask: Ask[DatasetQuery, None]) -> Html:
    """Show one dataset."""
    with ask.read() as tx:
        name = known(tx, ask.path["dataset"])
        summary = next(one for one in datasets.datasets(tx) if one.name == name)
        applied = _charter_of(tx, name)
        versions = datasets.versions(tx, name, limit=VERSIONS)
        newest = datasets.arrivals(tx, name, limit=40)
        arrivals = datasets.arrivals(tx, name, ask.query.state, before=ask.after(int), limit=ask.limit + 1)
        held = datasets.arrivals(tx, name, "quarantined", limit=20)
        incidents = monitoring.incidents(tx, dataset=name, limit=20)
        stats = datasets.history(tx, name, 50)
        models = [a.charter.model for a in current_charters(tx) if a.charter.data.dataset == name]
    contract, why_not = _contract(applied)
    data = applied.charter.data if applied else None
    profile = profile_of(ask.kit.blobs, summary.latest) if summary.latest else None
    shown = ask.page(arrivals, lambda one: one.seq)
    path = links.dataset(name)
    return page(
        ask, "dataset.html", title=name, nav="data", crumbs=_DATA, json=f"/api{path.replace('/data/', '/datasets/')}",
        line=line_of(summary, stats, [i for i in incidents if i.state == "open"], models), counts=state_counts(summary),
        versions=versions, columns=columns_of(profile, data), applied=applied, contract=contract, why_not=why_not,
        rules=rules_of(contract, data, newest), judged=len(newest[:16]), arrivals=shown.items, held=held,
        incidents=incidents, state=ask.query.state, path=path, next=next_link(ask, path, shown.next),
        first=first_link(ask, path),
    )  # fmt: skip


def one_version(ask: Ask[None, None]) -> Html:
    """Show one version: its columns, what it is made of, who read it."""
    with ask.read() as tx:
        found = datasets.version(tx, check_id(ask.path["version"], "dsv"))
        applied = _charter_of(tx, found.dataset)
        parent = datasets.version(tx, found.parent) if found.parent else None
        readers = [tracking.run(tx, run) for run in tracking.readers(tx, input_id=found.id, limit=20)]
    profile = profile_of(ask.kit.blobs, found)
    before = profile_of(ask.kit.blobs, parent) if parent else None
    return page(
        ask, "dataset_version.html", title=f"Version {found.number}", nav="data",
        crumbs=[*_DATA, (found.dataset, links.dataset(found.dataset))], json=f"/api/dataset-versions/{found.id}",
        version=found, parent=parent, readers=readers, manifest=manifest_of(ask.kit.blobs, found),
        columns=columns_of(profile, applied.charter.data if applied else None, before),
    )  # fmt: skip


def difference(ask: Ask[Before, None]) -> Html:
    """Show what is different between a version and an earlier one."""
    with ask.read() as tx:
        after = datasets.version(tx, check_id(ask.path["version"], "dsv"))
        named = ask.query.before or after.parent
        before = datasets.version(tx, check_id(named, "dsv")) if named else None
        others = datasets.versions(tx, after.dataset, limit=100)
    if before is not None and before.dataset != after.dataset:
        raise NotFound("The two versions are of different datasets; choose another one of the same.", where="before")
    found = datasets.compare(ask.kit.blobs, before, after) if before else None
    profiles: list[Any] = [profile_of(ask.kit.blobs, one) if one else None for one in (before, after)]
    cards = {one.name: one for one in columns_of(profiles[1], None, profiles[0])}
    return page(
        ask, "difference.html", title="What changed", nav="data", json=_json_of_difference(after, before),
        crumbs=[*_DATA, (after.dataset, links.dataset(after.dataset)),
                (f"Version {after.number}", links.dataset_version(after.id))],
        after=after, before=before, others=others, found=found, cards=cards,
    )  # fmt: skip


def known(tx: Transaction, name: str) -> str:
    """Return the name of a dataset that there is.

    Raises:
        NotFound: there is none of that name.
    """
    if store.named(tx, name_key(name)) != name:
        raise NotFound("There is no such dataset; the list of datasets shows those there are.", where="dataset")
    return name


def _charter_of(tx: Transaction, dataset: str) -> AppliedCharter | None:
    return next((one for one in current_charters(tx) if one.charter.data.dataset == dataset), None)


def _contract(applied: AppliedCharter | None) -> tuple[Contract | None, str]:
    """Return the contract in force, or None and why there is none."""
    if applied is None:
        return None, "No charter names this dataset, so no contract holds it."
    declared = applied.charter.data.contract
    if declared is None:
        return None, "The charter declares no contract: what arrives is only held to the form of its columns."
    try:
        if not isinstance(declared, str):
            return contract_of(declared), ""
        place = Path(applied.folder) / declared
        return read_contract(place.read_text(encoding="utf-8"), place.name), ""
    except OSError:
        return None, f"The contract's file {declared} cannot be read."
    except KeepwellError as error:
        return None, f"The contract cannot be read: {error.message}"


def _json_of_difference(after: DatasetVersion, before: DatasetVersion | None) -> str | None:
    if before is None:
        return None
    return links.with_query(f"/api/dataset-versions/{after.id}/difference", before=before.id)


_READ = "datasets.read"
ROUTES = (
    Route("GET", "/data", _READ, all_data, "Show every dataset.", answer=Html),
    Route("GET", "/data/{dataset}", _READ, one_dataset, "Show one dataset.", query=DatasetQuery, answer=Html),
    Route("GET", "/dataset-versions/{version}", _READ, one_version, "Show a version of a dataset.", answer=Html),
    Route("GET", "/dataset-versions/{version}/difference", _READ, difference, "Show what changed between versions.",
          query=Before, answer=Html),
)  # fmt: skip
