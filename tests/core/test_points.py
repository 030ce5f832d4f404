"""A packed batch of points comes back as it was, and no bytes but a batch's are taken for one."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.core.points import MAGIC, Batch, batch_of, pack, rank, unpack

INT64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
ROWS = st.lists(st.tuples(NAMES, st.floats(), INT64, INT64), max_size=30)


def same(one: Batch, other: Batch) -> bool:
    return (one.names, one.index, one.steps, one.ats, one.values.tobytes()) == (
        other.names, other.index, other.steps, other.ats, other.values.tobytes(),
    )  # fmt: skip


@given(ROWS)
def test_a_batch_comes_back(rows: list[tuple[str, float, int, int]]) -> None:
    batch = batch_of(rows)
    assert len(batch) == len(rows) and list(map(repr, batch)) == list(map(repr, rows))
    assert same(unpack(pack(batch)), batch) and same(unpack(memoryview(pack(batch))), batch)


@given(ROWS, st.data())
def test_what_is_cut_or_longer_is_refused(rows: list[tuple[str, float, int, int]], data: st.DataObject) -> None:
    packed = pack(batch_of(rows))
    for bad in (packed[: data.draw(st.integers(0, len(packed) - 1))], packed + b"\0"):
        with pytest.raises(InvalidInput):
            unpack(bad)


@given(st.binary(max_size=60), ROWS, st.data())
def test_any_bytes_are_a_batch_or_refused(
    noise: bytes, rows: list[tuple[str, float, int, int]], data: st.DataObject
) -> None:
    packed = bytearray(pack(batch_of(rows)))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place : place + len(noise)] = noise[: len(packed) - place]
    for given_bytes in (noise, MAGIC + noise, bytes(packed)):
        try:
            found = unpack(given_bytes)
        except InvalidInput:
            continue
        assert all(0 <= place < len(found.names) for place in found.index)


@pytest.mark.parametrize(
    "row",
    [("", 1.0, 0, 0), ("a\n", 1.0, 0, 0), ("x" * 251, 1.0, 0, 0), (3, 1.0, 0, 0), ("a", "1", 0, 0), ("a", None, 0, 0),
     ("a", 1.0, 2**63, 0), ("a", 1.0, 0, -(2**63) - 1), ("a", 1.0, 0.5, 0), ("a", 1.0, None, 0), ("a", 1.0, 0)],
)  # fmt: skip
def test_what_is_no_point(row: tuple[object, ...]) -> None:
    with pytest.raises(InvalidInput):
        batch_of([row])  # type: ignore[list-item]


def test_bounds() -> None:
    for head in (struct.pack("<4sII", MAGIC, 0, 2**31), struct.pack("<4sII", MAGIC, 2**31, 0)):
        with pytest.raises(InvalidInput):
            unpack(head)
    doubled = pack(batch_of([("ab", 1.0, 0, 0), ("ac", 1.0, 0, 0)])).replace(b"ac", b"ab")
    with pytest.raises(InvalidInput):
        unpack(doubled)
    assert (rank(math.nan), rank(math.inf), rank(-math.inf), rank(2.5)) == (
        0.0,
        1.7976931348623157e308,
        -1.7976931348623157e308,
        2.5,
    )
