"""What a series' past says as of each step: rolling statistics over the rows it has, never over later ones.

Every array is (series, steps); its value at step o uses targets at steps up to and including o only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from keepwell.forecasting.panel import Floats


@dataclass(frozen=True)
class History:
    """Rolling statistics of the targets.

    Attributes:
        target: (series, steps), NaN where there is none.
        rows: how many rows make the level.
    """

    target: Floats
    rows: int

    @cached_property
    def seen(self) -> NDArray[np.int64]:
        """How many targets there were up to each step."""
        return np.isfinite(self.target).cumsum(axis=1)

    @cached_property
    def level(self) -> Floats:
        """The mean of the newest rows, NaN before the first: the historical average."""
        return self.mean(self.rows)

    @cached_property
    def last(self) -> Floats:
        """The newest target, NaN before the first."""
        found = np.take_along_axis(self._compact(self.target), self.seen, axis=1)
        return np.where(self.seen > 0, found, np.nan)

    @cached_property
    def age(self) -> NDArray[np.int64]:
        """Steps since the newest target; the number of steps before the first."""
        steps = np.arange(self.target.shape[1])
        newest = np.maximum.accumulate(np.where(np.isfinite(self.target), steps, -1), axis=1)
        return np.where(newest >= 0, steps - newest, self.target.shape[1])

    @cached_property
    def scale(self) -> Floats:
        """A positive size to divide by: the level, kept off 0 by the longer past, and by other series before the first.

        Division by it makes growth and units harmless. At least a fifth of the mean absolute target of three times as
        many rows, and at least a millionth of all series' mean.
        """
        absolute = self._rolling(np.abs(self.target), 3 * self.rows)
        own = np.maximum(np.abs(self.level), 0.2 * absolute)
        known = np.isfinite(own)
        with np.errstate(invalid="ignore", divide="ignore"):
            others = np.where(known, own, 0.0).sum(axis=0) / known.sum(axis=0)
        others = np.where(np.isfinite(others) & (others > 0), others, 1.0)
        return np.maximum(np.where(known, own, others), np.maximum(1e-6 * others, 1e-12))

    def mean(self, rows: int) -> Floats:
        """Return the mean of the newest `rows` targets, of fewer where there are fewer, NaN where there are none."""
        return self._rolling(self.target, rows)

    def deviation(self, rows: int) -> Floats:
        """Return the standard deviation of the newest `rows` targets, NaN where there are none."""
        mean = self.mean(rows)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.sqrt(np.maximum(self._rolling(self.target * self.target, rows) - mean * mean, 0.0))

    def _rolling(self, values: Floats, rows: int) -> Floats:
        filled = np.where(np.isfinite(values), values, 0.0)
        totals = self._compact(filled.cumsum(axis=1))
        earlier = np.maximum(self.seen - rows, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            newest = np.take_along_axis(totals, self.seen, axis=1) - np.take_along_axis(totals, earlier, axis=1)
            mean = newest / np.minimum(self.seen, rows)
        return np.where(self.seen > 0, mean, np.nan)

    def _compact(self, values: Floats) -> Floats:
        """Return values by the number of targets seen: column j holds the value at the j-th target, column 0 is 0."""
        series, steps = self.target.shape
        compact = np.zeros((series, steps + 1))
        at_series, at_step = np.nonzero(np.isfinite(self.target))
        compact[at_series, self.seen[at_series, at_step]] = values[at_series, at_step]
        return compact
