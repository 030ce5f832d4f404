"""Metrics of forecasts over arrays, for many groups of rows at once. A metric that cannot be known is None, never NaN.

Ratios are fractions of the actual: `mape` over rows with an actual above 0, `mape100` over actuals of 100 and more,
`wmape` = sum |error| / sum |actual|, `bias` = sum (forecast - actual) / sum |actual|; `rmse_zero` over rows whose
actual is 0 (the false demand of stores that sell nothing); `rmse` and `mae` over all, in the target's unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keepwell.core.errors import InvalidInput

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

METRICS = ("mape", "mape100", "wmape", "rmse_zero", "rmse", "mae", "bias")


def measure_groups(
    group: Codes, groups: int, actual: Array, forecast: Array, metrics: Sequence[str] = METRICS
) -> dict[str, tuple[list[float | None], list[int]]]:
    """Return each metric's value in each group, and the number of rows it rests on.

    Rows where the actual or the forecast is not finite are left out.

    Raises:
        InvalidInput: a metric is not known.
    """
    known = np.isfinite(actual) & np.isfinite(forecast)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        group, actual, error = group[known], actual[known], forecast[known] - actual[known]
        return {name: _measure(name, group, groups, actual, error) for name in metrics}


def measure_arrays(
    actual: Array, forecast: Array, metrics: Sequence[str] = METRICS
) -> dict[str, tuple[float | None, int]]:
    """Return each metric over all rows, and the number of rows it rests on."""
    found = measure_groups(np.zeros(len(actual), np.int64), 1, actual, forecast, metrics)
    return {name: (values[0], counts[0]) for name, (values, counts) in found.items()}


def wmape(actual: Array, forecast: Array) -> float | None:
    """Return sum |forecast - actual| / sum |actual| over the rows where both are finite."""
    return measure_arrays(actual, forecast, ("wmape",))["wmape"][0]


def _measure(
    metric: str, group: Codes, groups: int, actual: Array, error: Array
) -> tuple[list[float | None], list[int]]:
    rows, above, below = _terms(metric, actual, error)
    group = group[rows]
    count = np.bincount(group, minlength=groups)
    value = np.bincount(group, above, groups) / (count if below is None else np.bincount(group, below, groups))
    if metric.startswith("rmse"):
        value = np.sqrt(value)
    return [float(v) if np.isfinite(v) else None for v in value], count.tolist()


def _terms(metric: str, actual: Array, error: Array) -> tuple[NDArray[np.bool_], Array, Array | None]:
    """Return which rows count, and per row what is summed above and (None: one) below the line."""
    size = np.abs(actual)
    match metric:
        case "mape" | "mape100":
            rows = actual > 0 if metric == "mape" else actual >= 100
            return rows, np.abs(error[rows]) / actual[rows], None
        case "wmape":
            return np.ones(len(actual), bool), np.abs(error), size
        case "bias":
            return np.ones(len(actual), bool), error, size
        case "rmse" | "rmse_zero":
            rows = np.ones(len(actual), bool) if metric == "rmse" else actual == 0
            return rows, error[rows] ** 2, None
        case "mae":
            return np.ones(len(actual), bool), np.abs(error), None
        case _:
            raise InvalidInput(f"{metric!r} is not a metric; there are {', '.join(METRICS)}.", where="evaluate.metrics")
