"""How far a distribution moved, with the noise it would show without having moved. Pure, over many columns at once.

The distance is the population stability index, PSI = sum (p - q) ln(p / q) over bins. Without any drift it is not 0:
its mean is about (bins - 1) (1/n + 1/m) for independent rows, and much more when rows of the same week resemble one
another. So counts come by blocks of time, as long as the window that is judged; how much blocks of the reference differ
among themselves says how much a block differs without drift (clustered variance and the second-order correction of Rao
& Scott, Annals of Statistics 12 (1984) 46-60, with the F reference of Thomas & Rao, JASA 82 (1987) 630-636). The
distance is given without that noise, with an interval, and with the chance of as much by noise alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from keepwell.stats.special import Floats, f_sf

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

LEAST_BLOCKS = 6
"""Fewer blocks of the reference than this do not tell how much blocks differ."""
MANY = 1000.0
"""Degrees of freedom of a variance that is known; more make no difference that matters."""
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True, eq=False)
class Distance:
    """How far each column moved; arrays of the shape of the counts without their last two axes.

    Attributes:
        psi: the index as it is.
        noise: what it would be on average without drift; NaN when that is not known.
        moved: `psi - noise`: the estimate of the distance; below 0 it is none.
        low, high: 95 % interval of the distance.
        p: the chance of as large an index without drift.
        n: rows of the current window; `m` rows of the reference.
        js: Jensen-Shannon distance, base 2, from 0 to 1, on the same bins.
        ks: the largest difference of the shares below a bin's edge (Kolmogorov-Smirnov on the bins).
    """

    psi: Floats
    noise: Floats
    moved: Floats
    low: Floats
    high: Floats
    p: Floats
    n: Ints
    m: Ints
    js: Floats
    ks: Floats


def quantile_edges(values: Floats, place: Ints, groups: int, bins: int = 10) -> Floats:
    """Return the inner edges that cut each group's values into bins of about equal size.

    Args:
        values: of all groups, finite.
        place: each value's group, from 0.
        groups: how many groups there are.
        bins: how many bins; where values repeat, some stay empty.

    Returns:
        An array (groups, bins - 1), ascending in each row; infinity for a group without values.
    """
    edges = np.full((groups, bins - 1), np.inf)
    share = np.arange(1, bins) / bins
    if groups == 1:
        if len(values):
            at = np.minimum((share * len(values)).astype(np.int64), len(values) - 1)
            edges[0] = np.partition(values, np.unique(at))[at]
        return edges
    order = np.lexsort((values, place))
    count = np.bincount(place, minlength=groups)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    filled = count > 0
    at = first[filled, None] + np.minimum((share * count[filled, None]).astype(np.int64), count[filled, None] - 1)
    edges[filled] = values[order[at]]
    return edges


def bin_values(values: Floats, place: Ints, edges: Floats) -> npt.NDArray[np.int8]:
    """Return the bin of each value: how many of its group's edges it is at or above."""
    found = np.zeros(len(values), np.int8)
    for i in range(edges.shape[1]):
        found += values >= (edges[0, i] if len(edges) == 1 else edges[place, i])
    return found


def count_bins(bins: npt.NDArray[np.integer], place: Ints, block: Ints, groups: int, blocks: int, size: int) -> Floats:
    """Return how many rows fall into each bin: an array (groups, blocks, size)."""
    key = (place * blocks + block) * size + bins if groups * blocks > 1 else bins
    return np.bincount(key, minlength=groups * blocks * size).reshape(groups, blocks, size).astype(np.float64)


