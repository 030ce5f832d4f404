"""The table of applied charters, and its queries."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Integer, Row, String, Table, Text, bindparam, func, insert, select

from keepwell.db import Transaction, metadata

Record = Row[tuple[object, ...]]

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
        return tx.execute(_ONE, {"of_key": model_key}).first()
    return tx.execute(_NUMBERED, {"of_key": model_key, "of_number": number}).first()


def history(tx: Transaction, model_key: str) -> Sequence[Record]:
    """Return every charter applied to a model, newest first."""
    query = select(charters).where(charters.c.model_key == model_key)
    return tx.execute(query.order_by(charters.c.number.desc())).all()


def newest(tx: Transaction) -> Sequence[Record]:
    """Return the newest charter of every model, by name."""
    last = select(charters.c.model_key, func.max(charters.c.number).label("number")).group_by(charters.c.model_key)
    numbers = last.subquery()
    joined = charters.join(
        numbers, (charters.c.model_key == numbers.c.model_key) & (charters.c.number == numbers.c.number)
    )
    return tx.execute(select(charters).select_from(joined).order_by(charters.c.model_key)).all()
