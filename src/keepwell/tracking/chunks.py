"""Columns of points, packed: a sorted, deduplicated part of one metric's history. Pure, over numpy arrays.

A chunk is `KWC1` and a zlib stream of three columns of 8 bytes a point: differences of the moments, differences of the
steps, values; each column's bytes stand by significance, which makes them compress to a few bytes a point.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keepwell.core.errors import Damaged, InvalidInput
from keepwell.core.points import Batch, pack, unpack
from keepwell.tracking.model import Series

MAGIC = b"KWC1"
MOST = 65_536
"""Points of one chunk at most."""
_LEVEL = 1
_LARGEST = np.finfo(np.float64).max
_EMPTY = Series(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


def encode(series: Series) -> bytes:
    """Return points as a chunk."""
    columns = (_differences(series.ats), _differences(series.steps), series.values.astype("<f8"))
    return MAGIC + zlib.compress(b"".join(_spread(column) for column in columns), _LEVEL)


def decode(data: bytes, points: int) -> Series:
    """Return the points of a chunk.

    Raises:
        Damaged: the bytes are no chunk of so many points.
    """
    if data[:4] != MAGIC:
        raise Damaged("A chunk of metric points is damaged; restore a backup.")
    plain = _inflate(data[4:], points * 24)
    if len(plain) != points * 24:
        raise Damaged("A chunk of metric points is not whole; restore a backup.")
    ats, steps, values = (_gather(plain[points * 8 * n : points * 8 * (n + 1)]) for n in range(3))
    return Series(np.cumsum(steps.view("<i8")), np.cumsum(ats.view("<i8")), values.view("<f8").astype(np.float64))


def in_order(parts: Iterable[Series]) -> Series:
    """Return the set of points of some parts, ordered by moment, step and value; NaN stands at 0."""
    given = [part for part in parts if len(part)]
    if not given:
        return _EMPTY
    ats, steps, values = (np.concatenate([getattr(s, name) for s in given]) for name in ("ats", "steps", "values"))
    missing = np.isnan(values)
    values = np.where(missing, np.nan, values + 0.0)  # one NaN, and no -0
    ranks = np.where(missing, 0.0, np.clip(values, -_LARGEST, _LARGEST))
    after = _after(ats, steps, values, ranks, missing)
    if not bool(np.all(after)):
        order = np.lexsort((values.view(np.int64), missing, ranks, steps, ats))
        ats, steps, values, ranks, missing = ats[order], steps[order], values[order], ranks[order], missing[order]
        same = (
            (ats[1:] == ats[:-1])
            & (steps[1:] == steps[:-1])
            & (values.view(np.int64)[1:] == values.view(np.int64)[:-1])
        )
        keep = np.concatenate([[True], ~same])
        ats, steps, values = ats[keep], steps[keep], values[keep]
    return Series(steps, ats, values)


def by_step(series: Series) -> Series:
    """Return the points ordered by step, moment and value."""
    if bool(np.all(series.steps[1:] > series.steps[:-1])):
        return series  # as nearly every series is: one point a step, logged in their order
    missing = np.isnan(series.values)
    ranks = np.where(missing, 0.0, np.clip(series.values, -_LARGEST, _LARGEST))
    order = np.lexsort((missing, ranks, series.ats, series.steps))
    return Series(series.steps[order], series.ats[order], series.values[order])


def between(series: Series, first: int | None, last: int | None) -> Series:
    """Return the points of steps from `first` to `last`; None leaves that end open."""
    keep = np.ones(len(series), np.bool_)
    if first is not None:
        keep &= series.steps >= first
    if last is not None:
        keep &= series.steps <= last
    return Series(series.steps[keep], series.ats[keep], series.values[keep])


def sample(series: Series, most: int) -> Series:
    """Return at most `most` of the points, the first of each of so many equal parts, and the last one in any case.

    Of one point only the last is kept. This is the rule of MLflow's interval histories.
    """
    count = len(series)
    if count <= most:
        return series
    size, larger = divmod(count, most)
    lengths = np.full(most, size)
    lengths[:larger] += 1
    places = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    places[-1] = count - 1
    return Series(series.steps[places], series.ats[places], series.values[places])


def split_log(rows: Iterable[tuple[bytes, int]], only: str | None = None) -> dict[str, list[Series]]:
    """Return the points of log rows (data, points) by metric, as parts.

    Raises:
        Damaged: a row is no batch of so many points.
    """
    found: dict[str, list[Series]] = {}
    for data, points in rows:
        batch = read_log(data, points)
        if only is not None and only not in batch.names:
            continue
        places = np.frombuffer(batch.index, np.int32)
        steps, ats = np.frombuffer(batch.steps, np.int64), np.frombuffer(batch.ats, np.int64)
        values = np.frombuffer(batch.values, np.float64)
        for place, name in enumerate(batch.names):
            if only is None or name == only:
                mine = places == place
                part = Series(steps[mine], ats[mine], values[mine])
                found.setdefault(name, []).append(part)
    return found


def read_log(data: bytes, points: int) -> Batch:
    """Return the batch of a row of the log.

    Raises:
        Damaged: the bytes are no batch of so many points.
    """
    try:
        batch = unpack(data if data[:4] == b"KWP1" else _inflate(data, 64 << 20))
    except InvalidInput as error:
        raise Damaged("A batch of metric points is damaged; restore a backup.") from error
    if len(batch) != points:
        raise Damaged("A batch of metric points is not whole; restore a backup.")
    return batch


def write_log(series: dict[str, Series]) -> tuple[bytes, int]:
    """Return metrics as one small row of the log, and how many points it has."""
    index = array("i")
    columns: tuple[array[Any], ...] = (array("q"), array("q"), array("d"))
    for place, one in enumerate(series.values()):
        index.frombytes(np.full(len(one), place, np.int32).tobytes())
        for column, values in zip(columns, (one.steps, one.ats, one.values), strict=True):
            column.frombytes(values.tobytes())
    batch = Batch(tuple(series), index, *columns)
    return zlib.compress(pack(batch), _LEVEL), len(batch)


def _after(
    ats: NDArray[np.int64],
    steps: NDArray[np.int64],
    values: NDArray[np.float64],
    ranks: NDArray[np.float64],
    missing: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Tell of each point but the first whether it comes after the one before it."""
    same_at, same_step, same_rank = ats[1:] == ats[:-1], steps[1:] == steps[:-1], ranks[1:] == ranks[:-1]
    larger = (ranks[1:] > ranks[:-1]) | (same_rank & (missing[1:] & ~missing[:-1]))
    return (ats[1:] > ats[:-1]) | (same_at & ((steps[1:] > steps[:-1]) | (same_step & larger)))  # type: ignore[no-any-return]


def _differences(column: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.diff(column.astype("<i8"), prepend=np.int64(0))


def _spread(column: NDArray[np.generic]) -> bytes:
    return np.ascontiguousarray(column).view(np.uint8).reshape(-1, 8).T.tobytes()


def _gather(data: bytes) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(8, -1).T).reshape(-1)


def _inflate(data: bytes, most: int) -> bytes:
    try:
        work = zlib.decompressobj()
        plain = work.decompress(data, most + 1)
    except zlib.error as error:
        raise Damaged("Stored metric points are damaged; restore a backup.") from error
    if not work.eof:
        raise Damaged("Stored metric points are damaged; restore a backup.")
    return plain
