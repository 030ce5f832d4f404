"""Profiles are bounded, finite, and add up."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.datasets.profile import BINS, TOP, profile


def column(values: list[object] | pl.Series) -> dict[str, Any]:
    series = values if isinstance(values, pl.Series) else pl.Series("x", values, strict=False)
    found = profile(pl.DataFrame({"x": series}))
    json.dumps(found, allow_nan=False)
    columns: Any = found["columns"]
    return dict(columns["x"])


_NUMBERS = st.lists(st.one_of(st.none(), st.floats(allow_nan=False, width=64)), max_size=40)


@given(_NUMBERS)
@settings(deadline=None)
def test_any_numbers(values: list[float | None]) -> None:
    found = column(pl.Series("x", values, dtype=pl.Float64))
    present = [v for v in values if v is not None]
    finite = [v for v in present if abs(v) < float("inf")]
    assert found["missing"] == len(values) - len(present)
    assert found["distinct"] == len(set(present))
    assert found.get("infinite", 0) == len(present) - len(finite)
    if finite:
        assert (found["min"], found["max"]) == (min(finite), max(finite))
        edges, counts = found["histogram"]["edges"], found["histogram"]["counts"]
        assert len(counts) == BINS
        assert len(edges) == BINS + 1
        assert sum(counts) == len(finite)
        assert edges == sorted(edges)
        assert edges[0] <= min(finite)
        assert edges[-1] >= max(finite)


@given(st.lists(st.one_of(st.none(), st.text(max_size=200)), max_size=60))
@settings(deadline=None)
def test_any_text(values: list[str | None]) -> None:
    found = column(pl.Series("x", values, dtype=pl.String))
    present = [v for v in values if v is not None]
    assert (found["missing"], found["distinct"]) == (len(values) - len(present), len(set(present)))
    top = found.get("top", [])
    assert len(top) <= TOP
    assert [count for _, count in top] == sorted((count for _, count in top), reverse=True)
    assert all(len(value) <= 80 for value, _ in top)


def test_kinds() -> None:
    assert column([True, False, True, None])["top"] == [[True, 2], [False, 1]]
    assert column([1, 1, 2])["top"] == [[1, 2], [2, 1]]
    dates = column([date(2011, 1, 1), date(2011, 1, 21)])
    assert (dates["type"], dates["min"], dates["max"]) == ("date", "2011-01-01", "2011-01-21")
    assert dates["histogram"]["edges"][:2] == ["2011-01-01T00:00:00", "2011-01-02T00:00:00"]
    moments = column([datetime(2011, 1, 1), datetime(2011, 1, 1, 20)])
    assert moments["histogram"]["edges"][1] == "2011-01-01T01:00:00"
    assert column([None, None])["missing"] == 2
    assert column(pl.Series("x", [], dtype=pl.Float64)) == {"type": "number", "missing": 0, "distinct": 0}


def test_a_wide_table_and_long_text_stay_small() -> None:
    wide = pl.DataFrame({f"c{i}": ["x" * 10_000, "y"] for i in range(700)})
    assert len(msgspec.json.encode(profile(wide))) < 200_000


def test_real_bikes(shared_data: Path) -> None:
    found = profile(pl.read_parquet(shared_data / "bike_sharing/hour.parquet"))
    columns: Any = found["columns"]
    assert found["rows"] == 17_379
    assert sum(columns["cnt"]["histogram"]["counts"]) == 17_379
    assert columns["season"]["top"][0][1] > 4_000
    assert columns["temp"]["distinct"] == 50
    assert len(msgspec.json.encode(found)) < 30_000
