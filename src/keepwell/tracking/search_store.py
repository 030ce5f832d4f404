"""Search of runs and experiments: plans that need no statistics of the planner.

Runs are found experiment by experiment. Three plans:

- a comparison that an index answers leaves few runs (at most `FEW`): these are looked at and sorted;
- ordered by a metric, param or tag: its index is walked in order, run by run, until the page is full, in stages: runs
  with a value, then those with NaN, then those with none;
- else the runs are walked by start, the newest first.

Everything else that is compared or ordered by is looked up by key, a run at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, FromClause, Select, Subquery, case, func, literal, not_, or_, select, union_all

from keepwell.core.errors import InvalidInput
from keepwell.core.filters import EXPERIMENTS, RUNS, Comparison, Order, parse_filter, parse_order
from keepwell.db import Transaction
from keepwell.tracking import conditions_store as conditions
from keepwell.tracking import experiments_store
from keepwell.tracking.model import Experiment, View
from keepwell.tracking.store import NAME_TAG, PARENT_TAG
from keepwell.tracking.tables import experiment_tags, inputs, metrics, params, runs, tags
from keepwell.tracking.tables import experiments as experiment_rows

FEW = 5_000
"""So many runs are rather sorted than found by walking an index in order."""
Stage = Literal["value", "nan", "none"]
_GONE = {"active": (0,), "deleted": (1,), "all": (0, 1)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search of runs, parsed."""

    experiments: Sequence[int]
    view: View
    comparisons: Sequence[Comparison]
    orders: Sequence[Order]


def wanted(experiments: Sequence[int], filter_text: str | None, view: View, order_by: Sequence[str]) -> Wanted:
    """Parse a search of runs.

    Raises:
        InvalidInput: the filter or the order is not of the grammar.
    """
    orders = [_as_attribute(order) for order in parse_order(order_by, RUNS)]
    return Wanted(list(dict.fromkeys(experiments)), view, parse_filter(filter_text, RUNS), orders)


def find(tx: Transaction, search: Wanted, limit: int, offset: int) -> list[int]:
    """Return the numbers of the runs of one page, in order."""
    first = search.orders[0] if search.orders else None
    if first is None or first.entity == "attribute":
        return _page(tx, search, None, limit, offset)
    found: list[int] = []
    for stage in _stages(search, first):
        page = _page(tx, search, stage, limit - len(found), offset)
        found += page
        if len(found) == limit:
            break
        offset = 0 if page else max(0, offset - _count_stage(tx, search, stage)) if offset else 0
    return found


def count(tx: Transaction, search: Wanted, most: int | None = None) -> int:
    """Return how many runs a search finds, `most` at most."""
    total = 0
    for query in _scopes(tx, search, None, keys=False):
        part = query if most is None else query.limit(most - total)
        total += tx.scalar(select(func.count()).select_from(part.order_by(None).subquery())) or 0
        if most is not None and total >= most:
            break
    return total


def numbers_of(tx: Transaction, search: Wanted) -> Subquery:
    """Return a table of the numbers of all runs that a search finds, for a query that joins it."""
    parts = [select(query.subquery().c.no) for query in _scopes(tx, search, None, keys=False)]
    nothing = select(runs.c.no).where(runs.c.no < 0)
    return union_all(*parts).subquery("found") if parts else nothing.subquery("found")


def _stages(search: Wanted, first: Order) -> Iterator[Stage]:
    yield "value"
    if first.entity == "metric":
        yield "nan"
    same = [c for c in search.comparisons if (c.entity, c.key) == (first.entity, first.key)]
    if all(c.op == "IS NULL" for c in same):
        yield "none"


def _page(tx: Transaction, search: Wanted, stage: Stage | None, limit: int, offset: int) -> list[int]:
    queries = list(_scopes(tx, search, stage, keys=True))
    if not queries:
        return []
    if len(queries) == 1:
        return [row[0] for row in tx.execute(queries[0].limit(limit).offset(offset))]
    parts = [select(query.limit(limit + offset).subquery()) for query in queries]
    every = union_all(*parts).subquery()
    directions = [key[1] for key in _keys(search, stage)[0]]
    columns = [every.c[f"key{place}"] for place in range(len(directions))]
    order = [column if up else column.desc() for column, up in zip(columns, directions, strict=True)]
    return [row[0] for row in tx.execute(select(every.c.no).order_by(*order).limit(limit).offset(offset))]


def _count_stage(tx: Transaction, search: Wanted, stage: Stage) -> int:
    queries = [query.order_by(None).subquery() for query in _scopes(tx, search, stage, keys=False)]
    return sum(tx.scalar(select(func.count()).select_from(query)) or 0 for query in queries)


