"""Incidents, signals and performance."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from keepwell.core.ids import check_id
from keepwell.monitoring import service
from keepwell.monitoring.model import Incident, Severity
from keepwell.server.routing import Ask, Body, Name, Page, Paging, Reason, Route


class IncidentsQuery(Paging, frozen=True, kw_only=True):
    """Which incidents."""

    state: Literal["open", "closed"] | None = None
    model: Name | None = None
    dataset: Name | None = None
    segment: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    kind: Name | None = None
    severity: Severity | None = None
    q: Name | None = None


class Close(Body, frozen=True, kw_only=True):
    """Why an incident is over, and what shows it: ids or numbers by name."""

    reason: Reason
    evidence: Annotated[dict[Name, str | int | float | bool], msgspec.Meta(min_length=1, max_length=50)]


def incidents(ask: Ask[IncidentsQuery, None]) -> Page[Incident]:
    """List incidents, newest first."""
    wanted = ask.query
    with ask.read() as tx:
        found = service.incidents(
            tx,
            state=wanted.state,
            model=wanted.model,
            dataset=wanted.dataset,
            segment=wanted.segment,
            kind=wanted.kind,
            severity=wanted.severity,
            q=wanted.q,
            before=ask.after(str),
            limit=ask.limit + 1,
        )
    return ask.page(found, lambda incident: incident.id)


def incident(ask: Ask[None, None]) -> Incident:
    """Return one incident."""
    with ask.read() as tx:
        return service.incident(tx, check_id(ask.path["incident"], "inc"))


def close(ask: Ask[None, Close]) -> Incident:
    """Close an incident on evidence that it is over."""
    with ask.write() as tx:
        return service.close_incident(
            tx, ask.call(), check_id(ask.path["incident"], "inc"), ask.body.reason, ask.body.evidence
        )


ROUTES = (
    Route("GET", "/api/incidents", "monitoring.read", incidents, "List incidents, newest first.",
          query=IncidentsQuery, answer=Page[Incident]),
    Route("GET", "/api/incidents/{incident}", "monitoring.read", incident, "Return an incident.", answer=Incident),
    Route("POST", "/api/incidents/{incident}/close", "incidents.close", close, "Close an incident on evidence.",
          body=Close, answer=Incident),
)  # fmt: skip
