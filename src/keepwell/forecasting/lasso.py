"""LASSO for many small problems at once: coordinate descent on Gram matrices, all problems in step.

Covariance updates after Friedman, Hastie, Tibshirani, "Regularization Paths for Generalized Linear Models via
Coordinate Descent" (J. Stat. Softw. 33(1), 2010, section 2.2): with standardised columns, minimise
1/2 b'Gb - c'b + alpha |b|_1. The problems lie along the last axis, so that one step of all of them is one array
operation.
"""

from __future__ import annotations

import numpy as np

from keepwell.forecasting.panel import Floats


def descend(gram: Floats, target: Floats, alphas: Floats, sweeps: int = 200, tolerance: float = 1e-4) -> Floats:
    """Return the coefficients of many LASSO problems, each for several penalties.

    Args:
        gram: (columns, columns, problems), X'X / n of standardised columns; a column that does not vary is all 0.
        target: (columns, problems), X'y / n.
        alphas: (penalties, problems).
        sweeps: at most so many passes over the columns.
        tolerance: a pass that moves no coefficient by more than this, relative to the largest, is the last.

    Returns:
        (columns, penalties, problems).
    """
    columns, problems = target.shape
    beta = np.zeros((columns, alphas.shape[0], problems))
    pull = np.zeros_like(beta)
    pull += target[:, None, :]
    active = np.flatnonzero(np.einsum("jjg->jg", gram).max(axis=1) > 0)
    size = np.einsum("jjg->jg", gram)
    safe = np.where(size > 0, size, 1.0)
    for _ in range(sweeps):
        largest = 0.0
        for j in active:
            old = beta[j]
            rho = pull[j] + size[j] * old
            new = np.where(size[j] > 0, np.sign(rho) * np.maximum(np.abs(rho) - alphas, 0.0) / safe[j], 0.0)
            step = new - old
            moved = float(np.abs(step).max())
            if moved > 0.0:
                beta[j] = new
                pull -= gram[j][:, None, :] * step
                largest = max(largest, moved)
        if largest <= tolerance * max(1e-12, float(np.abs(beta).max())):
            break
    return beta
