from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keepwell.core.errors import InvalidInput
from keepwell.forecasting.metrics import METRICS, measure_arrays, measure_groups, wmape


def arrays(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_known_values() -> None:
    found = measure_arrays(arrays(0, 100, 200, 50), arrays(10, 110, 180, 50))
    assert found["mape"] == (pytest.approx((0.1 + 0.1 + 0.0) / 3), 3)
    assert found["mape100"] == (pytest.approx(0.1), 2)
    assert found["wmape"] == (pytest.approx(40 / 350), 4)
    assert found["rmse_zero"] == (10.0, 1)
    assert found["rmse"] == (pytest.approx(np.sqrt(600 / 4)), 4)
    assert found["mae"] == (10.0, 4)
    assert found["bias"] == (0.0, 4)


def test_zero_actuals_are_unknown_ratios() -> None:
    found = measure_arrays(arrays(0, 0), arrays(1, 3))
    assert found["mape"] == (None, 0)
    assert found["mape100"] == (None, 0)
    assert found["wmape"] == (None, 2)
    assert found["bias"] == (None, 2)
    assert found["rmse_zero"][0] == pytest.approx(np.sqrt(5))


def test_no_rows_are_unknown() -> None:
    assert all(value is None for value, _ in measure_arrays(arrays(), arrays()).values())
    assert wmape(arrays(np.nan), arrays(1.0)) is None


def test_no_zero_actual_leaves_its_rmse_unknown() -> None:
    assert measure_arrays(arrays(1, 2), arrays(1, 2))["rmse_zero"] == (None, 0)


def test_unknown_rows_are_left_out() -> None:
    found = measure_arrays(arrays(10, np.nan, 10, np.inf), arrays(11, 5, np.nan, 5))
    assert found["mae"] == (1.0, 1)


def test_groups_are_measured_apart() -> None:
    group = np.array([0, 2, 2])
    found = measure_groups(group, 3, arrays(10, 20, 20), arrays(12, 20, 30), ("mae", "wmape"))
    assert found["mae"] == ([2.0, None, 5.0], [1, 0, 2])
    assert found["wmape"][0] == [0.2, None, 0.25]


def test_a_metric_that_is_not_one_is_named() -> None:
    with pytest.raises(InvalidInput, match="'mapee' is not a metric"):
        measure_arrays(arrays(1), arrays(1), ("mapee",))


@given(
    hnp.arrays(np.float64, 12, elements=st.floats(allow_nan=True, allow_infinity=True, width=64)),
    hnp.arrays(np.float64, 12, elements=st.floats(allow_nan=True, allow_infinity=True, width=64)),
)
def test_no_metric_is_ever_nan_or_infinite(actual: np.ndarray, forecast: np.ndarray) -> None:
    for value, n in measure_arrays(actual, forecast, METRICS).values():
        assert value is None or np.isfinite(value)
        assert n >= 0
