"""The invariants of recorded runs: what is stored twice agrees, what is packed can be read, the ledger tells of it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Table, func, or_, select

from keepwell.core.errors import Damaged
from keepwell.core.points import batch_of
from keepwell.db import Transaction
from keepwell.db.bulk import chunks as parts_of
from keepwell.tracking import chunks, rules
from keepwell.tracking import tables as t
from keepwell.tracking.model import Series

Wrong = tuple[str, str, str]
_AT_ONCE = 500


def rows_of_runs(tx: Transaction, *, deep: bool) -> Iterator[Wrong]:
    """Check the rows that runs have many of; `deep` reads every point."""
    for table in (t.params, t.tags, t.metrics, t.inputs):
        yield from _experiments(tx, table)
    total = select(t.metric_log.c.run, func.sum(t.metric_log.c.points), func.max(t.metric_log.c.total))
    torn = total.group_by(t.metric_log.c.run).having(func.sum(t.metric_log.c.points) != func.max(t.metric_log.c.total))
    for no, count, said in tx.execute(torn):
        yield "I7", f"run:{_id(tx, no)}", f"Its log says that it has {said} points and has {count}."
    if deep:
        numbers = list(tx.scalars(select(t.runs.c.no).order_by(t.runs.c.no)))
        for some in parts_of(numbers, _AT_ONCE):
            yield from _latest(tx, some[0], some[-1])


def _experiments(tx: Transaction, table: Table) -> Iterator[Wrong]:
    """The experiment beside each row is that of its run."""
    both = table.join(t.runs, t.runs.c.no == table.c.run)
    query = select(t.runs.c.id).select_from(both).where(table.c.experiment != t.runs.c.experiment).distinct().limit(20)
    for (run,) in tx.execute(query):
        yield "I7", f"run:{run}", f"A row of {table.name} stands under another experiment than its run."


def _latest(tx: Transaction, first: int, last: int) -> Iterator[Wrong]:
    """The latest value of each metric of some runs is the last of its history, and every point can be read."""
    histories: dict[tuple[int, str], list[Series]] = {}
    broken: set[int] = set()
    log = select(t.metric_log.c.run, t.metric_log.c.data, t.metric_log.c.points)
    for no, data, points in tx.execute(log.where(t.metric_log.c.run.between(first, last))):
        try:
            for name, series in chunks.split_log([(data, points)]).items():
                histories.setdefault((no, name), []).extend(series)
        except Damaged as error:
            broken.add(no)
            yield "I7", f"run:{_id(tx, no)}", error.message
    c = t.metric_chunks.c
    for no, name, data, points in tx.execute(select(c.run, c.name, c.data, c.points).where(c.run.between(first, last))):
        try:
            histories.setdefault((no, name), []).append(chunks.decode(data, points))
        except Damaged as error:
            broken.add(no)
            yield "I7", f"run:{_id(tx, no)}", error.message
    m = t.metrics.c
    kept = select(m.run, m.name, m.value, m.mark, m.step, m.at).where(m.run.between(first, last))
    rows = {
        (no, name): tuple(rest)
        for no, name, *rest in tx.execute(kept.where(or_(m.mark.is_(None), m.mark != "unknown")))
    }
    for no, name in sorted(histories.keys() | rows.keys()):
        if no not in broken and _end_of(histories.get((no, name), [])) != rows.get((no, name)):
            yield "I7", f"run:{_id(tx, no)}", f"The latest value of its metric {name!r} is not the last of its history."


def _end_of(parts: list[Series]) -> tuple[object, ...] | None:
    series = chunks.in_order(parts)
    if not len(series):
        return None
    last = series.steps == series.steps.max()
    points = zip(series.values[last].tolist(), series.steps[last].tolist(), series.ats[last].tolist(), strict=True)
    newest = rules.newest(batch_of(("m", value, step, at) for value, step, at in points))["m"]
    return (*newest.stored, newest.step, newest.at)


def _id(tx: Transaction, no: int) -> str:
    return tx.scalar(select(t.runs.c.id).where(t.runs.c.no == no)) or f"number {no}"
