"""Conditioning: from a source's table to the standard form that contracts judge and pipelines read.

In this order, and each step leaves a record of how many rows or values it touched: joins (on the source's own names),
rename, missing (NaN becomes missing), derive, where, type (time, target and numbers), group, fill, sort. The standard
form has the keys, the time and the target first, then every other column, and is sorted by keys and time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from keepwell.charter.model import Data, Join
from keepwell.core.errors import InvalidInput
from keepwell.core.lazy import pl
from keepwell.datasets.expressions import evaluate
from keepwell.datasets.model import Step
from keepwell.datasets.reading import read_table, settle_types
from keepwell.datasets.sources import natural, scan
from keepwell.datasets.times import settle_time

Read: TypeAlias = "Callable[[str], pl.DataFrame]"
"""Reads the table of a join's source."""


class Unfit(InvalidInput):
    """The table cannot be brought to the standard form. `rows` are the source's rows that show it, when some do."""

    def __init__(self, message: str, *, where: str | None = None, rows: pl.DataFrame | None = None) -> None:
        super().__init__(message, where=where)
        self.rows = rows


@dataclass(frozen=True, slots=True)
class Conditioned:
    """A table in standard form, and how it came to be."""

    frame: pl.DataFrame
    steps: list[Step]


def condition(raw: pl.DataFrame, data: Data, folder: Path, read: Read | None = None) -> pl.DataFrame:
    """Return a source's table in standard form; see `condition_tracked`."""
    return condition_tracked(raw, data, folder, read).frame


def condition_tracked(raw: pl.DataFrame, data: Data, folder: Path, read: Read | None = None) -> Conditioned:
    """Return a source's table in standard form, and what each step did.

    Args:
        raw: the table as it was read.
        data: what the charter says of the data.
        folder: the charter's folder, which relative sources of joins start from.
        read: reads the table of a join's source; by default from the files it names.

    Raises:
        InvalidInput: a column is missing, an expression does not work, or a value is not what its role asks for.
    """
    look_up = read or (lambda source: read_joined(source, folder))
    work = _Work(raw)
    for i, join in enumerate(data.joins):
        _join(work, join, data.rename, look_up(join.source), f"data.joins[{i}]")
    _rename(work, data.rename)
    _missing(work)
    for name, text in data.derive.items():
        values = evaluate(work.frame, text, name, f"data.derive.{name}")
        work.done("derive", f"{name} = {' '.join(text.split())}", work.frame.with_columns(values), len(values))
    if data.where is not None:
        keep = evaluate(work.frame, data.where, "kept", "data.where")
        if keep.dtype != pl.Boolean:
            raise InvalidInput("The expression is not true or false for each row.", where="data.where")
        frame = work.frame.filter(keep)
        work.done("where", data.where, frame, work.frame.height - frame.height)
    _check_columns(work.frame, data)
    _types(work, data)
    if data.group:
        _group(work, data)
    _fill(work, data.fill)
    order = list(dict.fromkeys((*data.keys, data.time, data.target, *work.frame.columns)))
    work.frame = work.frame.select(order).sort([*data.keys, data.time], maintain_order=True)
    return Conditioned(work.frame, work.steps)


def read_joined(source: str, folder: Path) -> pl.DataFrame:
    """Return the table of all files that a join's source names."""
    files = sorted(scan([source], folder), key=lambda file: natural(file.uri))
    if not files:
        raise InvalidInput(f"No file matches {source!r}.", where="data.joins")
    return pl.concat([read_table(file) for file in files], how="diagonal_relaxed")


class _Work:
    """A table on its way, and the record of the steps."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.steps: list[Step] = []

    def done(self, what: str, detail: str, frame: pl.DataFrame, touched: int) -> None:
        """Take the step's result and record it."""
        self.steps.append(
            Step(what=what, detail=detail, rows_in=self.frame.height, rows_out=frame.height, touched=touched)
        )
        self.frame = frame


def _join(work: _Work, join: Join, rename: Mapping[str, str], table: pl.DataFrame, clause: str) -> None:
    back = {new: old for old, new in rename.items()}
    left = [_named(work.frame, name, back, f"{clause}.on") for name in join.on]
    right = [_named(table, name, back, f"{clause}.on") for name in join.on.values()]
    wanted = [_named(table, name, back, f"{clause}.columns") for name in join.columns]
    taken = wanted or [name for name in table.columns if name not in right and name not in work.frame.columns]
    if clash := [name for name in taken if name in work.frame.columns]:
        raise InvalidInput(
            f"{join.source} and the source both have a column {clash[0]!r}; take it from one of them.",
            where=f"{clause}.columns",
        )
    table = table.select(list(dict.fromkeys((*right, *taken))))
    for mine, theirs in zip(left, right, strict=True):
        table = table.with_columns(_like(table[theirs], work.frame.schema[mine], f"{clause}.on"))
    if table.select(right).is_duplicated().any():
        raise InvalidInput(
            f"{join.source} has several rows with the same {', '.join(right)}; rows would be doubled.",
            where=f"{clause}.on",
        )
    mark = "\0found"
    joined = work.frame.join(
        table.with_columns(pl.lit(True).alias(mark)), left_on=left, right_on=right, how="left", maintain_order="left"
    )
    unmatched = joined[mark].null_count()
    detail = f"{join.source} on {', '.join(left)}: {unmatched} rows found no match"
    work.done("join", detail, joined.drop(mark), joined.height - unmatched)


