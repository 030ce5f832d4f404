"""Comparisons of the search grammar as SQL conditions on a row, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)

from keepwell.core.filters import Comparison
from keepwell.db import Transaction
from keepwell.tracking.store import NAME_TAG, PARENT_TAG, split
from keepwell.tracking.tables import inputs, metrics, params, runs, tags

Condition = ColumnElement[bool]
_NUMERIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_STATUSES = {
    "running": "RUNNING", "scheduled": "SCHEDULED", "finished": "FINISHED", "failed": "FAILED",
    "interrupted": "KILLED",
}  # fmt: skip
ARTIFACT_URI = (
    literal("mlflow-artifacts:/") + cast(runs.c.experiment, Text) + literal("/") + runs.c.id + literal("/artifacts")
)
ATTRIBUTES: Mapping[str, ColumnElement[Any]] = {
    "run_id": runs.c.id,
    "run_name": runs.c.name,
    "user_id": runs.c.user,
    "status": runs.c.status,
    "start_time": runs.c.started,
    "end_time": runs.c.finished,
    "artifact_uri": ARTIFACT_URI,
}
PARTS = {"metric": metrics, "parameter": params, "tag": tags}


def on_run(tx: Transaction, comparison: Comparison) -> Condition:
    """Return a comparison as a condition on a row of runs."""
    key, op, value = comparison.key, comparison.op, comparison.value
    match comparison.entity:
        case "attribute":
            return _on_attribute(tx, key, op, value)
        case "dataset":
            column = {"name": inputs.c.name, "digest": inputs.c.digest, "context": inputs.c.context}[key]
            its = select(literal(1)).where(
                inputs.c.run == runs.c.no, inputs.c.kind == "dataset", text(tx, column, op, value)
            )
            return its.exists()
        case "tag" if key == NAME_TAG:
            return _with_nulls(tx, runs.c.name, op, value)
        case "tag" if key == PARENT_TAG:
            return _on_parent(tx, comparison)
        case _:
            return on_part(tx, comparison)


def on_part(tx: Transaction, comparison: Comparison) -> Condition:
    """Return a comparison with a metric, param or tag as a condition that looks the run's one up."""
    table = PARTS[comparison.entity]
    mine = select(literal(1)).where(table.c.run == runs.c.no, table.c.name == comparison.key)
    if comparison.op == "IS NULL":
        return not_(mine.exists())
    if comparison.op == "IS NOT NULL":
        return mine.exists()
    return mine.where(on_value(tx, comparison, table)).exists()


def on_value(tx: Transaction, comparison: Comparison, table: FromClause) -> Condition:
    """Return a comparison as a condition on a row of a part table (or an alias of one)."""
    if comparison.entity != "metric":
        return long_text(tx, table.c.value, table.c.rest, comparison.op, comparison.value)
    found: Condition = _NUMERIC[comparison.op](table.c.value, comparison.value)
    return or_(found, table.c.mark == "NaN") if comparison.op == "!=" else found


def carriers(tx: Transaction, experiment: int, comparison: Comparison) -> Select[Any] | None:
    """Return a query for the numbers of the runs that one comparison leaves, by an index; None where there is none."""
    table = PARTS.get(comparison.entity)
    key, op, value = comparison.key, comparison.op, comparison.value
    if comparison.entity == "attribute" and key == "run_id" and op in ("=", "IN"):
        wanted = value if isinstance(value, tuple) else (value,)
        return select(runs.c.no).where(runs.c.id.in_(wanted), runs.c.experiment == experiment)
    if comparison.entity == "tag" and key == PARENT_TAG and op == "=":
        tagged = on_value(tx, comparison, tags)
        its = select(tags.c.run).where(tags.c.experiment == experiment, tags.c.name == key, tagged)
        return select(runs.c.no).where(runs.c.parent == value, runs.c.experiment == experiment).union_all(its)  # type: ignore[return-value]
    if table is None or op in ("!=", "IS NULL") or (comparison.entity == "tag" and key in (NAME_TAG, PARENT_TAG)):
        return None
    query = select(table.c.run).where(table.c.experiment == experiment, table.c.name == key)
    return query if op == "IS NOT NULL" else query.where(on_value(tx, comparison, table))


