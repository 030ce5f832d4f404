"""Fit the segments of a panel as of an origin, and certify each on the weeks before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.forecasting.candidates import State, learner_of
from keepwell.forecasting.ensemble import choose_weights, combine
from keepwell.forecasting.features import Examples, Samples, Source, examples_of
from keepwell.forecasting.panel import Floats, Ints
from keepwell.forecasting.segments import Grid
from keepwell.forecasting.task import Task, steps_of

Progress = Callable[[str], None]

_FEWEST = 20
_CELLS_AT_ONCE = 120_000_000
_LEADS_A_TARGET = 2


@dataclass(frozen=True, slots=True)
class Held:
    """The held-back rows of a segment: what was forecast by candidates that had not seen them."""

    samples: Samples
    actual: Floats
    forecasts: dict[str, Floats]
    served: Floats


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted segment: states by candidate, weights, what was held back, and what it was trained on."""

    segment: str
    names: tuple[str, ...]
    states: dict[str, State]
    weights: dict[str, float]
    held: Held | None
    rows: int
    series: int
    until: int


def train(
    source: Source,
    grid: Grid,
    leads: Sequence[int],
    segments: Sequence[str] | None,
    origin: int,
    *,
    everything: bool = False,
    progress: Progress | None = None,
) -> list[Trained]:
    """Fit segments on targets up to an origin.

    First without the newest weeks (`forecast.hold_back`), to choose the ensemble's weights on them and to measure;
    then on everything, with the same choices.

    Args:
        source: the panel and its features.
        grid: its segments; series are judged slow or fast at the origin.
        leads: how many steps before a target its forecast may be made.
        segments: which; all by default.
        origin: the last step that may be used.
        everything: fit candidates again that the ensemble does not use.
        progress: told what is being done.

    Raises:
        InvalidInput: the task names no candidate, or one that there is not.
        NotInstalled: a candidate needs an extra.
    """
    for name in _candidates(source.task):
        learner_of(name, source.task).library()
    samples, code = _training_samples(source, grid, leads, origin)
    chosen = _chosen(grid, code, segments)
    found: list[Trained] = []
    for some in _chunks(code, chosen):
        found += _train_some(source, grid, samples, code, some, origin, everything, progress)
    return found


def predict_all(
    task: Task, states: Mapping[str, State], weights: Mapping[str, float], examples: Examples
) -> tuple[dict[str, Floats], Floats]:
    """Return each candidate's forecasts, in the target's unit, and the weighted one."""
    forecasts = {}
    for name, state in states.items():
        values = learner_of(name, task).predict(state, examples) * examples.scale
        forecasts[name] = np.maximum(values, 0.0) if task.forecast.nonnegative else values
    return forecasts, combine(forecasts, weights)


def answer(task: Task, artifact: Mapping[str, Any], examples: Examples) -> Floats:
    """Return a model's forecasts, in the target's unit; NaN when it was trained on other columns than these."""
    if list(examples.names) != artifact["columns"]:
        return np.full(len(examples), np.nan)
    return predict_all(task, artifact["states"], artifact["weights"], examples)[1]


def _train_some(
    source: Source, grid: Grid, samples: Samples, code: Ints, some: Ints, origin: int, everything: bool,
    progress: Progress | None,
) -> list[Trained]:  # fmt: skip
    task = source.task
    order = np.flatnonzero(np.isin(code, some))
    order = order[np.lexsort((samples.series[order], samples.target[order], code[order]))]
    mine = samples.take(order)
    whole = examples_of(source, mine)
    bounds = np.searchsorted(code[order], some)
    ends = np.searchsorted(code[order], some, side="right")
    parts = [whole.take(slice(a, b)) for a, b in zip(bounds, ends, strict=True)]
    border = origin - steps_of(task, task.forecast.hold_back, "forecast.hold_back")
    early = [int(np.searchsorted(part.when, border, side="right")) for part in parts]
    can = [i for i, (n, part) in enumerate(zip(early, parts, strict=True)) if n >= _FEWEST and n < len(part)]
    names = _candidates(task)
    first = _fit(task, names, [parts[i].take(slice(0, early[i])) for i in can], None, progress, "held back")
    held: dict[int, Held] = {}
    weights: dict[int, dict[str, float]] = {i: _default_weights(task) for i in range(len(parts))}
    for place, i in enumerate(can):
        late = slice(early[i], len(parts[i]))
        states = {name: first[name][place] for name in names}
        held[i], weights[i] = _judge(task, states, parts[i].take(late), mine.take(np.arange(bounds[i], ends[i])[late]))
    final = _refit(task, names, parts, weights, can, first, everything, progress)
    labels = grid.labels
    rows, series = _counts(mine, code[order], some)
    return [
        Trained(
            labels[some[i]], part.names, final[i], weights[i], held.get(i), int(rows[i]), int(series[i]),
            int(part.when[-1]),
        )
        for i, part in enumerate(parts)
    ]  # fmt: skip


