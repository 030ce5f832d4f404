from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import Damaged
from keepwell.forecasting.artifact import pack, unpack

TREE = {
    "segment": "format=A",
    "weights": {"lasso": 0.25},
    "states": {"lasso": {"x": np.arange(6, dtype=np.float64).reshape(2, 3), "i": np.array([1, 2], np.int32)}},
    "nets": [{"w": np.ones((0, 3), np.float32)}, {"text": b"tree"}],
}


def test_round_trip() -> None:
    found = unpack(pack(TREE))
    assert found["segment"] == "format=A"
    assert found["weights"] == {"lasso": 0.25}
    np.testing.assert_array_equal(found["states"]["lasso"]["x"], TREE["states"]["lasso"]["x"])  # type: ignore[index,call-overload]
    assert found["states"]["lasso"]["i"].dtype == np.int32
    assert found["nets"][0]["w"].shape == (0, 3)
    assert found["nets"][1]["text"] == b"tree"


def test_the_same_tree_makes_the_same_bytes() -> None:
    assert pack(TREE) == pack(TREE)


def test_objects_are_refused() -> None:
    with pytest.raises(TypeError):
        pack({"x": np.array([object()])})


@pytest.mark.parametrize("cut", [0, 3, 7, 40, -1])
def test_a_cut_is_noticed(cut: int) -> None:
    with pytest.raises(Damaged):
        unpack(pack(TREE)[:cut])


def test_more_than_it_says_is_noticed() -> None:
    with pytest.raises(Damaged):
        unpack(pack(TREE) + b"x")


@given(st.binary(max_size=200))
def test_any_bytes_are_either_read_or_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        unpack(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_never_crashes(place: int, value: int) -> None:
    data = bytearray(pack(TREE))
    data[place % len(data)] = value
    with suppress(Damaged):
        unpack(bytes(data))
