"""Keep an arrival's columns of the kind they had: a number does not quietly become text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from keepwell.core.lazy import pl
from keepwell.datasets.conditioning import Unfit
from keepwell.datasets.parts import kind_of


@cache
def _types() -> dict[str, pl.DataType]:
    return {
        "integer": pl.Int64(), "number": pl.Float64(), "text": pl.String(), "boolean": pl.Boolean(),
        "date": pl.Date(), "moment": pl.Datetime("us"),
    }  # fmt: skip


_FREE = {("integer", "number"), ("number", "integer"), ("boolean", "integer"), ("integer", "boolean")}


def conform(frame: pl.DataFrame, schema: Mapping[str, str]) -> pl.DataFrame:
    """Return a table whose columns are of the kinds that the dataset has.

    Columns that the dataset does not have stay as they are; those that are missing throughout take the dataset's type.
    Whole numbers and others mix, codes become text where the dataset has text, and dates become moments.

    Raises:
        Unfit: a column is of another kind; the rows that show it come along.
    """
    changed = []
    for name, kind in frame.schema.items():
        here, there = kind_of(kind), schema.get(name)
        wanted = _types().get(there) if there else None
        if wanted is None or here == there:
            continue
        values = frame[name]
        if values.null_count() == len(values) or there == "text" or (here, there) == ("date", "moment"):
            changed.append(values.cast(wanted) if here != "text" else pl.Series(name, [None] * len(values), wanted))
        elif (here, there) not in _FREE:
            changed.append(_from_text(frame, values, wanted, there or ""))
    return frame.with_columns(changed)


def _from_text(frame: pl.DataFrame, values: pl.Series, wanted: pl.DataType, there: str) -> pl.Series:
    """Read text as the kind it was so far, if every value can be."""
    rows = None
    shown = ""
    if values.dtype == pl.String and wanted.is_numeric():
        cast = values.cast(pl.Float64, strict=False)
        wrong = cast.is_null() & values.is_not_null()
        if not wrong.any():
            return cast
        rows = frame.filter(wrong)
        shown = f"; {wrong.sum()} rows are not, such as {values.filter(wrong)[0][:40]!r}"
    here = kind_of(values.dtype) or str(values.dtype)
    raise Unfit(f"{values.name} came as {here}; in this dataset it is {there}{shown}.", where=values.name, rows=rows)
