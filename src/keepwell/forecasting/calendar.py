"""Calendar columns of each step: where it lies in the month, week and day, and how far from each holiday.

They are known for any future; nothing here looks at a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.forecasting.holidays import holiday_dates
from keepwell.forecasting.panel import Axis, Floats
from keepwell.forecasting.task import Cadence

_DAY = timedelta(days=1)


def calendar_columns(axis: Axis, cadence: Cadence, holidays: Sequence[str]) -> dict[str, Floats]:
    """Return the calendar as columns of one value a step; none where time is a whole number.

    The time of year is not among them: with a year or two of history it is a trend in disguise. What a year before
    looked like is a column of its own.

    Raises:
        InvalidInput: a holiday is not known, or time is a whole number and holidays are declared.
    """
    dates = axis.dates()
    if dates is None:
        if holidays:
            raise InvalidInput("Holidays need dates, and the time is a whole number.", where="forecast.holidays")
        return {}
    month_day = np.array([d.day for d in dates])
    columns: dict[str, Floats] = {
        "month_day": month_day / 31,
        "month_start": (month_day <= 7).astype(np.float64),
        "month_end": (month_day >= 24).astype(np.float64),
    }
    if cadence.every <= _DAY:
        weekday = np.array([d.weekday() for d in dates])
        columns |= {f"weekday_{day}": (weekday == day).astype(np.float64) for day in range(7)}
    if cadence.every < _DAY:
        slot = ((axis.start + np.arange(axis.count) * axis.every) % 86_400_000_000) // axis.every
        columns |= {f"slot_{i}": (slot == i).astype(np.float64) for i in range(cadence.cycle)}
    return columns | _distances(np.array([d.toordinal() for d in dates]), axis, cadence, holidays)


def _distances(days: np.ndarray, axis: Axis, cadence: Cadence, holidays: Sequence[str]) -> dict[str, Floats]:
    """Return, by holiday, how many steps lie between a step and the nearest one, as one column a distance.

    `near_*_0` marks the step whose date is 0 to (a step less a day) after the holiday; a week that is named by its
    last day holds the holiday then.
    """
    dates = axis.dates()
    if not holidays or not dates:
        return {}
    columns: dict[str, Floats] = {}
    width = max(1, round(cadence.every / _DAY))
    reach = (-3, -2, -1, 0, 1) if width > 1 else (-3, -2, -1, 0, 1, 2)
    for name, found in holiday_dates(holidays, dates[0], dates[-1]).items():
        when = np.array([d.toordinal() for d in found])
        gaps = days[:, None] - when[None, :]
        nearest = gaps[np.arange(len(days)), np.abs(gaps).argmin(axis=1)]
        place = nearest // width
        columns |= {f"near_{name}_{n}": (place == n).astype(np.float64) for n in reach}
    return columns
