"""The learner `lasso`: one sparse linear model a segment on logarithms, by absolute error, all segments in step.

The logarithm of the ratio is the target, so effects multiply and a few huge weeks cannot rule. Absolute error comes
from reweighted least squares (Schlossmacher, "An Iterative Technique for Absolute Deviations Curve Fitting", JASA 68,
1973). Segments of like length are one batch: arrays (segments, rows, columns), short ones padded with rows of weight 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keepwell.forecasting.features import Examples, Small
from keepwell.forecasting.lasso import descend, moments_of, standardised
from keepwell.forecasting.panel import Floats, Ints
from keepwell.forecasting.scaling import Scaling, log_target, marks_of, scaled, weights_of

PENALTIES = (0.1, 0.04, 0.015, 0.005)
"""Shares of the penalty that sets every coefficient to 0."""
_USUAL = 0.03
_ROUNDS = 2
_MOST = 3.0
_CELLS = 20_000_000


@dataclass(frozen=True, slots=True)
class _Batch:
    """Problems of like length: `x` (problems, rows, columns), `y`, `weight` and `when` (problems, rows)."""

    scalings: list[Scaling]
    x: Small
    y: Small
    weight: Floats
    when: Ints


def fit(parts: Sequence[Examples], like: Sequence[Mapping[str, Any]] | None, seed: int) -> list[dict[str, Any]]:
    """Fit one model for each part; the penalties are chosen on the newest fifth of its rows, or taken from `like`."""
    states: list[dict[str, Any]] = [{} for _ in parts]
    for some in _alike(parts):
        batch = _batch([parts[i] for i in some])
        shares = _choose(batch) if like is None else np.array([like[i]["share"] for i in some])
        intercepts, beta = _solve(batch, batch.weight, shares[None, :], _ROUNDS)
        for place, i in enumerate(some):
            used = np.flatnonzero(beta[:, 0, place])
            states[i] = {
                "scaling": batch.scalings[place].used(used).to_state(),
                "share": float(shares[place]),
                "intercept": float(intercepts[0, place]),
                "coefficients": beta[used, 0, place].astype(np.float64),
            }
    return states


def predict(state: Mapping[str, Any], examples: Examples) -> Floats:
    """Return the forecast ratio of each example."""
    x = Scaling.from_state(state["scaling"]).apply(examples).astype(np.float64)
    return np.asarray(np.exp(np.clip(state["intercept"] + x @ state["coefficients"], -_MOST, _MOST)))


def _alike(parts: Sequence[Examples]) -> Iterator[list[int]]:
    """Return the parts in batches that fit in memory, the shortest of each at least two thirds of its longest."""
    batch: list[int] = []
    for i in sorted(range(len(parts)), key=lambda n: (len(parts[n]), n)):
        rows, columns = parts[i].x.shape
        if batch and (len(parts[batch[0]]) < rows / 1.5 or (len(batch) + 1) * rows * columns > _CELLS):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _batch(parts: Sequence[Examples]) -> _Batch:
    rows, columns = max(map(len, parts)), parts[0].x.shape[1]
    marks = [marks_of(part) for part in parts]
    widest = columns + max(map(len, marks))
    x = np.full((len(parts), rows, columns), np.nan, np.float32)
    for i, part in enumerate(parts):
        x[i, : len(part)] = part.x
    plain, mean, deviation = scaled(x)
    whole = np.zeros((len(parts), rows, widest), np.float32) if widest > columns else plain
    y, weight = np.zeros((len(parts), rows), np.float32), np.zeros((len(parts), rows))
    when = np.zeros((len(parts), rows), np.int64)
    scalings = []
    for i, part in enumerate(parts):
        n = len(part)
        scaling = Scaling(np.arange(columns), mean[i], deviation[i], marks[i])
        scalings.append(scaling)
        y[i, :n], weight[i, :n], when[i, :n] = log_target(part), weights_of(part), part.when
        if widest > columns:
            whole[i, :, :columns] = plain[i]
            whole[i, :n, columns : columns + len(marks[i])] = scaling.marks(part)
    return _Batch(scalings, whole, y, weight, when)


def _solve(batch: _Batch, weight: Floats, shares: Floats, rounds: int) -> tuple[Floats, Floats]:
    """Return intercepts (penalties, problems) and coefficients (columns, penalties, problems).

    Args:
        batch: the problems.
        weight: (problems, rows).
        shares: (penalties, problems); the rows are weighted anew by the errors of the middle one.
        rounds: how often.
    """
    middle = shares.shape[0] // 2
    beta, now = None, weight
    for left in range(rounds, -1, -1):
        gram, target, mean, deviation = standardised(moments_of(batch.x, batch.y, now))
        wanted = shares if left == 0 else shares[middle : middle + 1]
        alphas = (wanted * np.abs(target).max(axis=0)).astype(gram.dtype)
        start = None
        if beta is not None:
            finite = np.where(np.isfinite(deviation), deviation, 0.0)[:, None, :]
            start = np.repeat(beta * finite, len(wanted), axis=1).astype(gram.dtype)
        sweeps, tolerance = (60, 2e-3) if left == 0 else (16, 2e-2)
        beta = descend(gram, target, alphas, start, sweeps=sweeps, tolerance=tolerance) / deviation[:, None, :]
        intercepts = mean[-1] - np.einsum("jag,jg->ag", beta, mean[:-1])
        if left:
            now = _reweighted(batch, weight, intercepts[0], beta[:, 0, :])
    assert beta is not None  # noqa: S101
    return intercepts, beta


def _reweighted(batch: _Batch, weight: Floats, intercept: Floats, beta: Floats) -> Floats:
    """Return weights under which squared errors count as absolute ones do."""
    fitted = np.matmul(batch.x, beta.T[:, :, None].astype(np.float32))[:, :, 0]
    error = np.abs(batch.y - fitted - intercept[:, None])
    usual = (weight * error).sum(axis=1, keepdims=True) / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    return np.asarray(weight / np.maximum(error, 0.2 * usual + 1e-9))


def _choose(batch: _Batch) -> Floats:
    """Return each problem's share of the largest penalty that errs least on the newest fifth of its rows."""
    shares = np.full(len(batch.y), _USUAL)
    real = batch.weight > 0
    count = real.sum(axis=1, keepdims=True)
    ordered = np.sort(np.where(real, batch.when, np.iinfo(np.int64).max), axis=1)
    border = np.take_along_axis(ordered, np.maximum(4 * (count - 1) // 5, 0), axis=1)
    early, late = real & (batch.when <= border), real & (batch.when > border)
    can = (early.sum(axis=1) >= 5) & late.any(axis=1)
    grid = np.repeat(np.array(PENALTIES)[:, None], len(shares), axis=1)
    intercepts, beta = _solve(batch, np.where(early, batch.weight, 0.0), grid, 1)
    fitted = np.matmul(batch.x, np.moveaxis(beta, 2, 0).astype(np.float32)) + intercepts.T[:, None, :]
    errors = np.abs(np.exp(np.clip(fitted, -_MOST, _MOST)) - np.exp(batch.y)[:, :, None])
    losses = np.einsum("gn,gna->ga", np.where(late, batch.weight, 0.0), errors)
    return np.where(can, np.array(PENALTIES)[losses.argmin(axis=1)], shares)
