from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from keepwell.core.errors import InvalidInput
from keepwell.forecasting.panel import panel_of
from keepwell.forecasting.task import Task

PLAIN = {"keys": (), "known_ahead": (), "observed": (), "static": (), "segments": (), "slices": (), "holidays": ()}


def test_rows_fall_into_place(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> None:
    panel = panel_of(weekly.sample(fraction=1.0, shuffle=True, seed=1), make_task())
    assert panel.target.shape == (6, 130)
    assert panel.keys.columns == ["shop", "product"]
    row = weekly.row(5, named=True)
    series = panel.keys.rows().index((row["shop"], row["product"]))
    assert panel.target[series, 5] == row["units"]
    assert panel.axis.text(5) == "2023-02-10"


def test_gaps_are_absent_rows(make_task: Callable[..., Task]) -> None:
    frame = pl.DataFrame({"week": [3, 4, 9], "units": [1.0, None, 3.0]})
    panel = panel_of(frame, make_task(**PLAIN))
    np.testing.assert_array_equal(panel.target, [[1, np.nan, np.nan, np.nan, np.nan, np.nan, 3]])
    assert panel.axis.values([0, 6]).to_list() == [3, 9]


@pytest.mark.parametrize(
    ("times", "every"),
    [
        ([datetime(2024, 3, 30, 22), datetime(2024, 3, 30, 23), datetime(2024, 3, 31, 1)], "1h"),
        ([datetime(2024, 3, 30, 22, tzinfo=UTC), datetime(2024, 3, 31, 1, tzinfo=UTC)], "1h"),
        ([date(2024, 2, 28), date(2024, 3, 1)], "1d"),
        ([7, 9], "1d"),
    ],
)
def test_times_come_back_as_they_were(times: list[object], every: str, make_task: Callable[..., Task]) -> None:
    frame = pl.DataFrame({"week": times, "units": [1.0] * len(times)})
    panel = panel_of(frame, make_task(**PLAIN, every=every))
    steps = [panel.axis.floor(t) for t in times]
    back = panel.axis.values(steps)
    assert back.dtype == frame["week"].dtype
    assert back.to_list() == times
    assert panel.axis.floor(str(times[-1])) == steps[-1]


@pytest.mark.parametrize("unit", ["ms", "ns", "us"])
def test_time_units(unit: str, make_task: Callable[..., Task]) -> None:
    times = pl.Series("week", [datetime(2024, 3, 30, 22), datetime(2024, 3, 31, 1)]).cast(pl.Datetime(unit))  # type: ignore[arg-type]
    panel = panel_of(pl.DataFrame({"week": times, "units": [1, 2]}), make_task(**PLAIN, every="1h"))
    assert panel.axis.count == 4
    assert panel.axis.values([0, 3]).to_list() == times.to_list()


def test_an_origin_between_steps_is_the_one_before(make_task: Callable[..., Task]) -> None:
    frame = pl.DataFrame({"week": [date(2024, 1, 5) + timedelta(weeks=n) for n in range(4)], "units": [1.0] * 4})
    axis = panel_of(frame, make_task(**PLAIN)).axis
    assert axis.floor(date(2024, 1, 18)) == 1
    assert axis.floor("2024-01-19") == 2


def test_time_goes_on_after_the_origin(make_task: Callable[..., Task]) -> None:
    frame = pl.DataFrame({"week": [1, 2], "units": [1.0, 2.0]})
    assert panel_of(frame, make_task(**PLAIN), 2, 3).axis.count == 5


def changed(**columns: object) -> pl.DataFrame:
    frame = pl.DataFrame({"week": [1, 2, 3], "units": [1.0, 2.0, 3.0], "price": [1.0, 1.0, 1.0]})
    return frame.with_columns(**{n: v if isinstance(v, pl.Expr) else pl.Series(v) for n, v in columns.items()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frame", "changes", "said"),
    [
        (changed(week=[1, 2, 2]), {}, "One series has two rows at 2"),
        (changed(week=[1, None, 2]), {}, "missing in 1 rows"),
        (changed(week=["a", "b", "c"]), {}, "must be a date, a moment or a whole number"),
        (changed(units=["a", "b", "c"]), {}, "'units' is not a number"),
        (changed(), {"observed": ("rain",)}, "no column 'rain'; it has week, units, price"),
        (changed().clear(), {}, "has no rows"),
        (changed(week=[date(2024, 1, 1), date(2024, 1, 8), date(2024, 1, 12)]), {}, "Rows are not 1w apart"),
        (changed(), {"every": "nonsense"}, "'nonsense' is not a span"),
    ],
)
def test_what_cannot_be_used_is_said(
    frame: pl.DataFrame, changes: dict[str, object], said: str, make_task: Callable[..., Task]
) -> None:
    task = make_task(**{**PLAIN, **changes})
    if "every" in changes:
        frame = frame.with_columns(week=pl.Series([date(2024, 1, 1), date(2024, 1, 8), date(2024, 1, 15)]))
    with pytest.raises(InvalidInput, match=said):
        panel_of(frame, task)


@pytest.mark.parametrize("origin", ["soon", 1.5, True, date(2024, 1, 1)])
def test_an_origin_of_another_kind_is_refused(origin: object, make_task: Callable[..., Task]) -> None:
    axis = panel_of(changed(), make_task(**PLAIN)).axis
    with pytest.raises(InvalidInput, match="not a time of this table"):
        axis.floor(origin)
