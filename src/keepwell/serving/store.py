"""Tables and queries of scoring."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    select,
    update,
)

from keepwell.core.clock import from_iso, iso
from keepwell.db import Transaction, metadata
from keepwell.db.schema import Json
from keepwell.serving.model import Scoring

scorings = Table(
    "scorings",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("model", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("slot", String(27), nullable=False),
    Column("origin", Text, nullable=False),
    Column("at", String(27), nullable=False),
    Column("input", String(32), nullable=False),
    Column("output", String(32), nullable=False),
    Column("part", String(71), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("answered", Json, nullable=False),
    Column("silent", Json, nullable=False),
    Column("first", Text, nullable=False),
    Column("last", Text, nullable=False),
    Column("joined", Integer, nullable=False, default=0),
    Column("joined_input", String(32)),
    Column("closed", Boolean, nullable=False, default=False),
    UniqueConstraint("model", "environment", "slot"),
    Index(None, "model", "closed"),
    Index(None, "model", "at"),
)


def add(tx: Transaction, scoring: Scoring) -> None:
    """Write a scoring."""
    tx.execute(
        insert(scorings).values(
            id=scoring.id,
            model=scoring.model,
            environment=scoring.environment,
            slot=iso(scoring.slot),
            origin=scoring.origin,
            at=iso(scoring.at),
            input=scoring.input,
            output=scoring.output,
            part=scoring.part,
            rows=scoring.rows,
            answered=dict(scoring.answered),
            silent=list(scoring.silent),
            first=scoring.first,
            last=scoring.last,
            joined=scoring.joined,
            joined_input=scoring.joined_input,
            closed=scoring.closed,
        )
    )


def by_id(tx: Transaction, scoring_id: str) -> Scoring | None:
    """Return one scoring, if it is there."""
    row = tx.execute(select(scorings).where(scorings.c.id == scoring_id)).first()
    return _scoring(row) if row else None


def by_slot(tx: Transaction, model: str, environment: str, slot: datetime) -> Scoring | None:
    """Return the scoring of a model for a moment of its schedule, if it is there."""
    row = tx.execute(
        select(scorings).where(
            scorings.c.model == model, scorings.c.environment == environment, scorings.c.slot == iso(slot)
        )
    ).first()
    return _scoring(row) if row else None


def newest(tx: Transaction, model: str, limit: int, before: str | None = None) -> list[Scoring]:
    """Return a model's scorings, newest first, older than the moment `before` when it is given."""
    query = select(scorings).where(scorings.c.model == model)
    if before is not None:
        query = query.where(scorings.c.at < before)
    return [_scoring(row) for row in tx.execute(query.order_by(scorings.c.at.desc()).limit(limit))]


def waiting_for_outcomes(tx: Transaction, model: str) -> list[Scoring]:
    """Return a model's scorings whose outcomes have not all come, oldest first."""
    query = select(scorings).where(scorings.c.model == model, scorings.c.closed.is_(False))
    return [_scoring(row) for row in tx.execute(query.order_by(scorings.c.at))]


def set_joined(tx: Transaction, scoring_id: str, joined: int, input_version: str, closed: bool) -> None:
    """Note how many rows have met their outcome, and with which data."""
    tx.execute(
        update(scorings)
        .where(scorings.c.id == scoring_id)
        .values(joined=joined, joined_input=input_version, closed=closed)
    )


def _scoring(row: Row[tuple[object, ...]]) -> Scoring:
    values = dict(row._mapping)
    values["silent"] = tuple(row.silent)
    values["at"], values["slot"] = from_iso(row.at), from_iso(row.slot)
    return Scoring(**values)
