"""Parts make one table: the later row wins, types widen, nothing depends on how files were cut."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.core.errors import Damaged
from keepwell.datasets.model import Form
from keepwell.datasets.parts import assemble, decode, encode, merge, schema_of, stats_of, unite

FORM = Form(time="t", keys=("k",))
_ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 5), st.integers(0, 99)), max_size=8)


def frame(rows: list[tuple[str | None, int, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"k": pl.String, "t": pl.Int64, "v": pl.Int64}, orient="row")


@given(st.lists(_ROWS, min_size=1, max_size=5))
@settings(deadline=None)
def test_the_later_row_wins_and_is_counted(parts: list[list[tuple[str | None, int, int]]]) -> None:
    expected: dict[tuple[str | None, int], int] = {}
    replaced = []
    for part in parts:
        before = len(expected)
        for k, t, v in part:
            expected[k, t] = v
        replaced.append(len(part) - (len(expected) - before))
    merged = merge([frame(part) for part in parts], FORM)
    assert {(k, t): v for k, t, v in merged.frame.rows()} == expected
    assert merged.replaced == replaced
    assert merged.frame.height == sum(map(len, parts)) - sum(replaced)
    assert merged.frame.equals(assemble([frame(part) for part in parts], FORM))
    assert merged.frame.equals(merged.frame.sort("k", "t", maintain_order=True))


def test_rows_without_a_time_have_no_place() -> None:
    rows = pl.DataFrame({"k": ["a", "a"], "t": [None, 1], "v": [1, 2]})
    assert merge([rows], FORM).frame.rows() == [("a", 1, 2)]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1], [2], [1, 2]),
        ([1], [2.5], [1.0, 2.5]),
        ([1], [None], [1, None]),
        ([None], ["x"], [None, "x"]),
        ([True], [2], [1, 2]),
        ([date(2011, 1, 1)], [datetime(2011, 1, 2, 3)], [datetime(2011, 1, 1), datetime(2011, 1, 2, 3)]),
        ([1], ["x"], ["1", "x"]),
    ],
)
def test_types_widen(one: list[object], other: list[object], expected: list[object]) -> None:
    left, right = pl.DataFrame({"v": one}), pl.DataFrame({"v": other})
    assert unite([left, right])["v"].to_list() == expected
    assert unite([right, left])["v"].to_list() == expected[::-1]


def test_a_column_that_came_later_is_missing_before() -> None:
    found = unite([pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [2], "a": [3]}), pl.DataFrame({"a": []})])
    assert found.rows() == [(1, None), (3, 2)]


def test_the_same_table_gives_the_same_bytes_and_damage_is_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    table = frame([("a", 1, 2), (None, 2, 3)])
    assert encode(table) == encode(frame([("a", 1, 2), (None, 2, 3)]))
    place = tmp_path_factory.mktemp("parts") / "part"
    place.write_bytes(encode(table))
    assert decode(place).equals(table)
    place.write_bytes(b"not parquet")
    with pytest.raises(Damaged):
        decode(place)


def test_schema_words() -> None:
    table = pl.DataFrame(
        {"i": [1], "n": [1.5], "s": ["x"], "b": [True], "d": [date(2011, 1, 1)], "m": [datetime(2011, 1, 1)]}
    )
    assert list(schema_of(table).values()) == ["integer", "number", "text", "boolean", "date", "moment"]


def test_stats_hold_finite_numbers_of_blocks_in_the_order_of_time() -> None:
    table = pl.DataFrame(
        {"k": ["a"] * 200, "t": list(range(200, 0, -1)), "v": [float(t) for t in range(200, 0, -1)], "w": [None] * 200}
    ).with_columns(pl.when(pl.col("t") == 1).then(float("inf")).otherwise(pl.col("v")).alias("v"))
    stats = stats_of(table, FORM)
    assert (stats.rows, stats.first, stats.last) == (200, "1", "200")
    assert list(stats.blocks) == ["v"]
    blocks = stats.blocks["v"]
    assert [block.n for block in blocks] == [49, 50, 50, 50]
    assert [block.low for block in blocks] == [2.0, 51.0, 101.0, 151.0]
    assert blocks[-1].mean == 175.5


def test_stats_of_little() -> None:
    assert stats_of(frame([]), FORM).blocks == {}
    assert len(stats_of(frame([("a", 1, 1)]), FORM).blocks["v"]) == 1
    long = pl.DataFrame({"k": ["a"] * 10_000, "t": range(10_000), "v": range(10_000)})
    assert len(stats_of(long, FORM).blocks["v"]) == 32


@given(st.lists(_ROWS, min_size=2, max_size=5), st.integers(1, 4))
@settings(deadline=None)
def test_what_was_merged_before_is_a_base(parts: list[list[tuple[str | None, int, int]]], cut: int) -> None:
    cut = min(cut, len(parts) - 1)
    frames = [frame(part) for part in parts]
    whole = merge(frames, FORM)
    later = merge(frames[cut:], FORM, merge(frames[:cut], FORM).frame)
    assert later.frame.equals(whole.frame)
    assert later.replaced == whole.replaced[cut:]
