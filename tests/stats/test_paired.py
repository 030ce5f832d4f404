"""A challenger beside a champion: what can be told from a few weeks, and what cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from keepwell.stats.paired import ALPHA, compare


def _errors(seed: int, blocks: int, gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    block = np.repeat(np.arange(blocks), 20)
    champion = generator.gamma(2.0, 10.0, len(block))
    return champion * (1 - gain) + generator.normal(0, 1, len(block)), champion, block


def test_it_is_the_paired_t_test_over_blocks() -> None:
    ours, theirs, block = _errors(1, 8, 0.03)
    found = compare(ours, theirs, block)
    sums = [np.bincount(block, e) for e in (ours, theirs)]
    assert found.p == pytest.approx(ttest_rel(*sums).pvalue / 2, abs=1e-9)
    assert (found.blocks, found.rows) == (8, 160)


def test_a_clear_gain_is_better_and_a_clear_loss_worse() -> None:
    assert compare(*_errors(2, 8, 0.3)).outcome == "better"
    assert compare(*_errors(2, 8, -0.3)).outcome == "worse"


def test_too_few_blocks_or_no_rows_are_unknown() -> None:
    assert compare(*_errors(3, 2, 0.5)).outcome == "unknown"
    none = np.full(3, np.nan)
    assert compare(none, none, np.arange(3)).outcome == "unknown"


def test_equal_errors_cannot_be_told_apart() -> None:
    _, theirs, block = _errors(4, 6, 0.0)
    assert compare(theirs, theirs, block).outcome == "same"


@given(st.integers(0, 10_000), st.integers(3, 10), st.floats(-0.5, 0.5))
def test_swapping_the_two_swaps_the_outcome(seed: int, blocks: int, gain: float) -> None:
    ours, theirs, block = _errors(seed, blocks, gain)
    swapped = {"better": "worse", "worse": "better", "same": "same", "unknown": "unknown"}
    assert compare(theirs, ours, block).outcome == swapped[compare(ours, theirs, block).outcome]


def test_without_a_difference_it_claims_one_no_more_often_than_it_says() -> None:
    generator = np.random.default_rng(5)
    block = np.arange(6)
    claims = sum(
        compare(generator.normal(10, 1, 6), generator.normal(10, 1, 6), block).outcome == "better" for _ in range(2_000)
    )
    assert claims / 2_000 <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / 2_000)
