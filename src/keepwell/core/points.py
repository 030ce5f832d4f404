"""Metric points packed in columns: how a batch travels and how it is stored.

A packed batch is, little endian: `KWP1`, the number of names (uint32), the number of points (uint32), each name as its
length in bytes (uint16) and UTF-8, zeros up to a multiple of 8, and four columns over the points: steps (int64),
moments (int64, milliseconds since 1970), values (float64, NaN and infinities included), index of the name (int32).
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from keepwell.core.errors import InvalidInput

MAGIC = b"KWP1"
MOST = 1_000_000
"""How many points one batch has at most."""
LONGEST_NAME = 250
_HEAD = struct.Struct("<4sII")
_LENGTH = struct.Struct("<H")
_WIDTH = 28

PointRow: TypeAlias = tuple[str, float, int, int]
"""Name, value, step, moment in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Points of one run, in columns of equal length.

    Attributes:
        names: the metrics' names, each once.
        index: for each point the place of its name (int32).
        steps: steps (int64).
        ats: moments, milliseconds since 1970 (int64).
        values: values (float64).
    """

    names: tuple[str, ...]
    index: array[int]
    steps: array[int]
    ats: array[int]
    values: array[float]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[PointRow]:
        names = self.names
        for place, value, step, at in zip(self.index, self.values, self.steps, self.ats, strict=True):
            yield names[place], value, step, at


def batch_of(points: Iterable[PointRow]) -> Batch:
    """Return points (name, value, step, moment) as a batch.

    Raises:
        InvalidInput: a name cannot be used, a value is no number, or a step or moment is no 64-bit whole number.
    """
    places: dict[str, int] = {}
    index, steps, ats, values = array("i"), array("q"), array("q"), array("d")
    try:
        for name, value, step, at in points:
            place = places.get(name)
            if place is None:
                place = places[_check_name(name)] = len(places)
            index.append(place)
            values.append(value)
            steps.append(step)
            ats.append(at)
    except (TypeError, OverflowError, ValueError) as error:
        raise InvalidInput(
            "A point is a name, a number, a step and a moment, the last two whole numbers of 64 bits.", where="points"
        ) from error
    if len(steps) > MOST:
        raise InvalidInput(f"A batch has at most {MOST:,} points.", where="points")
    return Batch(tuple(places), index, steps, ats, values)


def pack(batch: Batch) -> bytes:
    """Return a batch as bytes."""
    parts = [_HEAD.pack(MAGIC, len(batch.names), len(batch))]
    for name in batch.names:
        encoded = name.encode()
        parts += (_LENGTH.pack(len(encoded)), encoded)
    parts.append(bytes(-sum(map(len, parts)) % 8))
    parts += (_bytes_of(column) for column in (batch.steps, batch.ats, batch.values, batch.index))
    return b"".join(parts)


def unpack(data: bytes | memoryview) -> Batch:
    """Return the batch that `pack` wrote.

    Raises:
        InvalidInput: the bytes are no batch, or not a whole one.
    """
    view = memoryview(data).cast("B")
    try:
        magic, names_count, count = _HEAD.unpack_from(view)
        if magic != MAGIC or count > MOST or names_count > max(count, 1):
            raise InvalidInput("These bytes are not a batch of points.", where="points")
        names, place = [], _HEAD.size
        for _ in range(names_count):
            (length,) = _LENGTH.unpack_from(view, place)
            place += _LENGTH.size + length
            names.append(_check_name(bytes(view[place - length : place]).decode()))
    except (struct.error, UnicodeDecodeError) as error:
        raise InvalidInput("These bytes are not a batch of points.", where="points") from error
    place += -place % 8
    if len(view) != place + count * _WIDTH or len(set(names)) != len(names):
        raise InvalidInput("This batch of points is not whole; send it again.", where="points")
    steps = _column("q", view[place : place + 8 * count])
    ats = _column("q", view[place + 8 * count : place + 16 * count])
    values = _column("d", view[place + 16 * count : place + 24 * count])
    index = _column("i", view[place + 24 * count :])
    if count and not (min(index) >= 0 and max(index) < names_count):
        raise InvalidInput("A point of this batch has no name.", where="points")
    return Batch(tuple(names), index, steps, ats, values)


def rank(value: float) -> float:
    """Return the number that stands for a value where points are ordered: 0 for NaN, the largest for an infinity."""
    if math.isnan(value):
        return 0.0
    return max(-sys.float_info.max, min(sys.float_info.max, value))


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise InvalidInput("The name of a metric is 1 to 250 printable characters.", where="metrics")
    return name


def _bytes_of(column: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _column(code: str, view: memoryview) -> array[Any]:
    column: array[Any] = array(code)
    column.frombytes(view)
    if sys.byteorder == "big":
        column.byteswap()
    return column
