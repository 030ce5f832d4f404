from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from keepwell.charter.model import Movers
from keepwell.core.errors import Damaged, InvalidInput, NotInstalled
from keepwell.forecasting.service import evaluate, fit, forecast, measure
from keepwell.forecasting.task import Task

LAST = date(2023, 1, 6) + timedelta(weeks=129)
Make = Callable[..., Task]


def artifacts(frame: pl.DataFrame, task: Task, origin: object = LAST) -> dict[str, bytes]:
    return {f.segment: f.artifact for f in fit(frame, task, None, origin)}


def test_fit_certifies_on_held_back_weeks(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task(candidates=("lasso", "lightgbm"), ensemble=("lasso", "lightgbm"))
    found = fit(weekly, task, None, LAST)
    assert [f.segment for f in found] == ["format=large", "format=small"]
    one = found[0]
    assert one.series == 3
    assert one.rows == 3 * 129
    assert one.trained_until == LAST.isoformat()
    assert sum(one.weights.values()) == pytest.approx(1, abs=1e-5)
    by = {(m.slice, m.subject, m.metric): m for m in one.evidence}
    assert by["all", "self", "wmape"].n == 8 * 3
    assert by["all", "self", "wmape"].value < by["all", "baseline", "wmape"].value  # type: ignore[operator]
    assert {s for _, s, _ in by} == {"self", "baseline", "lasso", "lightgbm"}
    assert ("format=large", "self", "wmape") in by
    assert by["all", "self", "rmse_zero"].value is None
    assert one.facts["held_back_since"] == (LAST - timedelta(weeks=7)).isoformat()
    assert "fitted without the held-back rows" in one.facts["evidence"]


def test_fitting_some_is_fitting_all(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task()
    whole = {f.segment: f.artifact for f in fit(weekly, task, None, LAST)}
    (alone,) = fit(weekly, task, ["format=small", "format=none"], LAST)
    assert alone.segment == "format=small"
    frame = weekly.filter(pl.col("week") <= LAST)
    rows = [forecast({alone.segment: a}, frame, task, LAST) for a in (alone.artifact, whole[alone.segment])]
    np.testing.assert_allclose(rows[0]["forecast"].drop_nulls(), rows[1]["forecast"].drop_nulls(), rtol=2e-3)


def test_fit_sees_nothing_after_the_origin(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task(segments=("format", "speed"), movers=Movers())
    origin = LAST - timedelta(weeks=20)
    late = pl.col("week") > origin
    other = weekly.with_columns(
        pl.when(late).then(1e6).otherwise(pl.col(c)).alias(c) for c in ("units", "price", "weather")
    )
    one, two, cut = (fit(f, task, None, origin) for f in (weekly, other, weekly.filter(pl.col("week") <= origin)))
    assert [f.artifact for f in one] == [f.artifact for f in two] == [f.artifact for f in cut]
    assert [f.evidence for f in one] == [f.evidence for f in two]


def test_fit_is_deterministic(weekly: pl.DataFrame, make_task: Make) -> None:
    names = ("lasso", "lightgbm", "neural")
    task = make_task(candidates=names, ensemble=names)
    assert artifacts(weekly, task) == artifacts(weekly.sample(fraction=1, shuffle=True, seed=1), task)


def test_forecast_is_what_evaluate_says_later(weekly: pl.DataFrame, make_task: Make) -> None:
    """Live, with the future's targets absent, and looking back, with them there: the same forecasts."""
    task = make_task(horizons=("3w",))
    origin = LAST - timedelta(weeks=10)
    models = artifacts(weekly, task, origin)
    past = pl.col("week") <= origin
    ahead = pl.col("week") <= origin + timedelta(weeks=3)
    future = weekly.filter(ahead).with_columns(
        pl.when(past).then(pl.col(c)).otherwise(None).alias(c) for c in ("units", "weather")
    )
    live = forecast(models, future, task, origin)
    looking_back = evaluate(models, weekly, task, [origin])
    both = live.join(looking_back, on=["shop", "product", "week", "segment"], suffix="_back")
    assert both.height == live.height == looking_back.height == 6 * 3
    np.testing.assert_allclose(both["forecast"], both["forecast_back"], rtol=1e-9)
    np.testing.assert_allclose(both["baseline"], both["baseline_back"], rtol=1e-9)


def test_evaluating_origins_together_is_evaluating_each(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task(horizons=("2w",), segments=("speed",), movers=Movers())
    origins = [LAST - timedelta(weeks=n) for n in (12, 7, 2)]
    models = artifacts(weekly, task, origins[0])
    together = evaluate(models, weekly, task, origins)
    apart = pl.concat([evaluate(models, weekly, task, [o]) for o in origins])
    assert together.height == 6 * 2 * 3
    np.testing.assert_allclose(together["forecast"], apart["forecast"], rtol=1e-9)
    assert set(together["horizon"]) == {1, 2}
    assert together.columns[:3] == ["shop", "product", "week"]


def test_forecast_makes_the_rows_that_are_absent(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task(horizons=("2w",))
    rows = forecast(artifacts(weekly, task), weekly, task, LAST)
    assert rows.height == 6 * 2
    assert sorted(set(rows["week"])) == [LAST + timedelta(weeks=1), LAST + timedelta(weeks=2)]
    assert rows["forecast"].is_finite().all()
    assert forecast(artifacts(weekly, task), weekly, task, LAST, steps=5).height == 6 * 5


def test_a_segment_without_a_model_has_a_baseline_only(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task()
    models = artifacts(weekly, task)
    del models["format=large"]
    rows = forecast(models, weekly, task, LAST)
    large = rows.filter(pl.col("segment") == "format=large")
    assert large["forecast"].is_null().all()
    assert large["baseline"].is_not_null().all()


def test_series_that_ended_are_not_forecast_unless_asked(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task()
    ended = weekly.filter((pl.col("product") != 2) | (pl.col("week") < LAST - timedelta(weeks=30)))
    assert set(forecast(artifacts(ended, task), ended, task, LAST)["product"]) == {0, 1}
    asked = weekly.filter(pl.col("product") == 2, pl.col("week") == LAST).with_columns(
        week=pl.lit(LAST + timedelta(weeks=1)), units=pl.lit(None, pl.Float64)
    )
    assert set(forecast(artifacts(ended, task), pl.concat([ended, asked]), task, LAST)["product"]) == {0, 1, 2}


def test_a_new_series_starts_from_its_likes(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task()
    new = weekly.filter(pl.col("product") == 1, pl.col("week") == LAST, pl.col("shop") == "s0").with_columns(
        shop=pl.lit("s9"), week=pl.lit(LAST + timedelta(weeks=1)), units=pl.lit(None, pl.Float64)
    )
    rows = forecast(artifacts(weekly, task), pl.concat([weekly, new]), task, LAST)
    started = rows.filter(pl.col("shop") == "s9")
    likes = weekly.filter(pl.col("product") == 1, pl.col("week") > LAST - timedelta(weeks=8))["units"].mean()
    assert started.height == 1
    assert 0.5 * likes < started["forecast"][0] < 2 * likes  # type: ignore[operator]


def test_future_segments_follow_the_cycle(make_task: Make) -> None:
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(80)]
    frame = pl.DataFrame(
        {"day": days, "units": [10.0 + d.weekday() for d in days], "kind": [int(d.weekday() < 5) for d in days]}
    )
    task = make_task(
        time="day", keys=(), known_ahead=("kind",), observed=(), static=(), segments=("kind",), slices=(),
        every="1d", season=7, holidays=(), hold_back="2w",
    )  # fmt: skip
    rows = forecast(artifacts(frame, task, days[-1]), frame, task, days[-1])
    assert rows.height == 7
    assert [s == "kind=1" for s in rows["segment"]] == [d.weekday() < 5 for d in rows["day"]]
    assert np.abs(rows["forecast"].to_numpy() - [10 + d.weekday() for d in rows["day"]]).max() < 1.0


def test_nothing_below_zero_is_forecast(weekly: pl.DataFrame, make_task: Make) -> None:
    falling = weekly.with_columns(pl.col("units") - 300)
    assert (forecast(artifacts(falling, make_task()), falling, make_task(), LAST)["forecast"] >= 0).all()


@pytest.mark.parametrize(
    "target",
    [
        pl.lit(0.0),
        pl.lit(7.0),
        pl.lit(-5.0),
        pl.lit(None, pl.Float64),
        pl.lit(float("nan")),
        pl.lit(1e-9),
        pl.lit(1e12),
        pl.lit(1e200),
    ],
    ids=["zero", "constant", "negative", "null", "nan", "tiny", "huge", "absurd"],
)
def test_odd_targets_never_break(target: pl.Expr, weekly: pl.DataFrame, make_task: Make) -> None:
    names = ("lasso", "lightgbm")
    task = make_task(candidates=names, ensemble=names)
    odd = weekly.with_columns(pl.when(pl.col("product") == 0).then(target).otherwise(pl.col("units")).alias("units"))
    for frame in (odd, odd.filter(pl.col("product") == 0)):
        models = artifacts(frame, task)
        rows = forecast(models, frame, task, LAST)
        assert rows["forecast"].drop_nulls().is_finite().all()
        for _, measured in measure(evaluate(models, frame, task, [LAST - timedelta(weeks=2)]), task):
            assert measured.value is None or np.isfinite(measured.value)


def test_one_row_and_no_history_are_enough(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task()
    single = weekly.head(1)
    assert fit(single, task, None, LAST) == []
    rows = forecast({}, single, task, date(2023, 1, 6))
    assert rows["forecast"].is_null().all()
    assert rows["baseline"].to_list() == single["units"].to_list()
    few = weekly.filter(pl.col("week") < date(2023, 2, 10))
    found = fit(few, task, None, LAST)
    assert all(m.value is None and m.n == 0 for f in found for m in f.evidence)
    assert found[0].facts["why_not_certified"]
    assert forecast({f.segment: f.artifact for f in found}, few, task, date(2023, 2, 3))["forecast"].is_finite().all()


def test_gaps_and_unknown_covariates(weekly: pl.DataFrame, make_task: Make) -> None:
    gappy = weekly.filter((pl.int_range(pl.len()) * 7919 % 11) > 3).with_columns(
        pl.when(pl.int_range(pl.len()) % 5 == 0).then(None).otherwise(pl.col(c)).alias(c) for c in ("price", "weather")
    )
    models = artifacts(gappy, make_task())
    rows = evaluate(models, gappy, make_task(), [LAST - timedelta(weeks=n) for n in range(1, 9)])
    assert rows["forecast"].is_finite().all()
    wmape = {
        s: m.value for s, m in measure(rows, make_task()) if (m.slice, m.subject, m.metric) == ("all", "self", "wmape")
    }
    assert all(v is not None and v < 0.5 for v in wmape.values())


def test_measuring_nothing_is_unknown(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task()
    nothing = evaluate({}, weekly, task, [])
    assert nothing.height == 0
    assert measure(nothing, task) == []
    without = measure(evaluate({}, weekly, task, [LAST - timedelta(weeks=1)]), task)
    assert all(m.value is None for _, m in without if m.subject == "self")
    assert any(m.value is not None for _, m in without if m.subject == "baseline")


def test_a_champion_is_measured_on_rows_it_has_not_seen(weekly: pl.DataFrame, make_task: Make) -> None:
    task = make_task()
    champions = artifacts(weekly, task, LAST - timedelta(weeks=5))
    found = fit(weekly, task, None, LAST, champions)
    by = {(m.slice, m.subject, m.metric): m for m in found[0].evidence}
    assert by["all", "champion", "wmape"].n == 5 * 3
    assert by["all", "champion", "wmape"].value < 0.3  # type: ignore[operator]
    held = found[0].held
    assert held is not None
    assert held.height == 8 * 3
    assert held["rival"].null_count() == 3 * 3


def test_a_model_of_other_columns_leaves_the_baseline(weekly: pl.DataFrame, make_task: Make) -> None:
    models = artifacts(weekly, make_task(observed=()))
    rows = forecast(models, weekly, make_task(), LAST)
    assert rows["forecast"].is_null().all()
    assert rows["baseline"].is_not_null().all()
    found = fit(weekly, make_task(), ["format=small"], LAST, models)
    assert not [m for m in found[0].evidence if m.subject == "champion" and m.n]


def test_a_cut_model_is_refused(weekly: pl.DataFrame, make_task: Make) -> None:
    models = artifacts(weekly, make_task(observed=()))
    with pytest.raises(Damaged):
        forecast({name: data[:-9] for name, data in models.items()}, weekly, make_task(observed=()), LAST)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"horizons": ()}, "at least one horizon"),
        ({"horizons": ("10d",)}, "'10d' is not a whole number of steps of 1w"),
        ({"baseline": "magic"}, "'magic' is not a baseline"),
        ({"candidates": (), "ensemble": ()}, "at least one candidate"),
        ({"slices": ("region",)}, "no column 'region'"),
        ({"hold_back": "x"}, "'x' is not a span"),
    ],
)
def test_what_cannot_be_done_is_said(
    changes: dict[str, object], said: str, weekly: pl.DataFrame, make_task: Make
) -> None:
    with pytest.raises(InvalidInput, match=said):
        fit(weekly, make_task(**changes), None, LAST)


def test_an_origin_before_the_table_is_refused(weekly: pl.DataFrame, make_task: Make) -> None:
    with pytest.raises(InvalidInput, match="begins at 2023-01-06, after the origin"):
        fit(weekly, make_task(), None, date(2020, 1, 1))


def test_without_an_ensemble_the_best_candidate_serves(weekly: pl.DataFrame, make_task: Make) -> None:
    for found in fit(weekly, make_task(candidates=("lasso", "lightgbm"), ensemble=()), None, LAST):
        assert list(found.weights.values()) == [1.0]


def test_history_limits_what_is_trained_on(weekly: pl.DataFrame, make_task: Make) -> None:
    assert {f.rows for f in fit(weekly, make_task(history="40w"), None, LAST)} == {3 * 40}


def test_a_missing_extra_is_said_before_anything_is_fitted(
    weekly: pl.DataFrame, make_task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(NotInstalled, match=r"pip install 'keepwell\[neural\]'"):
        fit(weekly, make_task(candidates=("lasso", "neural")), None, LAST)


def test_a_model_keeps_the_names_of_its_own_series_only(weekly: pl.DataFrame, make_task: Make) -> None:
    many = weekly.with_columns(pl.col("shop") + "-" + pl.col("product").cast(pl.String) + "-of-a-long-name")
    task = make_task(candidates=("lightgbm",), ensemble=("lightgbm",))
    for found in fit(many, task, None, LAST):
        other = b"s0-" if found.segment == "format=large" else b"s1-"
        assert other not in found.artifact
