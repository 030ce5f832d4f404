"""A champion beside its challenger, on the rows that were held back for the challenger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from keepwell.core.lazy import pl
from keepwell.forecasting.artifact import unpack
from keepwell.forecasting.features import Samples, Source, examples_of
from keepwell.forecasting.panel import identity_of
from keepwell.forecasting.training import Held, Trained, answer

RIVAL = "champion"


def with_rivals(source: Source, trained: Sequence[Trained], rivals: Mapping[str, bytes]) -> list[Trained]:
    """Return trained segments whose held-back rows were forecast by the champions as well.

    Rows up to a champion's own last training row are left out: it had seen them. A champion that was trained on
    other columns than the charter makes now cannot answer, and is left out.
    """
    found = list(trained)
    asked = [i for i, t in enumerate(trained) if t.held is not None and t.segment in rivals]
    if not asked:
        return found
    whole = examples_of(source, _samples([trained[i].held for i in asked]))
    start = 0
    for i in asked:
        held, model = trained[i].held, unpack(rivals[trained[i].segment])
        assert held is not None  # noqa: S101
        examples = whole.take(slice(start, start + len(held.actual)))
        start += len(held.actual)
        unseen = np.flatnonzero(held.samples.target > source.panel.axis.floor(model["until"]))
        values = np.full(len(held.actual), np.nan)
        if len(unseen):
            values[unseen] = answer(source.task, model, examples.take(unseen))
        if not len(unseen) or np.isfinite(values).any():
            found[i] = replace(trained[i], held=replace(held, forecasts={**held.forecasts, RIVAL: values}))
    return found


def held_rows(source: Source, trained: Sequence[Trained]) -> list[pl.DataFrame | None]:
    """Return the held-back rows of each segment as a table: keys, time, step, lead, actual, forecast, rival."""
    some = [t.held for t in trained if t.held is not None]
    if not some:
        return [None for _ in trained]
    panel, samples = source.panel, _samples(some)
    rivals = [held.forecasts.get(RIVAL, np.full(len(held.actual), np.nan)) for held in some]
    frame = identity_of(panel, source.task.data, samples.series, samples.target).with_columns(
        pl.Series("step", samples.target),
        pl.Series("lead", samples.target - samples.origin),
        pl.Series("actual", np.concatenate([held.actual for held in some])).fill_nan(None),
        pl.Series("forecast", np.concatenate([held.served for held in some])).fill_nan(None),
        pl.Series("rival", np.concatenate(rivals)).fill_nan(None),
    )
    tables: list[pl.DataFrame | None] = []
    start = 0
    for t in trained:
        rows = 0 if t.held is None else len(t.held.actual)
        tables.append(None if t.held is None else frame[start : start + rows])
        start += rows
    return tables


def _samples(held: Sequence[Held | None]) -> Samples:
    samples = [h.samples for h in held if h is not None]
    return Samples(*(np.concatenate([getattr(s, name) for s in samples]) for name in ("series", "origin", "target")))
