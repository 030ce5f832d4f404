"""A backtest: every candidate, the ensemble and the baselines over a charter's newest history, at each horizon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.core.lazy import pl
from keepwell.forecasting.baselines import BASELINES
from keepwell.forecasting.features import Samples, Source, examples_of
from keepwell.forecasting.metrics import METRICS, measure_groups
from keepwell.forecasting.model import Backtest, Score
from keepwell.forecasting.panel import Floats, Ints, panel_of, text_of
from keepwell.forecasting.segments import Grid, grid_of
from keepwell.forecasting.task import Task, steps_of
from keepwell.forecasting.training import Progress, Trained, predict_all, train


def backtest(
    frame: pl.DataFrame, task: Task, *, last: str, horizons: Sequence[str], progress: Progress | None = None
) -> Backtest:
    """Forecast the newest rows as if each had been forecast `horizon` before, and measure.

    Each horizon is one block: its models are fitted once, as of the first origin, with weights chosen on the weeks
    held back before it; then the origin rolls on, and every forecast uses what was known at its own origin only.

    Raises:
        InvalidInput: a span is no whole number of steps, or there is not enough history before the newest rows.
        NotInstalled: a candidate needs an extra.
    """
    panel = panel_of(frame, task)
    source, grid = Source(panel, task), grid_of(frame, panel, task)
    known = np.flatnonzero(np.isfinite(panel.target).any(axis=0))
    if not len(known):
        raise InvalidInput(f"The target {task.data.target!r} is missing in every row.", where="data.target")
    until = int(known[-1])
    since = until - steps_of(task, last, "--last") + 1
    scores: list[Score] = []
    weights: dict[str, dict[str, dict[str, float]]] = {}
    series, step = np.nonzero(np.isfinite(panel.target[:, max(since, 0) : until + 1]))
    for horizon in dict.fromkeys(horizons):
        lead = steps_of(task, horizon, "--horizon")
        if since - lead < 1:
            raise InvalidInput(
                f"There is no history before the last {last} at {horizon} ahead; the table begins at "
                f"{panel.axis.text(0)}.", where="--last",
            )  # fmt: skip
        samples = Samples(series, step + since - lead, step + since)
        trained = train(source, grid, [lead], None, since - lead, everything=True, progress=progress)
        if progress:
            progress(f"forecasting {len(samples):,} rows at {horizon}")
        subjects = _subjects(source, grid, samples, trained, since - lead)
        scores += _scores(source, grid, samples, since - lead, horizon, subjects)
        weights[horizon] = {t.segment: t.weights for t in trained}
    return Backtest(last, panel.axis.text(since), panel.axis.text(until), len(np.unique(series)), scores, weights)


def _subjects(
    source: Source, grid: Grid, samples: Samples, trained: Sequence[Trained], origin: int
) -> dict[str, Floats]:
    """Return the forecasts of each subject; segments judged at the fit's origin, unfitted ones by the baseline."""
    subjects = {name: rule(source, samples) for name, rule in BASELINES.items()}
    fallback = subjects[source.task.evaluate.baseline]
    names = dict.fromkeys(name for t in trained for name in t.states)
    fitted: dict[str, Floats] = {name: fallback.copy() for name in (*names, "ensemble")}
    code = grid.codes(samples.series, samples.target, origin)
    labels = grid.labels
    models = {t.segment: t for t in trained}
    for c in np.unique(code):
        if labels[c] not in models:
            continue
        rows = np.flatnonzero(code == c)
        model = models[labels[c]]
        forecasts, served = predict_all(
            source.task, model.states, model.weights, examples_of(source, samples.take(rows))
        )
        for name, values in {**forecasts, "ensemble": served}.items():
            fitted[name][rows] = values
    return {**fitted, **subjects}


def _scores(
    source: Source, grid: Grid, samples: Samples, origin: int, horizon: str, subjects: Mapping[str, Floats]
) -> list[Score]:
    actual = source.panel.target[samples.series, samples.target]
    cuts: list[tuple[Ints, list[str]]] = [(np.zeros(len(samples), np.int64), ["all"])]
    for name, values in grid.slices(samples.series, samples.target, origin).items():
        text = text_of(values)
        levels = text.unique().sort()
        codes = text.cast(pl.Enum(levels)).to_physical().cast(pl.Int64).to_numpy()
        cuts.append((codes, [f"{name}={level}" for level in levels]))
    scores = []
    for codes, labels in cuts:
        for subject, forecasts in subjects.items():
            found = measure_groups(codes, len(labels), actual, forecasts)
            counts = np.bincount(codes, minlength=len(labels))
            scores += [
                Score(horizon, label, subject, int(counts[i]), {m: found[m][0][i] for m in METRICS})
                for i, label in enumerate(labels)
            ]
    return scores
