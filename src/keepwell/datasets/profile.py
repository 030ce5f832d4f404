"""Profiles: what each column of a table holds, bounded in size, to be drawn on a page and compared.

Numbers are finite or absent, never NaN. Moments and dates are ISO text.
"""

from __future__ import annotations

import sys
from datetime import date, datetime, timedelta

import numpy as np

from keepwell.core.lazy import pl
from keepwell.datasets.parts import kind_of

BINS = 20
TOP = 20
_MAX_COLUMNS = 500
_EXACT = 200_000
_TEXT = 80
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_EPOCH = date(1970, 1, 1)
_HUGE = sys.float_info.max


def profile(frame: pl.DataFrame) -> dict[str, object]:
    """Return the profile of a table.

    Returns:
        `rows`, and `columns`: for each column (the first 500) its `type`, `missing` (count), `distinct` (approximate
        above 200,000 rows), and by type: `min`, `max`, `mean`, `std`, `quantiles` (probability text to value),
        `histogram` (`edges`, 21 of them, and `counts`, 20), `infinite` (count), `top` (value and count, most frequent
        first, at most 20), `longest` (characters).
    """
    counted = _distinct(frame)
    return {
        "rows": frame.height,
        "columns": {
            name: _column(frame[name], counted[name]) for name in frame.columns[:_MAX_COLUMNS]
        },
    }  # fmt: skip


def _distinct(frame: pl.DataFrame) -> dict[str, int]:
    count = pl.all().n_unique() if frame.height <= _EXACT else pl.all().approx_n_unique()
    names = frame.columns[:_MAX_COLUMNS]
    chosen = frame.select(names)
    found = chosen.select(count).row(0) if frame.height else (0,) * len(names)
    missing = chosen.null_count().row(0)
    return {name: int(n) - bool(gaps) for name, n, gaps in zip(names, found, missing, strict=True)}


def _column(values: pl.Series, distinct: int) -> dict[str, object]:
    kind = values.dtype
    common: dict[str, object] = {
        "type": kind_of(kind) or str(kind),
        "missing": values.null_count(),
        "distinct": distinct,
    }
    present = values.drop_nulls()
    if not len(present):
        return common
    if kind.is_numeric():
        return common | _numbers(present) | (_top(present) if distinct <= TOP else {})
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        return common | _times(present)
    if kind == pl.Boolean:
        return common | _top(present)
    return common | _top(present) | {"longest": present.cast(pl.String).str.len_chars().max()}


def _numbers(present: pl.Series) -> dict[str, object]:
    numbers = present.cast(pl.Float64).to_numpy()
    finite = numbers[np.isfinite(numbers)]
    infinite = len(numbers) - len(finite)
    if not len(finite):
        return {"infinite": infinite}
    low, high = float(finite.min()), float(finite.max())
    quantiles = np.quantile(finite, _QUANTILES)
    scale = max(abs(low), abs(high), 1.0)
    return {
        "min": low,
        "max": high,
        "mean": float((finite / scale).mean()) * scale,
        "std": min(float((finite / scale).std()) * scale, _HUGE),
        "quantiles": {f"{p:g}": float(q) for p, q in zip(_QUANTILES, quantiles, strict=True)},
        "histogram": histogram(finite),
    } | ({"infinite": infinite} if infinite else {})


def histogram(finite: np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, object]:
    """Return `edges` (21, equally far apart) and `counts` (20) of finite numbers, of which there is at least one."""
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        half = max(0.5, abs(low) * 1e-6)
        low, high = max(low - half, -_HUGE), min(high + half, _HUGE)
    way = np.arange(BINS + 1) / BINS
    edges = np.maximum.accumulate(low * (1 - way) + high * way)
    at = np.searchsorted(edges[1:-1], finite, side="right")
    return {"edges": edges.tolist(), "counts": np.bincount(at, minlength=BINS).tolist()}


def _times(present: pl.Series) -> dict[str, object]:
    days = present.dtype == pl.Date
    numbers = present.to_physical().cast(pl.Float64).to_numpy()
    drawn = histogram(numbers)
    edges: list[float] = drawn["edges"]  # type: ignore[assignment]
    return {
        "min": _iso(present.min()),
        "max": _iso(present.max()),
        "histogram": {"edges": [_moment(edge, days) for edge in edges], "counts": drawn["counts"]},
    }


def _moment(edge: float, days: bool) -> str:
    start = datetime(_EPOCH.year, _EPOCH.month, _EPOCH.day)  # noqa: DTZ001  (moments of the standard form are naive UTC)
    whole = start + (timedelta(days=edge) if days else timedelta(microseconds=edge))
    return whole.isoformat(timespec="seconds")


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _top(present: pl.Series) -> dict[str, object]:
    counts = present.alias("value").value_counts(sort=True, name="count").head(TOP * 2)
    ordered = sorted(counts.rows(), key=lambda row: (-row[1], str(row[0])))[:TOP]
    return {"top": [[_shown(value), count] for value, count in ordered]}


def _shown(value: object) -> object:
    if isinstance(value, str):
        return value if len(value) <= _TEXT else value[: _TEXT - 1] + "…"
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
