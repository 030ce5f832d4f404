from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepwell.forecasting.baselines import BASELINES
from keepwell.forecasting.features import Examples, Samples, Source, examples_of
from keepwell.forecasting.panel import panel_of
from keepwell.forecasting.task import Task

Make = Callable[..., pl.DataFrame]


def source_of(frame: pl.DataFrame, task: Task) -> Source:
    return Source(panel_of(frame, task), task)


def samples_at(origin: int, lead: int, series: int = 6) -> Samples:
    return Samples(np.arange(series), np.full(series, origin), np.full(series, origin + lead))


def column(examples: Examples, name: str) -> np.ndarray:
    return examples.x[:, examples.names.index(name)].astype(np.float64)


def perturbed(frame: pl.DataFrame, after: date, ahead: date) -> pl.DataFrame:
    """Change every target and observed value after a date, and what is known ahead after another."""
    late, far = pl.col("week") > after, pl.col("week") > ahead
    return frame.with_columns(
        pl.when(late).then(pl.col("units") * 17 + 3).otherwise(pl.col("units")).alias("units"),
        pl.when(late).then(pl.col("weather") - 40).otherwise(pl.col("weather")).alias("weather"),
        pl.when(far).then(9.0).otherwise(pl.col("price")).alias("price"),
        pl.when(far).then(True).otherwise(pl.col("promotion")).alias("promotion"),
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(origin=st.integers(1, 120), lead=st.integers(1, 60))
def test_the_future_changes_nothing(
    weekly: pl.DataFrame, make_task: Callable[..., Task], origin: int, lead: int
) -> None:
    lead = min(lead, 129 - origin)
    task = make_task()
    start = date(2023, 1, 6)
    other = perturbed(weekly, start + timedelta(weeks=origin), start + timedelta(weeks=origin + lead))
    samples = samples_at(origin, lead)
    one, two = (examples_of(source_of(frame, task), samples) for frame in (weekly, other))
    assert one.names == two.names
    for i, name in enumerate(one.names):
        np.testing.assert_array_equal(one.x[:, i], two.x[:, i], err_msg=name)
    np.testing.assert_array_equal(one.scale, two.scale)
    for name, rule in BASELINES.items():
        changed = rule(source_of(other, task), samples)
        np.testing.assert_array_equal(rule(source_of(weekly, task), samples), changed, err_msg=name)


def test_cutting_the_future_off_changes_nothing(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    """Targets and observed columns after the origin may be absent altogether."""
    task = make_task()
    origin = 110
    late = pl.col("week") > date(2023, 1, 6) + timedelta(weeks=origin)
    cut = weekly.with_columns(pl.when(late).then(None).otherwise(pl.col(c)).alias(c) for c in ("units", "weather"))
    one, two = (examples_of(source_of(frame, task), samples_at(origin, 3)) for frame in (weekly, cut))
    np.testing.assert_array_equal(one.x, two.x)


def test_what_is_known_ahead_is_read_at_the_target(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    task = make_task()
    source = source_of(weekly, task)
    examples = examples_of(source, samples_at(100, 4))
    np.testing.assert_allclose(column(examples, "price"), source.panel.numbers["price"][:, 104], rtol=1e-6)
    np.testing.assert_allclose(column(examples, "weather"), source.panel.numbers["weather"][:, 100], rtol=1e-6)


def test_growth_and_units_cancel(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    task = make_task()
    thousandfold = weekly.with_columns(pl.col("units") * 1000)
    one, two = (examples_of(source_of(frame, task), samples_at(90, 2)) for frame in (weekly, thousandfold))
    for name in set(one.names) - {"size"}:
        np.testing.assert_allclose(column(one, name), column(two, name), atol=1e-4, err_msg=name)
    np.testing.assert_allclose(two.scale, one.scale * 1000)


def test_lags_by_hand(make_task: Callable[..., Task]) -> None:
    frame = pl.DataFrame(
        {
            "week": [date(2024, 1, 5) + timedelta(weeks=n) for n in range(6)],
            "units": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0],
        }
    )
    task = make_task(keys=(), known_ahead=(), observed=(), static=(), segments=(), slices=(), holidays=())
    examples = examples_of(source_of(frame, task), Samples(np.array([0]), np.array([3]), np.array([5])))
    assert examples.scale[0] == 25.0
    assert column(examples, "lag_1x0")[0] == pytest.approx(np.log(40 / 25))
    assert column(examples, "lag_1x2")[0] == pytest.approx(np.log(20 / 25))
    assert column(examples, "mean_2")[0] == pytest.approx(np.log(35 / 25))
    assert np.isnan(column(examples, "lag_1x4")[0])
    assert examples.ratio[0] == pytest.approx(60 / 25)


def test_daily_lags_keep_the_weekday(make_task: Callable[..., Task]) -> None:
    days = 70
    frame = pl.DataFrame(
        {
            "day": [date(2024, 1, 1) + timedelta(days=n) for n in range(days)],
            "units": [float(100 + n) for n in range(days)],
        }
    )
    task = make_task(
        time="day", keys=(), known_ahead=(), observed=(), static=(), segments=(), slices=(), every="1d", season=7
    )
    examples = examples_of(source_of(frame, task), Samples(np.array([0]), np.array([60]), np.array([63])))
    scale = examples.scale[0]
    assert column(examples, "lag_7x0")[0] == pytest.approx(np.log(156 / scale))
    assert column(examples, "lag_7x1")[0] == pytest.approx(np.log(149 / scale))


def test_holidays_lie_where_they_are(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    source = source_of(weekly, make_task())
    week = (date(2023, 11, 24) - date(2023, 1, 6)).days // 7
    calendar = source.calendar
    assert calendar["near_thanksgiving_0"][week] == 1.0
    assert calendar["near_thanksgiving_-1"][week - 1] == 1.0
    assert calendar["near_thanksgiving_0"].sum() == 2.0, "two Novembers"


def test_missing_covariates_stay_unknown(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    gone = weekly.with_columns(price=pl.lit(None, pl.Float64), weather=pl.lit(float("nan")))
    examples = examples_of(source_of(gone, make_task()), samples_at(90, 1))
    assert np.isnan(column(examples, "price")).all()
    assert np.isnan(column(examples, "weather")).all()
    assert np.isfinite(examples.scale).all()
