"""A first measure of drift: how far each column of each segment moved from what its model was trained on. Pure.

Size first: it is bad only when the estimated distance, without the noise that is there without drift, is over the
charter's limit and the chance of as much by noise stays small when the false discoveries of a whole fleet are counted.
With too few rows, too few blocks of time to know the noise, or noise as large as the limit, it is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from keepwell.charter.model import Monitor
from keepwell.core.lazy import pl
from keepwell.core.spans import parse_span
from keepwell.monitoring.model import Codes, Floats, Ints
from keepwell.monitoring.rules import BAD, OK, UNKNOWN, Judged
from keepwell.stats import drift as stats
from keepwell.stats.special import false_discoveries

BINS = 10
FALSE = 0.05
"""The share of alarms that may be false, over a fleet's columns (Benjamini-Hochberg)."""


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """How far columns moved: arrays (segments, columns).

    Attributes:
        columns: the columns' names.
        distance: distances with noise, interval and chance, see `stats.drift.Distance`.
        adjusted: chances with false discoveries over the whole fleet allowed for.
        codes: 0 unknown, 1 ok, 2 bad.
    """

    columns: Sequence[str]
    distance: stats.Distance
    adjusted: Floats
    codes: Codes


def measure_drift(
    monitor: Monitor,
    segments: Sequence[str],
    reference: pl.DataFrame,
    current: pl.DataFrame,
    columns: Sequence[str],
    time: str | None,
) -> Drift:
    """Measure how far columns moved.

    Args:
        monitor: the charter's clause; the distance that matters is `monitor.drift`.
        segments: the members.
        reference: rows that the champions were trained on: a column `segment`, the time, the columns.
        current: rows of the newest windows, likewise.
        columns: what is compared: numbers by their quantiles in the reference, anything else by its commonest values.
            Values that are missing are left out: that is the contract's matter.
        time: the column of the time: a date, a moment, or a whole number of steps. The reference is cut into blocks as
            long as the current window. None: rows are independent of one another.
    """
    names = {segment: i for i, segment in enumerate(segments)}
    old, new = _placed(reference, names), _placed(current, names)
    block, blocks = _blocks(old, new, time)
    counts = [_counts(old, new, column, block, blocks, len(segments)) for column in columns]
    found = stats.distance(
        np.stack([c[0] for c in counts], 1), np.stack([c[1] for c in counts], 1), independent=time is None
    )
    adjusted = false_discoveries(found.p.ravel()).reshape(found.p.shape)
    limit = np.inf if monitor.drift is None else monitor.drift
    known = np.isfinite(found.moved) & (found.n >= monitor.min_rows) & (found.m >= monitor.min_rows)
    far = found.moved > limit
    blind = ~far & ~(found.noise <= limit)
    codes = np.where(~known | blind | (far & ~(adjusted <= FALSE)), UNKNOWN, np.where(far, BAD, OK)).astype(np.uint8)
    return Drift(columns=tuple(columns), distance=found, adjusted=adjusted, codes=codes)


def judge_drift(
    monitor: Monitor, segments: Sequence[str], drift: Drift, window: tuple[datetime, datetime]
) -> Judged | None:
    """Judge each segment by the column that moved furthest.

    Bad when one column is, ok when at least one is known and none is bad and none looks far but cannot be told from
    noise, unknown otherwise.

    Returns:
        The judgement, or None when the charter watches no drift or there is nothing to compare.
    """
    if monitor.drift is None or not drift.columns:
        return None
    limit = float(monitor.drift)
    moved = drift.distance.moved
    far = (moved > limit) & (drift.codes == UNKNOWN)
    bad = (drift.codes == BAD).any(1)
    codes = np.where(bad, BAD, np.where((drift.codes == OK).any(1) & ~far.any(1), OK, UNKNOWN)).astype(np.uint8)
    rank = np.where(np.isnan(moved), -np.inf, moved)
    most = np.argmax(np.where(bad[:, None] & (drift.codes != BAD), -np.inf, rank), axis=1)
    picked = (np.arange(len(segments)), most)
    value = np.maximum(moved[picked], 0.0)
    rows: Ints = drift.distance.n[picked]

    def say(i: int) -> str:
        if np.isnan(value[i]):
            few = "too little history or too few rows to know how much it varies by itself"
            return f"Whether its data drifted is not known: {few}."
        low, high = drift.distance.low[i, most[i]], drift.distance.high[i, most[i]]
        moved_by = f"{drift.columns[int(most[i])]} moved by {value[i]:.2g} (95 %: {low:.2g} to {high:.2g})"
        doubt = ", which may be noise" if codes[i] == UNKNOWN and value[i] > limit else ""
        return f"{moved_by} over {rows[i]} rows{doubt}; the charter allows {limit:g}."

    return Judged(
        kind="drift",
        segments=segments,
        codes=codes,
        value=value,
        limit=np.full(len(segments), limit),
        n=rows,
        window_start=window[0],
        window_end=window[1],
        clause=["monitor.drift"] * len(segments),
        about=[drift.columns[m] for m in most.tolist()],
        say=say,
    )


