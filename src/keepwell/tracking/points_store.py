"""The queries about metric points: the log, the chunks it is compacted into, and the latest values.

A call appends one row to `metric_log`. Past `PENDING` points or `ROWS` rows of a run they are compacted: a small run
into one row, a larger one into chunks of each metric. Chunks of about a size are merged by eights, so that a point is
rewritten a few times in its life and no row has more than `chunks.MOST` points. The points of a run are a set: reading
drops those that are there twice, so that nothing has to be known about retries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from sqlalchemy import bindparam, delete, func, select, update

from keepwell.core import failpoints
from keepwell.core.points import Batch, pack
from keepwell.db import Transaction, bulk, quick
from keepwell.tracking import chunks
from keepwell.tracking.model import Series
from keepwell.tracking.rules import Newest
from keepwell.tracking.store import State
from keepwell.tracking.tables import metric_chunks, metric_log, metrics

PENDING = 4_096
"""Points of a run that may wait in the log."""
ROWS = 256
"""Rows of a run that may wait in the log."""
FAN = 8
"""Chunks of about a size that are merged into one."""

_LATEST = select(metrics.c.name, metrics.c.step, metrics.c.at, metrics.c.value, metrics.c.mark).where(
    metrics.c.run == bindparam("of_run")
)
_LATEST_OF = _LATEST.where(metrics.c.name.in_(bindparam("names", expanding=True)))
_LATEST_MANY = (
    select(metrics.c.run, metrics.c.name, metrics.c.step, metrics.c.at, metrics.c.value, metrics.c.mark)
    .where(metrics.c.run.in_(bindparam("nos", expanding=True)))
    .order_by(metrics.c.run, metrics.c.name)
)
_SET = (
    update(metrics)
    .where(metrics.c.run == bindparam("of_run"), metrics.c.name == bindparam("of_name"))
    .values(
        value=bindparam("new_value"), mark=bindparam("new_mark"), step=bindparam("new_step"), at=bindparam("new_at")
    )
)
_LOG = select(metric_log.c.data, metric_log.c.points).where(metric_log.c.run == bindparam("of_run"))
_DROP_LOG = delete(metric_log).where(metric_log.c.run == bindparam("of_run"))
_CHUNKS = select(metric_chunks.c.name, metric_chunks.c.chunk, metric_chunks.c.points).where(
    metric_chunks.c.run == bindparam("of_run")
)
_CHUNK = select(metric_chunks.c.data, metric_chunks.c.points).where(
    metric_chunks.c.run == bindparam("of_run"), metric_chunks.c.name == bindparam("of_name")
)
_DROP_CHUNK = delete(metric_chunks).where(
    metric_chunks.c.run == bindparam("of_run"),
    metric_chunks.c.name == bindparam("of_name"),
    metric_chunks.c.chunk == bindparam("of_chunk"),
)


def append(tx: Transaction, run: State, batch: Batch) -> State:
    """Write a batch to the log; return the state of the run after it."""
    count = len(batch)
    after = run._replace(seq=run.seq + 1, total=run.total + count)
    row = (run.no, after.seq, count, after.total, pack(batch))
    quick.add(tx, metric_log, ("run", "seq", "points", "total", "data"), [row])
    failpoints.reach("tracking.points_appended")
    return after


def advance(tx: Transaction, run: State, newest: Mapping[str, Newest]) -> None:
    """Bring the latest values of a run's metrics forward to what came."""
    there = {name: _newest(step, at, value, mark) for name, step, at, value, mark in _rows_of(tx, run.no, list(newest))}
    new = [
        (run.no, name, run.experiment, *one.stored, one.step, one.at)
        for name, one in newest.items()
        if name not in there
    ]
    later = [
        (run.no, name, *one.stored, one.step, one.at)
        for name, one in newest.items()
        if name in there and ((old := there[name]) is None or one.order > old.order)
    ]
    quick.add(tx, metrics, ("run", "name", "experiment", "value", "mark", "step", "at"), new)
    quick.change(tx, _SET, ("of_run", "of_name", "new_value", "new_mark", "new_step", "new_at"), later)


def _rows_of(tx: Transaction, no: int, names: Sequence[str]) -> Iterator[quick.Row]:
    for part in bulk.chunks(names, 500):
        yield from quick.fetch(tx, _LATEST_OF, {"of_run": no, "names": list(part)})


def mark_unknown(tx: Transaction, run: State, names: Sequence[str]) -> None:
    """Write that metrics were asked for and are not known, unless there is a value."""
    there = {row[0] for row in _rows_of(tx, run.no, names)}
    rows = [(run.no, name, run.experiment, None, "unknown", 0, 0) for name in names if name not in there]
    quick.add(tx, metrics, ("run", "name", "experiment", "value", "mark", "step", "at"), rows)


