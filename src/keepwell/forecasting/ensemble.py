"""Weights of an ensemble, chosen on held-back rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keepwell.forecasting.panel import Floats

_ROUNDS = 20
_PRIOR = 20
_TRUST = 0.7


def choose_weights(actual: Floats, forecasts: Mapping[str, Floats]) -> dict[str, float]:
    """Return the weights, above 0 and summing to 1, under which the mean forecast errs least in absolute terms.

    Forward selection with replacement (Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004),
    drawn towards equal weights: by three tenths, since a few weeks that have much in common choose them, and further
    when there are but few rows.
    """
    names = list(forecasts)
    if not names:
        return {}
    equal = np.full(len(names), 1 / len(names))
    known = np.isfinite(actual)
    stack = np.stack([forecasts[name][known] for name in names])
    if not stack.shape[1] or len(names) == 1:
        return {name: float(w) for name, w in zip(names, equal, strict=True)}
    total, counts = np.zeros(stack.shape[1]), np.zeros(len(names))
    for n in range(1, _ROUNDS + 1):
        losses = np.abs((total + stack) / n - actual[known]).sum(axis=1)
        best = int(losses.argmin())
        counts[best] += 1
        total += stack[best]
    rows = stack.shape[1]
    trust = _TRUST * rows / (rows + _PRIOR)
    weights = trust * counts / _ROUNDS + (1 - trust) * equal
    return {name: round(float(w), 6) for name, w in zip(names, weights, strict=True)}


def combine(forecasts: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """Return the weighted mean of forecasts; a weight names which."""
    total = sum(weights.values())
    return np.asarray(sum(forecasts[name] * (weight / total) for name, weight in weights.items()))
