"""Several windows of performance as one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from keepwell.monitoring.model import Floats, Ints, Windows


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """One metric over several windows, a place a segment.

    Attributes:
        value: the metric over all rows of the windows; NaN where it is not known.
        baseline: the baseline's on the same rows.
        n: the rows it rests on.
        windows: the windows it rests on.
    """

    value: Floats
    baseline: Floats
    n: Ints
    windows: Ints


def pool(windows: Windows, metric: str, place: Ints, used: npt.NDArray[np.bool_], segments: int) -> Pooled:
    """Return a metric over the windows that are used, as if it was computed over all their rows at once.

    Exact for every metric: `wmape` and `bias` are weighted by sum |actual|, the others by the rows they rest on, `rmse`
    and `rmse_zero` as squares. A window whose metric is not known adds nothing.

    Args:
        windows: columns.
        metric: of `METRICS`.
        place: each window's segment as a number below `segments`.
        used: which windows count.
        segments: how many segments there are.
    """
    weight = windows.volume if metric in ("wmape", "bias") else windows.counts[metric].astype(np.float64)
    own, n, count = _mean(metric, windows.metrics[metric], weight, windows.counts[metric], place, used, segments)
    other, _, _ = _mean(metric, windows.baseline[metric], weight, windows.counts[metric], place, used, segments)
    return Pooled(value=own, baseline=other, n=n, windows=count)


def places_of(segments: Sequence[str], names: Sequence[str]) -> Ints:
    """Return the place of each name in `segments`, -1 where it is none."""
    place = {segment: i for i, segment in enumerate(segments)}
    return np.asarray([place.get(name, -1) for name in names], np.int64)


def _mean(
    metric: str,
    value: Floats,
    weight: Floats,
    rows: Ints,
    place: Ints,
    used: npt.NDArray[np.bool_],
    segments: int,
) -> tuple[Floats, Ints, Ints]:
    keep = used & np.isfinite(value) & (weight > 0) & (place >= 0)
    at, weight = place[keep], weight[keep]
    squared = metric.startswith("rmse")
    terms = value[keep] ** 2 if squared else value[keep]
    total = np.bincount(at, weight, segments)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(at, weight * terms, segments) / total
    n = np.bincount(at, rows[keep], segments).astype(np.int64)
    return np.sqrt(mean) if squared else mean, n, np.bincount(at, minlength=segments).astype(np.int64)