def is_long(run: State) -> bool:
    """Tell whether so much waits in a run's log that it is to be compacted."""
    return run.total > PENDING or run.seq >= ROWS


def compact(tx: Transaction, run: State) -> None:
    """Take what waits in a run's log together."""
    if run.seq < 0 or (run.seq == 0 and run.total <= PENDING):
        return
    rows = quick.fetch(tx, _LOG, {"of_run": run.no})
    pending = {name: chunks.in_order(parts) for name, parts in sorted(chunks.split_log(rows).items())}
    there = quick.fetch(tx, _CHUNKS, {"of_run": run.no})
    small = not there and sum(map(len, pending.values())) <= PENDING
    if not small:
        kept: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for name, chunk, points in there:
            kept[name].append((chunk, points))
        for name, series in pending.items():
            _add_chunks(tx, run.no, name, series, kept[name])
    failpoints.reach("tracking.compacting")
    quick.change(tx, _DROP_LOG, ("of_run",), [(run.no,)])
    if small:
        data, count = chunks.write_log(pending)
        quick.add(tx, metric_log, ("run", "seq", "points", "total", "data"), [(run.no, 0, count, count, data)])
    failpoints.reach("tracking.compacted")


def _add_chunks(tx: Transaction, no: int, name: str, series: Series, there: Sequence[tuple[int, int]]) -> None:
    """Write a metric's new points as chunks, together with older chunks where there are enough of about a size."""
    there, last = list(there), max((chunk for chunk, _ in there), default=-1)
    tier = _tier(len(series))
    merged = []
    while tier < _tier(chunks.MOST):
        alike = [chunk for chunk, points in there if _tier(points) <= tier]
        if len(alike) < FAN - 1:
            break
        merged += alike
        there = [(chunk, points) for chunk, points in there if chunk not in alike]
        tier += 1
    if merged:
        rows = tx.execute(
            _CHUNK.where(metric_chunks.c.chunk.in_(merged)), {"of_run": no, "of_name": name}
        ).all()  # fmt: skip
        series = chunks.in_order([series, *(chunks.decode(data, points) for data, points in rows)])
        quick.change(tx, _DROP_CHUNK, ("of_run", "of_name", "of_chunk"), [(no, name, chunk) for chunk in merged])
    new = []
    for number, start in enumerate(range(0, len(series), chunks.MOST), last + 1):
        part = slice(start, start + chunks.MOST)
        one = Series(series.steps[part], series.ats[part], series.values[part])
        new.append((no, name, number, len(one), chunks.encode(one)))
    quick.add(tx, metric_chunks, ("run", "name", "chunk", "points", "data"), new)


def history(tx: Transaction, no: int, name: str) -> Series:
    """Return all points of one metric of a run."""
    rows = quick.fetch(tx, _CHUNK, {"of_run": no, "of_name": name})
    parts = [chunks.decode(data, points) for data, points in rows]
    logged = quick.fetch(tx, _LOG, {"of_run": no})
    return chunks.in_order([*parts, *chunks.split_log(logged, name).get(name, [])])


def latest(tx: Transaction, no: int) -> list[tuple[str, int, int, float | None, str | None]]:
    """Return name, step, moment, value and mark of the latest point of each metric of a run, by name."""
    return sorted(quick.fetch(tx, _LATEST, {"of_run": no}))


def latest_many(tx: Transaction, nos: Sequence[int]) -> dict[int, list[tuple[str, int, int, float | None, str | None]]]:
    """Return for each run, by number, what `latest` returns of it."""
    found: dict[int, list[tuple[str, int, int, float | None, str | None]]] = {no: [] for no in nos}
    for part in bulk.chunks(nos, 1_000):
        for no, name, step, at, value, mark in quick.fetch(tx, _LATEST_MANY, {"nos": list(part)}):
            found[no].append((name, step, at, value, mark))
    return found


def count(tx: Transaction, no: int) -> int:
    """Return how many points are stored of a run, those that are there twice counted twice."""
    stored = select(func.coalesce(func.sum(metric_chunks.c.points), 0)).where(metric_chunks.c.run == no)
    waiting = select(func.coalesce(func.sum(metric_log.c.points), 0)).where(metric_log.c.run == no)
    return int(tx.scalar(stored) or 0) + int(tx.scalar(waiting) or 0)


def _newest(step: int, at: int, value: float | None, mark: str | None) -> Newest | None:
    if mark == "unknown":
        return None
    if value is None:
        return Newest(step, at, 0.0, True, float("nan"))
    return Newest(step, at, value, False, {"Infinity": np.inf, "-Infinity": -np.inf}.get(mark or "", value))


def _tier(points: int) -> int:
    """Return the size class of a chunk: each holds `FAN` times the one before."""
    tier = 0
    while points >= FAN:
        points //= FAN
        tier += 1
    return tier
