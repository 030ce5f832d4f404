"""Recorded runs."""

from __future__ import annotations

from keepwell.server.routing import Ask, Name, Page, Paging, Route
from keepwell.tracking import service
from keepwell.tracking.model import Run, Status


class RunsQuery(Paging, frozen=True, kw_only=True):
    """Which runs."""

    model: Name | None = None
    kind: Name | None = None
    status: Status | None = None
    parent: Name | None = None


def runs(ask: Ask[RunsQuery, None]) -> Page[Run]:
    """List runs, newest first."""
    wanted = ask.query
    with ask.read() as tx:
        found = service.runs(
            tx,
            model=wanted.model,
            kind=wanted.kind,
            status=wanted.status,
            parent=wanted.parent,
            before=ask.after(str),
            limit=ask.limit + 1,
        )
    return ask.page(found, lambda run: run.id)


def run(ask: Ask[None, None]) -> Run:
    """Return one run."""
    with ask.read() as tx:
        return service.run(tx, ask.path["run"])


ROUTES = (
    Route("GET", "/api/runs", "runs.read", runs, "List runs, newest first.", query=RunsQuery, answer=Page[Run]),
    Route("GET", "/api/runs/{run}", "runs.read", run, "Return a run.", answer=Run),
)  # fmt: skip
