"""The learner `lasso`: one sparse linear model a segment on logarithms, by absolute error, all segments in step.

The logarithm of the ratio is the target, so effects multiply and a few huge weeks cannot rule. Absolute error comes
from reweighted least squares (Schlossmacher, "An Iterative Technique for Absolute Deviations Curve Fitting", JASA 68,
1973).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keepwell.forecasting.features import Examples, Small
from keepwell.forecasting.lasso import descend, moments_of, standardised
from keepwell.forecasting.panel import Floats
from keepwell.forecasting.scaling import Scaling, log_target, scaling_of, weights_of

PENALTIES = (0.1, 0.04, 0.015, 0.005)
"""Shares of the penalty that sets every coefficient to 0."""
_USUAL = 0.03
_ROUNDS = 2
_MOST = 3.0
_GRAM_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class _Rows:
    """Standardised columns, target and weight of one segment's rows."""

    x: Small
    y: Small
    weight: Floats

    def take(self, rows: np.ndarray) -> _Rows:
        return _Rows(self.x[rows], self.y[rows], self.weight[rows])


def fit(parts: Sequence[Examples], like: Sequence[Mapping[str, Any]] | None, seed: int) -> list[dict[str, Any]]:
    """Fit one model for each part; the penalties are chosen on the newest fifth of its rows, or taken from `like`."""
    if not parts:
        return []
    at_once = max(1, _GRAM_BYTES // (8 * (parts[0].x.shape[1] + 30) ** 2))
    states: list[dict[str, Any]] = []
    for start in range(0, len(parts), at_once):
        some = slice(start, start + at_once)
        states += _fit_some(parts[some], None if like is None else like[some])
    return states


def predict(state: Mapping[str, Any], examples: Examples) -> Floats:
    """Return the forecast ratio of each example."""
    x = Scaling.from_state(state["scaling"]).apply(examples)
    return np.asarray(np.exp(np.clip(state["intercept"] + x.astype(np.float64) @ state["coefficients"], -_MOST, _MOST)))


def _fit_some(parts: Sequence[Examples], like: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    scalings = [scaling_of(part) for part in parts]
    rows = [_Rows(s.apply(p), log_target(p), weights_of(p)) for p, s in zip(parts, scalings, strict=True)]
    shares = _choose(parts, rows) if like is None else np.array([state["share"] for state in like])
    intercepts, beta = _solve(rows, shares[None, :], _ROUNDS)
    states = []
    for i, scaling in enumerate(scalings):
        coefficients = beta[: rows[i].x.shape[1], 0, i]
        used = np.flatnonzero(coefficients)
        states.append(
            {
                "scaling": scaling.used(used).to_state(),
                "share": float(shares[i]),
                "intercept": float(intercepts[0, i]),
                "coefficients": coefficients[used],
            }
        )
    return states


def _solve(rows: Sequence[_Rows], shares: Floats, rounds: int) -> tuple[Floats, Floats]:
    """Return intercepts (penalties, problems) and coefficients (columns, penalties, problems) of standardised columns.

    Args:
        rows: of each problem.
        shares: (penalties, problems); the rows' weights come from the middle one.
        rounds: how often the rows are weighted anew.
    """
    middle = shares.shape[0] // 2
    beta = None
    weights = [r.weight for r in rows]
    for left in range(rounds, -1, -1):
        gram, target, mean, deviation = standardised(_moments(rows, weights))
        wanted = shares if left == 0 else shares[middle : middle + 1]
        alphas = wanted * np.abs(target).max(axis=0)
        start = None if beta is None else np.repeat(beta[:, :1] * deviation_or_0(deviation), len(wanted), axis=1)
        tolerance = 1e-3 if left == 0 else 1e-2
        scaled = descend(gram, target, alphas, start, sweeps=100 if left == 0 else 20, tolerance=tolerance)
        beta = scaled / deviation[:, None, :]
        intercepts = mean[-1] - np.einsum("jag,jg->ag", beta, mean[:-1])
        if left:
            weights = [_reweighted(r, intercepts[0, i], beta[:, 0, i]) for i, r in enumerate(rows)]
    assert beta is not None  # noqa: S101
    return intercepts, beta


def deviation_or_0(deviation: Floats) -> Floats:
    """Return the deviations for a product, 0 where a column does not vary."""
    return np.where(np.isfinite(deviation), deviation, 0.0)[:, None, :]


def _moments(rows: Sequence[_Rows], weights: Sequence[Floats]) -> Floats:
    """Return the moments of all problems, padded with columns of 0 to the widest."""
    widest = max(r.x.shape[1] for r in rows)
    moments = np.zeros((len(rows), widest + 2, widest + 2))
    for i, (r, weight) in enumerate(zip(rows, weights, strict=True)):
        n = r.x.shape[1]
        found = moments_of(r.x, r.y, weight)
        if n == widest:
            moments[i] = found
        else:
            moments[i, :n, :n], moments[i, -2:, -2:] = found[:n, :n], found[n:, n:]
            moments[i, :n, -2:], moments[i, -2:, :n] = found[:n, n:], found[n:, :n]
    return moments


def _reweighted(rows: _Rows, intercept: float, beta: Floats) -> Floats:
    """Return weights under which squared errors count as absolute ones do."""
    error = np.abs(rows.y - intercept - rows.x @ beta[: rows.x.shape[1]].astype(np.float32))
    weight = rows.weight / np.maximum(error, 0.3 * np.median(error) + 1e-9)
    return np.asarray(weight / weight.sum())


def _choose(parts: Sequence[Examples], rows: Sequence[_Rows]) -> Floats:
    """Return each problem's share of the largest penalty that errs least on the newest fifth of its rows."""
    early = [part.when <= np.quantile(part.when, 0.8) for part in parts]
    can = [i for i, e in enumerate(early) if 5 <= e.sum() < len(e)]
    shares = np.full(len(parts), _USUAL)
    if not can:
        return shares
    grid = np.repeat(np.array(PENALTIES)[:, None], len(can), axis=1)
    intercepts, beta = _solve([rows[i].take(early[i]) for i in can], grid, 1)
    for place, i in enumerate(can):
        late = rows[i].take(~early[i])
        fitted = intercepts[:, place] + late.x @ beta[: late.x.shape[1], :, place].astype(np.float32)
        losses = late.weight @ np.abs(np.exp(np.clip(fitted, -_MOST, _MOST)) - np.exp(late.y)[:, None])
        shares[i] = PENALTIES[int(np.argmin(losses))]
    return shares
