"""Times of the standard form: dates, moments (UTC, microseconds), or whole numbers of steps."""

from __future__ import annotations

from dataclasses import dataclass

from keepwell.core.lazy import pl

_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y",
    "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d %Y", "%b %d, %Y", "%Y%m%d",
)  # fmt: skip
_CLOCKS = ("", " %H:%M", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_FORMS = tuple(date + clock for date in _DATES for clock in _CLOCKS)
_EARLIEST, _LATEST = 1800, 2300


@dataclass(frozen=True, slots=True)
class WrongTime:
    """Why a column is no time: a sentence, and a mask of the rows that show it."""

    sentence: str
    wrong: pl.Series


def settle_time(values: pl.Series) -> pl.Series | WrongTime:
    """Return a column as dates, moments or whole numbers; missing values stay missing.

    Text is read in any common spelling that fits every value; when two spellings fit and differ (01/02/2011), that is
    wrong, for guessing would be.
    """
    kind = values.dtype
    if kind == pl.Date or kind.is_integer():
        return values.cast(pl.Int64) if kind.is_integer() else values
    if isinstance(kind, pl.Datetime):
        return values.dt.cast_time_unit("us")
    if kind.is_float():
        wrong = (values != values.floor()) | values.is_infinite()
        return values.cast(pl.Int64) if not wrong.any() else _wrong(values, wrong, "is not a whole number of steps")
    if kind == pl.Null:
        return values.cast(pl.Date)
    if kind != pl.String:
        return WrongTime(f"The time {values.name!r} is {kind}: no date, moment or whole number.", values.is_not_null())
    return _from_text(values)


def _from_text(values: pl.Series) -> pl.Series | WrongTime:
    present = values.drop_nulls()
    if not len(present):
        return pl.Series(values.name, [None] * len(values), dtype=pl.Date)
    sample = present.unique(maintain_order=True).head(50)
    likely = [form for form in _FORMS if _parse(sample, form).null_count() * 2 <= len(sample)]
    parsed = [_parse(values, form) for form in likely]
    fits = [one for one in parsed if one.null_count() == values.null_count()]
    if not fits:
        best = min(parsed, key=pl.Series.null_count, default=pl.Series([None] * len(values), dtype=pl.Date))
        return _wrong(values, best.is_null() & values.is_not_null(), "is no date or moment")
    for other in fits[1:]:
        differ = (fits[0] != other).fill_null(False)
        if differ.any():
            why = f"could be day or month first; derive it, such as STRPTIME({values.name}, '%d/%m/%Y')"
            return _wrong(values, differ, why)
    return fits[0]


def _parse(values: pl.Series, form: str) -> pl.Series:
    if "%H" in form or "%I" in form:
        parsed = values.str.to_datetime(form, strict=False, time_unit="us")
    else:
        parsed = values.str.to_date(form, strict=False)
    year = parsed.dt.year()
    return parsed.set((year < _EARLIEST) | (year > _LATEST), None)


def _wrong(values: pl.Series, wrong: pl.Series, why: str) -> WrongTime:
    wrong = wrong.fill_null(False)
    first = str(values.filter(wrong)[0])[:40]
    return WrongTime(f"In {wrong.sum()} rows the time {values.name!r} {why}; one is {first!r}.", wrong)