def _on_attribute(tx: Transaction, key: str, op: str, value: Any) -> Condition:
    if key == "status":
        return runs.c.status.in_([s for s, name in _STATUSES.items() if _status_is(s, name, op, value)])
    column = ATTRIBUTES[key]
    if key in ("start_time", "end_time"):
        return number(column, op, value)
    return text(tx, column, op, value)


def _status_is(status: str, name: str, op: str, value: str) -> bool:
    """Tell whether a status, under its own or MLflow's name, passes a comparison."""
    match op:
        case "=":
            return value in (status, name)
        case "!=":
            return value not in (status, name)
        case _:
            flags = re.IGNORECASE if op == "ILIKE" else 0
            pattern = re.compile(like_regex(value), flags | re.DOTALL)
            return any(pattern.fullmatch(one) is not None for one in (status, name))


def _on_parent(tx: Transaction, comparison: Comparison) -> Condition:
    """Compare the tag that names a run's parent: the parent when it is a run of ours, else what the tag says."""
    op, value = comparison.op, comparison.value
    tagged = on_part(tx, comparison)
    if op == "IS NULL":
        return and_(runs.c.parent.is_(None), tagged)
    if op == "IS NOT NULL":
        return or_(runs.c.parent.is_not(None), tagged)
    return or_(and_(runs.c.parent.is_not(None), text(tx, runs.c.parent, op, value)), tagged)


def _with_nulls(tx: Transaction, column: ColumnElement[Any], op: str, value: Any) -> Condition:
    if op == "IS NULL":
        return column.is_(None)
    return column.is_not(None) if op == "IS NOT NULL" else text(tx, column, op, value)


def long_text(tx: Transaction, head: ColumnElement[Any], rest: ColumnElement[Any], op: str, value: Any) -> Condition:
    """Compare a text that stands in two columns."""
    match op:
        case "=" | "!=":
            first, more = split(value)
            same = and_(head == first, rest.is_(None) if more is None else rest == more)
            other = and_(head == first, rest.is_not(None) if more is None else or_(rest.is_(None), rest != more))
            return same if op == "=" else or_(head != first, other)
        case "IN":
            return or_(false(), *(long_text(tx, head, rest, "=", one) for one in value))
        case "NOT IN":
            return and_(*(long_text(tx, head, rest, "!=", one) for one in value))
        case _:
            return like(tx, head + func.coalesce(rest, ""), value, fold=op == "ILIKE")


def text(tx: Transaction, column: ColumnElement[Any], op: str, value: Any) -> Condition:
    """Compare a text."""
    match op:
        case "=":
            return bool_of(column == value)
        case "!=":
            return bool_of(column != value)
        case "IN":
            return column.in_(value)
        case "NOT IN":
            return column.not_in(value)
        case _:
            return like(tx, column, value, fold=op == "ILIKE")


def bool_of(condition: Any) -> Condition:
    """Return what is a condition to SQL and of any type to Python."""
    found: Condition = condition
    return found


def number(column: ColumnElement[Any], op: str, value: Any) -> Condition:
    """Compare a number."""
    return _NUMERIC[op](column, value)  # type: ignore[no-any-return]


def like(tx: Transaction, column: ColumnElement[Any], pattern: str, *, fold: bool) -> Condition:
    """Match a pattern of `%` and `_`, which nothing escapes; with `fold` in either case.

    SQLite's LIKE knows no case, so GLOB, which does, takes its place there.
    """
    if tx.dialect.name == "sqlite":
        return column.op("LIKE")(pattern) if fold else column.op("GLOB")(glob_of(pattern))
    return column.ilike(pattern, escape="") if fold else column.like(pattern, escape="")


def glob_of(pattern: str) -> str:
    """Return a LIKE pattern as GLOB writes it."""
    signs = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(signs.get(sign, sign) for sign in pattern)


def like_regex(pattern: str) -> str:
    """Return a LIKE pattern as a regular expression for the whole text."""
    return "".join({"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in pattern)


def both(conditions: Sequence[Condition]) -> Condition:
    """Return the conjunction of conditions; none is true."""
    return and_(literal(True), *conditions)
