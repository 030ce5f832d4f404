from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.forecasting.lasso import descend, fit_lassos, moments_of, standardised


def problems(seed: int, count: int = 4, rows: int = 80, columns: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, rows, columns)) * rng.uniform(0.2, 4, (count, 1, columns))
    truth = rng.standard_normal((count, columns)) * (rng.random((count, columns)) < 0.5)
    return x, np.einsum("gnp,gp->gn", x, truth) + 0.3 * rng.standard_normal((count, rows)) + 2.0


@pytest.mark.parametrize("share", [0.3, 0.05, 0.005])
def test_the_same_as_scikit_learn(share: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = problems(1)
    intercepts, beta = fit_lassos(x, y, share)
    for g in range(len(x)):
        deviation = x[g].std(axis=0)
        z = (x[g] - x[g].mean(axis=0)) / deviation
        alpha = share * np.abs(z.T @ (y[g] - y[g].mean())).max() / len(y[g])
        theirs = linear.Lasso(alpha=alpha, tol=1e-10, max_iter=100_000).fit(z, y[g])
        np.testing.assert_allclose(beta[:, g], theirs.coef_ / deviation, atol=2e-3)
        np.testing.assert_allclose(intercepts[g] + x[g] @ beta[:, g], theirs.predict(z), atol=5e-3)


def test_a_problem_alone_is_the_problem_in_company() -> None:
    x, y = problems(2, count=6)
    together = fit_lassos(x, y, 0.02)
    for g in range(6):
        alone = fit_lassos(x[g : g + 1], y[g : g + 1], 0.02)
        np.testing.assert_allclose(alone[1][:, 0], together[1][:, g], atol=1e-9)
        np.testing.assert_allclose(alone[0][0], together[0][g], atol=1e-9)


def test_the_largest_penalty_leaves_nothing() -> None:
    x, y = problems(3)
    intercepts, beta = fit_lassos(x, y, 1.0)
    assert not beta.any()
    np.testing.assert_allclose(intercepts, y.mean(axis=1))


def test_columns_that_do_not_vary_are_left_out() -> None:
    x, y = problems(4)
    x[:, :, 2] = 5.0
    _, beta = fit_lassos(x, y, 0.01)
    assert not beta[2].any()
    assert np.isfinite(beta).all()


def test_a_constant_target_needs_no_columns() -> None:
    x, _ = problems(5)
    intercepts, beta = fit_lassos(x, np.full(x.shape[:2], 3.0), 0.01)
    np.testing.assert_allclose(beta, 0.0, atol=1e-12)
    np.testing.assert_allclose(intercepts, 3.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.1, 0.02]))
def test_no_small_step_makes_it_better(seed: int, share: float) -> None:
    x, y = problems(seed, count=2)
    gram, target, _, _ = standardised(moments_of(x, y, np.ones(y.shape)))
    alphas = share * np.abs(target).max(axis=0)[None, :]
    beta = descend(gram, target, alphas, tolerance=1e-8)[:, 0, :]

    def loss(b: np.ndarray) -> np.ndarray:
        quadratic = 0.5 * np.einsum("jg,jkg,kg->g", b, gram, b) - np.einsum("jg,jg->g", target, b)
        return quadratic + alphas[0] * np.abs(b).sum(axis=0)

    best = loss(beta)
    rng = np.random.default_rng(seed)
    for _ in range(10):
        assert (loss(beta + 1e-3 * rng.standard_normal(beta.shape)) >= best - 1e-12).all()


def test_weights_count_rows() -> None:
    x, y = problems(6, count=1, rows=30)
    doubled = (np.concatenate([x, x[:, :10]], axis=1), np.concatenate([y, y[:, :10]], axis=1))
    weight = np.ones((1, 30))
    weight[:, :10] = 2.0
    np.testing.assert_allclose(moments_of(x, y, weight), moments_of(*doubled, np.ones((1, 40))))
