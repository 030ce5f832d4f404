from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.charter.model import Movers
from keepwell.core.errors import InvalidInput
from keepwell.forecasting.segments import fast_movers
from keepwell.forecasting.service import segments_at
from keepwell.forecasting.task import Task


def test_fast_movers_make_the_share() -> None:
    volume = np.array([1.0, 50.0, 9.0, 40.0, 0.0])
    assert fast_movers(volume, 0.8).tolist() == [False, True, False, True, False]
    assert fast_movers(volume, 0.5).tolist() == [False, True, False, False, False]
    assert not fast_movers(np.zeros(3), 0.8).any()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0.05, 0.95))
def test_no_slow_mover_is_larger_than_a_fast_one(volumes: list[float], share: float) -> None:
    volume = np.array(volumes)
    fast = fast_movers(volume, share)
    if fast.any() and not fast.all():
        assert volume[fast].min() >= volume[~fast].max()
    if volume.sum() > 0:
        assert volume[fast].sum() >= share * volume.sum() * (1 - 1e-9)


def test_segments_are_keys_in_the_charters_order(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    task = make_task(segments=("format", "speed"), movers=Movers())
    rows = segments_at(weekly, task, date(2025, 1, 3))
    assert rows.height == weekly.height
    assert set(rows["segment"]) <= {f"format={f},speed={s}" for f in ("large", "small") for s in ("slow", "fast")}
    assert rows.filter(pl.col("speed") == "fast")["segment"].str.ends_with("speed=fast").all()
    assert rows.group_by("shop", "product").agg(pl.col("segment").n_unique())["segment"].max() == 1


def test_movers_are_judged_as_of_the_origin(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    """A series that takes off after the origin is as slow as it was."""
    origin = date(2025, 1, 3)
    task = make_task(segments=("speed",), movers=Movers())
    later = weekly.with_columns(
        pl.when((pl.col("week") > origin) & (pl.col("product") == 0))
        .then(1e9)
        .otherwise(pl.col("units"))
        .alias("units")
    )
    one, two = (segments_at(frame, task, origin)["segment"] for frame in (weekly, later))
    assert one.equals(two)
    assert not segments_at(later, task, weekly["week"].max())["segment"].equals(one)


def test_a_segment_may_change_from_row_to_row(make_task: Callable[..., Task]) -> None:
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(14)]
    frame = pl.DataFrame({"week": days, "units": [1.0] * 14, "open": [d.weekday() < 5 for d in days]})
    task = make_task(keys=(), known_ahead=("open",), observed=(), static=(), segments=("open",), every="1d", slices=())
    assert segments_at(frame, task, days[-1])["segment"].to_list()[3:6] == ["open=1", "open=1", "open=0"]


def test_without_segments_all_is_one(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    assert set(segments_at(weekly, make_task(segments=()), date(2025, 1, 3))["segment"]) == {"all"}


def test_a_missing_column_is_named(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    with pytest.raises(InvalidInput, match="no column 'region'"):
        segments_at(weekly, make_task(segments=("region",)), date(2025, 1, 3))


def test_an_unknown_value_is_a_segment_too(make_task: Callable[..., Task]) -> None:
    frame = pl.DataFrame({"week": [1, 2], "units": [1.0, 2.0], "zone": [None, "a,b"]})
    task = make_task(keys=(), known_ahead=(), observed=(), static=(), segments=("zone",), slices=(), holidays=())
    assert segments_at(frame, task, 2)["segment"].to_list() == ["zone=unknown", "zone=a%2Cb"]
