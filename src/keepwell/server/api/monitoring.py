"""Incidents, signals and performance."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from keepwell.core.ids import check_id
from keepwell.db import Transaction
from keepwell.governance.charters import current_charter
from keepwell.monitoring import service
from keepwell.monitoring.model import Incident, Point, Severity, Signal, SignalKind, SignalState, Window, Windows
from keepwell.server.routing import Ask, Body, Name, Page, Paging, Reason, Route

Segment = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class IncidentsQuery(Paging, frozen=True, kw_only=True):
    """Which incidents."""

    state: Literal["open", "closed"] | None = None
    model: Name | None = None
    dataset: Name | None = None
    segment: Segment | None = None
    kind: Name | None = None
    severity: Severity | None = None
    q: Name | None = None


class SignalsQuery(Paging, frozen=True, kw_only=True):
    """Which of the newest signals."""

    segment: Segment | None = None
    kind: SignalKind | None = None
    state: SignalState | None = None


class SinceQuery(Paging, frozen=True, kw_only=True):
    """Of which member, from which moment on."""

    segment: Segment | None = None
    kind: SignalKind | None = None
    since: datetime | None = None


class PerformanceQuery(Paging, frozen=True, kw_only=True):
    """Of which member, from which moment on."""

    segment: Segment | None = None
    since: datetime | None = None


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


def signals(ask: Ask[SignalsQuery, None]) -> Page[Signal]:
    """List the newest signal of each member and kind."""
    wanted = ask.query
    with ask.read() as tx:
        found = service.signals(tx, _model(tx, ask), segment=wanted.segment, kind=wanted.kind, state=wanted.state)
    return ask.page_of(found, lambda signal: f"{signal.kind}\0{signal.segment}")


def signal_counts(ask: Ask[None, None]) -> dict[str, dict[SignalState, int]]:
    """Count members by kind and state of their newest signals."""
    with ask.read() as tx:
        return service.signal_counts(tx, _model(tx, ask))


def signal_history(ask: Ask[SinceQuery, None]) -> Page[Point]:
    """List signals week by week, oldest first."""
    wanted, start = ask.query, ask.after(int) or 0
    with ask.read() as tx:
        found = service.signal_history(
            tx, _model(tx, ask), segment=wanted.segment, kind=wanted.kind, since=wanted.since
        )
    shown = list(enumerate(found[start : start + ask.limit + 1], start=start + 1))
    return Page([one for _, one in shown[: ask.limit]], ask.token(_next(len(shown), start, ask.limit)))


def performance(ask: Ask[PerformanceQuery, None]) -> Page[Window]:
    """List windows of performance, oldest first."""
    start = ask.after(int) or 0
    with ask.read() as tx:
        found = service.performance(tx, _model(tx, ask), since=ask.query.since, segment=ask.query.segment)
    end = min(len(found), start + ask.limit)
    more = end if end < len(found) else None
    return Page([_window(found, row) for row in range(start, end)], ask.token(more))


def _model(tx: Transaction, ask: Ask[Any, Any]) -> str:
    return current_charter(tx, ask.path["model"]).charter.model


def _next(found: int, start: int, limit: int) -> int | None:
    return start + limit if found > limit else None


def _window(found: Windows, row: int) -> Window:
    """Return one row of the columns; what is not known is None."""
    return Window(
        segment=found.segment[row],
        version=found.version[row],
        window_start=_moment(found.window_start[row]),
        window_end=_moment(found.window_end[row]),
        n=int(found.n[row]),
        complete=bool(found.complete[row]),
        volume=float(found.volume[row]),
        metrics={name: _known(values[row]) for name, values in found.metrics.items()},
        counts={name: int(values[row]) for name, values in found.counts.items()},
        baseline={name: _known(values[row]) for name, values in found.baseline.items()},
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _moment(value: Any) -> datetime:
    found: datetime = value.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)


ROUTES = (
    Route("GET", "/api/incidents", "monitoring.read", incidents, "List incidents, newest first.",
          query=IncidentsQuery, answer=Page[Incident]),
    Route("GET", "/api/incidents/{incident}", "monitoring.read", incident, "Return an incident.", answer=Incident),
    Route("POST", "/api/incidents/{incident}/close", "incidents.close", close, "Close an incident on evidence.",
          body=Close, answer=Incident),
    Route("GET", "/api/models/{model}/signals", "monitoring.read", signals, "List the newest signals.",
          query=SignalsQuery, answer=Page[Signal]),
    Route("GET", "/api/models/{model}/signal-counts", "monitoring.read", signal_counts,
          "Count members by kind and state of their signals.", answer=dict[str, dict[str, int]]),
    Route("GET", "/api/models/{model}/signal-history", "monitoring.read", signal_history,
          "List signals week by week, oldest first.", query=SinceQuery, answer=Page[Point]),
    Route("GET", "/api/models/{model}/performance", "monitoring.read", performance,
          "List windows of performance, oldest first.", query=PerformanceQuery, answer=Page[Window]),
)  # fmt: skip
