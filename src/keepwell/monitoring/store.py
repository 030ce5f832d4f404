"""Monitoring's tables and queries: incidents, signals, windows of performance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from sqlalchemy import (
    Column,
    Exists,
    ForeignKey,
    Index,
    Row,
    String,
    Table,
    Text,
    exists,
    insert,
    or_,
    select,
    text,
    update,
)

from keepwell.core.clock import from_iso, iso
from keepwell.db import Transaction, metadata
from keepwell.db.portable import has_text
from keepwell.db.schema import Json
from keepwell.monitoring.model import Incident

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(30), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("model", Text),
    Column("subject", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("severity", String(5), nullable=False),
    Column("datasets", Json, nullable=False),
    Column("segments", Json, nullable=False),
    Column("facts", Json, nullable=False),
    Column("cause", Text, nullable=False),
    Column("state", String(6), nullable=False),
    Column("opened_at", String(27), nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("closed_at", String(27)),
    Column("closed_by", Text),
    Column("reason", Text),
    Column("evidence", Json),
    Index(
        "uq_incidents_open_cause",
        "cause",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
    Index(None, "state", "id"),
    Index(None, "model", "id"),
)
touches = Table(
    "incident_touches",
    metadata,
    Column("what", String(8), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("incident", String(30), ForeignKey("incidents.id"), primary_key=True),
    Index(None, "incident"),
)


def add_incident(tx: Transaction, incident: Incident) -> None:
    """Write a new incident and what it touches."""
    tx.execute(
        insert(incidents).values(
            id=incident.id,
            kind=incident.kind,
            model=incident.model,
            subject=incident.subject,
            title=incident.title,
            severity=incident.severity,
            datasets=list(incident.datasets),
            segments=list(incident.segments),
            facts=dict(incident.facts),
            cause=incident.cause,
            state=incident.state,
            opened_at=iso(incident.opened_at),
            opened_by=incident.opened_by,
        )
    )
    add_touches(tx, incident.id, "dataset", incident.datasets)
    add_touches(tx, incident.id, "segment", incident.segments)


def add_touches(tx: Transaction, incident: str, what: str, names: Iterable[str]) -> None:
    """Write that an incident touches datasets or segments."""
    if rows := [{"what": what, "name": name, "incident": incident} for name in names]:
        tx.execute(insert(touches), rows)


def change_incident(tx: Transaction, incident: str, **values: object) -> None:
    """Set columns of an incident."""
    tx.execute(update(incidents).where(incidents.c.id == incident).values(**values))


def incident(tx: Transaction, incident_id: str) -> Incident | None:
    """Return one incident."""
    row = tx.execute(select(incidents).where(incidents.c.id == incident_id)).first()
    return _incident(row) if row else None


def open_by_cause(tx: Transaction, cause: str) -> Incident | None:
    """Return the open incident with this cause."""
    row = tx.execute(select(incidents).where(incidents.c.cause == cause, incidents.c.state == "open")).first()
    return _incident(row) if row else None


def open_for(tx: Transaction, model: str, datasets: Sequence[str]) -> list[Incident]:
    """Return the open incidents of a model or of datasets, oldest first."""
    query = select(incidents).where(
        incidents.c.state == "open", or_(incidents.c.model == model, _touches("dataset", datasets))
    )
    return [_incident(row) for row in tx.execute(query.order_by(incidents.c.id))]


def find_incidents(
    tx: Transaction,
    equal: Mapping[str, str | None],
    *,
    dataset: str | None,
    segment: str | None,
    q: str | None,
    before: str | None,
    limit: int,
) -> list[Incident]:
    """Return incidents, newest first; `equal` are columns and the values they must have (None: any)."""
    query = select(incidents)
    for column, value in equal.items():
        if value is not None:
            query = query.where(incidents.c[column] == value)
    if dataset is not None:
        query = query.where(_touches("dataset", (dataset,)))
    if segment is not None:
        query = query.where(_touches("segment", (segment,)))
    if q:
        like = [has_text(incidents.c[c], q) for c in ("title", "subject", "cause", "id")]
        query = query.where(or_(*like))
    if before is not None:
        query = query.where(incidents.c.id < before)
    return [_incident(row) for row in tx.execute(query.order_by(incidents.c.id.desc()).limit(limit))]


def _touches(what: str, names: Sequence[str]) -> Exists:
    return exists().where(touches.c.incident == incidents.c.id, touches.c.what == what, touches.c.name.in_(names))


def _incident(row: Row[tuple[object, ...]]) -> Incident:
    return Incident(
        id=row.id,
        kind=row.kind,
        model=row.model,
        subject=row.subject,
        title=row.title,
        severity=row.severity,
        datasets=tuple(row.datasets),
        segments=tuple(row.segments),
        facts=cast("Mapping[str, object]", row.facts),
        cause=row.cause,
        state=row.state,
        opened_at=from_iso(row.opened_at),
        opened_by=row.opened_by,
        closed_at=from_iso(row.closed_at) if row.closed_at else None,
        closed_by=row.closed_by,
        reason=row.reason,
        evidence=cast("Mapping[str, object] | None", row.evidence),
    )
