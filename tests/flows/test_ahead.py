"""Rows of the time to come: which series, which steps, and what is known ahead of them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from keepwell.charter.model import Data, Join
from keepwell.flows.ahead import with_future

START = date(2026, 1, 5)


def data(**changes: object) -> Data:
    made = Data(dataset="d", time="week", target="units", keys=("stall",), known_ahead=("promo",), static=("kind",))
    return msgspec.structs.replace(made, **changes)


def frame(weeks: int = 10, *, whole: bool = False, stalls: str = "ab") -> pl.DataFrame:
    rows = [
        {"stall": s, "week": w if whole else START + timedelta(weeks=w), "units": 1.0 + w, "promo": w % 2,
         "kind": f"k{s}"}
        for s in stalls for w in range(weeks)
    ]  # fmt: skip
    return pl.DataFrame(rows).sort("stall", "week")


def future(made: pl.DataFrame) -> pl.DataFrame:
    return made.filter(pl.col("units").is_null())


def test_every_live_series_gets_every_step(tmp_path: Path) -> None:
    made, done = with_future(frame(), data(), "1w", tmp_path, 3)
    rows = future(made)
    assert done
    assert rows.select("stall", "week").rows() == [(s, START + timedelta(weeks=w)) for s in "ab" for w in (10, 11, 12)]
    assert rows["promo"].to_list() == [None] * 6
    assert rows["kind"].to_list() == ["ka"] * 3 + ["kb"] * 3
    assert made.columns == frame().columns
    assert made.schema == frame().schema


def test_whole_numbers_go_on_counting(tmp_path: Path) -> None:
    made, _ = with_future(frame(whole=True), data(), "1w", tmp_path, 2)
    assert future(made)["week"].to_list() == [10, 11, 10, 11]
    assert made.schema["week"] == pl.Int64


def test_a_series_that_ended_long_ago_is_not_asked(tmp_path: Path) -> None:
    table = pl.concat([frame(3, stalls="x"), frame(20, stalls="y")])
    assert future(with_future(table, data(), "1w", tmp_path, 1)[0])["stall"].to_list() == ["y"]


def test_a_joined_plan_that_reaches_ahead_is_known(tmp_path: Path) -> None:
    plan = pl.DataFrame({"week": [START + timedelta(weeks=w) for w in range(11)], "promo": [7] * 11})
    plan.write_csv(tmp_path / "plan.csv")
    join = Join(source="plan.csv", on={"week": "week"})
    made, _ = with_future(frame(), data(joins=(join,)), "1w", tmp_path, 2)
    assert future(made)["promo"].to_list() == [7, None, 7, None]


def test_rows_that_are_there_already_stay(tmp_path: Path) -> None:
    planned = pl.DataFrame(
        {"stall": ["a"], "week": [START + timedelta(weeks=10)], "units": [None], "promo": [5], "kind": ["ka"]},
        schema=frame().schema,
    )
    made, _ = with_future(pl.concat([frame(), planned]), data(), "1w", tmp_path, 1)
    assert future(made).select("stall", "promo").rows() == [("a", 5), ("b", None)]


def test_what_is_derived_from_the_time_is_made(tmp_path: Path) -> None:
    made, done = with_future(
        frame().with_columns(month=pl.col("week").dt.month().cast(pl.Int64)),
        data(derive={"month": "EXTRACT(month FROM week)"}, known_ahead=("promo", "month")), "1w", tmp_path, 6,
    )  # fmt: skip
    assert done
    assert future(made)["month"].to_list() == [3, 3, 3, 4, 4, 4] * 2


def test_what_only_an_arriving_file_can_say_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    table = frame().with_columns(part=pl.lit("day"))
    made, done = with_future(table, data(derive={"part": "upper(shift)"}), "1w", tmp_path, 1)
    assert not done
    assert made is table


def test_renamed_columns(tmp_path: Path) -> None:
    made, done = with_future(frame(), data(rename={"shop": "stall", "wk": "week"}), "1w", tmp_path, 1)
    assert done
    assert future(made)["stall"].to_list() == ["a", "b"]


@pytest.mark.parametrize("steps", [1, 4])
def test_without_keys_there_is_one_series(tmp_path: Path, steps: int) -> None:
    table = frame(stalls="a").drop("stall", "kind")
    made, _ = with_future(table, data(keys=(), static=()), "1w", tmp_path, steps)
    assert future(made).height == steps
    assert made.columns == table.columns
