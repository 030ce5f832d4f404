"""From a segment's columns to numbers of one size: what linear models and networks read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepwell.forecasting.features import Examples, Small
from keepwell.forecasting.panel import Floats, Ints

_CLIP = 5.0
_MOST_LEVELS = 12


@dataclass(frozen=True, slots=True)
class Scaling:
    """Which columns are read, and how they become numbers of one size.

    Attributes:
        columns: places of the columns that are used.
        mean: of each, (columns,); what is unknown becomes it.
        deviation: of each.
        levels: (category, value) pairs that get a column of 0 and 1 each, after the others.
    """

    columns: Ints
    mean: Small
    deviation: Small
    levels: tuple[tuple[str, str], ...]

    def apply(self, examples: Examples) -> Small:
        """Return the standardised columns, within five deviations, 0 where unknown."""
        x = (examples.x[:, self.columns] - self.mean) / self.deviation
        np.clip(x, -_CLIP, _CLIP, out=x)
        np.nan_to_num(x, copy=False)
        return np.concatenate([x, self.marks(examples)], axis=1) if self.levels else x

    def marks(self, examples: Examples) -> Small:
        """Return the columns of 0 and 1."""
        names = list(examples.kinds)
        marks = np.zeros((len(examples), len(self.levels)), np.float32)
        for i, (name, value) in enumerate(self.levels):
            if value in examples.kinds[name]:
                marks[:, i] = examples.cats[:, names.index(name)] == examples.kinds[name].index(value)
        return marks

    def used(self, places: Ints) -> Scaling:
        """Return the scaling that makes only some of the columns."""
        plain = places[places < len(self.columns)]
        levels = tuple(self.levels[i - len(self.columns)] for i in places[places >= len(self.columns)])
        return Scaling(self.columns[plain], self.mean[plain], self.deviation[plain], levels)

    def to_state(self) -> dict[str, Any]:
        """Return the scaling as a tree of arrays and texts."""
        return {
            "columns": self.columns.astype(np.int32),
            "mean": self.mean,
            "deviation": self.deviation,
            "levels": [list(pair) for pair in self.levels],
        }

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> Scaling:
        """Return the scaling that `to_state` wrote."""
        levels = tuple((name, value) for name, value in state["levels"])
        return Scaling(state["columns"], state["mean"], state["deviation"], levels)


def scaled(x: Small) -> tuple[Small, Small, Small]:
    """Return columns standardised over the rows of each problem, and their means and deviations.

    Args:
        x: (problems, rows, columns), NaN where unknown; it is changed.

    Returns:
        The same within five deviations, 0 where unknown; means and deviations (problems, columns), a deviation
        infinite where a column does not vary.
    """
    known = np.isfinite(x)
    count = np.maximum(known.sum(axis=1), 1)
    np.copyto(x, 0.0, where=~known)
    mean = x.sum(axis=1, dtype=np.float64) / count
    x -= mean[:, None, :].astype(np.float32)
    np.copyto(x, 0.0, where=~known)
    deviation = np.sqrt(np.einsum("gij,gij->gj", x, x, dtype=np.float64) / count)
    deviation = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1.0), deviation, np.inf)
    x /= deviation[:, None, :].astype(np.float32)
    np.clip(x, -_CLIP, _CLIP, out=x)
    return x, mean.astype(np.float32), deviation.astype(np.float32)


def scaling_of(part: Examples) -> Scaling:
    """Return the scaling of a segment's training rows; columns that are unknown or constant there are left out."""
    _, mean, deviation = scaled(part.x[None].copy())
    columns = np.flatnonzero(np.isfinite(deviation[0]))
    return Scaling(columns, mean[0, columns], deviation[0, columns], ())


def levels_of(part: Examples) -> dict[str, list[str]]:
    """Return, of each category that varies within the segment, the values that occur there."""
    found: dict[str, list[str]] = {}
    for i, (name, values) in enumerate(part.kinds.items()):
        codes = part.cats[:, i]
        if not len(codes) or codes.min() == codes.max():
            continue
        found[name] = [values[c] for c in np.unique(codes[codes >= 0])]
    return found


def marks_of(part: Examples) -> tuple[tuple[str, str], ...]:
    """Return the values of categories that have but a few within the segment."""
    few = {name: values for name, values in levels_of(part).items() if len(values) <= _MOST_LEVELS}
    return tuple((name, value) for name, values in few.items() for value in values)


def weights_of(part: Examples) -> Floats:
    """Return what each row counts in a fit: its size, so that the sum of weighted errors is in the target's unit."""
    total = part.scale.sum()
    return part.scale / total if total > 0 else np.full(len(part), 1.0 / max(len(part), 1))


def log_target(part: Examples) -> NDArray[np.float32]:
    """Return the logarithm of the ratio, within a twentieth and twenty times."""
    return np.log(np.clip(part.ratio, 0.05, 20.0)).astype(np.float32)


def recode(codes: Ints, now: Sequence[str], then: Sequence[str]) -> Ints:
    """Return codes into the values of today as codes into the values that were trained on, -1 for a new one."""
    places = {value: i for i, value in enumerate(then)}
    table = np.array([*(places.get(value, -1) for value in now), -1], dtype=np.int64)
    return table[codes]