def _named(frame: pl.DataFrame, name: str, back: Mapping[str, str], where: str) -> str:
    """Return the column that a name means: the source's own name, or the standard name it will get."""
    if name in frame.columns:
        return name
    if back.get(name) in frame.columns:
        return back[name]
    raise InvalidInput(f"There is no column {name!r}; there are {_listed(frame.columns)}.", where=where)


def _like(values: pl.Series, kind: pl.DataType, where: str) -> pl.Series:
    """Return a join's key in the type of the column it is compared with."""
    if values.dtype == kind:
        return values
    try:
        if isinstance(kind, pl.Datetime) and values.dtype == pl.Date:
            return values.cast(kind)
        if kind.is_numeric() and values.dtype.is_numeric():
            return values.cast(kind)
        if kind == pl.String:
            return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        pass
    raise InvalidInput(f"The column {values.name!r} is {values.dtype}, its counterpart is {kind}.", where=where)


def _rename(work: _Work, rename: Mapping[str, str]) -> None:
    present = {old: new for old, new in rename.items() if old != new}
    if not present:
        return
    for old, new in present.items():
        _need(work.frame, old, "data.rename")
        if new in work.frame.columns and new not in present:
            raise InvalidInput(f"The source has a column {new!r} already.", where=f"data.rename.{old}")
    detail = ", ".join(f"{old} to {new}" for old, new in present.items())
    work.done("rename", detail, work.frame.rename(present), len(present))


def _missing(work: _Work) -> None:
    floats = [name for name, kind in work.frame.schema.items() if kind.is_float()]
    if not floats:
        return
    counts = work.frame.select(pl.col(floats).is_nan().sum()).row(0)
    if touched := int(sum(c or 0 for c in counts)):
        work.done("missing", "NaN is missing", work.frame.with_columns(pl.col(floats).fill_nan(None)), touched)


def _check_columns(frame: pl.DataFrame, data: Data) -> None:
    roles = {
        "data.time": (data.time,),
        "data.target": (data.target,),
        "data.keys": data.keys,
        "data.known_ahead": data.known_ahead,
        "data.observed": data.observed,
        "data.static": data.static,
    }
    for clause, names in roles.items():
        for name in names:
            _need(frame, name, clause)


def _need(frame: pl.DataFrame, name: str, clause: str) -> None:
    if name not in frame.columns:
        raise InvalidInput(f"The column {name!r} is not there; there are {_listed(frame.columns)}.", where=clause)


def _types(work: _Work, data: Data) -> None:
    """Settle the types: the time, a numeric target, whole numbers as Int64, other numbers as Float64."""
    frame = work.frame
    time = settle_time(frame[data.time])
    if not isinstance(time, pl.Series):
        raise Unfit(time.sentence, where="data.time", rows=frame.filter(time.wrong))
    if frame[data.time].dtype != time.dtype:
        detail = f"{data.time} from {frame[data.time].dtype} to {time.dtype}"
        work.done("type", detail, frame.with_columns(time), len(time))
        frame = work.frame
    target = frame[data.target]
    if not target.dtype.is_numeric():
        work.frame = frame.with_columns(_number(frame, target))
    work.frame = settle_types(work.frame, "data.derive")


def _number(frame: pl.DataFrame, target: pl.Series) -> pl.Series:
    if target.dtype == pl.Boolean:
        return target.cast(pl.Int64)
    if target.dtype != pl.String:
        raise Unfit(f"The column {target.name!r} is {target.dtype}, not a number.", where="data.target")
    cast = target.cast(pl.Float64, strict=False)
    wrong = cast.is_null() & target.is_not_null()
    if wrong.any():
        first = target.filter(wrong)[0]
        raise Unfit(
            f"{wrong.sum()} rows have a {target.name!r} that is not a number, such as {first[:40]!r}.",
            where="data.target",
            rows=frame.filter(wrong),
        )
    return cast


def _group(work: _Work, data: Data) -> None:
    identity = [*data.keys, data.time]
    target = pl.col(data.target)
    totals = [pl.when(target.count() > 0).then(target.sum()).alias(data.target)]
    for name, kind in work.frame.schema.items():
        if name in identity or name == data.target:
            continue
        column = pl.col(name)
        totals.append(column.mean() if kind.is_numeric() else column.drop_nulls().first())
    grouped = work.frame.group_by(identity, maintain_order=True).agg(totals)
    detail = f"one row per {', '.join(identity)}: {data.target} summed, other numbers averaged"
    work.done("group", detail, grouped, work.frame.height - grouped.height)


def _fill(work: _Work, fill: Mapping[str, float | str | bool]) -> None:
    for name, value in fill.items():
        _need(work.frame, name, "data.fill")
        values = work.frame[name]
        missing = values.null_count()
        if not missing:
            continue
        work.done("fill", f"{name} = {value}", work.frame.with_columns(_filled(values, value)), missing)


def _filled(values: pl.Series, value: float | str | bool) -> pl.Series:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kind = values.dtype
    if values.null_count() == len(values) and kind == pl.String and not isinstance(value, str):
        kind = pl.Boolean() if isinstance(value, bool) else pl.Float64()
    if kind.is_integer() and isinstance(value, float) and not whole:
        kind = pl.Float64()
    try:
        return values.cast(kind).fill_null(pl.lit(value).cast(kind))
    except pl.exceptions.PolarsError as error:
        raise InvalidInput(
            f"{value!r} does not fit the column {values.name!r}, which is {kind}.", where=f"data.fill.{values.name}"
        ) from error


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20]) + (" and more" if len(names) > 20 else "")
