"""The few distribution functions that our tests need, over arrays. numpy only; held to scipy in the tests."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

_TINY = 1e-300


def f_sf(x: Floats, dfn: Floats, dfd: Floats) -> Floats:
    """Return the chance that a variable of the F distribution with `dfn` and `dfd` degrees of freedom exceeds x.

    NIST/SEMATECH e-Handbook of Statistical Methods 1.3.6.6.5, by the regularised incomplete beta function:
    1 - F(x) = I(dfd / (dfd + dfn x); dfd / 2, dfn / 2). NaN in, NaN out; x below 0 gives 1.
    """
    x, dfn, dfd = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x, dfn, dfd)))
    with np.errstate(invalid="ignore"):
        return betainc(dfd / 2, dfn / 2, dfd / (dfd + dfn * np.maximum(x, 0.0)))


def betainc(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return the regularised incomplete beta function I_x(a, b) for a, b > 0 and x from 0 to 1.

    By its continued fraction (DLMF 8.17.22, evaluated by Lentz's method) on the side where it converges fast.
    """
    a, b, x = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (a, b, x)))
    flip = x > (a + 1) / (a + b + 2)
    p, q, y = np.where(flip, b, a), np.where(flip, a, b), np.where(flip, 1 - x, x)
    with np.errstate(divide="ignore", invalid="ignore"):
        front = np.exp(lgamma(p + q) - lgamma(p) - lgamma(q) + p * np.log(y) + q * np.log1p(-y)) / p
        found = np.where(y <= 0, 0.0, front * _fraction(p, q, y))
    found = np.where(flip, 1 - found, found)
    return np.where(np.isnan(x) | np.isnan(a) | np.isnan(b), np.nan, np.clip(found, 0.0, 1.0))


def lgamma(x: Floats) -> Floats:
    """Return log Gamma(x) for x > 0, to about 1e-14: Stirling's series (DLMF 5.11.1) after a shift above 10."""
    x = np.asarray(x, np.float64)
    shift = np.zeros_like(x)
    z = x.copy()
    for _ in range(10):
        low = z < 10
        shift = np.where(low, shift + np.log(np.where(low, z, 1.0)), shift)
        z = np.where(low, z + 1, z)
    inverse = 1 / z
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
    return np.asarray((z - 0.5) * np.log(z) - z + 0.5 * math.log(2 * math.pi) + series - shift)


def false_discoveries(p: Floats, axis: int = -1) -> Floats:
    """Return Benjamini-Hochberg adjusted p-values along an axis; NaN stays NaN and counts as no test.

    Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995): rejecting where the result is at most q keeps the expected share
    of false ones at most q when the tests are independent or positively dependent.
    """
    p = np.moveaxis(np.asarray(p, np.float64), axis, -1)
    order = np.argsort(p, axis=-1)  # NaN last
    tests = np.sum(~np.isnan(p), axis=-1, keepdims=True)
    rank = np.arange(1, p.shape[-1] + 1)
    scaled = np.take_along_axis(p, order, -1) * tests / rank
    filled = np.where(np.isnan(scaled), np.inf, scaled)
    least = np.minimum.accumulate(filled[..., ::-1], axis=-1)[..., ::-1]
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(least, 1.0), -1)
    return np.asarray(np.moveaxis(np.where(np.isnan(p), np.nan, adjusted), -1, axis))


def _fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return the continued fraction of betainc, by the modified Lentz method."""
    c = np.ones_like(x)
    d = 1 / _away(1 - (a + b) * x / (a + 1))
    h = d.copy()
    for m in range(1, 200):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            h = h * c * d
        if not np.any(np.abs(c * d - 1) > 1e-14):
            break
    return h


def _away(value: Floats) -> Floats:
    """Keep a denominator away from 0."""
    return np.where(np.abs(value) < _TINY, _TINY, value)
