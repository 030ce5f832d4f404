"""LASSO for many small problems at once: coordinate descent on Gram matrices, all problems in step.

Covariance updates after Friedman, Hastie, Tibshirani, "Regularization Paths for Generalized Linear Models via
Coordinate Descent" (J. Stat. Softw. 33(1), 2010, section 2.2): with standardised columns, minimise
1/2 b'Gb - c'b + alpha |b|_1. The problems lie along the last axis, so that one step of all of them is one array
operation; problems that have settled leave the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keepwell.forecasting.panel import Floats

_SETTLE_EVERY = 4


def descend(
    gram: Floats, target: Floats, alphas: Floats, start: Floats | None = None, *, sweeps: int = 200,
    tolerance: float = 1e-4,
) -> Floats:  # fmt: skip
    """Return the coefficients of many LASSO problems, each for several penalties.

    Args:
        gram: (columns, columns, problems), X'X / n of standardised columns; a column that does not vary is all 0.
        target: (columns, problems), X'y / n.
        alphas: (penalties, problems).
        start: (columns, penalties, problems) to begin from; all 0 by default.
        sweeps: at most so many passes over the columns.
        tolerance: a problem has settled when no pass moves a coefficient by more than this share of its target's
            largest pull.

    Returns:
        (columns, penalties, problems).
    """
    columns, problems = target.shape
    beta = np.zeros((columns, alphas.shape[0], problems)) if start is None else start.copy()
    enough = tolerance * np.maximum(np.abs(target).max(axis=0, initial=0.0), 1e-300)
    left = np.flatnonzero(enough > 1e-290)
    for done in range(0, sweeps, _SETTLE_EVERY):
        if not len(left):
            break
        some = slice(None) if len(left) == problems else left
        moved = _sweep(
            gram[:, :, some], target[:, some], alphas[:, some], beta, left, min(_SETTLE_EVERY, sweeps - done)
        )
        left = left[moved > enough[left]]
    return beta


def _sweep(gram: Floats, target: Floats, alphas: Floats, beta: Floats, left: NDArray[np.int64], times: int) -> Floats:
    """Pass over the columns of the problems that are left; return how far each problem moved in the last pass."""
    now = beta[:, :, left]
    size = np.einsum("jjg->jg", gram)
    active = np.flatnonzero(size.max(axis=1) > 0)
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=size > 1e-9)
    pull = target[:, None, :] - np.einsum("jkg,kag->jag", gram, now)
    for _ in range(times):
        moved = np.zeros(len(left))
        for j in active:
            rho = pull[j] + size[j] * now[j]
            step = (rho - np.clip(rho, -alphas, alphas)) * inverse[j] - now[j]
            if step.any():
                now[j] += step
                pull -= gram[j][:, None, :] * step
                np.maximum(moved, np.abs(step).max(axis=0), out=moved)
        if not moved.any():
            break
    beta[:, :, left] = now
    return moved


def fit_lassos(x: Sequence[Floats], y: Sequence[Floats], share: float) -> tuple[Floats, Floats]:
    """Return intercepts (problems,) and coefficients (columns, problems) of LASSOs of one width.

    Args:
        x: of each problem, (rows, columns).
        y: of each problem, (rows,).
        share: the penalty, as a share of the one that sets every coefficient to 0.
    """
    moments = np.stack([moments_of(a, b, np.full(len(b), 1.0 / len(b))) for a, b in zip(x, y, strict=True)])
    gram, target, mean, deviation = standardised(moments)
    beta = descend(gram, target, share * np.abs(target).max(axis=0)[None, :])[:, 0, :] / deviation
    return mean[-1] - np.einsum("jg,jg->g", beta, mean[:-1]), beta


def moments_of(x: NDArray[np.floating], y: NDArray[np.floating], weight: NDArray[np.floating]) -> Floats:
    """Return the weighted second moments of [x, y, 1], (columns + 2) square; the weights sum to 1."""
    whole = np.empty((len(y), x.shape[1] + 2), x.dtype)
    whole[:, :-2], whole[:, -2], whole[:, -1] = x, y, 1.0
    return np.asarray((whole * weight[:, None].astype(x.dtype)).T @ whole, dtype=np.float64)


def standardised(moments: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the Gram matrices and targets of standardised columns, the problems along the last axis.

    Args:
        moments: (problems, columns + 2, columns + 2) of [x, y, 1].

    Returns:
        Gram (columns, columns, problems), target (columns, problems), means of the columns and of y
        (columns + 1, problems), and deviations (columns, problems), infinite where a column does not vary.
    """
    last = np.maximum(moments[:, -1, -1], 1e-300)[:, None]
    mean = moments[:, :-1, -1] / last
    centred = moments[:, :-1, :-1] / last[:, :, None] - mean[:, :, None] * mean[:, None, :]
    variance = np.einsum("gjj->gj", centred[:, :-1, :-1])
    deviation = np.where(variance > 1e-9, np.sqrt(np.maximum(variance, 0.0)), np.inf)
    target = centred[:, :-1, -1] / deviation
    gram = centred[:, :-1, :-1] / deviation[:, :, None] / deviation[:, None, :]
    back = (np.ascontiguousarray(np.moveaxis(a, 0, -1)) for a in (gram, target, mean, deviation))
    first, second, third, fourth = back
    return first, second, third, fourth
