"""Use cases: fit a fleet as of an origin, forecast from one, evaluate over past ones, measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.core.lazy import pl
from keepwell.forecasting.artifact import pack, unpack
from keepwell.forecasting.backtest import backtest
from keepwell.forecasting.baselines import baseline_of
from keepwell.forecasting.evidence import evidence_of, measure_rows
from keepwell.forecasting.features import Samples, Source, examples_of
from keepwell.forecasting.model import Fitted, Measured
from keepwell.forecasting.panel import Ints, Panel, identity_of, panel_of
from keepwell.forecasting.rivals import held_rows, with_rivals
from keepwell.forecasting.segments import Grid, grid_of, segments_of_rows
from keepwell.forecasting.task import Task, cadence_of, lead_steps
from keepwell.forecasting.training import Trained, answer, facts_of, train

__all__ = ["backtest", "evaluate", "fit", "forecast", "measure", "segments_at"]

_ROWS_AT_ONCE = 500_000


def segments_at(frame: pl.DataFrame, task: Task, origin: object) -> pl.DataFrame:
    """Return the frame with the column `segment`, and the mover column, as they were known at an origin."""
    panel = panel_of(frame, task)
    return segments_of_rows(frame, grid_of(frame, panel, task), _step(panel, origin))


def fit(
    frame: pl.DataFrame,
    task: Task,
    segments: Sequence[str] | None,
    origin: object,
    rivals: Mapping[str, bytes] | None = None,
) -> list[Fitted]:
    """Fit segments on the rows up to an origin.

    Args:
        frame: the table in standard form; it holds every series, as totals over series are columns too.
        task: what is forecast.
        segments: which segments; None fits all that have a row.
        origin: the last time that may be used.
        rivals: segment to the model that answers now; it forecasts the held-back rows that it has not seen as well,
            and its metrics stand in the evidence under the subject `champion`.

    Raises:
        InvalidInput: the table or the task cannot be used.
        NotInstalled: a candidate needs an extra.
    """
    source, grid, origin_step = _open(_until(frame, task, origin), task, origin)
    leads = range(1, lead_steps(task) + 1)
    trained = train(source, grid, leads, segments, origin_step)
    trained = with_rivals(source, trained, rivals or {})
    evidence = evidence_of(source, grid, [t.held for t in trained], origin_step)
    held, text = held_rows(source, trained), cache(source.panel.axis.text)
    return [
        Fitted(
            segment=t.segment,
            artifact=pack(_artifact(t, task, text(t.until))),
            rows=t.rows,
            series=t.series,
            trained_until=text(t.until),
            weights=t.weights,
            evidence=evidence[i],
            facts=facts_of(task, t, text),
            held=held[i],
        )
        for i, t in enumerate(trained)
    ]


def forecast(
    artifacts: Mapping[str, bytes], frame: pl.DataFrame, task: Task, origin: object, steps: int | None = None
) -> pl.DataFrame:
    """Forecast every live series for the steps after an origin.

    Args:
        artifacts: segment to the bytes of its model; rows of other segments get no forecast, but a baseline, and so do
            those whose model was trained on other columns than the charter makes now.
        frame: the history of every series; rows after the origin may hold columns that are known ahead.
        task: what is forecast.
        origin: the last time whose targets may be used.
        steps: how many steps; the first horizon by default.

    Returns:
        Keys, time, `segment`, `forecast` (null without a model) and `baseline`, sorted by keys and time.
    """
    ahead = steps or lead_steps(task)
    frame = _hide_after(frame, task, origin)
    source, grid, origin_step = _open(frame, task, origin, ahead)
    _carry_ahead(source.panel, task, origin_step)
    live = _live(source, frame, task, origin_step, ahead)
    samples = Samples(
        np.repeat(live, ahead),
        np.full(len(live) * ahead, origin_step, np.int64),
        np.tile(origin_step + 1 + np.arange(ahead), len(live)),
    )
    rows = _forecast_samples(artifacts, source, grid, samples)
    return rows.drop("actual", "horizon")


def evaluate(
    artifacts: Mapping[str, bytes], frame: pl.DataFrame, task: Task, origins: Sequence[object]
) -> pl.DataFrame:
    """Forecast from each of many past origins, with the same models, what has become known since.

    Returns:
        One row for each origin and target after it within the first horizon that has an actual: keys, time, `segment`,
        `horizon` (steps), `actual`, `forecast` (null without a model), `baseline`, and the columns of the slices.
    """
    source, grid, _ = _open(frame, task, None)
    ahead = lead_steps(task)
    target = source.panel.target
    pieces = []
    for origin in origins:
        step = _step(source.panel, origin)
        first, last = max(step + 1, 0), min(step + ahead, target.shape[1] - 1)
        series, place = np.nonzero(np.isfinite(target[:, first : last + 1]))
        if step >= 0:
            pieces.append(Samples(series, np.full(len(series), step, np.int64), place + first))
    samples = Samples(*(np.concatenate([getattr(p, f) for p in pieces] or [np.zeros(0, np.int64)])
                        for f in ("series", "origin", "target")))  # fmt: skip
    rows = _forecast_samples(artifacts, source, grid, samples)
    slices = grid.slices(samples.series, samples.target, samples.origin)
    return rows.with_columns(values.alias(name) for name, values in slices.items() if name not in rows.columns)


def measure(rows: pl.DataFrame, task: Task) -> list[tuple[str, Measured]]:
    """Measure rows of `evaluate` by segment and slice: subject `self` for the forecast, and `baseline`."""
    segments = rows["segment"].unique().sort().to_list()
    code = rows["segment"].cast(pl.Enum(segments)).to_physical().cast(pl.Int64).to_numpy()
    slices = {name: rows[name] for name in task.evaluate.slices if name in rows.columns}
    actual = rows["actual"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    subjects = {
        "self": rows["forecast"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
        "baseline": rows["baseline"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
    }
    found = measure_rows(task, code, len(segments), slices, actual, subjects)
    return [(segment, measured) for segment, some in zip(segments, found, strict=True) for measured in some]


def _open(frame: pl.DataFrame, task: Task, origin: object, ahead: int = 0) -> tuple[Source, Grid, int]:
    panel = panel_of(frame, task, origin, ahead)
    step = _step(panel, origin) if origin is not None else panel.axis.count - 1
    return Source(panel, task), grid_of(frame, panel, task), step


def _step(panel: Panel, origin: object) -> int:
    step = panel.axis.floor(origin)
    if step < 0:
        raise InvalidInput(f"The table begins at {panel.axis.text(0)}, after the origin {origin}.", where="origin")
    return min(step, panel.axis.count - 1)


def _until(frame: pl.DataFrame, task: Task, origin: object) -> pl.DataFrame:
    """Return the rows up to an origin."""
    return frame.filter(_known(frame, task, origin))


def _known(frame: pl.DataFrame, task: Task, origin: object) -> pl.Series:
    panel = panel_of(frame, task)
    known = panel.rows[1] <= _step(panel, origin)
    return pl.Series(known)


def _hide_after(frame: pl.DataFrame, task: Task, origin: object) -> pl.DataFrame:
    """Return the frame without targets and observed columns after an origin."""
    known = _known(frame, task, origin)
    hidden = (task.data.target, *task.data.observed)
    return frame.with_columns(pl.when(known).then(pl.col(c)).otherwise(None).alias(c) for c in hidden)


def _carry_ahead(panel: Panel, task: Task, origin: int) -> None:
    """Fill what should be known ahead but is absent after the origin with its value a cycle before."""
    cycle = cadence_of(task).cycle
    for name in task.data.known_ahead:
        cells: Any = panel.numbers.get(name) if name in panel.numbers else panel.labels[name][0]
        for step in range(max(origin + 1, cycle), cells.shape[1]):
            absent = np.isnan(cells[:, step]) if cells.dtype.kind == "f" else cells[:, step] < 0
            cells[absent, step] = cells[absent, step - cycle]


def _live(source: Source, frame: pl.DataFrame, task: Task, origin: int, ahead: int) -> Ints:
    """Return the series that still sell: a target within the last eight weeks of rows, or a row after the origin."""
    series, step = source.panel.rows
    asked = np.zeros(source.panel.series, bool)
    asked[series[(step > origin) & (step <= origin + ahead)]] = True
    recent = source.own.age[:, origin] < source.own.rows
    return np.flatnonzero(recent | asked)


def _forecast_samples(artifacts: Mapping[str, bytes], source: Source, grid: Grid, samples: Samples) -> pl.DataFrame:
    values = np.full(len(samples), np.nan)
    code = grid.codes(samples.series, samples.target, samples.origin)
    labels = grid.labels
    states = {c: unpack(artifacts[labels[c]]) for c in np.unique(code) if labels[c] in artifacts}
    order = np.flatnonzero(np.isin(code, list(states)))
    order = order[np.argsort(code[order], kind="stable")]
    for start in range(0, len(order), _ROWS_AT_ONCE):
        rows = order[start : start + _ROWS_AT_ONCE]
        examples = examples_of(source, samples.take(rows))
        for c in np.unique(code[rows]):
            a, b = np.searchsorted(code[rows], (c, c + 1))
            values[rows[a:b]] = answer(source.task, states[c], examples.take(slice(int(a), int(b))))
    baseline = baseline_of(source, samples)
    panel = source.panel
    return identity_of(panel, source.task.data, samples.series, samples.target).with_columns(
        pl.Series("segment", np.array(labels, dtype=object)[code].tolist(), dtype=pl.String),
        pl.Series("horizon", samples.target - samples.origin),
        pl.Series("actual", panel.target[samples.series, samples.target]).fill_nan(None),
        pl.Series("forecast", values).fill_nan(None),
        pl.Series("baseline", baseline).fill_nan(None),
    )


def _artifact(trained: Trained, task: Task, until: str) -> dict[str, Any]:
    return {
        "segment": trained.segment,
        "columns": list(trained.names),
        "weights": trained.weights,
        "states": {name: trained.states[name] for name in trained.weights},
        "until": until,
    }
