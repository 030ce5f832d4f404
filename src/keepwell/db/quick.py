"""Statements on the hot path: compiled once, and handed to the driver with plain values.

SQLAlchemy's own execution costs 60 to 100 us a statement; this costs less than 10, which is what makes a recorded run
take less than a millisecond. Statements are declared once, at the top of a store: their text is kept by the statement.
Values
are plain: what a column's type would encode or decode (`db.schema.Json`) the caller does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Delete, Dialect, Insert, Select, Table, Update, insert

from keepwell.db.engine import Transaction

Row = tuple[Any, ...]
_LIST = "__[POSTCOMPILE_{}]"


def fetch(tx: Transaction, statement: Select[Any], values: Mapping[str, Any]) -> list[Row]:
    """Run a select and return its rows as tuples; a value that is a list belongs to an expanding `bindparam`."""
    text, order, constants = _compiled(statement, (), tx.dialect)
    values = {**constants, **values}
    if order is None:
        found = tx.exec_driver_sql(_listed(text, values), _flat(values)).all()
        return [tuple(row) for row in found]
    for name, value in values.items():
        if isinstance(value, list):
            text = text.replace(_LIST.format(name), ", ".join("?" * len(value)) or "NULL")
    given: list[Any] = []
    for name in order:
        value = values[name]
        if isinstance(value, list):
            given += value
        else:
            given.append(value)
    return cursor(tx).execute(text, given).fetchall()  # type: ignore[no-any-return]


def first(tx: Transaction, statement: Select[Any], values: Mapping[str, Any]) -> Row | None:
    """Run a select and return its first row."""
    found = fetch(tx, statement, values)
    return found[0] if found else None


def add(tx: Transaction, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows of plain values in the order of `columns`."""
    if rows:
        change(tx, _insert(table), columns, rows)


def change(tx: Transaction, statement: Insert | Update | Delete, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Run a statement once a row; its parameters are named in `names`, in the order of the rows' values."""
    if not rows:
        return
    text, order, constants = _compiled(statement, tuple(names), tx.dialect)
    if constants:
        names = [*names, *constants]
        rows = [(*row, *constants.values()) for row in rows]
    if order is None:
        tx.exec_driver_sql(text, [dict(zip(names, row, strict=True)) for row in rows])
        return
    if order != list(names):
        places = [list(names).index(name) for name in order]
        rows = [tuple(row[place] for place in places) for row in rows]
    if len(rows) == 1:
        cursor(tx).execute(text, rows[0])
    else:
        cursor(tx).executemany(text, rows)


def cursor(tx: Transaction) -> Any:
    """Return a cursor of the driver itself; its errors are put into words by `db.engine.in_plain_words`."""
    return tx.connection.cursor()


def _listed(text: str, values: Mapping[str, Any]) -> str:
    for name, value in values.items():
        if isinstance(value, list):
            signs = ", ".join(f"%({name}_{place})s" for place in range(len(value))) or "NULL"
            text = text.replace(_LIST.format(name), signs)
    return text


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, list):
            flat |= {f"{name}_{place}": one for place, one in enumerate(value)}
        else:
            flat[name] = value
    return flat


@lru_cache(maxsize=256)
def _insert(table: Table) -> Insert:
    return insert(table)


@lru_cache(maxsize=512)
def _compiled(
    statement: Select[Any] | Insert | Update | Delete, names: tuple[str, ...], dialect: Dialect
) -> tuple[str, list[str] | None, dict[str, Any]]:
    """Return a statement's text, the order of its parameters, and the values of those that are written in it."""
    keys = list(names) if isinstance(statement, Insert) else None
    compiled = statement.compile(dialect=dialect, column_keys=keys)
    order = compiled.positiontup
    constants = {name: value for name, value in compiled.params.items() if value is not None and name not in names}
    return str(compiled), None if order is None else list(order), constants
