"""Tables of several libraries seen as one: names, the type of each column, whether values are missing, a safe cast.

pandas is never imported here: who hands a pandas table over has imported it.
"""

from __future__ import annotations

import datetime as dt
import decimal
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.core.lazy import pl
from keepwell.models.signatures.specs import Kind

RANGE = {"integer": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
_NUMPY = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}
_MOST_EXACT = {"float": 2**24, "double": 2**53}
_PYTHON: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((bool, np.bool_), "boolean"),
    ((int, np.integer), "long"),
    (np.float32, "float"),
    ((float, np.floating, decimal.Decimal), "double"),
    (str, "string"),
    ((bytes, bytearray), "binary"),
    ((dt.date, dt.datetime, np.datetime64), "datetime"),
)


class Table(Protocol):
    """A table of some library."""

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""

    def kind(self, name: str) -> Kind:
        """Return the type of a column."""

    def missing(self, name: str) -> bool:
        """Tell whether values of a column are missing."""

    def column(self, name: str) -> Any:
        """Return a column as it is."""

    def cast(self, name: str, to: str) -> object:
        """Return the column as another type; no value may change.

        Raises:
            ValueError: a value would.
        """

    def build(self, columns: Mapping[str, object]) -> Any:
        """Return a table of the same library of these columns."""


def is_of(value: object, library: str) -> bool:
    """Tell whether a value's class is of a library, without importing it."""
    return type(value).__module__.split(".")[0] == library


def as_table(data: object) -> Table | None:
    """Return data seen as a table, or None when it is none.

    Raises:
        InvalidInput: rows or columns do not fit together.
    """
    if is_of(data, "pandas"):
        return PandasTable(data.to_frame() if not hasattr(data, "columns") else data)  # type: ignore[attr-defined]
    if isinstance(data, np.ndarray | str | bytes):
        return None
    try:
        found = _polars(data)
        if found is not None:
            return PolarsTable(found, loose=False)
        found = _made(data)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InvalidInput(f"These rows do not make a table: {first}.", where="input") from error
    return None if found is None else PolarsTable(found, loose=True)


def _polars(data: object) -> pl.DataFrame | None:
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if isinstance(data, pl.Series):
        return data.to_frame()
    if isinstance(data, pl.DataFrame):
        return data
    return pl.DataFrame(data) if hasattr(data, "__arrow_c_stream__") else None


def _made(data: object) -> pl.DataFrame | None:
    """Return the table of a dict of columns, of one record, or of a list of records."""
    if isinstance(data, Mapping) and data:
        if all(_is_column(value) for value in data.values()):
            return pl.DataFrame({str(name): _plain(value) for name, value in data.items()})
        if all(np.ndim(value) == 0 for value in data.values()):
            return pl.DataFrame([dict(data)], infer_schema_length=None)
    elif isinstance(data, list | tuple) and data and all(isinstance(row, Mapping) for row in data):
        return pl.from_dicts(list(data), infer_schema_length=None)
    return None


def python_kind(value: object) -> Kind:
    """Return the type of one Python value.

    Raises:
        InvalidInput: it is of a type that no signature has.
    """
    for classes, name in _PYTHON:
        if isinstance(value, classes):
            return name
    if value is None:
        return {"type": "any"}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        held = {str(k): v for k, v in value.items()}
        properties = {k: {**_json(python_kind(v)), "required": v is not None} for k, v in sorted(held.items())}
        return {"type": "object", "properties": properties}
    if isinstance(value, Sequence) or (is_of(value, "polars") and isinstance(value, pl.Series)):
        first = next((item for item in value if item is not None), None)
        return {"type": "array", "items": _json(python_kind(first))}
    raise InvalidInput(f"A value of the type {type(value).__name__!r} has no place in a signature.", where="input")


def numpy_kind(dtype: np.dtype[Any]) -> str | None:
    """Return the type of a numpy array's items, or None when it is not of one kind."""
    if dtype.kind in "iu":
        return "integer" if dtype.itemsize < 4 or (dtype.itemsize == 4 and dtype.kind == "i") else "long"
    if dtype.kind == "f":
        return "double" if dtype.itemsize > 4 else "float"
    return {"b": "boolean", "M": "datetime", "U": "string", "S": "binary"}.get(dtype.kind)


class PolarsTable:
    """A polars table; `loose` where it was made of Python values, which know no narrow types."""

    def __init__(self, frame: pl.DataFrame, *, loose: bool) -> None:
        self._frame = frame
        self._loose = loose

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return self._frame.columns

    def kind(self, name: str) -> Kind:
        """Return the type of a column."""
        return _polars_kind(name, self._frame.schema[name])

    def missing(self, name: str) -> bool:
        """Tell whether values of a column are missing."""
        column = self._frame[name]
        return column.null_count() > 0 or (column.dtype.is_float() and bool(column.is_nan().any()))

    def column(self, name: str) -> pl.Series:
        """Return a column as it is."""
        return self._frame[name]

    def cast(self, name: str, to: str) -> pl.Series:
        """Return the column as another type; no value may change."""
        column, kind, types = self._frame[name], self.kind(name), _polars_types()
        if kind == to or column.dtype == pl.Null:
            return column.cast(types[to]) if to in types and column.dtype != types[to] else column
        if kind == "string" and to == "datetime" and self._loose:
            try:
                return column.str.to_datetime(strict=True)
            except pl.exceptions.PolarsError as error:
                raise ValueError("it holds text that is no date") from error
        if not isinstance(kind, str) or to not in types:
            raise ValueError("")
        _check_numbers(column.drop_nulls().to_numpy(), kind, to, loose=self._loose)
        return column.cast(types[to])

    def build(self, columns: Mapping[str, object]) -> pl.DataFrame:
        """Return a polars table of these columns."""
        return pl.DataFrame(dict(columns))


