"""Tables and queries of signals: the newest of each segment and kind, and one point a week of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
)

from keepwell.core.clock import from_iso
from keepwell.core.clock import iso as _iso
from keepwell.db import Transaction, metadata
from keepwell.db.bulk import delete_rows, insert_rows
from keepwell.db.schema import Json
from keepwell.monitoring.model import STATES, Point, Signal, SignalKind, SignalState

signal_batches = Table(
    "signal_batches",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(30), nullable=False, unique=True),
    Column("model", Text, nullable=False),
    Column("at", String(27), nullable=False),
    Column("counts", Json, nullable=False),
    Index(None, "model", "seq"),
)
signals = Table(
    "signals",
    metadata,
    Column("model", Text, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("state", String(7), nullable=False),
    Column("value", Float),
    Column("limit", Float),
    Column("n", Integer, nullable=False),
    Column("about", Text, nullable=False),
    Column("window_start", String(27), nullable=False),
    Column("window_end", String(27), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("clause", Text, nullable=False),
    Column("batch", String(30), nullable=False),
    Index(None, "model", "state", "kind"),
    Index(None, "model", "segment"),
)
signal_history = Table(
    "signal_history",
    metadata,
    Column("model", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("week", String(10), primary_key=True),
    Column("state", String(7), nullable=False),
    Column("value", Float),
    Column("limit", Float),
    Column("n", Integer, nullable=False),
    Column("about", Text, nullable=False),
    Column("window_end", String(27), nullable=False),
    Index(None, "model", "kind", "week"),
)
SIGNAL = ("state", "value", "limit", "n", "about", "window_start", "window_end", "sentence", "clause")
POINT = ("state", "value", "limit", "n", "about", "window_end")
Row = tuple[object, ...]
iso = lru_cache(4096)(_iso)


def values_of(signal: Signal) -> Row:
    """Return a signal as plain values, in the order of `SIGNAL`."""
    return (
        signal.state,
        signal.value,
        signal.limit,
        signal.n,
        signal.about,
        iso(signal.window_start),
        iso(signal.window_end),
        signal.sentence,
        signal.clause,
    )


def standing(tx: Transaction, model: str) -> dict[tuple[str, str], Row]:
    """Return the newest signals of a fleet: kind and segment to values."""
    c = signals.c
    rows = tx.execute(select(c.kind, c.segment, *(c[name] for name in SIGNAL)).where(c.model == model))
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


def last_batch(tx: Transaction, model: str) -> str | None:
    """Return the id of the newest recording of a fleet's signals."""
    b = signal_batches.c
    return tx.scalar(select(b.id).where(b.model == model).order_by(b.seq.desc()).limit(1))


def add_batch(tx: Transaction, batch: str, model: str, at: datetime, counts: dict[str, int]) -> None:
    """Write that signals were recorded."""
    tx.execute(insert(signal_batches).values(id=batch, model=model, at=iso(at), counts=counts))


def put(tx: Transaction, model: str, batch: str, changed: Sequence[Signal]) -> None:
    """Put signals in the place of older ones, and in the history of their week."""
    rows = [(model, s.kind, s.segment, *values_of(s), batch) for s in changed]
    _replace(tx, signals, ("model", "kind", "segment", *SIGNAL, "batch"), 3, rows)
    points: dict[Row, Row] = {}
    for s in changed:
        key = (model, s.segment, s.kind, week_of(s.window_end))
        points[key] = (*key, s.state, s.value, s.limit, s.n, s.about, iso(s.window_end))
    _replace(tx, signal_history, ("model", "segment", "kind", "week", *POINT), 4, list(points.values()))


def find(
    tx: Transaction,
    model: str,
    *,
    segment: str | None,
    kind: SignalKind | None,
    state: SignalState | None,
    limit: int | None,
) -> list[Signal]:
    """Return the newest signals, in order of kind and segment."""
    c = signals.c
    query = select(c.segment, c.kind, *(c[name] for name in SIGNAL)).where(c.model == model)
    for column, value in ((c.segment, segment), (c.kind, kind), (c.state, state)):
        if value is not None:
            query = query.where(column == value)
    return [
        Signal(
            segment=row.segment,
            kind=row.kind,
            state=row.state,
            value=row.value,
            limit=row.limit,
            n=row.n,
            window_start=from_iso(row.window_start),
            window_end=from_iso(row.window_end),
            sentence=row.sentence,
            clause=row.clause,
            about=row.about,
        )
        for row in tx.execute(query.order_by(c.kind, c.segment).limit(limit))
    ]


def counts(tx: Transaction, model: str) -> dict[str, dict[SignalState, int]]:
    """Return how many segments are in each state, by kind."""
    c = signals.c
    found: dict[str, dict[SignalState, int]] = {}
    for kind, state, n in tx.execute(
        select(c.kind, c.state, func.count()).where(c.model == model).group_by(c.kind, c.state).order_by(c.kind)
    ):
        found.setdefault(kind, dict.fromkeys(STATES, 0))[state] = n
    return found


def history(
    tx: Transaction, model: str, *, segment: str | None, kind: SignalKind | None, since: datetime | None
) -> list[Point]:
    """Return points of history, oldest first."""
    c = signal_history.c
    query = select(signal_history).where(c.model == model)
    if segment is not None:
        query = query.where(c.segment == segment)
    if kind is not None:
        query = query.where(c.kind == kind)
    if since is not None:
        query = query.where(c.week >= week_of(since))
    return [
        Point(
            segment=row.segment,
            kind=row.kind,
            state=row.state,
            value=row.value,
            limit=row.limit,
            n=row.n,
            about=row.about,
            window_end=from_iso(row.window_end),
        )
        for row in tx.execute(query.order_by(c.week, c.kind, c.segment))
    ]


def week_of(moment: datetime) -> str:
    """Return the Monday of a moment's week, as `2026-01-05`."""
    return (moment - timedelta(days=moment.weekday())).strftime("%Y-%m-%d")


def _replace(tx: Transaction, table: Table, columns: Sequence[str], keys: int, rows: Sequence[Row]) -> None:
    gone = delete(table)
    for name in columns[:keys]:
        gone = gone.where(table.c[name] == bindparam(name))
    delete_rows(tx, gone, columns[:keys], [row[:keys] for row in rows])
    insert_rows(tx, table, columns, rows)
