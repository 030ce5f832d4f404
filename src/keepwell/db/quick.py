"""Statements on the hot path: compiled once, and handed to the driver with plain values.

SQLAlchemy's own execution costs 60 to 100 us a statement; this costs less than 10, which is what makes a recorded run
take less than a millisecond. Statements are declared once, at the top of a store: their text is kept by the statement.
Values
are plain: what a column's type would encode or decode (`db.schema.Json`) the caller does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Delete, Dialect, Insert, Select, Table, Update, insert

from keepwell.db.engine import Transaction

Row = tuple[Any, ...]
_LIST = "__[POSTCOMPILE_{}]"


class _Made(NamedTuple):
    """A statement as it is handed to the driver.

    Attributes:
        text: its text.
        order: its parameters in order; None where they are named.
        constants: values that are written in it.
        lists: the parameters that take a list.
        places: where each parameter stands in a row that is given, when that is another order.
    """

    text: str
    order: tuple[str, ...] | None
    constants: dict[str, Any]
    lists: tuple[str, ...]
    places: tuple[int, ...] | None


def fetch(tx: Transaction, statement: Select[Any], values: Mapping[str, Any]) -> list[Row]:
    """Run a select and return its rows as tuples; a value that is a list belongs to an expanding `bindparam`."""
    made = _compiled(statement, (), tx.dialect)
    if made.constants:
        values = {**made.constants, **values}
    if made.order is None:
        found = tx.exec_driver_sql(_listed(made.text, values), _flat(values)).all()
        return [tuple(row) for row in found]
    if not made.lists:
        given = [values[name] for name in made.order]
        return cursor(tx).execute(made.text, given).fetchall()  # type: ignore[no-any-return]
    text, given = made.text, []
    for name in made.lists:
        text = text.replace(_LIST.format(name), ", ".join("?" * len(values[name])) or "NULL")
    for name in made.order:
        given += values[name] if name in made.lists else [values[name]]
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
    made = _compiled(statement, tuple(names), tx.dialect)
    if made.order is None:
        named = [{**dict(zip(names, row, strict=True)), **made.constants} for row in rows]
        tx.exec_driver_sql(made.text, named)
        return
    if made.constants:
        constants = tuple(made.constants.values())
        rows = [(*row, *constants) for row in rows]
    if made.places is not None:
        rows = [tuple([row[place] for place in made.places]) for row in rows]
    if len(rows) == 1:
        cursor(tx).execute(made.text, rows[0])
    else:
        cursor(tx).executemany(made.text, rows)


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
def _compiled(statement: Select[Any] | Insert | Update | Delete, names: tuple[str, ...], dialect: Dialect) -> _Made:
    keys = list(names) if isinstance(statement, Insert) else None
    compiled = statement.compile(dialect=dialect, column_keys=keys)
    text, order = str(compiled), compiled.positiontup
    constants = {name: value for name, value in compiled.params.items() if value is not None and name not in names}
    if order is None:
        return _Made(text, None, constants, (), None)
    lists = tuple(name for name in dict.fromkeys(order) if _LIST.format(name) in text)
    given = [*names, *constants]
    places = tuple(given.index(name) for name in order) if names and order != given else None
    return _Made(text, tuple(order), constants, lists, places)
