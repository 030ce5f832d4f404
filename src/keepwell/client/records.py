"""The form of a spool's records. Pure.

A segment begins with `HEADER`: eight bytes of magic and version, and the number of its first record. Each record is a
length and a CRC-32 (both uint32), then that many bytes, of which the first is the kind; all numbers are little endian.
A record that was cut off, or whose bytes changed, ends what can be read of its segment.

`POINT` has a fixed form of 31 bytes, so that a long row of them is read and checked at once with numpy: run (uint16)
and name (uint32) by the number that a `RUN` or `NAME` record of the same segment gave them, step and moment (int64,
milliseconds since the epoch), value (float64).
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAGIC = b"KWSPOOL1"
HEADER = struct.Struct("<8sQ")
FRAME = struct.Struct("<II")
POINT = struct.Struct("<BHIqqd")
RUN_HEAD = struct.Struct("<BH")
NAME_HEAD = struct.Struct("<BI")

KIND_RUN, KIND_NAME, KIND_POINT, KIND_PACKED, KIND_OP, KIND_FILE, KIND_LATE = range(1, 8)
"""A FILE is uploaded in a lane of its own; a LATE is an operation that takes that lane; see `lanes`."""
MOST = 64 << 20
"""Bytes of the longest record."""

_WHOLE_POINT = FRAME.size + POINT.size
_FEW = 64
"""Rows of points shorter than this are read one by one."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Points that stand one after the other.

    Attributes:
        rows: tuples, or a structured array, of run, name, step, at and value.
        count: how many records.
    """

    rows: Any
    count: int


@dataclass(frozen=True, slots=True)
class Other:
    """A record of any other kind; `payload` is without the kind."""

    kind: int
    payload: bytes


def frame(payload: bytes) -> bytes:
    """Return a payload as a record."""
    return FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def run_record(number: int, run: str) -> bytes:
    """Return the record that gives a run a number in its segment."""
    return frame(RUN_HEAD.pack(KIND_RUN, number) + run.encode())


def name_record(number: int, name: str) -> bytes:
    """Return the record that gives a metric's name a number in its segment."""
    return frame(NAME_HEAD.pack(KIND_NAME, number) + name.encode())


def packed_record(run: int, batch: bytes) -> bytes:
    """Return the record of a batch of points in the form of `core.points`."""
    return frame(RUN_HEAD.pack(KIND_PACKED, run) + batch)


def scan(data: bytes) -> Iterator[tuple[Rows | Other, int]]:
    """Yield the whole records of `data`, each with the offset at which it ends; stop at the first that is not whole."""
    at = 0
    while at + FRAME.size <= len(data):
        length, crc = FRAME.unpack_from(data, at)
        start, end = at + FRAME.size, at + FRAME.size + length
        if not 0 < length <= MOST or end > len(data):
            return
        if length == POINT.size and data[start] == KIND_POINT:
            rows = _points(data, at)
            if rows is None:
                return
            at += rows.count * _WHOLE_POINT
            yield rows, at
            continue
        payload = data[start:end]
        if zlib.crc32(payload) != crc:
            return
        at = end
        yield Other(payload[0], payload[1:]), at


def _points(data: bytes, at: int) -> Rows | None:
    """Return the points from `at` on, at most some thousands; None when not even the first is whole."""
    rows: list[tuple[int, int, int, int, float]] = []
    end = at
    while len(rows) < _FEW and end + _WHOLE_POINT <= len(data):
        length, crc = FRAME.unpack_from(data, end)
        payload = data[end + FRAME.size : end + _WHOLE_POINT]
        if length != POINT.size or payload[0] != KIND_POINT:
            break
        if zlib.crc32(payload) != crc:
            break
        rows.append(POINT.unpack(payload)[1:])
        end += _WHOLE_POINT
    if len(rows) == _FEW and end + _FEW * _WHOLE_POINT <= len(data):
        more = _many_points(data, at)
        return Rows(more, len(more))
    return Rows(rows, len(rows)) if rows else None


def _many_points(data: bytes, at: int) -> npt.NDArray[np.void]:
    import numpy as np

    count, end = 16 * _FEW, len(data)
    while True:
        most = min(count, (end - at) // _WHOLE_POINT)
        found = np.frombuffer(data, dtype=_dtype(), count=most, offset=at)
        good = (found["length"] == POINT.size) & (found["kind"] == KIND_POINT)
        whole = most if bool(good.all()) else int(good.argmin())
        if whole < count or most < count or count >= 1 << 15:
            break
        count *= 8
    raw = np.frombuffer(data, dtype=np.uint8, count=whole * _WHOLE_POINT, offset=at).reshape(whole, _WHOLE_POINT)
    same = _crcs(raw[:, FRAME.size :]) == found["crc"][:whole]
    return found[: whole if bool(same.all()) else int(same.argmin())]


def _crcs(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Return the CRC-32 of each row (ISO-HDLC: reflected polynomial 0xEDB88320, as zlib's)."""
    import numpy as np

    table = _table()
    total = np.full(len(rows), 0xFFFFFFFF, dtype=np.uint32)
    for column in range(rows.shape[1]):
        total = table[(total ^ rows[:, column]) & 0xFF] ^ (total >> np.uint32(8))
    return total ^ np.uint32(0xFFFFFFFF)


@functools.cache
def _table() -> npt.NDArray[np.uint32]:
    import numpy as np

    return np.array([_of_byte(byte) for byte in range(256)], dtype=np.uint32)


def _of_byte(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0xEDB88320 if byte & 1 else 0)
    return byte


@functools.cache
def _dtype() -> np.dtype[np.void]:
    import numpy as np

    fields = [("length", "<u4"), ("crc", "<u4"), ("kind", "u1"), ("run", "<u2"), ("name", "<u4"), ("step", "<i8"),
              ("at", "<i8"), ("value", "<f8")]  # fmt: skip
    return np.dtype(fields)
