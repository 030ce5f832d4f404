"""To the standard form: each step, its record, and what cannot be brought there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.charter.model import Data, Join
from keepwell.core.errors import InvalidInput
from keepwell.datasets.conditioning import Unfit, condition, condition_tracked
from keepwell.datasets.model import Form
from keepwell.datasets.parts import assemble

HERE = Path("/nowhere")


def data(**parts: object) -> Data:
    return Data(**{"dataset": "d", "time": "week", "target": "units", "keys": ("shop",)} | parts)  # type: ignore[arg-type]


def raw(**columns: object) -> pl.DataFrame:
    basic: Mapping[str, object] = {"shop": ["b", "a"], "week": ["2011-01-10", "2011-01-03"], "units": [2, 1]}
    return pl.DataFrame({**basic, **columns})


def test_the_standard_form_is_typed_ordered_and_sorted() -> None:
    found = condition(raw(more=[1.5, float("nan")]).select("more", "units", "week", "shop"), data(), HERE)
    assert found.columns == ["shop", "week", "units", "more"]
    assert found.rows() == [("a", date(2011, 1, 3), 1, None), ("b", date(2011, 1, 10), 2, 1.5)]


def test_every_step_is_recorded_with_how_many_rows() -> None:
    made = condition_tracked(
        pl.DataFrame(
            {"s": ["a", "a", "b"], "Date": ["2011-01-03"] * 3, "n": [1, 2, None], "p": [1.0, float("nan"), 2.0]}
        ),
        data(
            rename={"s": "shop", "Date": "week", "n": "units"},
            derive={"cheap": "p < 1.5"},
            where="shop <> 'x'",
            group=True,
            fill={"units": 0},
        ),
        HERE,
    )
    steps = [(step.what, step.rows_in, step.rows_out, step.touched) for step in made.steps]
    assert steps == [
        ("rename", 3, 3, 3), ("missing", 3, 3, 1), ("derive", 3, 3, 3), ("where", 3, 3, 0), ("type", 3, 3, 3),
        ("group", 3, 2, 1), ("fill", 2, 2, 1),
    ]  # fmt: skip
    assert made.frame.rows() == [("a", date(2011, 1, 3), 3, 1.0, True), ("b", date(2011, 1, 3), 0, 2.0, False)]


def test_a_sum_of_nothing_stays_missing() -> None:
    frame = pl.DataFrame(
        {"shop": ["a", "a"], "week": ["2011-01-03"] * 2, "units": [None, None]}, schema_overrides={"units": pl.Int64}
    )
    assert condition(frame, data(group=True), HERE)["units"].to_list() == [None]


def joined(table: pl.DataFrame, **parts: object) -> pl.DataFrame:
    join = Join(**{"source": "shops.csv", "on": {"shop": "name"}} | parts)  # type: ignore[arg-type]
    return condition_tracked(raw(), data(joins=(join,)), HERE, lambda source: table).frame


def test_joins_look_up_and_count_what_found_nothing() -> None:
    shops = pl.DataFrame({"name": ["a", "c"], "size": [10, 30], "units": [0, 0]})
    join = Join(source="shops.csv", on={"shop": "name"})
    made = condition_tracked(raw(), data(joins=(join,)), HERE, lambda source: shops)
    assert made.frame["size"].to_list() == [10, None]
    assert made.frame["units"].to_list() == [1, 2]  # the source's own column stays
    assert made.steps[0].detail == "shops.csv on shop: 1 rows found no match"
    assert made.steps[0].touched == 1


@pytest.mark.parametrize(
    ("table", "parts", "words"),
    [
        ({"name": ["a", "a"], "size": [1, 2]}, {}, "several rows with the same name"),
        ({"other": ["a"]}, {}, "no column 'name'"),
        ({"name": ["a"], "size": [1]}, {"columns": ("colour",)}, "no column 'colour'"),
        ({"name": ["a"], "units": [1]}, {"columns": ("units",)}, "both have a column 'units'"),
        ({"name": [date(2011, 1, 1)]}, {"on": {"units": "name"}}, "its counterpart is Int64"),
    ],
)
def test_joins_that_cannot_be_made(table: dict[str, list[object]], parts: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        joined(pl.DataFrame(table), **parts)
    assert words in caught.value.message
    assert (caught.value.where or "").startswith("data.joins[0]")


def test_joins_on_keys_of_kindred_types() -> None:
    assert joined(pl.DataFrame({"name": ["a", "b"], "size": [1, 2]}))["size"].to_list() == [1, 2]
    numbers = pl.DataFrame({"name": [1.0, 2.0], "size": [1, 2]})
    assert joined(numbers, on={"units": "name"})["size"].to_list() == [1, 2]


@pytest.mark.parametrize(
    ("parts", "words", "where"),
    [
        ({"time": "day"}, "'day' is not there; there are shop, week, units", "data.time"),
        ({"target": "sales"}, "'sales' is not there", "data.target"),
        ({"keys": ("shop", "item")}, "'item' is not there", "data.keys"),
        ({"known_ahead": ("price",)}, "'price' is not there", "data.known_ahead"),
        ({"rename": {"nope": "x"}}, "'nope' is not there", "data.rename"),
        ({"rename": {"units": "shop"}}, "has a column 'shop' already", "data.rename.units"),
        ({"derive": {"x": "nope + 1"}}, "nope", "data.derive.x"),
        ({"where": "units + 1"}, "not true or false", "data.where"),
        ({"fill": {"nope": 1}}, "'nope' is not there", "data.fill"),
        ({"target": "week"}, "is Date, not a number", "data.target"),
        ({"time": "shop"}, "is no date or moment", "data.time"),
    ],
)
def test_what_cannot_be_conditioned_names_the_clause(parts: dict[str, object], words: str, where: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        condition(raw(), data(**parts), HERE)
    assert words in caught.value.message
    assert caught.value.where == where


def test_the_rows_that_show_what_is_wrong_come_along() -> None:
    frame = raw(units=["2", "many"])
    with pytest.raises(Unfit) as caught:
        condition(frame, data(), HERE)
    assert caught.value.rows is not None
    assert caught.value.rows["units"].to_list() == ["many"]
    assert "1 rows have a 'units' that is not a number, such as 'many'" in caught.value.message


def test_numbers_as_text_are_numbers() -> None:
    assert condition(raw(units=["2", "1.5"]), data(), HERE)["units"].to_list() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("values", "value", "expected"),
    [
        ([1, None], 0, [1, 0]),
        ([1, None], 0.5, [1.0, 0.5]),
        ([1.5, None], 0, [1.5, 0.0]),
        (["a", None], "none", ["a", "none"]),
        ([True, None], False, [True, False]),
        ([None, None], 0, [0.0, 0.0]),
        ([None, None], "x", ["x", "x"]),
    ],
)
def test_fill(values: list[object], value: object, expected: list[object]) -> None:
    frame = raw(units=[1, 2]).with_columns(pl.Series("x", values, strict=False)).sort("week", descending=True)
    found = condition(frame, data(keys=(), fill={"x": value}), HERE)
    assert sorted(map(str, found["x"])) == sorted(map(str, expected))


def test_a_fill_that_does_not_fit() -> None:
    with pytest.raises(InvalidInput, match="does not fit the column 'x'"):
        condition(raw(x=[1.5, None]), data(fill={"x": "many"}), HERE)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 28), st.integers(0, 9)), min_size=1, max_size=30),
    st.lists(st.integers(0, 30), max_size=4),
)
@settings(max_examples=50, deadline=None)
def test_in_pieces_or_whole_is_the_same(rows: list[tuple[str, int, int]], cuts: list[int]) -> None:
    """A history conditioned file by file gives the table that it gives as one file."""
    frame = pl.DataFrame(
        {"shop": [r[0] for r in rows], "week": [date(2011, 1, r[1]) for r in rows], "units": [r[2] for r in rows]}
    )
    spec = data(derive={"half": "units / 2.0"}, where="units < 9")
    bounds = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    pieces = [frame.slice(a, b - a) for a, b in pairwise(bounds)]
    form = Form(time="week", keys=("shop",))
    whole = assemble([condition(frame, spec, HERE)], form)
    assert assemble([condition(piece, spec, HERE) for piece in pieces], form).equals(whole)


def test_walmart_with_its_joins(shared_data: Path) -> None:
    folder = shared_data / "walmart_store_sales"
    spec = Data(
        dataset="w",
        time="week",
        target="sales",
        keys=("store", "dept"),
        joins=(
            Join(source="features.csv", on={"Store": "Store", "Date": "Date"}, columns=("Temperature", "MarkDown1")),
            Join(source="stores_original_cr.csv", on={"Store": "Store"}),
        ),
        rename={"Store": "store", "Dept": "dept", "Date": "week", "Weekly_Sales": "sales", "Type": "format"},
        fill={"MarkDown1": 0},
    )
    made = condition_tracked(pl.read_parquet(folder / "train.parquet"), spec, folder)
    assert made.frame.height == 421_570
    assert made.frame.columns[:4] == ["store", "dept", "week", "sales"]
    assert made.frame["sales"].sum() == pytest.approx(6_737_218_987.11)
    assert made.frame["format"].value_counts().height == 3
    assert [step.detail for step in made.steps if "no match" in step.detail] == [
        "features.csv on Store, Date: 0 rows found no match",
        "stores_original_cr.csv on Store: 0 rows found no match",
    ]
    assert made.frame["MarkDown1"].null_count() == 0


def test_online_retail_grouped_to_days(shared_data: Path) -> None:
    source = pl.read_parquet(shared_data / "online_retail_partial/online_retail.parquet")
    spec = Data(
        dataset="r",
        time="day",
        target="units",
        keys=("country",),
        rename={"Country": "country", "Quantity": "units"},
        derive={"day": "CAST(STRPTIME(InvoiceDate, '%m/%d/%y %H:%M') AS DATE)"},
        where="NOT (InvoiceNo LIKE 'C%') AND UnitPrice > 0 AND country <> 'Unit'",
        group=True,
    )
    made = condition_tracked(source, spec, HERE)
    where = next(step for step in made.steps if step.what == "where")
    assert where.touched == 4_350 + 1_413 + 1  # cancellations, lines without a price, the line that was cut
    assert made.frame.select("country", "day").is_duplicated().sum() == 0
    assert made.frame["day"].min() == date(2010, 12, 1)
    assert made.frame["country"].n_unique() == 37
