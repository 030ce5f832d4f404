"""The columns that learners see, each as of a forecast's origin.

A sample is a series, an origin step o and a target step t > o. History and observed columns are read at steps up to o
only; columns known ahead, and the calendar, are read at t. What a season ago looked like is read at t - season, which
is at or before o, or not at all. Sizes are logarithms of ratios to the series' own level at o, so growth, units and
a series' size cancel, and 0 means "as usual".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from keepwell.forecasting.calendar import calendar_columns
from keepwell.forecasting.history import History
from keepwell.forecasting.panel import Floats, Ints, Panel
from keepwell.forecasting.task import Task, cadence_of

Small = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Samples:
    """What is to be forecast: three arrays of one length, of series, origin step and target step."""

    series: Ints
    origin: Ints
    target: Ints

    def take(self, rows: NDArray[np.generic]) -> Samples:
        """Return the samples at these rows."""
        return Samples(self.series[rows], self.origin[rows], self.target[rows])

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True)
class Examples:
    """Samples with their columns.

    Attributes:
        names: of the columns of `x`.
        x: (rows, columns), NaN where unknown.
        kinds: of the categories in `cats`: name to its sorted values.
        cats: (rows, categories) of codes into these values, -1 where unknown.
        scale: (rows,), what forecasts are multiplied by: the series' size as of the origin.
        ratio: (rows,), the actual divided by the scale; NaN where it is unknown.
        when: (rows,), the target's step.
    """

    names: tuple[str, ...]
    x: Small
    kinds: dict[str, tuple[str, ...]]
    cats: Ints
    scale: Floats
    ratio: Floats
    when: Ints

    def take(self, rows: NDArray[np.generic] | slice) -> Examples:
        """Return the examples at these rows."""
        return Examples(
            self.names, self.x[rows], self.kinds, self.cats[rows], self.scale[rows], self.ratio[rows], self.when[rows]
        )

    def __len__(self) -> int:
        return len(self.scale)


@dataclass(frozen=True)
class Source:
    """A panel with all that its features need, computed once for all samples."""

    panel: Panel
    task: Task
    _memory: dict[str, object] = field(default_factory=dict)

    @cached_property
    def own(self) -> History:
        """The series' own past."""
        return History(self.panel.target, cadence_of(self.task).level)

    @cached_property
    def scale(self) -> Floats:
        """What forecasts are multiplied by: a series' own size, before its first target that of its likes.

        Its likes are the series with the same value of the last key that has any, such as the same product elsewhere.
        """
        own, unseen = self.own, self.own.seen == 0
        if not unseen.any() or len(self.task.data.keys) < 2:
            return own.scale
        scale, settled = own.scale.copy(), ~unseen
        for name in reversed(self.task.data.keys):
            codes, _ = self.panel.fixed_labels[name]
            total = _totals(np.where(unseen, np.nan, own.scale), codes)
            count = _totals(np.where(unseen, np.nan, 1.0), codes)
            like = (total / count)[codes]
            use = ~settled & np.isfinite(like)
            scale[use] = like[use]
            settled |= use
        return scale

    @cached_property
    def groups(self) -> dict[str, tuple[Ints, History]]:
        """The past of the totals over all series that share a key's value, and over all: series to group, and past."""
        panel, rows = self.panel, cadence_of(self.task).level
        if panel.series == 1:
            return {}
        groups = {"all": np.zeros(panel.series, np.int64)}
        if len(self.task.data.keys) > 1:
            for name in self.task.data.keys:
                codes, levels = panel.fixed_labels[name]
                if 1 < len(levels) < panel.series:
                    groups[name] = codes
        return {name: (codes, History(_totals(panel.target, codes), rows)) for name, codes in groups.items()}

    @cached_property
    def calendar(self) -> dict[str, Floats]:
        """The calendar's columns, one value a step."""
        return calendar_columns(self.panel.axis, cadence_of(self.task), self.task.forecast.holidays)


def examples_of(source: Source, samples: Samples) -> Examples:
    """Return the columns of samples."""
    columns: dict[str, Floats] = {}
    scale = source.scale[samples.series, samples.origin]
    columns |= _past(source, samples, scale)
    columns |= _seasons("own", source, source.own, samples.series, samples)
    for name, (codes, history) in source.groups.items():
        columns |= _group(name, source, history, codes[samples.series], samples)
    columns |= {name: values[samples.target] for name, values in source.calendar.items()}
    columns |= _covariates(source, samples)
    kinds, cats = _categories(source.panel, source.task, samples)
    x = np.empty((len(samples), len(columns)), np.float32)
    for i, values in enumerate(columns.values()):
        x[:, i] = values
    ratio = source.panel.target[samples.series, samples.target] / scale
    return Examples(tuple(columns), x, kinds, cats, scale, ratio, samples.target)


def read_at(cells: Floats, series: Ints, step: Ints) -> Floats:
    """Return cells[series, step], NaN where the step is before the first."""
    return np.where(step >= 0, cells[series, np.maximum(step, 0)], np.nan)


