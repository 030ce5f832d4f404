"""What SQLite and PostgreSQL write differently, said once.

The rest is the same by construction: on PostgreSQL text columns are ordered and folded by bytes (`postgres._Types`), so
`ORDER BY`, `min`, `<` and `lower` do what they do on SQLite. Mind these all the same: a `GROUP BY` names every column
that is selected beside it, `LIKE` minds case on PostgreSQL and not on SQLite, NULL sorts first on SQLite and last on
PostgreSQL (say `nulls_first()`), there is no `min` of a Boolean, and a statement takes at most 32,000 parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Table, func
from sqlalchemy.dialects import sqlite

from keepwell.db.engine import Transaction

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def upsert(tx: Transaction | str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that has `on_conflict_do_update`, `on_conflict_do_nothing` and `excluded`, for a transaction.

    `db.bulk.put_rows` runs one for many rows.
    """
    if (tx if isinstance(tx, str) else tx.dialect.name) == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def has_text(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Return the condition that a text is in a column; ASCII letters match in either case."""
    return func.lower(column).contains(text.translate(_LOWER), autoescape=True)
