"""A champion beside its challenger, on the rows that were held back for the challenger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from keepwell.core.errors import InvalidInput
from keepwell.forecasting.artifact import unpack
from keepwell.forecasting.features import Examples, Source, examples_of
from keepwell.forecasting.panel import Floats
from keepwell.forecasting.task import Task
from keepwell.forecasting.training import Trained

RIVAL = "champion"
Answer = Callable[[Task, Mapping[str, Any], Examples], Floats]


def with_rival(source: Source, trained: Trained, rival: bytes | None, answer: Answer) -> Trained:
    """Return a trained segment whose held-back rows were forecast by the champion as well.

    Rows up to the champion's own last training row are left out: it had seen them. A champion that was trained on
    other columns than the charter makes now cannot answer, and is left out.
    """
    held = trained.held
    if held is None or rival is None:
        return trained
    model = unpack(rival)
    unseen = held.samples.target > source.panel.axis.floor(model["until"])
    values = np.full(len(held.actual), np.nan)
    if unseen.any():
        try:
            values[unseen] = answer(source.task, model, examples_of(source, held.samples.take(unseen)))
        except InvalidInput:
            return trained
    return replace(trained, held=replace(held, forecasts={**held.forecasts, RIVAL: values}))


def held_rows(source: Source, trained: Trained) -> pl.DataFrame | None:
    """Return the held-back rows of a segment as a table: keys, time, step, lead, actual, forecast, rival."""
    held = trained.held
    if held is None:
        return None
    panel, samples = source.panel, held.samples
    frame = panel.keys[samples.series] if source.task.data.keys else pl.DataFrame()
    rival = held.forecasts.get(RIVAL, np.full(len(held.actual), np.nan))
    return frame.with_columns(
        panel.axis.values(samples.target).alias(source.task.data.time),
        pl.Series("step", samples.target),
        pl.Series("lead", samples.target - samples.origin),
        pl.Series("actual", held.actual).fill_nan(None),
        pl.Series("forecast", held.served).fill_nan(None),
        pl.Series("rival", rival).fill_nan(None),
    )
