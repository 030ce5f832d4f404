"""Values come back as they went, without pickle, and what is no data is refused."""

from __future__ import annotations

import datetime
import enum
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.pipelines.model import Stored
from keepwell.pipelines.values import (
    Payload,
    as_kind,
    check_format,
    combine,
    decode,
    encode,
    file_bytes,
    manifest,
    parts_of,
    split,
)

FRAME = pl.DataFrame({"week": [datetime.date(2026, 1, 5), None], "units": [1.5, None], "store": ["ä", "b"]})


class Fit(msgspec.Struct, frozen=True):
    name: str
    weights: dict[str, float]


@dataclass(frozen=True)
class Card:
    title: str
    when: datetime.date


class Level(enum.Enum):
    LOW = "low"


def payload(value: object) -> Payload:
    kind, data = encode(value)
    return Payload(format=kind, data=data)


def there_and_back(value: object, kind: Any = None) -> Any:
    return decode(payload(value), kind)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_plain_values_come_back(value: object) -> None:
    assert there_and_back(value) == value


def test_nan_stays_nan() -> None:
    found = there_and_back([math.nan, math.inf, -math.inf])
    assert math.isnan(found[0]) and found[1:] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(3.5),
        np.array([], dtype="int8"),
        np.array(["a", "bc"]),
        np.array(["2026-01-05"], dtype="datetime64[D]"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.arange(10)[::-2],
    ],
)
def test_arrays_come_back(array: np.ndarray[Any, Any]) -> None:
    found = there_and_back(array)
    assert found.dtype == array.dtype and found.shape == array.shape and (found == array).all()
    assert found.flags.writeable
    nested = there_and_back({"all": [array]}, dict[str, list[np.ndarray]])
    assert (nested["all"][0] == array).all()


def test_frames_come_back() -> None:
    assert there_and_back(FRAME).equals(FRAME)
    assert there_and_back({"part": FRAME})["part"].equals(FRAME)
    assert there_and_back(pl.concat([FRAME[:1], FRAME[1:]], rechunk=False)).equals(FRAME)


def test_frames_are_mapped_from_files(tmp_path: Path) -> None:
    kind, data = encode(FRAME)
    (tmp_path / "f").write_bytes(data)
    assert decode(Payload(format=kind, path=str(tmp_path / "f"))).equals(FRAME)
    assert decode(Payload(format=kind, path=str(tmp_path / "f")), Path) == tmp_path / "f"


def test_structs_come_back_as_what_the_annotation_says() -> None:
    fit = Fit("South", {"lag1": 0.5})
    assert there_and_back(fit) == {"name": "South", "weights": {"lag1": 0.5}}
    assert there_and_back([fit], list[Fit]) == [fit]
    card = Card("t", datetime.date(2026, 1, 5))
    assert there_and_back(card, Card) == card
    assert there_and_back("low", Level) is Level.LOW
    assert there_and_back({"at": Path("a/b")}, dict[str, Path]) == {"at": Path("a/b")}
    assert there_and_back({"x": np.float64(1.5), "n": np.int32(2)}) == {"x": 1.5, "n": 2}


def test_wrong_types_are_said() -> None:
    with pytest.raises(InvalidInput, match=r"Expected `int`, got `str`.*\$\[0\]"):
        there_and_back(["one"], list[int])
    with pytest.raises(InvalidInput, match="annotation says"):
        as_kind("one", int)
    with pytest.raises(InvalidInput, match=r"expected a numpy\.ndarray"):
        there_and_back({"a": [1]}, dict[str, np.ndarray])


@pytest.mark.parametrize("kind", [Any, None, object(), "not a type"])
def test_annotations_that_say_nothing_about_data_are_passed_over(kind: Any) -> None:
    assert as_kind({"a": 1}, kind) == {"a": 1}


class Opaque:
    pass


@pytest.mark.parametrize(
    "value",
    [
        Opaque(),
        [Opaque()],
        lambda: 1,
        np.array([Opaque()]),
        pl.DataFrame({"o": [Opaque()]}, schema={"o": pl.Object}),
        FRAME.lazy(),
        2**70,
        {Opaque(): 1},
    ],
    ids=["object", "nested", "function", "object array", "object frame", "lazy frame", "huge", "key"],
)
def test_what_is_no_data_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        encode(value)


