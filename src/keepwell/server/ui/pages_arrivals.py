"""An arrived file: what was found wrong with it, the rows that failed, and the form that settles it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from keepwell.core.errors import NotFound
from keepwell.core.ids import check_id
from keepwell.datasets import service as datasets
from keepwell.datasets.parts import decode
from keepwell.flows import receive as receiving
from keepwell.ledger import service as ledger
from keepwell.server.routing import Ask, Body, Html, Reason, Route, SeeOther
from keepwell.server.ui import links
from keepwell.server.ui.render import page

SHOWN_ROWS = 50


class Settle(Body, frozen=True, kw_only=True):
    """What becomes of a quarantined arrival, and why."""

    verdict: Literal["release", "reject"]
    reason: Reason


def arrival(ask: Ask[None, None]) -> Html:
    """Show one arrival."""
    with ask.read() as tx:
        found = datasets.arrival(tx, check_id(ask.path["arrival"], "arr"))
        entry = datasets.entry_of(tx, found.id)
        entries = list(ledger.entries(tx, subject=f"arrival:{found.id}", limit=20))
        version = datasets.version(tx, found.version) if found.version else None
    rows: list[list[tuple[str | None, bool]]] = []
    names: list[str] = []
    damaged = ""
    if found.failed_rows is not None:
        try:
            frame = decode(ask.kit.blobs.path(found.failed_rows)).head(SHOWN_ROWS)
            names = ["reason", *(name for name in frame.columns if name != "reason")]
            rows = [[cell(value) for value in row] for row in frame.select(names).rows()]
        except NotFound as error:
            damaged = error.message
    return page(
        ask, "arrival.html", title=PurePath(found.uri).name, nav="data", json=f"/api/arrivals/{found.id}",
        crumbs=[("Data", "/data"), (found.dataset, links.dataset(found.dataset))],
        one=found, part=entry.part if entry else None, entries=entries, rows=rows, names=names, damaged=damaged,
        version=version, at_fault=_columns(tuple(finding.check for finding in found.findings)),
    )  # fmt: skip


def settle(ask: Ask[None, Settle]) -> SeeOther:
    """Release or reject a quarantined arrival."""
    wanted = check_id(ask.path["arrival"], "arr")
    receiving.settle(ask.kit, wanted, ask.actor, ask.body.verdict, ask.body.reason)
    return SeeOther(links.arrival(wanted))


def cell(value: object) -> tuple[str | None, bool]:
    """Return a value of a table as text, and whether it is a number."""
    if value is None or isinstance(value, bool | str):
        return (None if value is None else str(value)), False
    if isinstance(value, float):
        return f"{value:,.10g}", True
    return (f"{value:,}", True) if isinstance(value, int) else (str(value), False)


def _columns(checks: tuple[str, ...]) -> frozenset[str]:
    """Return the columns that findings are about."""
    return frozenset(check.split(".")[1] for check in checks if "." in check)


ROUTES = (
    Route("GET", "/arrivals/{arrival}", "datasets.read", arrival, "Show an arrived file.", answer=Html),
    Route("POST", "/arrivals/{arrival}", "datasets.settle", settle, "Release or reject a quarantined arrival.",
          body=Settle, form=True, answer=SeeOther),
)  # fmt: skip
