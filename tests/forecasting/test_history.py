from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keepwell.forecasting.history import History

NAN = np.nan
TARGETS = hnp.arrays(
    np.float64, (3, 12), elements=st.one_of(st.just(NAN), st.floats(-1e3, 1e3, allow_nan=False, width=32))
)


def past(values: np.ndarray, step: int) -> np.ndarray:
    return values[: step + 1][np.isfinite(values[: step + 1])]


@given(TARGETS, st.integers(1, 5))
def test_rolling_statistics_are_those_of_the_newest_targets(target: np.ndarray, rows: int) -> None:
    history = History(target, 4)
    mean, deviation = history.mean(rows), history.deviation(rows)
    for s in range(3):
        for t in range(12):
            newest = past(target[s], t)[-rows:]
            if len(newest):
                np.testing.assert_allclose(mean[s, t], newest.mean(), atol=1e-6)
                np.testing.assert_allclose(deviation[s, t], newest.std(), atol=2e-2)
                assert history.last[s, t] == newest[-1]
            else:
                assert np.isnan(mean[s, t])
                assert np.isnan(history.last[s, t])


@given(TARGETS, st.integers(0, 11))
def test_nothing_after_a_step_is_used(target: np.ndarray, step: int) -> None:
    other = target.copy()
    other[:, step + 1 :] = 7e5
    for name in ("seen", "level", "last", "age", "scale"):
        one, two = getattr(History(target, 3), name), getattr(History(other, 3), name)
        np.testing.assert_array_equal(one[:, : step + 1], two[:, : step + 1], err_msg=name)


@given(TARGETS)
def test_scale_is_positive_and_finite(target: np.ndarray) -> None:
    scale = History(target, 3).scale
    assert (scale > 0).all()
    assert np.isfinite(scale).all()


def test_scale_of_a_new_series_is_that_of_the_others() -> None:
    target = np.array([[10.0, 10.0, 10.0], [30.0, 30.0, 30.0], [NAN, NAN, 5.0]])
    scale = History(target, 8).scale
    assert scale[2].tolist() == [20.0, 20.0, 5.0]


def test_a_gap_does_not_shorten_the_mean() -> None:
    assert History(np.array([[4.0, NAN, NAN, 8.0, NAN]]), 2).level[0].tolist() == [4.0, 4.0, 4.0, 6.0, 6.0]


def test_age_counts_steps_since_the_newest_target() -> None:
    assert History(np.array([[NAN, 4.0, NAN, NAN, 8.0]]), 2).age[0].tolist() == [5, 0, 1, 2, 0]
