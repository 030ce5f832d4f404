"""Contracts: each check, the rows it marks, and what history catches."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.charter.contract import Column, Contract, RowCount, read_contract
from keepwell.charter.model import Data, Join
from keepwell.core.errors import InvalidInput
from keepwell.datasets.conditioning import condition
from keepwell.datasets.contracts import failed_rows, judge
from keepwell.datasets.model import Form, Stats
from keepwell.datasets.parts import stats_of

FORM = Form(time="day", keys=("shop",))
DAY = date(2011, 6, 1)


def table(**columns: object) -> pl.DataFrame:
    basic: dict[str, object] = {"shop": ["a", "b", "c", "d"], "day": [DAY] * 4, "units": [1.0, 2.0, 3.0, 4.0]}
    return pl.DataFrame({**basic, **columns}, strict=False)


def checks(contract: Contract, frame: pl.DataFrame, history: list[Stats] | None = None) -> dict[str, int]:
    return {f.check: f.rows for f in judge(contract, frame, history or [], form=FORM).findings}


def column(**rules: object) -> Contract:
    return Contract(columns={"x": Column(**rules)})  # type: ignore[arg-type]


CASES = [
    (column(), table(x=[1, 2, 3, 4]), {}),
    (column(), table(), {"columns.x": 0}),
    (column(type="number"), table(x=[1, 2, 3, 4]), {}),
    (column(type="number"), table(x=["1", "2", "3", "4"]), {"columns.x.type": 0}),
    (column(type="integer"), table(x=[1.0, 2.0, 3.0, 4.0]), {}),
    (column(type="integer"), table(x=[1.0, 2.5, 3.0, 4.0]), {"columns.x.type": 1}),
    (column(type="text"), table(x=[1, 2, 3, 4]), {"columns.x.type": 0}),
    (column(type="boolean"), table(x=[1, 0, 1, 0]), {}),
    (column(type="boolean"), table(x=[1, 0, 2, 0]), {"columns.x.type": 1}),
    (column(type="date"), table(x=[DAY] * 4), {}),
    (column(type="moment"), table(x=[DAY] * 4), {"columns.x.type": 0}),
    (column(type="number"), table(x=[None] * 4), {}),
    (column(min=2, max=3), table(x=[1, 2, 3, 4]), {"columns.x.min": 1, "columns.x.max": 1}),
    (column(min=0), table(x=[None, -1, 0, 1]), {"columns.x.min": 1}),
    (column(min="2011-06-02"), table(x=[DAY, DAY + timedelta(1), None, DAY]), {"columns.x.min": 2}),
    (column(max="2011-06-01T12:00:00Z"), table(x=[datetime(2011, 6, 1, h) for h in (1, 12, 13, 14)]),
     {"columns.x.max": 2}),
    (column(min="b"), table(x=["a", "b", "c", "d"]), {"columns.x.min": 1}),
    (column(min=2), table(x=["a", "b", "c", "d"]), {"columns.x.min": 0}),
    (column(min="soon"), table(x=[DAY] * 4), {"columns.x.min": 0}),
    (column(min="2"), table(x=[1, 2, 3, 4]), {"columns.x.min": 0}),
    (column(missing=0), table(x=[1, None, 3, 4]), {"columns.x.missing": 1}),
    (column(missing=0.25), table(x=[1, None, 3, 4]), {}),
    (column(missing=0.25), table(x=[1, None, None, 4]), {"columns.x.missing": 2}),
    (column(allowed=(1, 2)), table(x=[1, 2.0, 3, None]), {"columns.x.allowed": 1}),
    (column(allowed=("a", "b")), table(x=["a", "b", "c", None]), {"columns.x.allowed": 1}),
    (column(allowed=(True,)), table(x=[True, False, None, True]), {"columns.x.allowed": 1}),
    (column(unique=True), table(x=[1, 1, None, None]), {"columns.x.unique": 2}),
    (Contract(), table(shop=["a", "a", None, "d"]), {"key.shop": 1, "keys_unique": 2}),
    (Contract(keys_unique=False), table(shop=["a", "a", "c", "d"]), {}),
    (Contract(), table(day=[DAY, None, DAY, DAY]), {"time.day": 1}),
    (Contract(), table(units=[1.0, float("inf"), float("-inf"), 2.0]), {"finite.units": 2}),
    (Contract(), table().head(0), {"rows": 0}),
    (Contract(rows=RowCount(min=5)), table(), {"rows.min": 0}),
    (Contract(rows=RowCount(max=3)), table(), {"rows.max": 0}),
    (Contract(expressions={"no returns": "units >= 2"}), table(), {"expressions.no returns": 1}),
    (Contract(expressions={"known": "x > 0"}), table(x=[1, None, 1, 1]), {"expressions.known": 1}),
    (Contract(extra_columns="refuse"), table(), {"extra_columns": 0}),
    (Contract(extra_columns="refuse", columns={"units": Column()}), table(), {}),
    (Contract(outliers={"nope": 8}), table(), {"outliers.nope": 0}),
    (Contract(like_history={"nope": 8}), table(), {"like_history.nope": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("contract", "frame", "expected"), CASES)
def test_checks(contract: Contract, frame: pl.DataFrame, expected: dict[str, int]) -> None:
    assert checks(contract, frame) == expected


def test_the_rows_that_failed_say_why() -> None:
    contract = Contract(columns={"units": Column(max=2), "x": Column(missing=0)})
    verdict = judge(contract, table(x=[1, 2, None, 4]), [], form=FORM)
    rows = failed_rows(table(x=[1, 2, None, 4]), verdict)
    assert rows is not None
    assert rows.select("shop", "reason").rows() == [
        ("c", "columns.units.max; columns.x.missing"),
        ("d", "columns.units.max"),
    ]
    assert not verdict.kept
    assert failed_rows(table(), judge(Contract(), table(), [], form=FORM)) is None


def test_a_column_called_reason_is_kept() -> None:
    frame = table(reason=["w", "x", "y", "z"])
    rows = failed_rows(frame, judge(Contract(columns={"units": Column(max=3)}), frame, []))
    assert rows is not None
    assert rows.columns == ["shop", "day", "units", "reason", "reason_"]


def test_sentences_are_json_and_say_the_number() -> None:
    found = judge(Contract(columns={"units": Column(max=2)}), table(units=[1.0, 2.0, 3.0, 1e300]), []).findings[0]
    assert found.sentence == "2 rows have a units above 2; the extreme is 1e+300."
    assert (found.value, found.limit) == (1e300, 2.0)
    infinite = judge(Contract(columns={"units": Column(max=2)}), table(units=[1.0, float("inf"), 1.0, 1.0]), [])
    json.dumps([[f.value, f.limit] for f in infinite.findings], allow_nan=False)


def test_an_expression_that_does_not_work_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="nope"):
        judge(Contract(expressions={"x": "nope > 1"}), table(), [])


@pytest.mark.parametrize(
    ("fresh", "came", "breach"),
    [("10d", datetime(2011, 6, 11, tzinfo=UTC), False), ("10d", datetime(2011, 6, 11, 1, tzinfo=UTC), True),
     ("1w", datetime(2011, 5, 1, tzinfo=UTC), False)],
)  # fmt: skip
def test_freshness(fresh: str, came: datetime, breach: bool) -> None:
    verdict = judge(Contract(fresh=fresh), table(), [], form=FORM, received_at=came)
    assert [f.check for f in verdict.findings] == (["fresh"] if breach else [])


def test_freshness_of_counted_steps_is_not_judged() -> None:
    verdict = judge(Contract(fresh="1d"), table(day=[1, 2, 3, 4]), [], form=FORM, received_at=datetime(2011, 1, 1))
    assert verdict.kept
    assert verdict.unjudged[0] == "fresh: the time is no date or moment"


def week(start: int, values: list[float], name: str = "temp") -> pl.DataFrame:
    days = [DAY + timedelta(start + i) for i in range(len(values))]
    return pl.DataFrame({"shop": ["a"] * len(values), "day": days, name: values})


def past(weeks: int, scale: float = 1.0) -> list[Stats]:
    frames = (week(7 * w, [scale * (0.2 + 0.01 * (w % 40) + 0.02 * i) for i in range(30)]) for w in range(weeks))
    return [stats_of(frame, FORM) for frame in frames]


def test_row_counts_are_like_history() -> None:
    contract = Contract(rows=RowCount(like_history=0.5))
    history = [Stats(rows=n) for n in (100_000, 100, 104, 96)]
    assert checks(contract, week(0, [0.5] * 60), history) == {}
    assert checks(contract, week(0, [0.5] * 49), history) == {"rows.like_history": 0}
    assert checks(contract, week(0, [0.5] * 151), history) == {"rows.like_history": 0}
    few = judge(contract, week(0, [0.5] * 2), history[:2], form=FORM)
    assert few.kept
    assert few.unjudged[0] == "rows.like_history: 2 earlier arrivals, 3 are needed"


CELSIUS = [20.0 + i for i in range(30)]
FRACTION = [value / 41 for value in CELSIUS]


def test_a_changed_unit_is_caught_by_the_mean() -> None:
    contract = Contract(like_history={"temp": 8})
    verdict = judge(contract, week(0, CELSIUS), past(20), form=FORM)
    assert [f.check for f in verdict.findings] == ["like_history.temp"]
    assert verdict.findings[0].rows == 30
    assert "Has the unit changed?" in verdict.findings[0].sentence
    assert checks(contract, week(0, FRACTION), past(20)) == {}


def test_a_changed_unit_is_caught_with_nothing_declared() -> None:
    assert checks(Contract(), week(0, CELSIUS), past(20)) == {"unit.temp": 30}
    assert checks(Contract(), week(0, FRACTION), past(20)) == {}
    assert "unit.temp" in checks(Contract(), week(0, FRACTION), past(20, scale=41))
    assert checks(Contract(), week(0, CELSIUS), past(20, scale=41)) == {}


def test_a_declared_range_or_too_little_history_leaves_the_unit_alone() -> None:
    assert checks(Contract(columns={"temp": Column(min=-50, max=60)}), week(0, CELSIUS), past(20)) == {}
    assert checks(Contract(), week(0, CELSIUS), past(3)) == {}
    assert checks(Contract(), week(0, CELSIUS), [stats_of(week(0, [0.5] * 200), FORM)]) == {}
    assert judge(Contract(), week(0, CELSIUS), past(20), form=FORM, watched=()).kept


def test_growth_seasons_and_storms_are_not_another_unit() -> None:
    history = past(20)
    top = max(block.high for stats in history for block in stats.blocks["temp"])
    assert checks(Contract(), week(0, [1.6 * top] * 7), history) == {}
    assert checks(Contract(), week(0, [0.05] * 7), history) == {}


def test_outliers() -> None:
    contract = Contract(outliers={"temp": 8})
    frame = week(0, [*[float(i) for i in range(20)], 1000.0])
    assert checks(contract, frame) == {"outliers.temp": 1}
    assert checks(contract, week(0, [5.0] * 20)) == {}
    spike = week(0, [*[5.0] * 20, 6.0])
    assert checks(contract, spike) == {"outliers.temp": 1}  # by the mean deviation, where the median one is 0


_VALUES = st.lists(st.one_of(st.none(), st.floats(-100, 100)), min_size=1, max_size=20)


@given(_VALUES, st.floats(-100, 100), st.floats(-100, 100))
@settings(deadline=None)
def test_bounds_mark_just_the_rows_outside(values: list[float | None], one: float, other: float) -> None:
    low, high = sorted((one, other))
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Float64})
    verdict = judge(Contract(columns={"x": Column(min=low, max=high)}), frame, [])
    assert verdict.failed.to_list() == [v is not None and not low <= v <= high for v in values]
    assert verdict.kept == (not any(verdict.failed))
    assert sum(f.rows for f in verdict.findings) == sum(verdict.failed)


@given(st.permutations(range(6)))
@settings(deadline=None, max_examples=20)
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    frame = week(0, [0.1, 0.2, 9.0, 0.3, 0.2, 0.1])
    contract = Contract(columns={"temp": Column(max=1)}, expressions={"small": "temp < 0.3"})
    straight = judge(contract, frame, past(20), form=FORM)
    mixed = judge(contract, frame[order], past(20), form=FORM)
    assert straight.findings == mixed.findings
    assert mixed.failed.to_list() == [straight.failed[i] for i in order]


def test_the_bikes_contract_on_the_real_hours(shared_data: Path) -> None:
    """Every real week passes, the hurricane too; a week in degrees does not."""
    contract = read_contract((Path(__file__).resolve().parents[2] / "examples/bikes/contract.yaml").read_text())
    hours = pl.read_parquet(shared_data / "bike_sharing/hour.parquet").rename(
        {"dteday": "date", "hr": "hour", "cnt": "rides"}
    )
    form = Form(time="date", keys=("hour",))
    start = date(2011, 7, 1)
    history = [stats_of(hours.filter(pl.col("date") < start), form)]
    for w in range(78):
        first = start + timedelta(7 * w)
        one = hours.filter(pl.col("date").is_between(first, first + timedelta(6)))
        verdict = judge(contract, one, history, form=form, watched=("rides", "temp", "hum", "windspeed"))
        assert verdict.kept, (first, verdict.findings)
        hot = judge(contract, one.with_columns(pl.col("temp") * 41), history, form=form, watched=())
        assert [f.check for f in hot.findings] == ["like_history.temp"]
        undeclared = judge(Contract(), one.with_columns(pl.col("temp") * 41), history, form=form, watched=("temp",))
        assert [f.check for f in undeclared.findings] == ["unit.temp"]
        history.append(stats_of(one, form))


def test_online_retail_dirty_rows(shared_data: Path) -> None:
    rows = pl.read_parquet(shared_data / "online_retail_partial/online_retail.parquet")
    contract = Contract(
        columns={
            "Quantity": Column(type="integer", min=0),
            "UnitPrice": Column(type="number"),
            "CustomerID": Column(missing=0.2),
            "Description": Column(missing=0.01),
        },
        expressions={"a price": "UnitPrice > 0", "no cancellation": "NOT (InvoiceNo LIKE 'C%')"},
    )
    verdict = judge(contract, rows, [])
    assert {f.check: f.rows for f in verdict.findings} == {
        "columns.Quantity.min": 5_087, "columns.CustomerID.missing": 67_225, "expressions.a price": 1_413,
        "expressions.no cancellation": 4_350,
    }  # fmt: skip
    failing = failed_rows(rows, verdict)
    assert failing is not None
    assert failing.height == verdict.failed.sum()
    failing.write_parquet(io.BytesIO())


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=30), st.lists(st.floats(allow_nan=False), min_size=1))
@settings(deadline=None, max_examples=60)
def test_no_number_breaks_the_comparison_with_history(before: list[float], now: list[float]) -> None:
    """Also numbers near the greatest there are: every figure of a finding and of what is remembered is finite."""
    past = [stats_of(week(0, before * 50), FORM)] * 6
    verdict = judge(Contract(like_history={"temp": 4}, outliers={"temp": 4}), week(0, now * 5), past, form=FORM)
    json.dumps([[f.value, f.limit] for f in verdict.findings], allow_nan=False)
    msgspec.json.decode(msgspec.json.encode(past), type=list[Stats])


def test_walmarts_weeks_are_like_themselves(shared_data: Path) -> None:
    """With nothing declared no real week is held: not the first promotions, nor Thanksgiving in them, nor Christmas."""
    folder = shared_data / "walmart_store_sales"
    spec = Data(
        dataset="w",
        time="Date",
        target="Weekly_Sales",
        keys=("Store", "Dept"),
        joins=(Join(source="features.csv", on={"Store": "Store", "Date": "Date"}),),
        fill={f"MarkDown{i}": 0 for i in range(1, 6)},
    )
    whole = condition(pl.read_parquet(folder / "train.parquet").filter(pl.col("Store") <= 15), spec, folder)
    form, history = Form(time="Date", keys=("Store", "Dept")), list[Stats]()
    for (when,), one in sorted(whole.partition_by("Date", as_dict=True).items()):
        verdict = judge(Contract(), one, history, form=form)
        assert verdict.kept, (when, verdict.findings)
        if when == date(2012, 10, 26):
            cents = judge(Contract(), one.with_columns(pl.col("Fuel_Price") * 100), history, form=form)
            assert [finding.check for finding in cents.findings] == ["unit.Fuel_Price"]
            thousands = judge(Contract(), one.with_columns(pl.col("Weekly_Sales") / 1000), history, form=form)
            assert thousands.kept  # sales go below 0, so a fall is not told from a unit: declare like_history
            declared = Contract(like_history={"Weekly_Sales": 8})
            thousands = judge(declared, one.with_columns(pl.col("Weekly_Sales") / 1000), history, form=form)
            assert [finding.check for finding in thousands.findings] == ["like_history.Weekly_Sales"]
        history.append(stats_of(one, form))
