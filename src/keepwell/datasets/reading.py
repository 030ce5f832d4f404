"""Read one file into a frame: CSV, Parquet, JSON lines, Excel. What cannot be read is said with file and line.

Types are settled the same way for every format: text that is ISO dates or moments throughout becomes dates or moments
(UTC, naive), categories become text, decimals become floats. Other spellings of dates are not guessed here.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import PurePath
from typing import Literal, get_args

from keepwell.core.errors import InvalidInput, NotInstalled
from keepwell.core.lazy import pl
from keepwell.datasets import csvfile
from keepwell.datasets.model import SourceFile
from keepwell.datasets.sources import read_source

Format = Literal["csv", "parquet", "jsonl", "excel"]

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL")
"""Texts of a CSV file that mean that a value is missing."""

_ENDINGS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".parquet": "parquet", ".pq": "parquet",
    ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".xlsx": "excel", ".xlsm": "excel", ".xls": "excel", ".xlsb": "excel", ".ods": "excel",
}  # fmt: skip
_MAX_COLUMNS = 10_000
_MAX_NAME = 200
_ZEROS = re.compile(rb'[,;\t|\n\r"]0[0-9]')
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}")
_ISO_MOMENTS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")


def read_table(file: SourceFile, declared: str | None = None) -> pl.DataFrame:
    """Return the table that a scanned file holds.

    Args:
        file: the file; its bytes must still be those that were scanned.
        declared: the format; by default from the file's ending.

    Raises:
        InvalidInput: the file cannot be read; `where` is the file's name, with the line where one is known.
        Conflict: it holds other bytes than when it was scanned.
        NotFound: it is no longer there.
        NotInstalled: it is Excel and the extra is missing.
    """
    name = PurePath(file.uri).name
    return read_bytes(read_source(file), name, format_of(name, declared))


def format_of(name: str, declared: str | None = None) -> Format:
    """Return the format of a file: the declared one, or the one its ending says.

    Raises:
        InvalidInput: neither says a known one.
    """
    found = declared or _ENDINGS.get(PurePath(name).suffix.lower())
    for known in get_args(Format):
        if found == known:
            return known  # type: ignore[no-any-return]
    raise InvalidInput(
        "The ending says no known format (csv, parquet, jsonl, xlsx); rename the file, or say `format`.", where=name
    )


def read_bytes(data: bytes, name: str, form: Format) -> pl.DataFrame:
    """Return the table that the bytes of one file hold; see `read_table`."""
    if not data:
        raise InvalidInput("The file is empty.", where=name)
    readers = {"csv": _read_csv, "parquet": _read_parquet, "jsonl": _read_jsonl, "excel": _read_excel}
    try:
        frame = readers[form](data, name)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise InvalidInput(f"The file cannot be read as {form}: {first}.", where=name) from error
    return settle_types(frame, name)


def _read_csv(data: bytes, name: str) -> pl.DataFrame:
    layout = csvfile.look(data, name)
    text: dict[str, type[pl.DataType]] = {}
    for _ in range(2):
        frame = pl.read_csv(
            io.BytesIO(memoryview(data)[layout.skip :]),
            separator=layout.separator,
            eol_char=layout.line_end,
            decimal_comma=layout.decimal_comma,
            infer_schema_length=None,
            null_values=list(MISSING),
            new_columns=list(layout.header),
            schema_overrides=text or None,
        )
        if text or not _ZEROS.search(data):
            break
        text = dict.fromkeys(_zero_led(data, layout, frame), pl.String)
        if not text:
            break
    if layout.blank and frame.width > 1:
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    return frame


def _zero_led(data: bytes, layout: csvfile.Layout, frame: pl.DataFrame) -> list[str]:
    """Return the whole-number columns that hold a value like `007`, which is a name and not a number."""
    whole = [name for name, kind in frame.schema.items() if kind.is_integer()]
    if not whole:
        return []
    raw = pl.read_csv(
        io.BytesIO(memoryview(data)[layout.skip :]),
        separator=layout.separator,
        eol_char=layout.line_end,
        infer_schema=False,
        new_columns=list(layout.header),
        columns=None,
    ).select(whole)
    found = raw.select(pl.all().str.contains(r"^-?0[0-9]").any())
    return [name for name in whole if found[name][0]]


def _read_parquet(data: bytes, name: str) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(data))


def _read_jsonl(data: bytes, name: str) -> pl.DataFrame:
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            _check_json(line, f"{name}:{number}")
    return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)


def _check_json(line: bytes, where: str) -> None:
    try:
        value = json.loads(line, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)
    except UnicodeDecodeError:
        raise InvalidInput("The line is not UTF-8; save the file as UTF-8.", where=where) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The line is not JSON: {error}.", where=where) from None
    if not isinstance(value, dict):
        raise InvalidInput("The line is not a JSON object; write one object a line.", where=where)


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) == float("inf"):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in it")
    return found


def _read_excel(data: bytes, name: str) -> pl.DataFrame:
    need_excel(name)
    import fastexcel

    try:
        book = fastexcel.read_excel(data)
        return book.load_sheet(0).to_polars()
    except fastexcel.FastExcelError as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise InvalidInput(f"The file cannot be read as Excel: {first}.", where=name) from error


def need_excel(name: str) -> None:
    """Make sure that the reader of Excel files is there.

    Raises:
        NotInstalled: it is not.
    """
    try:
        import fastexcel  # noqa: F401
    except ImportError:
        raise NotInstalled(
            "Excel files need the extra 'excel': install it with pip install 'keepwell[excel]'.", where=name
        ) from None


def settle_types(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return a table with the types of the standard form: integer, number, text, boolean, date, moment.

    Raises:
        InvalidInput: a column holds no plain values, or there are no or too many columns; `where` is `name`.
    """
    if not frame.width:
        raise InvalidInput("The file has no columns.", where=name)
    if frame.width > _MAX_COLUMNS:
        raise InvalidInput(f"The file has {frame.width} columns; at most {_MAX_COLUMNS} are read.", where=name)
    plain = [" ".join(column.split()) for column in frame.columns]
    for column in plain:
        if not column.isprintable() or not 0 < len(column) <= _MAX_NAME or plain.count(column) > 1:
            raise InvalidInput(
                f"{column[:60]!a} cannot be a column: each has its own name of 1 to {_MAX_NAME} printable characters.",
                where=name,
            )
    if plain != frame.columns:
        frame = frame.rename(dict(zip(frame.columns, plain, strict=True)))
    return frame.with_columns([_settled(frame[column], name) for column in frame.columns])


