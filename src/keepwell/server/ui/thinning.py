"""Series thinned to what a chart can show: the least and the greatest point of each pixel stay. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def thin(steps: NDArray[np.int64], values: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Return the places of at most `most` points, in order, that look like all of them.

    The points are cut into parts of equal length; of each, the least and the greatest value stay, and so do the first
    and the last point of all. Spikes stay, which a sample at even distances would lose.

    Args:
        steps: rising.
        values: of equal length; NaN is neither least nor greatest, and stays only where a part holds nothing else.
        most: at least 2.
    """
    count = len(steps)
    if count <= most:
        return np.arange(count)
    parts = max(1, (most - 2) // 2)
    size = -(-count // parts)
    filled = np.full(size * -(-count // size), np.nan)
    filled[:count] = values
    table = filled.reshape(-1, size)
    base = np.arange(table.shape[0]) * size
    least = base + np.where(np.isnan(table), np.inf, table).argmin(axis=1)
    most_ = base + np.where(np.isnan(table), -np.inf, table).argmax(axis=1)
    return np.unique(np.minimum(np.concatenate([[0], least, most_, [count - 1]]), count - 1))