def window_of(monitor: Monitor, end: datetime) -> tuple[datetime, datetime]:
    """Return the span of the newest windows that end at a moment: what `current` rows are taken from."""
    return end - parse_span(monitor.window) * monitor.windows, end


def _placed(frame: pl.DataFrame, names: dict[str, int]) -> pl.DataFrame:
    """Add the place of each row's segment, without rows of other segments."""
    if len(names) == 1 and "segment" not in frame.columns:
        return frame.with_columns(pl.lit(0, pl.Int64).alias("__place"))
    places = pl.DataFrame({"segment": list(names), "__place": list(names.values())}, {"segment": pl.String,
                                                                                     "__place": pl.Int64})  # fmt: skip
    return frame.join(places, on="segment", how="inner", maintain_order="left")


def _blocks(old: pl.DataFrame, new: pl.DataFrame, time: str | None) -> tuple[Ints, int]:
    """Return the block of time of each reference row, counted back from its end; blocks are as long as the window."""
    if time is None or old.is_empty() or new.is_empty():
        return np.zeros(old.height, np.int64), 1
    then, now = _steps(old[time]), _steps(new[time])
    step = _step(np.concatenate([then, now]))
    length = now.max() - now.min() + step
    block = ((then.max() - then) // length).astype(np.int64)
    return block, int(block.max()) + 1


def _steps(times: pl.Series) -> Ints:
    if times.dtype == pl.Date:
        return times.cast(pl.Int32).to_numpy().astype(np.int64)
    if times.dtype == pl.Datetime:
        return times.dt.epoch("s").to_numpy().astype(np.int64)
    return times.cast(pl.Int64).to_numpy().astype(np.int64)


def _step(times: Ints) -> int:
    """Return the usual distance of two neighbouring times."""
    apart = np.diff(np.unique(times))
    return int(np.median(apart)) if len(apart) else 1


def _counts(
    old: pl.DataFrame, new: pl.DataFrame, column: str, block: Ints, blocks: int, groups: int
) -> tuple[Floats, Floats]:
    """Return how many rows fall into each bin of a column: (segments, blocks, bins) of the reference, and current."""
    if old[column].dtype.is_numeric():
        then, now = _numbers(old[column]), _numbers(new[column])
        a, b = np.isfinite(then), np.isfinite(now)
        place = old["__place"].to_numpy()[a]
        edges = stats.quantile_edges(then[a], place, groups, BINS)
        here = new["__place"].to_numpy()[b]
        old_bins, new_bins = stats.bin_values(then[a], place, edges), stats.bin_values(now[b], here, edges)
    else:
        then_codes, now_codes = _common(old[column], new[column])
        a, b = then_codes >= 0, now_codes >= 0
        place, here = old["__place"].to_numpy()[a], new["__place"].to_numpy()[b]
        old_bins, new_bins = then_codes[a], now_codes[b]
    return (
        stats.count_bins(old_bins, place, block[a], groups, blocks, BINS),
        stats.count_bins(new_bins, here, np.zeros(len(here), np.int64), groups, 1, BINS),
    )


def _numbers(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _common(old: pl.Series, new: pl.Series) -> tuple[np.ndarray[tuple[int], np.dtype[np.int8]], ...]:
    """Return the rank of each value among the reference's commonest ones, the rest as one more, missing as -1."""
    text = old.cast(pl.String)
    order = text.drop_nulls().value_counts(sort=False).sort(["count", text.name], descending=[True, False])
    names = order[text.name].head(BINS - 1).to_list()
    codes = pl.Series(range(len(names)), dtype=pl.Int8)
    return tuple(
        s.cast(pl.String)
        .replace_strict(pl.Series(names, dtype=pl.String), codes, default=BINS - 1, return_dtype=pl.Int8)
        .set(s.is_null(), -1)
        .to_numpy()
        for s in (old, new)
    )


def length_of(monitor: Monitor) -> timedelta:
    """Return how long the newest windows are together."""
    return parse_span(monitor.window) * monitor.windows
