"""Join what was forecast with what happened, and keep performance by window."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np

from keepwell.charter.model import Charter
from keepwell.core import failpoints
from keepwell.core.lazy import pl
from keepwell.core.spans import parse_span
from keepwell.datasets import service as datasets
from keepwell.datasets.parts import decode
from keepwell.flows.frames import frame_of
from keepwell.flows.kit import Kit
from keepwell.forecasting.metrics import METRICS, measure_groups
from keepwell.governance.charters import AppliedCharter
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import Window
from keepwell.serving import service as serving
from keepwell.serving.model import Scoring

MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
"""Windows are counted from a Monday, so that a window of a week is a calendar week."""
BASELINE = "baseline"
GRACE = 4
"""So many windows after its last row was due a scoring is closed: what has not come is not waited for, and what is
corrected later is not joined again. Until then a correction revises the windows that it touches."""


def join_outcomes(kit: Kit, applied: AppliedCharter, actor: str) -> int:
    """Join every scoring that still waits with the newest data, and record performance by segment and window.

    Returns:
        How many windows were recorded or revised.
    """
    charter = applied.charter
    with kit.read() as tx:
        waiting = serving.waiting_for_outcomes(tx, charter.model)
        version = datasets.latest(tx, charter.data.dataset)
    if version is None or not waiting:
        return 0
    waiting = [s for s in waiting if s.joined_input != version.id]
    frame = frame_of(kit, version.id)
    known = frame.filter(pl.col(charter.data.target).is_not_null())
    newest = known[charter.data.time].max()
    every, grace = parse_span(charter.forecast.every), GRACE * parse_span(charter.monitor.window)
    recorded = 0
    for scoring in waiting:
        rows = outcomes(kit, charter, scoring, known)
        joined = rows["actual"].len() - rows["actual"].null_count()
        at = clock_of(rows[charter.data.time], scoring, every)
        closed = newest is not None and at(newest) >= at(rows[charter.data.time].max()) + grace
        windows = windows_of(charter, rows, newest, at) if joined else []
        call = kit.call(actor)
        with kit.write() as tx:
            serving.note_outcomes(tx, call, scoring, joined, version.id, closed=closed)
            failpoints.reach("feedback.noted")
            kept = monitoring.record_performance(tx, call, charter.model, windows)
        recorded += kept.new + kept.revised
    return recorded


def outcomes(kit: Kit, charter: Charter, scoring: Scoring, known: pl.DataFrame) -> pl.DataFrame:
    """Return a scoring's rows with their `actual`, null where it has not come."""
    rows = decode(kit.blobs.path(scoring.part))
    on = [*charter.data.keys, charter.data.time]
    return rows.join(known.select(*on, pl.col(charter.data.target).alias("actual")), on=on, how="left")


def clock_of(times: pl.Series, scoring: Scoring, every: timedelta) -> Callable[[object], datetime]:
    """Return what tells the moment, in UTC, of a time of a scoring's rows.

    Whole numbers count steps: the first one that was forecast begins at the moment of the schedule it was made for.
    """
    if not times.dtype.is_integer():
        return lambda value: moment_of(value, every)
    first = int(scoring.first)
    return lambda value: scoring.slot + (int(str(value)) - first) * every


def windows_of(charter: Charter, rows: pl.DataFrame, last: object, at: Callable[[object], datetime]) -> list[Window]:
    """Measure rows with their outcome by segment, version and window.

    Args:
        charter: window and columns.
        rows: segment, version, forecast, baseline, actual and the time.
        last: the last time whose target is known: a window whose rows end after it is not complete.
        at: tells the moment of a time.
    """
    length = parse_span(charter.monitor.window)
    time, newest = charter.data.time, at(last)
    moments = {value: at(value) for value in rows[time].unique().to_list()}
    places = {value: (moment - MONDAY) // length for value, moment in moments.items()}
    ends: dict[int, datetime] = {}
    for value, place in places.items():
        ends[place] = max(ends.get(place, moments[value]), moments[value])
    window = pl.col(time).replace_strict(places, return_dtype=pl.Int64).alias("window")
    table = rows.select("segment", pl.col("version").fill_null(BASELINE), "forecast", "baseline", "actual", window)
    table = table.filter(pl.col("actual").is_not_null())
    groups = table.select("segment", "version", "window").unique(maintain_order=True)
    if groups.is_empty():
        return []
    code = table.join(
        groups.with_row_index("code"), on=["segment", "version", "window"], how="left", maintain_order="left"
    )["code"].cast(pl.Int64).to_numpy()  # fmt: skip
    actual, ours, base = (table[c].cast(pl.Float64).to_numpy() for c in ("actual", "forecast", "baseline"))
    measured = measure_groups(code, groups.height, actual, ours)
    baseline = measure_groups(code, groups.height, actual, base)
    volume = np.bincount(code, np.abs(actual), groups.height)
    rows_each = np.bincount(code, minlength=groups.height)
    return [
        Window(
            segment=segment,
            version=version,
            window_start=MONDAY + window * length,
            window_end=MONDAY + (window + 1) * length,
            n=int(rows_each[i]),
            complete=ends[window] <= newest,
            volume=float(volume[i]),
            metrics={m: measured[m][0][i] for m in METRICS},
            counts={m: measured[m][1][i] for m in METRICS},
            baseline={m: baseline[m][0][i] for m in METRICS},
        )
        for i, (segment, version, window) in enumerate(groups.iter_rows())
    ]


def moment_of(value: object, every: timedelta) -> datetime:
    """Return a time of any kind as a moment in UTC; a whole number counts steps from 1970."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return MONDAY + int(str(value)) * every
