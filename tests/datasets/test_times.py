"""Times come out as dates, moments or whole numbers, and are never guessed."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.datasets.times import WrongTime, settle_time


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2011-01-02", None], [date(2011, 1, 2), None]),
        (["2011/01/02"], [date(2011, 1, 2)]),
        (["20110102"], [date(2011, 1, 2)]),
        (["2.1.2011"], [date(2011, 1, 2)]),
        (["13/01/2011", "02/01/2011"], [date(2011, 1, 13), date(2011, 1, 2)]),
        (["01/13/2011", "01/02/2011"], [date(2011, 1, 13), date(2011, 1, 2)]),
        (["12/13/10 8:26"], [datetime(2010, 12, 13, 8, 26)]),
        (["1/13/2011 8:26 PM"], [datetime(2011, 1, 13, 20, 26)]),
        (["2 Jan 2011"], [date(2011, 1, 2)]),
        (["02/02/2011"], [date(2011, 2, 2)]),  # both ways say the same
        ([None, None], [None, None]),
        ([3, 4], [3, 4]),
        ([3.0, None], [3, None]),
        ([date(2011, 1, 2)], [date(2011, 1, 2)]),
        ([datetime(2011, 1, 2, 3)], [datetime(2011, 1, 2, 3)]),
    ],
)
def test_times(values: list[object], expected: list[object]) -> None:
    found = settle_time(pl.Series("t", values))
    assert isinstance(found, pl.Series)
    assert found.to_list() == expected


@pytest.mark.parametrize(
    ("values", "words", "wrong"),
    [
        (["01/02/2011", "03/04/2011"], "day or month first", [True, True]),
        (["2011-01-02", "soon"], "is no date or moment; one is 'soon'", [False, True]),
        (["2011-02-30"], "is no date or moment", [True]),
        (["2011", "2012"], "is no date or moment", [True, True]),
        ([1.0, 1.5], "whole number", [False, True]),
        ([True], "no date, moment or whole number", [True]),
    ],
)
def test_wrong_times(values: list[object], words: str, wrong: list[bool]) -> None:
    found = settle_time(pl.Series("t", values))
    assert isinstance(found, WrongTime)
    assert words in found.sentence
    assert found.wrong.to_list() == wrong


@given(
    st.lists(st.dates(date(1990, 1, 1), date(2060, 1, 1)), min_size=1, max_size=30),
    st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d %b %Y", "%Y%m%d"]),
)
def test_any_dates_are_read_right_or_refused(days: list[date], form: str) -> None:
    found = settle_time(pl.Series("t", [day.strftime(form) for day in days]))
    if isinstance(found, pl.Series):
        assert found.to_list() == days
    else:
        assert all(day.day <= 12 for day in days)
        assert "day or month first" in found.sentence


@given(st.lists(st.text(max_size=12), min_size=1, max_size=10))
def test_no_text_breaks_it(values: list[str]) -> None:
    found = settle_time(pl.Series("t", values))
    assert len(found if isinstance(found, pl.Series) else found.wrong) == len(values)
