"""Runs of a search counted by a value they share, and their metrics summed up: one query each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, or_, select

from keepwell.core.errors import InvalidInput
from keepwell.db import Transaction
from keepwell.tracking import search_store
from keepwell.tracking.search_store import Wanted
from keepwell.tracking.tables import metrics, params, runs, tags

_COLUMNS: dict[str, ColumnElement[Any]] = {
    "experiment": runs.c.experiment,
    "parent": runs.c.parent,
    "status": runs.c.status,
    "user": runs.c.user,
    "model": runs.c.model,
}
_PARTS = {"params": params, "tags": tags}


def counts(tx: Transaction, search: Wanted, by: str, limit: int, offset: int) -> list[tuple[Any, int]]:
    """Return (value, runs) of each value, the most frequent first; None is for runs without one."""
    query, value, _ = _grouped(tx, search, by)
    counted = query.add_columns(value.label("value"), func.count().label("runs")).group_by(value)
    missing = case((value.is_(None), 1), else_=0)
    ordered = counted.order_by(func.count().desc(), missing, value).limit(limit).offset(offset)
    return [(row.value, row.runs) for row in tx.execute(ordered)]


def how_many(tx: Transaction, search: Wanted, by: str) -> int:
    """Return how many different values there are, none counted as one of them."""
    query, value, _ = _grouped(tx, search, by)
    inner = query.add_columns(value.label("value")).group_by(value).subquery()
    return tx.scalar(select(func.count()).select_from(inner)) or 0


def measures(
    tx: Transaction, search: Wanted, by: str, values: Sequence[Any], names: Sequence[str]
) -> list[tuple[Any, str, int, float, float, float]]:
    """Return (value, metric, runs, mean, least, most) of the groups of some values; only finite numbers count."""
    query, value, no = _grouped(tx, search, by)
    known = [one for one in values if one is not None]
    wanted = or_(value.in_(known), value.is_(None)) if len(known) < len(values) else value.in_(known)
    joined = query.join(metrics, (metrics.c.run == no) & metrics.c.name.in_(list(names)))
    told = joined.where(wanted, metrics.c.value.is_not(None), metrics.c.mark.is_(None)).group_by(value, metrics.c.name)
    m = metrics.c.value
    rows = tx.execute(told.add_columns(value.label("value"), metrics.c.name, func.count(), func.avg(m), func.min(m),
                                       func.max(m)))  # fmt: skip
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


def _grouped(tx: Transaction, search: Wanted, by: str) -> tuple[Select[Any], ColumnElement[Any], ColumnElement[int]]:
    """Return a query over the runs of a search, without columns yet; the column of its groups, and that of the runs.

    Raises:
        InvalidInput: runs are not grouped by that.
    """
    found = search_store.numbers_of(tx, search)
    kind, _, name = by.partition(".")
    if by in _COLUMNS:
        return select().select_from(found.join(runs, runs.c.no == found.c.no)), _COLUMNS[by], found.c.no
    if kind in _PARTS and name:
        its = _PARTS[kind].alias("its")
        source = found.outerjoin(its, (its.c.run == found.c.no) & (its.c.name == name))
        return select().select_from(source), its.c.value, found.c.no
    raise InvalidInput("Runs are grouped by params.NAME, tags.NAME, experiment, parent, status, user or model.",
                       where="group")  # fmt: skip
