"""Comparisons of the search grammar with a text or number column, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement

from keepwell.core.filters import Comparison
from keepwell.db.engine import Transaction

_PLAIN: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def compared(tx: Transaction, column: ColumnElement[Any], comparison: Comparison) -> ColumnElement[bool]:
    """Return a comparison as a condition on a column. LIKE knows case and ILIKE does not; neither has an escape."""
    op, value = comparison.op, comparison.value
    if op in _PLAIN:
        found: ColumnElement[bool] = _PLAIN[op](column, value)
        return found
    if op in ("IN", "NOT IN"):
        wanted = value if isinstance(value, tuple) else (value,)
        return column.in_(wanted) if op == "IN" else column.not_in(wanted)
    return _like(tx, column, str(value), fold=op == "ILIKE")


def _like(tx: Transaction, column: ColumnElement[Any], pattern: str, *, fold: bool) -> ColumnElement[bool]:
    if tx.dialect.name == "sqlite":  # its LIKE knows no case; GLOB does
        return (
            column.op("LIKE", is_comparison=True)(pattern)
            if fold
            else column.op("GLOB", is_comparison=True)(glob_of(pattern))
        )
    return column.ilike(pattern, escape="") if fold else column.like(pattern, escape="")


def glob_of(pattern: str) -> str:
    """Return a LIKE pattern as GLOB writes it."""
    return re.sub(r"[*?\[]", r"[\g<0>]", pattern).replace("%", "*").replace("_", "?")
