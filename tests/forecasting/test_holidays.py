from __future__ import annotations

from datetime import date

import pytest

from keepwell.core.errors import InvalidInput
from keepwell.forecasting.holidays import easter, holiday_dates, nth_weekday, super_bowl


@pytest.mark.parametrize(
    ("year", "day"),
    [(2010, date(2010, 4, 4)), (2011, date(2011, 4, 24)), (2012, date(2012, 4, 8)), (2026, date(2026, 4, 5)),
     (2008, date(2008, 3, 23)), (2038, date(2038, 4, 25)), (1954, date(1954, 4, 18)), (1981, date(1981, 4, 19))],
)  # fmt: skip
def test_easter(year: int, day: date) -> None:
    assert easter(year) == day


def test_american_days() -> None:
    found = holiday_dates(["US"], date(2011, 1, 1), date(2011, 12, 31))
    assert date(2011, 11, 24) in found["thanksgiving"]
    assert date(2011, 9, 5) in found["labor_day"]
    assert date(2011, 5, 30) in found["memorial_day"]
    assert date(2011, 2, 6) in found["super_bowl"]
    assert date(2012, 12, 25) in found["christmas"], "a year ahead is known too"


@pytest.mark.parametrize(("year", "day"), [(2010, 7), (2012, 5), (2021, 7), (2022, 13), (2024, 11), (2026, 8)])
def test_super_bowl(year: int, day: int) -> None:
    assert super_bowl(year) == date(year, 2, day)


def test_last_weekday_of_december() -> None:
    assert nth_weekday(2026, 12, 0, -1) == date(2026, 12, 28)


def test_listed_dates_are_one_holiday() -> None:
    found = holiday_dates(["2026-05-02", "CHRISTIAN", "2025-05-03"], date(2026, 1, 1), date(2026, 2, 1))
    assert found["listed"] == [date(2025, 5, 3), date(2026, 5, 2)]
    assert "easter" in found


def test_what_is_no_holiday_is_said() -> None:
    with pytest.raises(InvalidInput, match="'XMAS' is not a holiday"):
        holiday_dates(["XMAS"], date(2026, 1, 1), date(2026, 1, 1))