def _scopes(tx: Transaction, search: Wanted, stage: Stage | None, *, keys: bool) -> Iterator[Select[Any]]:
    """Yield one query an experiment and lifecycle for the numbers of runs, each ordered when `keys` are asked for."""
    if len(search.experiments) * len(_GONE[search.view]) > 100:
        yield _query(tx, search, stage, None, None, keys=keys)
        return
    for experiment in search.experiments:
        for gone in _GONE[search.view]:
            yield _query(tx, search, stage, experiment, gone, keys=keys)


def _query(
    tx: Transaction, search: Wanted, stage: Stage | None, experiment: int | None, gone: int | None, *, keys: bool
) -> Select[Any]:
    sort, source, driver = _keys(search, stage)
    query: Select[Any] = select(
        runs.c.no, *(column.label(f"key{n}") for n, (column, _) in enumerate(sort)) if keys else ()
    )
    few = None if experiment is None or stage == "value" else _few(tx, search, experiment, gone)
    rest = list(search.comparisons)
    if driver is not None and stage in ("value", "nan"):
        first = search.orders[0]
        mine = [
            c for c in rest if (c.entity, c.key) == (first.entity, first.key) and c.op not in ("IS NULL", "IS NOT NULL")
        ]
        rest = [c for c in rest if c not in mine]
        query = query.where(*(conditions.on_value(tx, c, driver) for c in mine))
        query = query.where(driver.c.name == first.key)
        if few is None and experiment is not None:
            few = _few(tx, Wanted(search.experiments, search.view, rest, ()), experiment, gone)
        if experiment is not None and few is None:
            query = query.where(driver.c.experiment == experiment)
    elif few is None and experiment is not None:
        query = query.where(runs.c.experiment == experiment)
    if experiment is None:
        query = query.where(runs.c.experiment.in_(search.experiments), runs.c.gone.in_(_GONE[search.view]))
    else:
        query = query.where(runs.c.gone == gone)
    if few is not None:
        query = query.where(runs.c.no.in_(few))
    query = query.select_from(source).where(*(conditions.on_run(tx, c) for c in rest))
    query = query.where(*_of_stage(search, stage, driver))
    return query.order_by(*(column if up else column.desc() for column, up in sort)) if keys else query


def _of_stage(search: Wanted, stage: Stage | None, driver: FromClause | None) -> list[ColumnElement[bool]]:
    if stage is None:
        return []
    first = search.orders[0]
    table = conditions.PARTS[first.entity]
    if stage == "none":
        there = select(literal(1)).where(table.c.run == runs.c.no, table.c.name == first.key)
        if table is metrics:
            there = there.where(or_(metrics.c.value.is_not(None), metrics.c.mark == "NaN"))
        return [not_(there.exists())]
    assert driver is not None  # noqa: S101
    if stage == "nan":
        return [driver.c.value.is_(None), driver.c.mark == "NaN"]
    return [driver.c.value.is_not(None)] if table is metrics else []


def _few(tx: Transaction, search: Wanted, experiment: int, gone: int | None) -> Select[Any] | None:
    """Return a query for the runs that one comparison leaves, when they are few; the one that leaves the fewest."""
    best: tuple[int, Select[Any]] | None = None
    for comparison in search.comparisons:
        query = conditions.carriers(tx, experiment, comparison)
        if query is not None:
            found = tx.scalar(select(func.count()).select_from(query.limit(FEW + 1).subquery())) or 0
            if found <= FEW and (best is None or found < best[0]):
                best = (found, query)
    if best is None and gone == 1:
        query = select(runs.c.no).where(runs.c.experiment == experiment, runs.c.gone == 1)
        if (tx.scalar(select(func.count()).select_from(query.limit(FEW + 1).subquery())) or 0) <= FEW:
            return query
    return best[1] if best else None


_Key = tuple[ColumnElement[Any], bool]


