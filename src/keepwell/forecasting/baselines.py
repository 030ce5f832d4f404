"""Forecasts that need no fit, as of an origin: what every model is measured against, and what is served without one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.forecasting.features import Samples, Source, read_at
from keepwell.forecasting.panel import Floats
from keepwell.forecasting.task import cadence_of

_WEEKS = 8


def historical_average(source: Source, samples: Samples) -> Floats:
    """Return the mean of the same place in the week over the newest eight weeks (of weekly rows: of eight rows).

    Where these weeks have none, the mean of the newest rows; of a series without any, the mean size of all series.
    """
    week = cadence_of(source.task).week
    nearest = samples.target - week * -(-(samples.target - samples.origin) // week)
    found = np.stack([read_at(source.own.target, samples.series, nearest - n * week) for n in range(_WEEKS)])
    known = np.isfinite(found)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, found, 0.0).sum(axis=0) / known.sum(axis=0)
    level = source.own.level[samples.series, samples.origin]
    mean = np.where(np.isfinite(mean), mean, level)
    return np.where(np.isfinite(mean), mean, source.scale[samples.series, samples.origin])


def last_value(source: Source, samples: Samples) -> Floats:
    """Return the newest target."""
    last = source.own.last[samples.series, samples.origin]
    return np.where(np.isfinite(last), last, historical_average(source, samples))


def same_week_last_year(source: Source, samples: Samples) -> Floats:
    """Return the target a year (364 days, so that weekdays match) before; the historical average where it is absent."""
    found = _a_year_before(source, samples)
    return np.where(np.isfinite(found), found, historical_average(source, samples))


def seasonal_index(source: Source, samples: Samples) -> Floats:
    """Return the historical average times last year's ratio of this week to its own average then, within 0.2 to 5."""
    year = _year(source, samples)
    then = read_at(source.own.level, samples.series, samples.origin - year)
    with np.errstate(invalid="ignore", divide="ignore"):
        index = np.clip(_a_year_before(source, samples) / then, 0.2, 5.0)
    return historical_average(source, samples) * np.where(np.isfinite(index), index, 1.0)


BASELINES: dict[str, Callable[[Source, Samples], Floats]] = {
    "historical_average": historical_average,
    "same_week_last_year": same_week_last_year,
    "last_value": last_value,
    "seasonal_index": seasonal_index,
}


def baseline_of(source: Source, samples: Samples) -> Floats:
    """Return the forecasts of the baseline that the charter declares.

    Raises:
        InvalidInput: there is no such baseline.
    """
    name = source.task.evaluate.baseline
    if name not in BASELINES:
        raise InvalidInput(f"{name!r} is not a baseline; there are {', '.join(BASELINES)}.", where="evaluate.baseline")
    return BASELINES[name](source, samples)


def _a_year_before(source: Source, samples: Samples) -> Floats:
    return read_at(source.own.target, samples.series, samples.target - _year(source, samples))


def _year(source: Source, samples: Samples) -> np.ndarray:
    cadence = cadence_of(source.task)
    year = cadence.year or max(cadence.season, 1)
    return np.asarray(year * -(-(samples.target - samples.origin) // year))
