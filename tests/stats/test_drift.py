"""The drift measure against what is known of it: its noise without drift, its false alarms, what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.stats.drift import Distance, bin_values, count_bins, distance, quantile_edges
from keepwell.stats.special import Floats


def measured(reference: Floats, current: Floats, *, independent: bool = False) -> Distance:
    """Measure columns (columns, blocks, rows) against one block each (columns, rows)."""
    columns, blocks, rows = reference.shape
    place = np.repeat(np.arange(columns), blocks * rows)
    block = np.tile(np.repeat(np.arange(blocks), rows), columns)
    edges = quantile_edges(reference.ravel(), place, columns)
    old = count_bins(bin_values(reference.ravel(), place, edges), place, block, columns, blocks, 10)
    here = np.repeat(np.arange(columns), current.shape[1])
    new = count_bins(bin_values(current.ravel(), here, edges), here, np.zeros_like(here), columns, 1, 10)
    return distance(old, new, independent=independent)


def weeks(columns: int, blocks: int, rows: int, alike: float, seed: int = 1) -> tuple[Floats, Floats]:
    """Rows of weeks that differ by `alike` standard deviations, and one more week of the same kind."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, alike, (columns, blocks + 1, 1))
    values = rng.normal(size=(columns, blocks + 1, rows)) + shift
    return values[:, :blocks], values[:, blocks]


def test_noise_of_independent_rows_is_that_of_the_textbook() -> None:
    reference, current = weeks(600, 1, 1000, 0.0)
    found = measured(reference, current[:, :100], independent=True)
    expected = 9 * (1 / 1000 + 1 / 100)
    assert found.noise.mean() == pytest.approx(expected, rel=0.05)
    assert found.psi.mean() == pytest.approx(expected, rel=0.12)
    assert abs(found.moved.mean()) < 0.012
    assert (found.p <= 0.05).mean() <= 0.065


@pytest.mark.parametrize(
    ("blocks", "rows", "alike"), [(8, 50, 0.0), (8, 50, 0.3), (13, 200, 0.3), (26, 30, 0.1), (52, 100, 0.5)]
)
def test_without_drift_alarms_keep_their_rate_though_weeks_differ(blocks: int, rows: int, alike: float) -> None:
    found = measured(*weeks(1500, blocks, rows, alike))
    assert (found.p <= 0.05).mean() <= 0.07
    assert (found.p <= 0.01).mean() <= 0.025
    assert abs(found.moved.mean()) <= 0.05 + 0.15 * found.noise.mean()


def test_the_textbook_rule_would_alarm_where_weeks_differ() -> None:
    """Why the noise is measured: PSI > 0.25 alone cries wolf for 4 of 10 columns here; the size and chance rule 3 %."""
    found = measured(*weeks(1500, 13, 50, 0.3))
    assert (found.psi > 0.25).mean() > 0.3
    assert ((found.moved > 0.25) & (found.p <= 0.05)).mean() < 0.05


def test_a_real_shift_is_found_and_its_size_is_right() -> None:
    reference, current = weeks(200, 13, 200, 0.1)
    found = measured(reference, current + 1.5)
    assert ((found.moved > 0.25) & (found.p <= 0.01)).mean() > 0.95
    assert ((found.low < found.moved) & (found.moved < found.high)).all()
    assert (found.ks > 0.3).all()
    assert (found.js > 0.2).all()


def test_a_shift_too_small_to_matter_stays_small_however_many_rows() -> None:
    reference, current = weeks(5, 10, 20_000, 0.0)
    found = measured(reference, current + 0.05)
    assert (found.moved < 0.02).all()


def test_too_few_blocks_or_no_rows_is_not_known() -> None:
    reference, current = weeks(3, 3, 100, 0.1)
    few = measured(reference, current)
    assert np.isnan(few.noise).all()
    assert np.isnan(few.p).all()
    assert np.isfinite(few.psi).all()
    empty = distance(np.zeros((1, 8, 10)), np.ones((1, 1, 10)))
    assert np.isnan(empty.psi).all()
    assert np.isnan(distance(np.ones((1, 8, 10)), np.zeros((1, 1, 10))).moved).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=10, max_size=10), st.lists(st.integers(0, 50), min_size=10, max_size=10))
def test_a_distance_is_never_negative_and_its_bounds_are_in_order(then: list[int], now: list[int]) -> None:
    found = distance(np.tile(np.asarray(then, float), (1, 8, 1)), np.asarray([[now]], float))
    if sum(then) and sum(now):
        assert found.psi[0] >= 0
        assert 0 <= found.low[0] <= found.high[0]
        assert 0 <= found.js[0] <= 1
        assert 0 <= found.ks[0] <= 1 + 1e-9
        assert 0 <= found.p[0] <= 1


def test_edges_cut_each_group_by_itself_and_repeats_leave_empty_bins() -> None:
    values = np.asarray([1.0, 2, 3, 4, 10, 20, 30, 40, 7, 7])
    place = np.asarray([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    edges = quantile_edges(values, place, 4, bins=4)
    assert edges[0].tolist() == [2, 3, 4]
    assert edges[1].tolist() == [20, 30, 40]
    assert np.isinf(edges[3]).all()
    assert bin_values(values, place, edges).tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 3, 3]
    assert quantile_edges(np.asarray([]), np.asarray([], int), 1).tolist() == [[np.inf] * 9]
