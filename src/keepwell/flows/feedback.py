"""Join what was forecast with what happened, and keep performance by window."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from keepwell.charter.model import Charter
from keepwell.core import failpoints
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
    recorded = 0
    for scoring in waiting:
        rows = outcomes(kit, charter, scoring, known)
        joined = rows["actual"].len() - rows["actual"].null_count()
        last = rows[charter.data.time].max()
        closed = bool(known[charter.data.time].max() >= last)  # type: ignore[operator]
        if joined == scoring.joined and closed == scoring.closed:
            continue
        windows = windows_of(charter, rows, known[charter.data.time].max())
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


def windows_of(charter: Charter, rows: pl.DataFrame, last: object) -> list[Window]:
    """Measure rows with their outcome by segment, version and window.

    Args:
        charter: window and columns.
        rows: segment, version, forecast, baseline, actual and the time.
        last: the last time whose target is known: a window that ends after it is not complete.
    """
    length = parse_span(charter.monitor.window)
    every = parse_span(charter.forecast.every)
    moments = [moment_of(value, every) for value in rows[charter.data.time].to_list()]
    place = [(moment - MONDAY) // length for moment in moments]
    newest = moment_of(last, every)
    table = rows.select("segment", pl.col("version").fill_null(BASELINE), "forecast", "baseline", "actual")
    table = table.with_columns(pl.Series("window", place, dtype=pl.Int64), pl.Series("moment", moments))
    # a window is complete when its last forecast time is known
    ends = dict(table.group_by("window").agg(pl.col("moment").max()).iter_rows())
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