def _counts(samples: Samples, code: Ints, some: Ints) -> tuple[Ints, Ints]:
    """Return by segment how many rows with a target, and how many series, samples have; a row may be in several."""
    cell = samples.series * (int(samples.target.max(initial=0)) + 1) + samples.target
    place = np.searchsorted(some, code)
    found = []
    for what in (cell, samples.series):
        pairs = np.unique(place * (int(what.max(initial=0)) + 1) + what)
        found.append(np.bincount(pairs // (int(what.max(initial=0)) + 1), minlength=len(some)))
    return found[0], found[1]


def _fit(
    task: Task, names: Sequence[str], parts: Sequence[Examples], like: Mapping[str, Sequence[State]] | None,
    progress: Progress | None, what: str,
) -> dict[str, list[State]]:  # fmt: skip
    found: dict[str, list[State]] = {}
    for name in names:
        if progress and parts:
            progress(f"fitting {name} on {sum(map(len, parts)):,} rows of {len(parts)} segments ({what})")
        choices = like[name] if like else None
        found[name] = learner_of(name, task).fit(parts, choices, task.forecast.seed) if parts else []
    return found


def _refit(
    task: Task, names: Sequence[str], parts: Sequence[Examples], weights: Mapping[int, Mapping[str, float]],
    can: Sequence[int], first: Mapping[str, Sequence[State]], everything: bool, progress: Progress | None,
) -> list[dict[str, State]]:  # fmt: skip
    """Fit each candidate on everything where it is used, with the choices of the first fit where there was one."""
    final: list[dict[str, State]] = [{} for _ in parts]
    place = {i: n for n, i in enumerate(can)}
    for name in names:
        used = [i for i in range(len(parts)) if everything or weights[i].get(name, 0.0) > 0.0]
        for some in ([i for i in used if i in place], [i for i in used if i not in place]):
            like = {name: [first[name][place[i]] for i in some]} if some and some[0] in place else None
            states = _fit(task, [name], [parts[i] for i in some], like, progress, "everything")[name]
            for i, state in zip(some, states, strict=True):
                final[i][name] = state
    return final


def _judge(task: Task, states: Mapping[str, State], late: Examples, samples: Samples) -> tuple[Held, dict[str, float]]:
    """Return what was forecast for held-back rows, and the weights chosen on them.

    What would be served is measured with weights chosen on the other half of the held-back weeks, so that no row
    judges weights that it chose.
    """
    actual = late.ratio * late.scale
    forecasts, _ = predict_all(task, states, dict.fromkeys(states, 1.0), late)
    members = {name: forecasts[name] for name in _members(task)}
    weights = _weights(task, actual, members, forecasts)
    if len(forecasts) == 1:
        return Held(samples, actual, forecasts, next(iter(forecasts.values()))), weights
    half = late.when <= np.median(late.when)
    served = np.empty(len(late))
    for rows, others in ((half, ~half), (~half, half)):
        chosen = _weights(task, actual[others], _at(members, others), _at(forecasts, others))
        served[rows] = combine(_at(forecasts, rows), chosen)
    return Held(samples, actual, forecasts, served), weights


def _weights(
    task: Task, actual: Floats, members: Mapping[str, Floats], forecasts: Mapping[str, Floats]
) -> dict[str, float]:
    if len(members) == 1:
        return dict.fromkeys(members, 1.0)
    if members:
        return {name: w for name, w in choose_weights(actual, members).items() if w > 0.0}
    if not len(actual):
        return _default_weights(task)
    losses = {name: float(np.abs(values - actual).sum()) for name, values in forecasts.items()}
    return {min(losses, key=lambda name: losses[name]): 1.0}


def _at(forecasts: Mapping[str, Floats], rows: np.ndarray) -> dict[str, Floats]:
    return {name: values[rows] for name, values in forecasts.items()}


def _default_weights(task: Task) -> dict[str, float]:
    members = _members(task) or _candidates(task)[:1]
    return {name: 1 / len(members) for name in members}


def _members(task: Task) -> tuple[str, ...]:
    return tuple(dict.fromkeys(task.forecast.ensemble))


def _candidates(task: Task) -> tuple[str, ...]:
    names = tuple(dict.fromkeys((*task.forecast.candidates, *task.forecast.ensemble, *task.forecast.own)))
    if not names:
        raise InvalidInput("Name at least one candidate, such as 'lasso'.", where="forecast.candidates")
    return names


def _training_samples(source: Source, grid: Grid, leads: Sequence[int], origin: int) -> tuple[Samples, Ints]:
    """Return the samples with a target up to the origin, and their segments' codes.

    With many leads each target is seen from a few of them, in turn, so that all are learnt from and rows stay few.
    """
    task, target = source.task, source.panel.target
    oldest = 0
    if task.forecast.history:
        oldest = origin + 1 - steps_of(task, task.forecast.history, "forecast.history")
    series, step = np.nonzero(np.isfinite(target[:, : origin + 1]))
    keep = step >= oldest
    series, step = series[keep], step[keep]
    several = np.asarray(leads)
    picks = min(len(several), _LEADS_A_TARGET)
    apart = -(-len(several) // picks)
    turns = [several[(step + series + n * apart) % len(several)] for n in range(picks)]
    samples = Samples(np.tile(series, picks), np.tile(step, picks) - np.concatenate(turns), np.tile(step, picks))
    seen = np.where(samples.origin >= 0, source.own.seen[samples.series, np.maximum(samples.origin, 0)], 0)
    samples = samples.take(np.flatnonzero(seen > 0))
    return samples, grid.codes(samples.series, samples.target, origin)


def _chosen(grid: Grid, code: Ints, segments: Sequence[str] | None) -> Ints:
    there = np.unique(code)
    if segments is None:
        return there
    labels = grid.labels
    wanted = set(segments)
    return np.array([c for c in there if labels[c] in wanted], dtype=np.int64)


def _chunks(code: Ints, chosen: Ints) -> list[Ints]:
    """Return the segments in groups whose examples fit in memory together."""
    rows = np.bincount(code, minlength=1)
    groups: list[Ints] = []
    start, total = 0, 0
    for i, c in enumerate(chosen):
        total += int(rows[c])
        if total * 100 > _CELLS_AT_ONCE and i > start:
            groups.append(chosen[start:i])
            start, total = i, int(rows[c])
    if len(chosen) > start:
        groups.append(chosen[start:])
    return groups


def facts_of(task: Task, trained: Trained, axis_text: Callable[[int], str]) -> dict[str, Any]:
    """Return how a segment was fitted and certified, as JSON."""
    facts: dict[str, Any] = {
        "candidates": list(trained.states),
        "weights": trained.weights,
        "features": len(trained.names),
        "certified": trained.held is not None,
    }
    if trained.held is None:
        facts["why_not_certified"] = "too little history before the held-back weeks"
    else:
        when = trained.held.samples.target
        facts |= {
            "held_back": task.forecast.hold_back,
            "held_back_since": axis_text(int(when.min())),
            "held_back_until": axis_text(int(when.max())),
            "held_back_rows": len(when),
            "evidence": "fitted without the held-back rows and measured on them; then fitted again on everything "
            "with the same choices",
        }
    return facts
