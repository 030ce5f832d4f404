"""The MLmodel file: what is written is what any YAML reader reads."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.models.flavors import mlmodel

PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20),
)  # fmt: skip
TREES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab:#- 1", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["a", "b c", "on", "1", "x-y", "d_e"]), TREES, max_size=4))
def test_what_is_written_is_what_is_read(value: dict[str, Any]) -> None:
    value["flavors"] = {"sklearn": {"data": "x"}}
    text = mlmodel.text(value)
    assert mlmodel.parse(text.encode()) == value
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize("number", [1e-05, 1e300, 1.5e-7, -2e-10, 0.1, 3.0])
def test_floats_stay_floats(number: float) -> None:
    assert mlmodel.parse(mlmodel.text({"flavors": {"a": {"n": number}}}).encode())["flavors"]["a"]["n"] == number


def test_too_deep_or_tangled_is_refused() -> None:
    for text in (b"flavors: " + b"{a: " * 100 + b"1" + b"}" * 100, b"a: &x {b: 1}\nflavors: {c: *x, d: *x}"):
        with pytest.raises(InvalidInput):
            mlmodel.parse(text)
