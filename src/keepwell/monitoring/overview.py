"""A whole fleet's errors and states in a few rows: aggregated in the database, for lists and pages of any size."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Float, Integer, cast, func, select

from keepwell.core.clock import from_iso, iso
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.db import Transaction
from keepwell.monitoring.model import METRICS
from keepwell.monitoring.performance_store import COUNTED, performance
from keepwell.monitoring.signal_store import signals

_BY_VOLUME = ("wmape", "bias")
_SQUARED = ("rmse", "rmse_zero")


class Pooled(NamedTuple):
    """One metric pooled over versions and windows.

    Attributes:
        key: what was pooled: a window's start as text, or a segment.
        value: the metric over all rows together; None is not known.
        baseline: the same of the baseline.
        n: rows with an outcome.
        volume: sum of |actual|.
        complete: every outcome is known.
    """

    key: str
    value: float | None
    baseline: float | None
    n: int
    volume: float
    complete: bool


def by_window(
    tx: Transaction, model: str, metric: str, *, segment: str | None = None, newest: int | None = None
) -> list[Pooled]:
    """Return a metric of a fleet (or of one segment) by window, oldest first; of the `newest` windows only when given.

    Raises:
        InvalidInput: the metric is not known.
    """
    since = None
    if newest is not None:
        starts = last_starts(tx, model, newest)
        since = starts[-1] if len(starts) == newest else None
    return _pooled(tx, model, metric, performance.c.window_start, segment=segment, since=since)


def by_segment(tx: Transaction, model: str, metric: str, since: datetime) -> list[Pooled]:
    """Return a metric of each segment over the windows that start at or after a moment, by segment.

    Raises:
        InvalidInput: the metric is not known.
    """
    return _pooled(tx, model, metric, performance.c.segment, since=since)


def last_starts(tx: Transaction, model: str, count: int) -> list[datetime]:
    """Return the starts of the newest windows of a fleet, newest first."""
    c = performance.c
    query = select(c.window_start).where(c.model == model).group_by(c.window_start)
    return [from_iso(row[0]) for row in tx.execute(query.order_by(c.window_start.desc()).limit(count))]


def end_of(tx: Transaction, model: str, start: datetime) -> datetime:
    """Return where the windows that start at a moment end.

    Raises:
        NotFound: none starts then.
    """
    c = performance.c
    end = tx.scalar(select(c.window_end).where(c.model == model, c.window_start == iso(start)).limit(1))
    if end is None:
        raise NotFound("No window of performance starts at that moment.")
    return from_iso(end)


def signal_states(tx: Transaction, model: str, *, but: str | None = None) -> list[tuple[str, str, str, float | None]]:
    """Return (kind, segment, state, value) of the newest signals that are not in the state `but`."""
    c = signals.c
    query = select(c.kind, c.segment, c.state, c.value).where(c.model == model)
    if but is not None:
        query = query.where(c.state != but)
    return [(row[0], row[1], row[2], row[3]) for row in tx.execute(query).all()]


def _pooled(
    tx: Transaction,
    model: str,
    metric: str,
    key: ColumnElement[str],
    *,
    segment: str | None = None,
    since: datetime | None = None,
) -> list[Pooled]:
    if metric not in METRICS:
        raise InvalidInput(f"No metric is called {metric[:40]!a}; there are {', '.join(METRICS)}.", where="metric")
    c = performance.c
    query = select(
        key,
        _mean(c[metric], metric),
        _mean(c[f"baseline_{metric}"], metric),
        func.sum(c.n),
        func.sum(c.volume),
        func.min(cast(c.complete, Integer)),
    ).where(c.model == model)
    if segment is not None:
        query = query.where(c.segment == segment)
    if since is not None:
        query = query.where(c.window_start >= iso(since))
    found = tx.execute(query.group_by(key).order_by(key)).all()
    return [
        Pooled(key, _rooted(value, metric), _rooted(baseline, metric), n, volume, bool(complete))
        for key, value, baseline, n, volume, complete in found
    ]


def _mean(value: ColumnElement[Any], metric: str) -> ColumnElement[Any]:
    """Return the mean weighted as the metric wants; of squares for root means. Rows without a value do not count."""
    c = performance.c
    weight = c.volume if metric in _BY_VOLUME else (c[f"n_{metric}"] if metric in COUNTED else c.n)
    counted = cast(func.coalesce(weight, c.n), Float)
    term = value * value if metric in _SQUARED else value
    known = func.sum(counted).filter(value.is_not(None))
    return func.sum(counted * term) / func.nullif(known, 0)


def _rooted(value: float | None, metric: str) -> float | None:
    return value**0.5 if value is not None and metric in _SQUARED else value