def _keys(search: Wanted, stage: Stage | None) -> tuple[list[_Key], FromClause, FromClause | None]:
    """Return what a search is sorted by (column, ascending), from which tables, and the one that is walked in order."""
    sort: list[_Key] = []
    source: FromClause = runs
    driver: FromClause | None = None
    for place, order in enumerate(search.orders):
        if order.entity == "attribute":
            column = conditions.ATTRIBUTES[order.key]
            if order.key in ("end_time", "user_id"):
                sort.append((case((column.is_(None), 1), else_=0), True))
            sort.append((column, order.ascending))
            continue
        table = conditions.PARTS[order.entity]
        if place == 0 and stage == "none":
            continue
        its = table.alias(f"by{place}")
        if place == 0 and stage is not None:
            driver = its
            source = its.join(runs, runs.c.no == its.c.run)
            if stage == "value":
                sort += _value_keys(its, table, order.ascending)
            continue
        source = source.outerjoin(its, (its.c.run == runs.c.no) & (its.c.name == order.key))
        missing = case((its.c.value.is_(None), 1), else_=0)
        if table is metrics:
            missing = case((its.c.mark == "NaN", 1), (its.c.value.is_(None), 2), else_=0)
        sort += [(missing, True), *_value_keys(its, table, order.ascending)]
    if not any((order.entity, order.key) == ("attribute", "start_time") for order in search.orders):
        sort.append((runs.c.started, False))
    return [*sort, (runs.c.id, True)], source, driver


def _value_keys(its: FromClause, table: FromClause, ascending: bool) -> list[_Key]:
    if table is metrics:
        return [(its.c.value, ascending)]
    return [(its.c.value, ascending), (func.coalesce(its.c.rest, ""), ascending)]


def _as_attribute(order: Order) -> Order:
    """Return an order by a tag that stands in a column as one by that column."""
    return Order("attribute", "run_name", order.ascending) if (order.entity, order.key) == ("tag", NAME_TAG) else order


def columns(tx: Transaction, experiments: Sequence[int]) -> tuple[list[str], list[str], list[str]]:
    """Return the names of metrics, params and tags in use, each found by one look into an index."""
    return _names(tx, metrics, experiments), _names(tx, params, experiments), _names(tx, tags, experiments)


def _names(tx: Transaction, table: Any, experiments: Sequence[int]) -> list[str]:
    found: set[str] = set()
    for experiment in experiments:
        least = select(func.min(table.c.name)).where(table.c.experiment == experiment)
        name = tx.scalar(least)
        while name is not None and len(found) < 10_000:
            found.add(name)
            name = tx.scalar(least.where(table.c.name > name))
    return sorted(found - {PARENT_TAG})


def datasets(tx: Transaction, experiments: Sequence[int], limit: int) -> list[tuple[int, str, str | None, str | None]]:
    """Return experiment, name, digest and context of the datasets that runs read."""
    i = inputs.c
    query = select(i.experiment, i.name, i.digest, i.context).distinct()
    query = query.where(i.experiment.in_(list(experiments)), i.kind == "dataset")
    return [tuple(row) for row in tx.execute(query.order_by(i.name, i.digest, i.context).limit(limit))]


def experiments(
    tx: Transaction, filter_text: str | None, order_by: Sequence[str], view: View, limit: int, offset: int
) -> list[Experiment]:
    """Return one page of experiments, by MLflow's grammar.

    Raises:
        InvalidInput: the filter or the order is not of the grammar.
    """
    e = experiment_rows
    named = {"name": e.c.name, "experiment_id": e.c.id, "creation_time": e.c.created, "last_update_time": e.c.updated}
    query = select(e).where(e.c.gone.in_(_GONE[view]))
    for c in parse_filter(filter_text, EXPERIMENTS):
        if c.entity == "tag":
            query = query.where(_experiment_tag(tx, c))
        elif c.key == "experiment_id":
            given = c.value if isinstance(c.value, tuple) else (str(c.value),)
            inside = e.c.id.in_([_experiment_id(one) for one in given])
            query = query.where(inside if c.op in ("=", "IN") else not_(inside))
        elif c.key == "name":
            query = query.where(conditions.text(tx, e.c.name, c.op, c.value))
        else:
            query = query.where(conditions.number(named[c.key], c.op, c.value))
    orders = parse_order(order_by, EXPERIMENTS) or (
        Order("attribute", "creation_time", False),
        Order("attribute", "experiment_id"),
    )
    for order in orders:
        query = query.order_by(named[order.key] if order.ascending else named[order.key].desc())
    rows = tx.execute(query.order_by(e.c.id.desc()).limit(limit).offset(offset)).all()
    return experiments_store.whole(tx, rows)


def _experiment_tag(tx: Transaction, c: Comparison) -> ColumnElement[bool]:
    mine = select(literal(1)).where(
        experiment_tags.c.experiment == experiment_rows.c.id, experiment_tags.c.name == c.key
    )
    if c.op in ("IS NULL", "IS NOT NULL"):
        return not_(mine.exists()) if c.op == "IS NULL" else mine.exists()
    return mine.where(conditions.text(tx, experiment_tags.c.value, c.op, c.value)).exists()


def _experiment_id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise InvalidInput(f"Invalid experiment ID: '{text}'. Experiment ID must be a valid integer.", where="filter")
    return int(text)
