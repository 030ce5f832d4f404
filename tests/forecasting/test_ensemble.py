from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.forecasting.ensemble import choose_weights, combine


def test_the_better_one_weighs_more() -> None:
    rng = np.random.default_rng(1)
    actual = 100 + rng.standard_normal(500)
    forecasts = {"good": actual + rng.standard_normal(500), "bad": actual + 20 * rng.standard_normal(500)}
    weights = choose_weights(actual, forecasts)
    assert weights["good"] > 0.8
    assert sum(weights.values()) == pytest.approx(1)


def test_two_that_err_apart_share() -> None:
    rng = np.random.default_rng(2)
    actual = 100 + rng.standard_normal(2000)
    forecasts = {name: actual + 5 * rng.standard_normal(2000) for name in ("a", "b")}
    weights = choose_weights(actual, forecasts)
    assert 0.4 < weights["a"] < 0.6
    mixed = np.abs(combine(forecasts, weights) - actual).mean()
    assert mixed < min(np.abs(f - actual).mean() for f in forecasts.values())


def test_few_rows_hardly_decide() -> None:
    weights = choose_weights(np.array([10.0]), {"a": np.array([10.0]), "b": np.array([90.0])})
    assert abs(weights["a"] - 0.5) < 0.05


def test_without_rows_the_weights_are_equal() -> None:
    nothing = np.array([])
    assert choose_weights(nothing, {"a": nothing, "b": nothing}) == {"a": 0.5, "b": 0.5}
    assert choose_weights(nothing, {}) == {}


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.integers(1, 4), st.integers(0, 100))
def test_weights_are_shares(actual: list[float], members: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = np.array(actual)
    weights = choose_weights(target, {f"m{i}": target + rng.standard_normal(len(target)) for i in range(members)})
    assert all(w >= 0 for w in weights.values())
    assert sum(weights.values()) == pytest.approx(1, abs=1e-4)