def _past(source: Source, samples: Samples, scale: Floats) -> dict[str, Floats]:
    """Return lags and rolling statistics of the series itself, as of the origin."""
    cadence, own = cadence_of(source.task), source.own
    s, o, t = samples.series, samples.origin, samples.target
    columns = {f"mean_{w}": _log_ratio(own.mean(w)[s, o], scale) for w in cadence.windows}
    if cadence.cycle > 1:
        columns["last"] = _log_ratio(own.last[s, o], scale)
    for cycle in sorted({cadence.cycle, cadence.week}):
        nearest = t - cycle * -(-(t - o) // cycle)
        for n in range(6 if cycle == cadence.week else 3):
            columns[f"lag_{cycle}x{n}"] = _log_ratio(read_at(own.target, s, nearest - n * cycle), scale)
    columns["spread"] = own.deviation(own.rows)[s, o] / scale
    columns["size"] = np.log(scale)
    columns["age"] = np.minimum(own.age[s, o], own.rows) / own.rows
    columns["lead"] = (t - o).astype(np.float64)
    return columns


def _seasons(name: str, source: Source, history: History, row: Ints, samples: Samples) -> dict[str, Floats]:
    """Return how the season before stood against the level that was known at the same distance before it."""
    o, t = samples.origin, samples.target
    columns: dict[str, Floats] = {}
    scale = history.scale[row, o]
    for season in _season_lengths(source.task):
        back = season * -(-(t - o) // season)
        base = read_at(history.scale, row, o - back)
        index = _log_ratio(read_at(history.target, row, t - back), base)
        columns[f"{name}_season_{season}"] = index
        beside = [_log_ratio(read_at(history.target, row, t - back + d), base) for d in (-1, 1)]
        late = (t - back + 1) > o
        around = np.stack([index, beside[0], np.where(late, np.nan, beside[1])])
        columns[f"{name}_around_{season}"] = _mean_of(around)
        columns[f"{name}_growth_{season}"] = _log_ratio(scale, base)
        older = _log_ratio(read_at(history.target, row, t - 2 * back), read_at(history.scale, row, o - 2 * back))
        columns[f"{name}_years_{season}"] = _mean_of(np.stack([index, older]))
    return columns


def _group(name: str, source: Source, history: History, row: Ints, samples: Samples) -> dict[str, Floats]:
    scale = history.scale[row, samples.origin]
    columns = {
        f"{name}_last": _log_ratio(history.last[row, samples.origin], scale),
        f"{name}_mean": _log_ratio(history.mean(cadence_of(source.task).windows[1])[row, samples.origin], scale),
    }
    return columns | _seasons(name, source, history, row, samples)


def _season_lengths(task: Task) -> list[int]:
    cadence = cadence_of(task)
    return sorted({n for n in (cadence.season, cadence.year) if n > cadence.week})


def _covariates(source: Source, samples: Samples) -> dict[str, Floats]:
    """Return the columns known ahead at the target and against the past, the observed ones as of the origin."""
    panel, data = source.panel, source.task.data
    s, o, t = samples.series, samples.origin, samples.target
    columns: dict[str, Floats] = {}
    for name in (n for n in data.known_ahead if n in panel.numbers):
        ahead = panel.numbers[name][s, t]
        columns[name] = ahead
        columns[f"{name}_change"] = _change(ahead, _covariate(source, name).level[s, o])
        for season in _season_lengths(source.task):
            columns[f"{name}_change_{season}"] = _change(ahead, read_at(panel.numbers[name], s, t - season))
    for name in (n for n in data.observed if n in panel.numbers):
        past = _covariate(source, name)
        columns[name] = past.last[s, o]
        columns[f"{name}_change"] = _change(past.last[s, o], past.level[s, o])
    columns |= {name: panel.fixed[name][s] for name in data.static if name in panel.fixed}
    return columns


def _covariate(source: Source, name: str) -> History:
    memory = source._memory
    if name not in memory:
        memory[name] = History(source.panel.numbers[name], source.own.rows)
    found = memory[name]
    assert isinstance(found, History)  # noqa: S101
    return found


def _categories(panel: Panel, task: Task, samples: Samples) -> tuple[dict[str, tuple[str, ...]], Ints]:
    s = samples.series
    kinds: dict[str, tuple[str, ...]] = {}
    codes: list[Ints] = []
    for name, (values, levels) in panel.fixed_labels.items():
        kinds[name] = levels
        codes.append(values[s])
    for name, (cells, levels) in panel.labels.items():
        step = samples.target if name in task.data.known_ahead else samples.origin
        kinds[name] = levels
        codes.append(cells[s, step])
    return kinds, np.stack(codes, axis=1) if codes else np.zeros((len(samples), 0), np.int64)


def _totals(target: Floats, codes: Ints) -> Floats:
    known = np.isfinite(target)
    shape = (int(codes.max()) + 1, target.shape[1])
    totals, count = np.zeros(shape), np.zeros(shape)
    np.add.at(totals, codes, np.where(known, target, 0.0))
    np.add.at(count, codes, known)
    return np.where(count > 0, totals, np.nan)


def _log_ratio(value: Floats, base: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(np.clip(value / base, 0.05, 20.0))


def _change(value: Floats, base: Floats) -> Floats:
    """Return the change from base to value on a scale of -1 to 1 that neither unit nor sign upsets."""
    with np.errstate(invalid="ignore", divide="ignore"):
        change = (value - base) / (np.abs(value) + np.abs(base))
    return np.where(np.isfinite(value) & np.isfinite(base), np.where(value == base, 0.0, change), np.nan)


def _mean_of(stack: Floats) -> Floats:
    known = np.isfinite(stack)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, np.where(known, stack, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