def test_a_list_in_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidInput):
        encode(loop)


def npy(header: bytes, body: bytes = b"") -> bytes:
    padded = header + b" " * (64 - (10 + len(header)) % 64 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + body


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("npy", b""),
        ("npy", b"not numpy at all"),
        ("npy", npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }", b"\0" * 8)),
        ("npy", npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04N.    ")),
        ("npy", npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", b"\0" * 8)),
        ("npy", npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }")),
        ("npy", npy(b"__import__('os').system('touch marker')")),
        ("ipc", b"ARROW1\0\0nothing"),
        ("parquet", b"PAR1"),
        ("text", b"\xff"),
        ("json", b"{'a': 1}"),
        ("json", b"[NaN]"),
        ("msgpack", b"\xc1"),
        ("msgpack", msgspec.msgpack.encode(msgspec.msgpack.Ext(77, b"x"))),
        ("msgpack", msgspec.msgpack.encode(msgspec.msgpack.Ext(1, b"x"))),
        ("pickle", b"\x80\x04N."),
    ],
)
def test_bytes_that_are_not_their_format_are_refused(form: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(Payload(format=form, data=data))
    assert "\n" not in caught.value.message


def test_chunks_are_combined() -> None:
    assert combine([[1], [2, 3]]) == [1, 2, 3]
    assert combine([{"a": 1}, {"b": 2}]) == {"a": 1, "b": 2}
    assert combine([FRAME, FRAME]).height == 4
    assert combine([1, 2]) == [1, 2]
    assert combine([None, None]) is None
    assert combine([]) == []
    with pytest.raises(InvalidInput, match="Two chunks made the key 'a'"):
        combine([{"a": 1}, {"a": 2}])


def test_parts_are_one_value() -> None:
    parts = Payload(format="parts", parts=[payload([Fit("a", {})]), payload([Fit("b", {})])])
    assert decode(parts, list[Fit]) == [Fit("a", {}), Fit("b", {})]
    with pytest.raises(InvalidInput, match="annotation says"):
        decode(parts, list[int])
    stored = [Stored("sha256:" + "0" * 64, "ipc"), Stored("sha256:" + "1" * 64, "npy")]
    assert parts_of(manifest(stored)) == stored


def test_lists_are_split() -> None:
    assert [msgspec.msgpack.decode(d) for d in split(payload(list(range(5))), 2)] == [[0, 1], [2, 3], [4]]
    assert split(payload([]), 2) == []
    for value in ("text", {"a": 1}, 3, FRAME):
        with pytest.raises(InvalidInput, match="only a list"):
            split(payload(value), 2)


def test_values_become_files() -> None:
    ending, data = file_bytes(payload(FRAME), None)
    assert ending == ".parquet" and data.startswith(b"PAR1")
    assert file_bytes(payload(FRAME), "csv") == (".csv", b"week,units,store\n2026-01-05,1.5,\xc3\xa4\n,,b\n")
    assert file_bytes(payload({"b": 1, "a": [2]}), None) == (".json", b'{"a":[2],"b":1}')
    assert file_bytes(payload("text"), None) == (".txt", b"text")
    assert file_bytes(payload(b"\0"), None) == ("", b"\0")
    assert file_bytes(payload(np.arange(2)), None)[0] == ".npy"
    parts = Payload(format="parts", parts=[payload([1]), payload([2])])
    assert file_bytes(parts, None) == (".json", b"[1,2]")
    assert file_bytes(Payload(format="csv", data=b"a\n1\n"), None) == (".csv", b"a\n1\n")
    for value, form in (({"a": 1}, "csv"), (FRAME, "npy"), ([1], "parquet"), ({"a": math.nan}, "json")):
        with pytest.raises(InvalidInput):
            file_bytes(payload(value), form)


def test_formats_have_names() -> None:
    assert check_format("csv", "formats.x") == "csv"
    for name in ("pickle", "parts", "", "joblib"):
        with pytest.raises(InvalidInput, match="no file format"):
            check_format(name, "formats.x")
