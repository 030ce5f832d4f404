"""Compare two forecasters on the same rows, by blocks of time, claiming no more than the blocks can carry. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from keepwell.stats.special import Floats, f_sf

Outcome = Literal["better", "worse", "same", "unknown"]

FEWEST_BLOCKS = 3
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """A challenger beside a champion.

    Attributes:
        outcome: the challenger is better or worse at one-sided 5 %, cannot be told apart, or is not known.
        change: summed error of the challenger against the champion's, as a share of it; -0.1 is a tenth less.
        p: chance of a mean difference this far on its side without one.
        blocks: blocks of time that were compared.
        rows: rows that were compared.
    """

    outcome: Outcome
    change: float | None
    p: float | None
    blocks: int
    rows: int


def compare(challenger: Floats, champion: Floats, block: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Comparison:
    """Compare absolute errors on the same rows by a paired t-test over blocks of time.

    Rows of one block share weather and season, so the block, not the row, is the unit: the differences of the blocks'
    summed errors are taken as independent, and their mean is held against Student's t with one degree of freedom less
    than there are blocks (Diebold & Mariano 1995 with non-overlapping blocks).

    Args:
        challenger: absolute errors, one a row; NaN is not known.
        champion: likewise, of the same rows.
        block: the block of each row.
    """
    known = np.isfinite(challenger) & np.isfinite(champion)
    rows = int(known.sum())
    if not rows:
        return Comparison("unknown", None, None, 0, 0)
    _, place = np.unique(block[known], return_inverse=True)
    ours, theirs = np.bincount(place, challenger[known]), np.bincount(place, champion[known])
    difference = ours - theirs
    blocks = len(difference)
    change = float(difference.sum() / theirs.sum()) if theirs.sum() > 0 else None
    if blocks < FEWEST_BLOCKS:
        return Comparison("unknown", change, None, blocks, rows)
    mean, spread = float(difference.mean()), float(difference.std(ddof=1))
    if spread == 0.0:
        outcome: Outcome = "same" if mean == 0.0 else "better" if mean < 0 else "worse"
        return Comparison(outcome, change, 0.0 if mean else 1.0, blocks, rows)
    squared = np.asarray(mean**2 / (spread**2 / blocks))
    p = float(f_sf(squared, np.asarray(1.0), np.asarray(blocks - 1.0))) / 2
    outcome = "same" if p > ALPHA else "better" if mean < 0 else "worse"
    return Comparison(outcome, change, p, blocks, rows)
