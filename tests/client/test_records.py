"""What was written is read again up to the first byte that is not what it was, and nothing else is."""

from __future__ import annotations

import zlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.client import records

POINTS = st.tuples(
    st.integers(0, 65_535),
    st.integers(0, 2**32 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
)
OTHERS = st.tuples(st.sampled_from([1, 2, 4, 5, 6]), st.binary(max_size=80))


def written(items: list[object]) -> bytes:
    return b"".join(
        records.frame(records.POINT.pack(records.KIND_POINT, *item))  # type: ignore[misc]
        if len(item) == 5  # type: ignore[arg-type]
        else records.frame(bytes((item[0],)) + item[1])  # type: ignore[index]
        for item in items
    )


def read(data: bytes) -> list[object]:
    found: list[object] = []
    for one, _ in records.scan(data):
        if isinstance(one, records.Other):
            found.append((one.kind, one.payload))
        else:
            rows = one.rows if isinstance(one.rows, list) else [tuple(row)[3:] for row in one.rows.tolist()]
            assert len(rows) == one.count
            found.extend(rows)
    return found


@given(st.lists(st.one_of(POINTS, OTHERS), max_size=40))
def test_everything_is_read_as_it_was_written(items: list[object]) -> None:
    assert read(written(items)) == items


@given(st.lists(st.one_of(POINTS, OTHERS), min_size=1, max_size=20), st.data())
def test_any_part_of_the_beginning_is_readable(items: list[object], data: st.DataObject) -> None:
    whole = written(items)
    cut = data.draw(st.integers(0, len(whole)))
    found = read(whole[:cut])
    assert found == items[: len(found)]
    assert cut < len(whole) or len(found) == len(items)
    assert len(written(items[: len(found) + 1])) > cut or len(found) == len(items)


@given(st.lists(st.one_of(POINTS, OTHERS), min_size=1, max_size=20), st.data())
def test_a_changed_byte_ends_what_is_read(items: list[object], data: st.DataObject) -> None:
    whole = bytearray(written(items))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    found = read(bytes(whole))
    before = 0
    while before < len(items) and len(written(items[: before + 1])) <= place:
        before += 1
    assert found == items[:before]


def test_noise_is_no_record() -> None:
    noise = np.random.default_rng(3).bytes(200_000)
    assert read(noise) == [] and read(bytes(1000)) == []


@settings(max_examples=20, deadline=None)
@given(st.integers(100, 3_000), st.data())
def test_long_rows_are_read_at_once_and_checked_one_by_one(count: int, data: st.DataObject) -> None:
    draw = np.random.default_rng(count)
    rows = [(1, int(n), int(s), 5, float(v)) for n, s, v in draw.integers(0, 99, (count, 3))]
    whole = bytearray(written([*rows, (6, b"x"), *rows[:70]]))
    assert read(bytes(whole)) == [*rows, (6, b"x"), *rows[:70]]
    broken = data.draw(st.integers(0, count - 1))
    whole[broken * 39 + 20] ^= 1
    assert read(bytes(whole)) == rows[:broken]


def test_the_checksum_is_zlibs() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (50, 31), dtype=np.uint8)
    assert records._crcs(rows).tolist() == [zlib.crc32(row.tobytes()) for row in rows]
