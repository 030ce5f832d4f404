"""Holidays that are computed, not looked up: the dates that move demand, for any year.

Easter after the anonymous Gregorian algorithm (Meeus, Astronomical Algorithms, 1991, chapter 8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from keepwell.core.errors import InvalidInput

MONDAY, THURSDAY, SUNDAY = 0, 3, 6


def easter(year: int) -> date:
    """Return Easter Sunday of the Western churches."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


def nth_weekday(year: int, month: int, weekday: int, n: int) -> date:
    """Return the n-th such weekday of a month; n = -1 is the last."""
    if n > 0:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))
    last = (date(year + month // 12, month % 12 + 1, 1)) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def super_bowl(year: int) -> date:
    """Return Super Bowl Sunday: the first of February's Sundays, the second since the season grew in 2022."""
    return nth_weekday(year, 2, SUNDAY, 2 if year >= 2022 else 1)


_US: dict[str, Callable[[int], date]] = {
    "new_year": lambda y: date(y, 1, 1),
    "super_bowl": super_bowl,
    "presidents_day": lambda y: nth_weekday(y, 2, MONDAY, 3),
    "memorial_day": lambda y: nth_weekday(y, 5, MONDAY, -1),
    "independence_day": lambda y: date(y, 7, 4),
    "labor_day": lambda y: nth_weekday(y, 9, MONDAY, 1),
    "halloween": lambda y: date(y, 10, 31),
    "thanksgiving": lambda y: nth_weekday(y, 11, THURSDAY, 4),
    "christmas": lambda y: date(y, 12, 25),
}
_CHRISTIAN: dict[str, Callable[[int], date]] = {
    "easter": easter,
    "christmas": lambda y: date(y, 12, 25),
}
_SETS = {"US": _US, "CHRISTIAN": _CHRISTIAN}


def holiday_dates(declared: Sequence[str], first: date, last: date) -> dict[str, list[date]]:
    """Return each holiday's dates from a year before `first` to a year after `last`.

    Dates that the charter lists one by one are together the holiday `listed`.

    Raises:
        InvalidInput: an entry is neither a set (`US`, `CHRISTIAN`) nor a date.
    """
    found: dict[str, list[date]] = {}
    years = range(max(1, first.year - 1), min(9998, last.year + 1) + 1)
    for entry in declared:
        if rules := _SETS.get(entry.upper()):
            found.update({name: [rule(year) for year in years] for name, rule in rules.items()})
        else:
            found.setdefault("listed", []).append(_date(entry))
    return {name: sorted(dates) for name, dates in found.items()}


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        sets = " or ".join(_SETS)
        raise InvalidInput(
            f"{text!r} is not a holiday: write {sets}, or a date like 2026-12-24.", where="forecast.holidays"
        ) from None
