"""What goes between a model's process and the one that asks: values and arrays, and nothing that runs.

A message is a MessagePack tree, then the bytes of the arrays it names. Both sides check what they read: the other side
may be a model that was made to do harm.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from keepwell.core.errors import Damaged, InvalidInput
from keepwell.core.lazy import pl
from keepwell.models.signatures.tables import is_of

MAX_MESSAGE = 4 << 30
_KINDS = frozenset("biufUSMmc")
_MARK = "~"


def encode(value: object) -> bytes:
    """Return a value as bytes: plain values, dicts, lists, numpy arrays, polars and pandas tables.

    Raises:
        InvalidInput: it holds something else.
    """
    arrays: list[bytes] = []
    try:
        header = msgspec.msgpack.encode(_lower(value, arrays))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"This cannot be handed to a model's process: {str(error)[:200]}.", where="input") from error
    return b"".join([len(header).to_bytes(4, "big"), header, *arrays])


def decode(data: bytes) -> Any:
    """Return the value that `encode` wrote.

    Raises:
        Damaged: the bytes are no such message.
    """
    try:
        size = int.from_bytes(data[:4], "big")
        tree = msgspec.msgpack.decode(data[4 : 4 + size])
        reader = _Reader(memoryview(data), 4 + size)
        value = reader.raise_(tree)
    except (
        msgspec.DecodeError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        RecursionError,
        pl.exceptions.PolarsError,
    ):
        raise Damaged("A model's process answered with something that is no message.") from None
    if reader.at != len(data):
        raise Damaged("A model's process answered with more than it says.")
    return value


def _lower(value: Any, arrays: list[bytes]) -> Any:
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if is_of(value, "pandas"):
        return _lower_pandas(value, arrays)
    if is_of(value, "polars"):
        return _lower_table(value, arrays)
    for kind, lower in _LOWERED:
        if isinstance(value, kind):
            return lower(value, arrays)
    raise TypeError(f"a {type(value).__name__} is no plain value, array or table")


def _lower_mapping(value: Mapping[Any, Any], arrays: list[bytes]) -> dict[str, Any]:
    if _MARK in value:
        raise TypeError(f"the key {_MARK!r} is taken")
    return {str(name): _lower(item, arrays) for name, item in value.items()}


@functools.cache
def _dtypes() -> dict[str, Any]:
    known = (
        pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64,
        pl.Boolean, pl.String, pl.Binary, pl.Date,
    )  # fmt: skip
    return {str(dtype): dtype for dtype in known}


def _tagged(kind: str, value: Any) -> dict[str, Any]:
    return {_MARK: [kind, value]}


def _lower_array(value: Any, arrays: list[bytes]) -> Any:
    if value.dtype == object:
        return _tagged("objects", [list(value.shape), [_lower(item, arrays) for item in value.ravel().tolist()]])
    if value.dtype.kind not in _KINDS or value.dtype.names:
        raise TypeError(f"an array of {value.dtype} has no place in a message")
    plain = np.ascontiguousarray(value)
    arrays.append(plain.tobytes())
    return _tagged("array", [plain.dtype.str, list(value.shape)])


def _lower_table(value: Any, arrays: list[bytes]) -> Any:
    if isinstance(value, pl.Series):
        return _tagged("series", [_lower_series(value, arrays)])
    if isinstance(value, pl.DataFrame):
        return _tagged("polars", [_lower_series(series, arrays) for series in value.get_columns()])
    raise TypeError(f"a {type(value).__name__} is no table")


_LOWERED: tuple[tuple[Any, Any], ...] = (
    (np.ndarray, lambda value, arrays: _lower_array(value, arrays)),
    (np.generic, lambda value, arrays: _lower(value.item(), arrays)),
    (Mapping, lambda value, arrays: _lower_mapping(value, arrays)),
    ((list, tuple), lambda value, arrays: [_lower(item, arrays) for item in value]),
    (dt.datetime, lambda value, _: _tagged("time", value.isoformat())),
    (dt.date, lambda value, _: _tagged("date", value.isoformat())),
)


def _lower_series(series: pl.Series, arrays: list[bytes]) -> list[Any]:
    dtype = str(series.dtype)
    if series.dtype.is_numeric() and not series.dtype.is_decimal() and not series.null_count():
        return [series.name, dtype, _lower_array(series.to_numpy(), arrays)]
    return [series.name, dtype, [_lower(item, arrays) for item in series.to_list()]]


def _lower_pandas(value: Any, arrays: list[bytes]) -> Any:
    if not hasattr(value, "columns"):
        return _tagged("pandas_series", [str(value.name) if value.name is not None else None, _column(value, arrays)])
    columns = [[str(name), _column(value.iloc[:, place], arrays)] for place, name in enumerate(value.columns)]
    plain = type(value.index).__name__ == "RangeIndex"
    index = None if plain else [_lower(_time(item), arrays) for item in value.index.tolist()]
    return _tagged("pandas", [columns, index, len(value)])


def _column(series: Any, arrays: list[bytes]) -> list[Any]:
    plain = series.to_numpy()
    if isinstance(series.dtype, np.dtype) and plain.dtype != object:
        return ["", _lower_array(plain, arrays)]
    name = str(series.dtype)
    values = [None if _missing(item) else _lower(_time(item), arrays) for item in series.tolist()]
    return [name, values]


def _missing(item: Any) -> bool:
    return type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, float) and np.isnan(item))


def _time(item: Any) -> Any:
    return item.to_pydatetime() if type(item).__name__ == "Timestamp" else item


class _Reader:
    """Reads the arrays that follow a tree, in the order in which the tree names them."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data = data
        self.at = at

    def raise_(self, value: Any) -> Any:
        """Return a value with its arrays."""
        if isinstance(value, list):
            return [self.raise_(item) for item in value]
        if not isinstance(value, dict):
            return value
        if _MARK not in value:
            return {name: self.raise_(item) for name, item in value.items()}
        kind, held = value[_MARK]
        return _RAISED[kind](self, held)

    def array(self, held: Any) -> Any:
        """Return the next array."""
        code, shape = held
        dtype = np.dtype(str(code))
        if dtype.kind not in _KINDS or any(type(n) is not int or n < 0 for n in shape):
            raise ValueError("no array")
        size = dtype.itemsize
        for length in shape:
            size *= length
        end = self.at + size
        if end > len(self._data):
            raise ValueError("cut short")
        found = np.frombuffer(self._data[self.at : end], dtype).reshape(shape).copy()
        self.at = end
        return found

    def objects(self, held: Any) -> Any:
        """Return an array of plain Python values."""
        shape, items = held
        found = np.empty(len(items), dtype=object)
        found[:] = [self.raise_(item) for item in items]
        return found.reshape(shape)

    def series(self, held: Any) -> pl.Series:
        """Return a polars series."""
        return self._series(held[0])

    def polars(self, held: Any) -> pl.DataFrame:
        """Return a polars table."""
        return pl.DataFrame([self._series(one) for one in held])

    def pandas(self, held: Any) -> Any:
        """Return a pandas table."""
        import pandas

        columns, index, count = held
        made = {place: self._column(column) for place, (_, column) in enumerate(columns)}
        labels = pandas.RangeIndex(count) if index is None else self.raise_(index)
        frame = pandas.DataFrame({place: pandas.Series(v, index=labels) for place, v in made.items()}, index=labels)
        frame.columns = [name for name, _ in columns]
        return frame

    def pandas_series(self, held: Any) -> Any:
        """Return a pandas series."""
        import pandas

        return pandas.Series(self._column(held[1]), name=held[0])

    def _series(self, held: Any) -> pl.Series:
        name, dtype, values = held
        raised = self.raise_(values)
        try:
            return pl.Series(name, raised, dtype=_dtypes().get(dtype), strict=False)
        except pl.exceptions.PolarsError as error:
            raise ValueError("no column") from error

    def _column(self, held: Any) -> Any:
        import pandas

        dtype, values = held
        raised = self.raise_(values)
        if not dtype or dtype == "object":
            return raised
        return pandas.array(raised, dtype=dtype)


_RAISED: dict[str, Any] = {
    "array": _Reader.array,
    "objects": _Reader.objects,
    "series": _Reader.series,
    "polars": _Reader.polars,
    "pandas": _Reader.pandas,
    "pandas_series": _Reader.pandas_series,
    "time": lambda _, text: dt.datetime.fromisoformat(text),
    "date": lambda _, text: dt.date.fromisoformat(text),
}
