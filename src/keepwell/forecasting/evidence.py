"""Evidence: metrics by segment, slice and subject, for a whole fleet at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keepwell.core.lazy import pl
from keepwell.forecasting.baselines import baseline_of
from keepwell.forecasting.features import Samples, Source
from keepwell.forecasting.metrics import measure_groups
from keepwell.forecasting.model import Measured
from keepwell.forecasting.panel import Floats, Ints, text_of
from keepwell.forecasting.segments import Grid
from keepwell.forecasting.task import Task
from keepwell.forecasting.training import Held


def evidence_of(source: Source, grid: Grid, held: Sequence[Held | None], origin: int) -> list[list[Measured]]:
    """Return what was measured on held-back rows, one list a segment; unknown where nothing was held back."""
    task = source.task
    some = [h for h in held if h is not None]
    if not some:
        return [_unknown(task) for _ in held]
    samples = Samples(*(np.concatenate([getattr(h.samples, f) for h in some]) for f in ("series", "origin", "target")))
    code = np.repeat(np.arange(len(some)), [len(h.actual) for h in some])
    subjects = {"self": np.concatenate([h.served for h in some]), "baseline": baseline_of(source, samples)}
    for name in dict.fromkeys(name for h in some for name in h.forecasts):
        absent = [np.full(len(h.actual), np.nan) for h in some]
        subjects[name] = np.concatenate([h.forecasts.get(name, a) for h, a in zip(some, absent, strict=True)])
    slices = grid.slices(samples.series, samples.target, origin)
    actual = np.concatenate([h.actual for h in some])
    found = iter(measure_rows(task, code, len(some), slices, actual, subjects))
    return [next(found) if h is not None else _unknown(task) for h in held]


def _unknown(task: Task) -> list[Measured]:
    return [Measured("all", subject, m, None, 0) for subject in ("self", "baseline") for m in task.evaluate.metrics]


def measure_rows(
    task: Task, code: Ints, segments: int, slices: Mapping[str, pl.Series], actual: Floats,
    subjects: Mapping[str, Floats],
) -> list[list[Measured]]:  # fmt: skip
    """Return what rows say of each segment: every subject's metrics over all its rows and over each slice."""
    found: list[list[Measured]] = [[] for _ in range(segments)]
    metrics = task.evaluate.metrics
    cuts: list[tuple[Ints, list[tuple[int, str]]]] = [(code, [(i, "all") for i in range(segments)])]
    for name, column in slices.items():
        text = text_of(column)
        levels = text.unique().sort().to_list()
        level = text.cast(pl.Enum(levels)).to_physical().cast(pl.Int64).to_numpy()
        pairs, place = np.unique(code * len(levels) + level, return_inverse=True)
        cuts.append((place, [(int(p) // len(levels), f"{name}={levels[int(p) % len(levels)]}") for p in pairs]))
    for group, places in cuts:
        for subject, forecasts in subjects.items():
            measured = measure_groups(group, len(places), actual, forecasts, metrics)
            for metric, (values, counts) in measured.items():
                for (segment, label), value, n in zip(places, values, counts, strict=True):
                    found[segment].append(Measured(label, subject, metric, value, n))
    return found
