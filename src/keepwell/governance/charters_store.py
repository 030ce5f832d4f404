"""The table of applied charters, and its queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Column, Integer, String, Table, Text, bindparam, func, insert, select

from keepwell.db import Transaction, metadata, quick


class Record(NamedTuple):
    """One row."""

    model_key: str
    number: int
    model: str
    digest: str
    text: str
    folder: str
    applied_at: str
    applied_by: str


charters = Table(
    "charters",
    metadata,
    Column("model_key", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    Column("digest", String(71), nullable=False),
    Column("text", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("applied_at", String(27), nullable=False),
    Column("applied_by", Text, nullable=False),
)


def add(tx: Transaction, row: dict[str, object]) -> None:
    """Write one applied charter."""
    tx.execute(insert(charters).values(row))


_ONE = select(charters).where(charters.c.model_key == bindparam("of_key")).order_by(charters.c.number.desc()).limit(1)
_NUMBERED = _ONE.where(charters.c.number == bindparam("of_number"))


def find(tx: Transaction, model_key: str, number: int | None = None) -> Record | None:
    """Return one applied charter: the one of that number, or the newest."""
    if number is None:
        row = quick.first(tx, _ONE, {"of_key": model_key})
    else:
        row = quick.first(tx, _NUMBERED, {"of_key": model_key, "of_number": number})
    return None if row is None else Record(*row)


def history(tx: Transaction, model_key: str) -> Sequence[Record]:
    """Return every charter applied to a model, newest first."""
    query = select(charters).where(charters.c.model_key == model_key)
    return [Record(*row) for row in tx.execute(query.order_by(charters.c.number.desc()))]


def newest(tx: Transaction) -> Sequence[Record]:
    """Return the newest charter of every model, by name."""
    last = select(charters.c.model_key, func.max(charters.c.number).label("number")).group_by(charters.c.model_key)
    numbers = last.subquery()
    joined = charters.join(
        numbers, (charters.c.model_key == numbers.c.model_key) & (charters.c.number == numbers.c.number)
    )
    return [Record(*row) for row in tx.execute(select(charters).select_from(joined).order_by(charters.c.model_key))]