def _settled(values: pl.Series, name: str) -> pl.Series:
    kind = values.dtype
    if kind == pl.String:
        return _dates(values)
    if isinstance(kind, pl.Datetime):
        utc = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if kind.time_zone else values
        return utc.dt.cast_time_unit("us")
    if isinstance(kind, pl.Categorical | pl.Enum | pl.Null):
        return values.cast(pl.String)
    if kind in (pl.Int128, pl.UInt64, pl.UInt128):
        return values.cast(pl.Int64 if _fits(values) else pl.String)
    if not (kind.is_numeric() or kind in (pl.Boolean, pl.Date)):
        raise InvalidInput(
            f"The column {values.name!r} holds {kind}, which is no plain value: write numbers, text, booleans, dates "
            "or moments.",
            where=name,
        )
    if kind in (pl.Boolean, pl.Date):
        return values
    return values.cast(pl.Int64 if kind.is_integer() else pl.Float64)


def _fits(values: pl.Series) -> bool:
    return values.cast(pl.Int64, strict=False).null_count() == values.null_count()


def _dates(values: pl.Series) -> pl.Series:
    """Return text as dates or moments when every value is one in ISO 8601; otherwise as it is."""
    first = values.drop_nulls().head(1)
    if not len(first):
        return values
    found: pl.Series | None = None
    if _DATE.match(first[0]):
        found = values.str.to_date("%Y-%m-%d", strict=False)
    elif _MOMENT.match(first[0]):
        found = _moments(values, first[0])
    return found if found is not None and found.null_count() == values.null_count() else values


def _moments(values: pl.Series, first: str) -> pl.Series:
    if first.endswith("Z") or re.search(r"[+-][0-9]{2}:?[0-9]{2}\Z", first[10:]):
        parsed = values.str.replace(" ", "T").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", strict=False, time_unit="us")
        return parsed.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    for form in _ISO_MOMENTS:
        parsed = values.str.to_datetime(form, strict=False, time_unit="us")
        if parsed.null_count() == values.null_count():
            break
    return parsed
