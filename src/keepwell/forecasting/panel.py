"""A table of series as dense arrays: one row a series, one column a step of time; what is absent is NaN."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepwell.charter.model import Data
from keepwell.core.errors import InvalidInput, TooLarge
from keepwell.core.lazy import pl
from keepwell.core.spans import show_span
from keepwell.forecasting.task import Task, cadence_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_CELLS = 200_000_000
_US_A_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Axis:
    """The steps of time of a table.

    Attributes:
        start: the first time, as microseconds since 1970, or as the whole number of a step.
        every: what one step adds to it.
        count: how many steps there are.
        dtype: of the time column.
    """

    start: int
    every: int
    count: int
    dtype: pl.DataType

    def values(self, steps: Iterable[int] | NDArray[Any]) -> pl.Series:
        """Return the times of steps, in the table's own type."""
        raw = self.start + np.asarray(steps, dtype=np.int64) * self.every
        if self.dtype.is_integer():
            return pl.Series("time", raw).cast(self.dtype)
        if self.dtype == pl.Date:
            return pl.Series("time", (raw // _US_A_DAY).astype(np.int32)).cast(pl.Date)
        return pl.Series("time", raw).cast(pl.Datetime("us")).cast(_without_zone(self.dtype)).cast(self.dtype)

    def text(self, step: int) -> str:
        """Return the time of one step as text."""
        value = self.values([step])[0]
        return value.isoformat() if isinstance(value, date) else str(value)

    def floor(self, value: object) -> int:
        """Return the newest step at or before a time: a date, a moment, ISO text of either, or a whole number.

        Raises:
            InvalidInput: the value is none of these, or not of the table's kind.
        """
        return (_raw(value, self.dtype) - self.start) // self.every

    def dates(self) -> list[date] | None:
        """Return the calendar date of every step; None when time is a whole number."""
        if self.dtype.is_integer():
            return None
        days = (self.start + np.arange(self.count, dtype=np.int64) * self.every) // _US_A_DAY
        return [date.fromordinal(int(day) + 719_163) for day in days]


@dataclass(frozen=True, slots=True)
class Panel:
    """Series over time.

    Attributes:
        axis: the steps of time; they may go on after the last target.
        keys: the key columns, one row a series, sorted; without keys one column `series` with one row.
        rows: the series and the step of each row of the table.
        target: (series, steps), NaN where there is none.
        numbers: columns that are numbers, (series, steps), NaN where absent.
        labels: columns that are text, (series, steps) of codes, -1 where absent; and their sorted values.
        fixed: columns that do not change within a series, (series,): numbers, NaN where absent.
        fixed_labels: text that does not change within a series, (series,) of codes; and their sorted values.
    """

    axis: Axis
    keys: pl.DataFrame
    rows: tuple[Ints, Ints]
    target: Floats
    numbers: dict[str, Floats]
    labels: dict[str, tuple[Ints, tuple[str, ...]]]
    fixed: dict[str, Floats]
    fixed_labels: dict[str, tuple[Ints, tuple[str, ...]]]

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self.target)


def panel_of(frame: pl.DataFrame, task: Task, origin: object = None, ahead: int = 0) -> Panel:
    """Return a table in standard form as a panel whose time goes on for at least `ahead` steps after the origin.

    Raises:
        InvalidInput: a column is missing or of the wrong kind, two rows are of one series and time, or times are not
            whole steps of `forecast.every` apart.
        TooLarge: the panel would not fit in memory.
    """
    data = task.data
    _check_columns(frame, task)
    raw = _times(frame[data.time], data.time)
    axis = _axis(raw, frame[data.time].dtype, task, origin, ahead)
    step = _steps(raw, axis, task)
    keys, row = _series(frame, data.keys)
    if keys.height * axis.count > MOST_CELLS:
        raise TooLarge(
            f"{keys.height:,} series over {axis.count:,} steps are too many for memory; "
            "shorten the history, or split the fleet in two charters."
        )
    _check_unique(row, step, axis, task)

    def spread(values: NDArray[Any], empty: float, kind: Any) -> NDArray[Any]:
        cells = np.full((keys.height, axis.count), empty, dtype=kind)
        cells[row, step] = values
        return cells

    first = _first_rows(row, step, keys.height)
    numbers, labels, fixed, fixed_labels = {}, {}, {}, {}
    for name in dict.fromkeys((*data.known_ahead, *data.observed)):
        if (values := _numbers(frame[name])) is not None:
            numbers[name] = spread(values, np.nan, np.float64)
        else:
            codes, levels = _codes(frame[name])
            labels[name] = (spread(codes, -1, np.int64), levels)
    for name in dict.fromkeys((*data.keys, *data.static)):
        values = None if name in data.keys else _numbers(frame[name])
        if values is not None:
            fixed[name] = values[first]
        else:
            codes, levels = _codes(frame[name])
            fixed_labels[name] = (codes[first], levels)
    target = _numbers(frame[data.target])
    if target is None:
        raise InvalidInput(f"The target {data.target!r} is not a number.", where="data.target")
    return Panel(axis, keys, (row, step), spread(target, np.nan, np.float64), numbers, labels, fixed, fixed_labels)


def identity_of(panel: Panel, data: Data, series: Ints, step: Ints) -> pl.DataFrame:
    """Return the keys and the time of cells, as a table."""
    time = panel.axis.values(step).alias(data.time)
    return panel.keys[series].with_columns(time) if data.keys else pl.DataFrame([time])


def text_of(column: pl.Series) -> pl.Series:
    """Return a column as text; what is null becomes `unknown`."""
    if column.dtype == pl.Boolean:
        column = column.cast(pl.Int8)
    return column.cast(pl.String).fill_null("unknown")


def _check_columns(frame: pl.DataFrame, task: Task) -> None:
    data = task.data
    roles = {
        "data.time": (data.time,), "data.target": (data.target,), "data.keys": data.keys, "data.static": data.static,
        "data.known_ahead": data.known_ahead, "data.observed": data.observed,
    }  # fmt: skip
    for clause, names in roles.items():
        for name in names:
            if name not in frame.columns:
                there = ", ".join(frame.columns[:12])
                raise InvalidInput(f"The table has no column {name!r}; it has {there}.", where=clause)
    if not frame.height:
        raise InvalidInput(f"The dataset {data.dataset!r} has no rows.", where="data.dataset")


def _times(column: pl.Series, name: str) -> Ints:
    if column.null_count():
        raise InvalidInput(f"The time {name!r} is missing in {column.null_count()} rows.", where="data.time")
    dtype = column.dtype
    if dtype.is_integer():
        return column.cast(pl.Int64).to_numpy()
    if dtype == pl.Date:
        return column.cast(pl.Int64).to_numpy() * _US_A_DAY
    if isinstance(dtype, pl.Datetime):
        return column.dt.timestamp("us").to_numpy()
    raise InvalidInput(
        f"The time {name!r} is {dtype}; it must be a date, a moment or a whole number of steps.", where="data.time"
    )


def _axis(raw: Ints, dtype: pl.DataType, task: Task, origin: object, ahead: int) -> Axis:
    every = 1 if dtype.is_integer() else int(cadence_of(task).every.total_seconds() * 1e6)
    axis = Axis(int(raw.min()), every, int(raw.max() - raw.min()) // every + 1, dtype)
    return axis if origin is None else replace(axis, count=max(axis.count, axis.floor(origin) + 1 + ahead))


def _steps(raw: Ints, axis: Axis, task: Task) -> Ints:
    steps, rest = np.divmod(raw - axis.start, axis.every)
    if rest.any():
        odd = axis.text(int(steps[np.flatnonzero(rest)[0]]))
        every = show_span(cadence_of(task).every)
        raise InvalidInput(
            f"Rows are not {every} apart, counted from {axis.text(0)}: there is one less than {every} after {odd}.",
            where="forecast.every",
        )
    return np.asarray(steps)


def _series(frame: pl.DataFrame, keys: tuple[str, ...]) -> tuple[pl.DataFrame, Ints]:
    if not keys:
        return pl.DataFrame({"series": ["all"]}), np.zeros(frame.height, np.int64)
    names = list(keys)
    table = frame.select(names).unique().sort(names)
    numbered = table.with_row_index("_series")
    row = frame.select(names).join(numbered, on=names, how="left", nulls_equal=True, maintain_order="left")
    return table, row["_series"].cast(pl.Int64).to_numpy()


def _check_unique(row: Ints, step: Ints, axis: Axis, task: Task) -> None:
    cells = row * axis.count + step
    seen = np.bincount(cells, minlength=1)
    if seen.max() > 1:
        where = axis.text(int(seen.argmax()) % axis.count)
        raise InvalidInput(
            f"One series has two rows at {where}; add the column that tells them apart to data.keys, "
            "or set data.group to sum them.",
            where="data.keys",
        )


def _first_rows(row: Ints, step: Ints, count: int) -> Ints:
    order = np.lexsort((step, row))
    starts = np.searchsorted(row[order], np.arange(count))
    return np.asarray(order[starts])


def _numbers(column: pl.Series) -> Floats | None:
    dtype = column.dtype
    if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
        values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
        return np.where(np.isfinite(values), values, np.nan)
    if dtype.is_temporal():
        return column.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy()
    return None


def _codes(column: pl.Series) -> tuple[Ints, tuple[str, ...]]:
    text = text_of(column)
    levels = text.unique().sort()
    codes = text.cast(pl.Enum(levels)).to_physical().cast(pl.Int64).to_numpy()
    return codes, tuple(levels.to_list())


def _raw(value: object, dtype: pl.DataType) -> int:
    if dtype.is_integer():
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lstrip("-").isdigit():
            return int(value)
        raise InvalidInput(f"{value!r} is not a time of this table: its times are whole numbers.", where="origin")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidInput(f"{value!r} is not a date or moment.", where="origin") from None
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    if isinstance(value, date):
        return (value.toordinal() - 719_163) * _US_A_DAY
    raise InvalidInput(f"{value!r} is not a time of this table: its times are dates.", where="origin")


def _without_zone(dtype: pl.DataType) -> pl.DataType:
    return pl.Datetime(dtype.time_unit) if isinstance(dtype, pl.Datetime) else dtype
