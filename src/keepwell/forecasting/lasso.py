"""LASSO for many small problems at once: coordinate descent on Gram matrices, all problems in step.

Covariance updates after Friedman, Hastie, Tibshirani, "Regularization Paths for Generalized Linear Models via
Coordinate Descent" (J. Stat. Softw. 33(1), 2010, section 2.2): with standardised columns, minimise
1/2 b'Gb - c'b + alpha |b|_1. The problems lie along the last axis, so that one step of all of them is one array
operation; problems that have settled leave the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepwell.forecasting.panel import Floats

Real = NDArray[np.floating[Any]]

_SETTLE_EVERY = 4


def descend(
    gram: Real, target: Real, alphas: Real, start: Real | None = None, *, sweeps: int = 200, tolerance: float = 1e-4
) -> Real:
    """Return the coefficients of many LASSO problems, each for several penalties.

    Args:
        gram: (columns, columns, problems), X'X / n of standardised columns; a column that does not vary is all 0.
        target: (columns, problems), X'y / n.
        alphas: (penalties, problems).
        start: (columns, penalties, problems) to begin from; all 0 by default.
        sweeps: at most so many passes over the columns.
        tolerance: a problem has settled when a pass moves no coefficient by more than this share of its target's
            largest pull.

    Returns:
        (columns, penalties, problems), of the type of `gram`.
    """
    columns, problems = target.shape
    beta = np.zeros((columns, alphas.shape[0], problems), gram.dtype) if start is None else start.copy()
    enough = tolerance * np.abs(target).max(axis=0, initial=0.0)
    left = np.flatnonzero(enough > 0)
    for done in range(0, sweeps, _SETTLE_EVERY):
        if not len(left):
            break
        some = slice(None) if len(left) == problems else left
        now = beta[:, :, some].copy()
        moved = _pass(gram[:, :, some], target[:, some], alphas[:, some], now, min(_SETTLE_EVERY, sweeps - done))
        beta[:, :, some] = now
        left = left[moved > enough[left]]
    return beta


def _pass(gram: Real, target: Real, alphas: Real, beta: Real, times: int) -> Real:
    """Pass over the columns, changing beta; return how far each problem moved in the last pass."""
    size = np.einsum("jjg->jg", gram)
    active = np.flatnonzero(size.max(axis=1) > 0)
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=size > 1e-6)
    pull = np.repeat(target[:, None, :], alphas.shape[0], axis=1)
    for k in np.flatnonzero(beta.any(axis=(1, 2))):
        pull -= gram[k][:, None, :] * beta[k]
    moved = np.zeros(beta.shape[2], gram.dtype)
    change, least = np.empty_like(pull), -alphas
    for _ in range(times):
        moved[:] = 0
        for j in active:
            rho = pull[j] + size[j] * beta[j]
            step = (rho - np.minimum(np.maximum(rho, least), alphas)) * inverse[j] - beta[j]
            if step.any():
                beta[j] += step
                pull -= np.multiply(gram[j][:, None, :], step, out=change)
                np.maximum(moved, np.abs(step).max(axis=0), out=moved)
        if not moved.any():
            break
    return moved


def fit_lassos(x: Real, y: Real, share: float) -> tuple[Floats, Floats]:
    """Return intercepts (problems,) and coefficients (columns, problems) of LASSOs of one shape.

    Args:
        x: (problems, rows, columns).
        y: (problems, rows).
        share: the penalty, as a share of the one that sets every coefficient to 0.
    """
    gram, target, mean, deviation = standardised(moments_of(x, y, np.ones(y.shape)))
    alphas = share * np.abs(target).max(axis=0)[None, :]
    beta = descend(gram, target, alphas)[:, 0, :] / deviation
    return mean[-1] - np.einsum("jg,jg->g", beta, mean[:-1]), np.asarray(beta, np.float64)


def moments_of(x: Real, y: Real, weight: Real) -> Real:
    """Return the weighted second moments of [x, y, 1]: (problems, columns + 2, columns + 2).

    Args:
        x: (problems, rows, columns), near 0 in the mean, so that the precision of its type is enough.
        y: (problems, rows).
        weight: (problems, rows), not negative.
    """
    problems, rows, columns = x.shape
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    moments = np.empty((problems, columns + 2, columns + 2), x.dtype)
    at_once = max(1, 4_000_000 // max(1, rows * (columns + 2)))
    for start in range(0, problems, at_once):
        some = slice(start, start + at_once)
        whole = np.empty((*y[some].shape, columns + 2), x.dtype)
        whole[:, :, :-2], whole[:, :, -2], whole[:, :, -1] = x[some], y[some], 1.0
        weighted = whole * (weight[some] / total[some])[:, :, None].astype(x.dtype)
        moments[some] = np.matmul(weighted.transpose(0, 2, 1), whole)
    return moments


def standardised(moments: Real) -> tuple[Real, Real, Floats, Floats]:
    """Return the Gram matrices and targets of standardised columns, the problems along the last axis.

    Args:
        moments: (problems, columns + 2, columns + 2) of [x, y, 1].

    Returns:
        Gram (columns, columns, problems), target (columns, problems), means of the columns and of y
        (columns + 1, problems), and deviations (columns, problems), infinite where a column does not vary.
    """
    mean = moments[:, :-1, -1]
    centred = moments[:, :-1, :-1] - mean[:, :, None] * mean[:, None, :]
    variance = np.einsum("gjj->gj", centred[:, :-1, :-1])
    deviation = np.where(variance > 1e-5, np.sqrt(np.maximum(variance, 0.0)), np.inf)
    target = centred[:, :-1, -1] / deviation
    gram = centred[:, :-1, :-1] / (deviation[:, :, None] * deviation[:, None, :])
    return (
        np.ascontiguousarray(gram.transpose(1, 2, 0)),
        np.ascontiguousarray(target.T),
        mean.T.astype(np.float64),
        deviation.T.astype(np.float64),
    )
