"""Is a column like it was? Pure comparisons of one arrival with the blocks of those that were let in before.

A block is a stretch of consecutive rows (see `parts.stats_of`), so one long history file counts as many.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from keepwell.core.lazy import pl
from keepwell.datasets.model import Block, Stats

_FEW_BLOCKS = 4
_FEW_ROWS = 5
_MAD = 1.4826
_FLOOR = 0.01
_COLLAPSE = 10
_UNIT_BLOCKS = 8
_UNIT_ROWS = 100
_HUGE = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Unlike:
    """How a column differs from history, in one sentence; rows outside of `low` to `high` were never seen before."""

    sentence: str
    low: float
    high: float
    value: float
    limit: float


def past(history: Sequence[Stats], name: str) -> list[Block]:
    """Return the blocks of a column over all arrivals, oldest first."""
    return [block for stats in history for block in stats.blocks.get(name, ())]


def mean_like(values: pl.Series, blocks: Sequence[Block], bound: float) -> Unlike | str | None:
    """Compare an arrival's mean with the means of earlier blocks.

    The measure is the distance from their median in robust deviations: 1.4826 times the median absolute deviation, at
    least 1 % of the median's size, so that a history of equal means does not make every other mean infinitely far.

    Returns:
        How it differs when it is farther than `bound`, None when it is not, and why not when that cannot be said.
    """
    finite = _finite(values)
    if len(blocks) < _FEW_BLOCKS or not len(finite):
        return f"{len(blocks)} earlier blocks, {_FEW_BLOCKS} are needed" if len(finite) else "no value to compare"
    means = [block.mean for block in blocks]
    middle = _median(means)
    scale = max(_MAD * _median([abs(m - middle) for m in means]), _FLOOR * abs(middle), 1e-12)
    mean = _mean(finite)
    if not scale < _HUGE or not abs(mean - middle) < _HUGE:
        return "numbers too large to compare"
    distance = abs(mean - middle) / scale
    if distance <= bound:
        return None
    sentence = (
        f"The mean of {values.name} is {mean:.4g}; earlier it was {middle:.4g} give or take {scale:.2g}, so this is "
        f"{_times(distance)} deviations away and the contract allows {bound:g}. Has the unit changed?"
    )
    low, high = _range(blocks)
    return Unlike(sentence, low, high, min(distance, 1e12), bound)


def same_unit(values: pl.Series, blocks: Sequence[Block]) -> Unlike | str | None:
    """Tell whether a column seems to come in another unit, with nothing declared of it.

    It does when the bulk of the arrival (all but its lowest or highest tenth) lies farther outside of everything seen
    before than that was wide; or, where all that was seen is positive, when its mean is a tenth or less of the least
    mean of any block. A demand that halves or doubles, or a season never seen, does neither.
    """
    finite = _finite(values)
    told = len({block.mean for block in blocks})  # a hundred blocks of 0, before the first promotion, tell little
    if told < _UNIT_BLOCKS or sum(block.n for block in blocks) < _UNIT_ROWS:
        return f"{told} differing blocks earlier, {_UNIT_BLOCKS} with {_UNIT_ROWS} values are needed"
    if len(finite) < _FEW_ROWS:
        return f"{len(finite)} values, {_FEW_ROWS} are needed"
    low, high = _range(blocks)
    if low == high:
        return "all earlier values are equal"
    tenth, ninth = float(finite.quantile(0.1) or 0.0), float(finite.quantile(0.9) or 0.0)
    width = high - low
    jumped = tenth > high + width or ninth < low - width
    mean, least = _mean(finite), min(block.mean for block in blocks)
    collapsed = low >= 0 < least and abs(mean) * _COLLAPSE <= least
    if not (jumped or collapsed):
        return None
    sentence = (
        f"{values.name} lies around {float(finite.median()):.4g}; all earlier rows lie between {low:.4g} and "  # type: ignore[arg-type]
        f"{high:.4g}. Has the unit changed?"
    )
    return Unlike(sentence, low, high, mean, high if jumped and tenth > high else low)


def _finite(values: pl.Series) -> pl.Series:
    numbers = values.cast(pl.Float64).drop_nulls()
    return numbers.filter(numbers.is_finite())


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (
        ordered[(len(ordered) - 1) // 2] / 2 + ordered[len(ordered) // 2] / 2
    )  # halves first: the sum may be infinite


def _mean(finite: pl.Series) -> float:
    return max(-_HUGE, min(float(finite.mean()), _HUGE))  # type: ignore[arg-type]


def _range(blocks: Sequence[Block]) -> tuple[float, float]:
    return min(block.low for block in blocks), max(block.high for block in blocks)


def _times(distance: float) -> str:
    return f"{distance:.1f}" if distance < 1000 else "over 1,000"
