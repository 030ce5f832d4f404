"""The guard over a version that was promoted lately: is it harmful, and must the one before answer again? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from keepwell.charter.model import Monitor
from keepwell.core.clock import as_utc
from keepwell.core.spans import parse_span
from keepwell.monitoring.model import Moments, Windows
from keepwell.monitoring.pooling import places_of, pool
from keepwell.monitoring.rules import BAD, OK, UNKNOWN, Judged, day_of, show_value

LEAST_WINDOWS = 2
"""One bad window is no proof of harm."""
MARGIN = 1.1
"""Harm is an error that is at least this many times the baseline's."""


def judge_guard(
    monitor: Monitor,
    metric: str,
    segments: Sequence[str],
    champions: Sequence[str | None],
    promoted_at: Moments,
    windows: Windows,
    now: datetime,
) -> Judged:
    """Judge whether champions do harm since they were promoted.

    Harm is an error of at least 1.1 times the baseline's over the complete windows that began after the promotion, at
    least two of them, the champion worse than the baseline in each. The guard watches a champion for twice
    `monitor.windows`; later its performance is judged, and an older version would be no better. Until then it is ok
    when two windows are there without harm, and unknown without them.

    Args:
        monitor: the charter's clause.
        metric: what is compared, better when smaller: the first of `evaluate.metrics`.
        segments: the members.
        champions: what answers for each in production, None for nothing.
        promoted_at: since when, UTC; NaT where it is not known.
        windows: what is recorded, of any version.
        now: the moment of judging.
    """
    n = len(segments)
    place = places_of(segments, windows.segment)
    mine = [p >= 0 and champions[p] == v for p, v in zip(place.tolist(), windows.version, strict=True)]
    since = promoted_at[np.maximum(place, 0)] if n else np.full(len(place), "NaT", "datetime64[us]")
    used = np.asarray(mine, np.bool_) & windows.complete & (windows.window_start >= since)
    whole = pool(windows, metric, place, used, n)
    better = used & ~(windows.metrics[metric] > windows.baseline[metric])
    worse_in_each = np.bincount(place[better], minlength=n) == 0
    moment = np.datetime64(as_utc(now).replace(tzinfo=None), "us")
    span = parse_span(monitor.window) * monitor.windows * 2
    watched = ~np.isnat(promoted_at) & (moment - promoted_at <= np.timedelta64(span))
    known = watched & (whole.windows >= LEAST_WINDOWS) & (whole.n >= monitor.min_rows) & np.isfinite(whole.baseline)
    limit = whole.baseline * MARGIN
    harm = known & worse_in_each & (whole.value > limit)
    codes = np.where(harm, BAD, np.where(known, OK, UNKNOWN)).astype(np.uint8)

    def say(i: int) -> str:
        if not watched[i]:
            return (
                "It was promoted too long ago for the guard, or when is not known; its performance is judged instead."
            )
        if not known[i]:
            return f"Fewer than {LEAST_WINDOWS} complete windows since it was promoted."
        own, other = show_value(metric, float(whole.value[i])), show_value(metric, float(whole.baseline[i]))
        return f"{metric} {own} since it was promoted, over {whole.n[i]} rows; the baseline had {other}."

    return Judged(
        kind="guard",
        segments=segments,
        codes=codes,
        value=np.where(known, whole.value, np.nan),
        limit=np.where(known, limit, np.nan),
        n=whole.n,
        window_start=day_of(now) - span,
        window_end=day_of(now),
        clause=["evaluate.baseline"] * n,
        about=[metric] * n,
        say=say,
    )