class PandasTable:
    """A pandas table."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self._by_name = {str(name): name for name in frame.columns}

    @property
    def names(self) -> list[str]:
        """The columns' names as text, in order."""
        return [str(name) for name in self._frame.columns]

    def kind(self, name: str) -> Kind:
        """Return the type of a column; of objects, the type of the first that is there."""
        column = self.column(name)
        dtype = column.cat.categories.dtype if column.dtype.name == "category" else column.dtype
        plain = getattr(dtype, "numpy_dtype", dtype)
        found = numpy_kind(plain) if isinstance(plain, np.dtype) else None
        if found is not None:
            return found
        if dtype.name in ("str", "string"):
            return "string"
        if dtype.kind == "M":
            return "datetime"
        present = column.dropna()
        return python_kind(present.iloc[0]) if len(present) else "string"

    def missing(self, name: str) -> bool:
        """Tell whether values of a column are missing."""
        return bool(self.column(name).isna().any())

    def column(self, name: str) -> Any:
        """Return a column as it is."""
        return self._frame[self._by_name[name]]

    def cast(self, name: str, to: str) -> Any:
        """Return the column as another type; no value may change."""
        column, kind = self.column(name), self.kind(name)
        present = column.dropna()
        if not len(present) and to in ("float", "double"):
            return column.astype(_NUMPY[to])
        if column.dtype == object and to in _NUMPY and all(python_kind(v) == kind for v in present):
            column = column.infer_objects()
        if kind == to or (not len(present) and to not in _NUMPY):
            return column
        if not isinstance(kind, str) or to not in _NUMPY:
            raise ValueError("")
        _check_numbers(present.to_numpy(), kind, to, loose=False)
        if len(present) != len(column) and to in RANGE:
            raise ValueError("some values are missing, and whole numbers have no place for that")
        return column.astype(_NUMPY[to])

    def build(self, columns: Mapping[str, object]) -> Any:
        """Return a pandas table of these columns, with the rows' labels."""
        if list(columns) == self.names and all(column is self.column(n) for n, column in columns.items()):
            return self._frame
        import pandas

        return pandas.DataFrame(dict(columns), index=self._frame.index)


def _check_numbers(values: np.ndarray[Any, Any], kind: str, to: str, *, loose: bool) -> None:
    """Raise ValueError where a cast of numbers would change one."""
    if {kind, to} & {"boolean", "string", "binary", "datetime"}:
        raise ValueError("")
    if kind == "double" and to == "float" and not loose:
        raise ValueError("single precision would round them: cast the column yourself")
    if not len(values):
        return
    if to in RANGE:
        low, high = RANGE[to]
        as_float = kind in ("float", "double")
        if as_float and not np.isfinite(values).all():
            raise ValueError("some values are missing, and whole numbers have no place for that")
        if as_float and (values != np.floor(values)).any():
            raise ValueError("some values are not whole")
        if values.min() < low or values.max() > high:
            raise ValueError("some values are too large")
    elif kind in RANGE and max(abs(int(values.min())), abs(int(values.max()))) > _MOST_EXACT[to]:
        raise ValueError("some values are too large to be exact")


@functools.cache
def _polars_types() -> dict[str, Any]:
    return {
        "boolean": pl.Boolean, "integer": pl.Int32, "long": pl.Int64, "float": pl.Float32, "double": pl.Float64,
    }  # fmt: skip


@functools.cache
def _plain_types() -> tuple[tuple[Any, str], ...]:
    return (
        (pl.String, "string"), (pl.Categorical, "string"), (pl.Enum, "string"), (pl.Null, "string"),
        (pl.Boolean, "boolean"), (pl.Binary, "binary"), (pl.Date, "datetime"), (pl.Datetime, "datetime"),
    )  # fmt: skip


def _polars_kind(name: str, dtype: Any) -> Kind:
    if dtype.is_integer():
        return "integer" if dtype in (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16) else "long"
    if dtype.is_float() or dtype.is_decimal():
        return "float" if dtype == pl.Float32 else "double"
    plain = next((kind for known, kind in _plain_types() if dtype == known), None)
    if plain is not None:
        return plain
    if dtype in (pl.List, pl.Array):
        return {"type": "array", "items": _json(_polars_kind(name, dtype.inner))}
    if dtype == pl.Struct:
        properties = {f.name: {**_json(_polars_kind(name, f.dtype)), "required": True} for f in dtype.fields}
        return {"type": "object", "properties": properties}
    raise InvalidInput(f"The column {name[:60]!a} holds {dtype}, which no signature has.", where="input")


def _is_column(value: object) -> bool:
    return isinstance(value, list | tuple | pl.Series) or np.ndim(value) == 1  # type: ignore[arg-type]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _json(kind: Kind) -> dict[str, Any]:
    return {"type": kind} if isinstance(kind, str) else dict(kind)