def distance(reference: Floats, current: Floats, *, independent: bool = False) -> Distance:
    """Return how far distributions moved from a reference.

    Args:
        reference: counts (..., blocks, bins): rows of the reference by block of time and bin. Blocks without rows count
            as none; blocks are as long as the current window.
        current: counts (..., 1 or more blocks, bins) of the window that is judged.
        independent: rows are independent of one another: the noise is that of sampling rows, and blocks do not matter.
    """
    m, n = reference.sum((-2, -1)), current.sum((-2, -1))
    size = reference.shape[-1]
    live = (reference.sum(-2) + current.sum(-2)) > 0
    p, q = _shares(current.sum(-2), n, live), _shares(reference.sum(-2), m, live)
    log = np.where(live, np.log(p / q), 0.0)
    psi = ((p - q) * log).sum(-1)
    cells = np.maximum(live.sum(-1), 2)
    mean = np.where(live, (p * n[..., None] + q * m[..., None]) / np.maximum(n + m, 1)[..., None], 1.0)
    if independent:
        free = np.broadcast_to(np.inf, m.shape)
        cov = _multinomial(mean, live)
        spread, trust = cov * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1))[..., None, None], m > 0
    else:
        spread, free, trust = _between_blocks(reference, n, m, mean, live)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = spread / np.sqrt(mean[..., :, None] * mean[..., None, :])
        noise = np.trace(scaled, axis1=-2, axis2=-1)
        squares = (scaled * scaled).sum((-2, -1))
        df = np.clip(noise**2 / squares, 1.0, np.maximum(cells - 1, 1))
        chance = f_sf(psi / noise, df, np.where(np.isinf(free), MANY, df * free))
        slope = np.where(live, log + 1 - q / p, 0.0)
        variance = np.einsum("...i,...ij,...j->...", slope, spread, slope) + 2 * squares
    known = trust & (n > 0) & (m > 0)
    noise, chance = np.where(known, noise, np.nan), np.where(known, chance, np.nan)
    wide = Z95 * np.sqrt(np.where(known, np.maximum(variance, 0.0), np.nan))
    return Distance(
        psi=np.where((n > 0) & (m > 0), psi, np.nan),
        noise=noise,
        moved=psi - noise,
        low=np.maximum(psi - noise - wide, 0.0),
        high=np.maximum(psi - noise + wide, 0.0),
        p=chance,
        n=n.astype(np.int64),
        m=m.astype(np.int64),
        js=_jensen_shannon(p, q, live),
        ks=np.abs(np.cumsum(p - q, -1)[..., : size - 1]).max(-1, initial=0.0),
    )


def _shares(counts: Floats, total: Floats, live: Bools) -> Floats:
    """Return shares with half a row added to each bin that is used at all, so that no logarithm is infinite."""
    cells = live.sum(-1)
    return np.where(live, (counts + 0.5) / np.maximum(total + 0.5 * cells, 0.5)[..., None], 0.0) + np.where(live, 0, 1)


def _between_blocks(reference: Floats, n: Floats, m: Floats, mean: Floats, live: Bools) -> tuple[Floats, Floats, Bools]:
    """Return the covariance of (current - reference) shares without drift, its degrees of freedom, and its trust.

    A block's share differs from the whole's by what blocks of the reference show; the reference's own share, a mean of
    its blocks, by less. Never less than sampling rows alone would give.
    """
    sizes = reference.sum(-1)
    blocks = (sizes > 0).sum(-1)
    total = np.maximum(m, 1)
    own = reference.sum(-2) / total[..., None]
    off = reference - sizes[..., None] * own[..., None, :]
    factor = np.where(blocks > 1, blocks / np.maximum(blocks - 1, 1), 1.0)
    whole = np.einsum("...bi,...bj->...ij", off, off) * (factor / total**2)[..., None, None]
    single = whole * np.maximum(blocks, 1)[..., None, None]
    rows = _multinomial(mean, live)
    typical = total / np.maximum(blocks, 1)
    inner = single - rows / np.maximum(typical, 1)[..., None, None]
    inner = np.where(np.trace(inner, axis1=-2, axis2=-1)[..., None, None] > 0, inner, 0.0)
    least = rows * (1 / np.maximum(n, 1) + 1 / total)[..., None, None]
    spread = least + inner * (1 + 1 / np.maximum(blocks, 1))[..., None, None]
    return spread, np.maximum(blocks - 1, 1).astype(np.float64), blocks >= LEAST_BLOCKS


def _multinomial(mean: Floats, live: Bools) -> Floats:
    """Return the covariance of one row's bin."""
    p = np.where(live, mean, 0.0)
    cov = -p[..., :, None] * p[..., None, :]
    diagonal = np.arange(p.shape[-1])
    cov[..., diagonal, diagonal] += p
    return cov


def _jensen_shannon(p: Floats, q: Floats, live: Bools) -> Floats:
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(live, p * np.log2(p / middle) + q * np.log2(q / middle), 0.0).sum(-1) / 2
    return np.asarray(np.sqrt(np.clip(bits, 0.0, 1.0)))
