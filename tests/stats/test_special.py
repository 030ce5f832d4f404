from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.stats.special import betainc, f_sf, false_discoveries, lgamma

special = pytest.importorskip("scipy.special", reason="scipy comes with the extra `forecast`")
distributions = pytest.importorskip("scipy.stats", reason="scipy comes with the extra `forecast`")


def test_functions_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    a, b, x = rng.uniform(0.3, 500, 3000), rng.uniform(0.3, 500, 3000), rng.uniform(0, 1, 3000)
    np.testing.assert_allclose(betainc(a, b, x), special.betainc(a, b, x), atol=1e-11)
    np.testing.assert_allclose(lgamma(a), special.gammaln(a), rtol=1e-12, atol=1e-12)
    f = rng.uniform(0, 30, 3000)
    np.testing.assert_allclose(f_sf(f, a, b), distributions.f.sf(f, a, b), atol=1e-11)
    far = f_sf(np.asarray(12.0), np.asarray(9.0), np.asarray(1000.0))
    np.testing.assert_allclose(far, distributions.f.sf(12.0, 9, 1000), rtol=1e-8)


def test_edges_and_missing() -> None:
    one = np.asarray(1.0)
    assert betainc(2 * one, 3 * one, 0 * one) == 0
    assert betainc(2 * one, 3 * one, one) == 1
    assert f_sf(-one, 2 * one, 3 * one) == 1
    assert np.isnan(f_sf(one * np.nan, 2 * one, 3 * one))


def test_false_discoveries_agree_with_scipy_and_skip_missing() -> None:
    p = np.asarray([0.01, 0.04, 0.03, 0.005, 0.9])
    np.testing.assert_allclose(false_discoveries(p), distributions.false_discovery_control(p))
    holed = np.asarray([0.01, np.nan, 0.04, 0.03, 0.005, 0.9])
    np.testing.assert_allclose(false_discoveries(holed)[[0, 2, 3, 4, 5]], false_discoveries(p))
    assert np.isnan(false_discoveries(holed)[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusting_never_lowers_a_chance_and_keeps_its_order(chances: list[float]) -> None:
    p = np.asarray(chances)
    adjusted = false_discoveries(p)
    assert (adjusted >= p - 1e-12).all()
    assert (adjusted <= 1).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= -1e-12).all()
