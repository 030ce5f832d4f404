"""What two versions' difference says."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.datasets import difference
from keepwell.datasets.difference import compare, compare_profiles
from keepwell.datasets.model import Form, SourceFile
from keepwell.datasets.profile import profile

FORM = Form(time="t", keys=("k",))


def test_columns_rows_and_distributions() -> None:
    before = pl.DataFrame({"k": ["a", "a", "b"], "t": [1, 2, 1], "v": [1.0, 2.0, None], "old": [1, 1, 1]})
    after = pl.DataFrame({"k": ["a", "b", "b"], "t": [1, 1, 2], "v": [1.0, 5.0, float("inf")], "new": ["x", "y", "z"]})
    found = compare(before, after, FORM)
    assert [(c.column, c.change) for c in found.columns] == [("old", "removed"), ("new", "added")]
    assert found.rows is not None
    assert (found.rows.added, found.rows.removed, found.rows.changed, found.rows.same) == (1, 1, 1, 1)
    assert found.rows.examples["changed"] == [{"k": "b", "t": 1, "v": [None, 5.0]}]
    assert found.rows.examples["added"] == [{"k": "b", "t": 2, "v": "inf"}]
    assert next(m for m in found.distributions if m.column == "v").missing_before == pytest.approx(1 / 3)
    msgspec.json.encode(found)


def test_types_that_changed() -> None:
    found = compare(
        pl.DataFrame({"k": ["a"], "t": [1], "v": [1]}), pl.DataFrame({"k": ["a"], "t": [1], "v": ["x"]}), FORM
    )
    assert [(c.column, c.before, c.after) for c in found.columns] == [("v", "integer", "text")]
    assert found.rows is not None
    assert found.rows.changed == 1


_TABLE = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 4)),
    st.one_of(st.none(), st.integers(0, 2)),
    max_size=10,
)


def frame(rows: dict[tuple[str | None, int], int | None]) -> pl.DataFrame:
    flat = [(k, t, v) for (k, t), v in rows.items()]
    return pl.DataFrame(flat, schema={"k": pl.String, "t": pl.Int64, "v": pl.Int64}, orient="row")


@given(_TABLE, _TABLE)
@settings(deadline=None)
def test_rows_are_counted_as_sets_would(
    before: dict[tuple[str | None, int], int | None], after: dict[tuple[str | None, int], int | None]
) -> None:
    found = compare(frame(before), frame(after), FORM)
    assert found.rows is not None
    both = before.keys() & after.keys()
    same = sum(before[key] == after[key] for key in both)
    expected = (len(after.keys() - before.keys()), len(before.keys() - after.keys()), len(both) - same, same)
    assert (found.rows.added, found.rows.removed, found.rows.changed, found.rows.same) == expected
    assert all(0 <= moved.distance <= 1 for moved in found.distributions)
    if before == after:
        assert not any(moved.moved for moved in found.distributions)


@pytest.mark.parametrize(
    ("before", "after", "distance"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 0.0),
        ([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0], 0.0),
        ([1, 2], [3, 4], 1.0),
        ([1, 2, 3, 4], [3, 4, 5, 6], 0.5),
        (["a", "b"], ["a", "b"], 0.0),
        (["a", "a"], ["a", "b"], 0.5),
        (["a"], ["b"], 1.0),
        ([True, True], [True, False], 0.5),
        ([date(2011, 1, 1)], [date(2012, 1, 1)], 1.0),
        ([1], ["1"], 0.0),
        ([None], [1], 0.0),
    ],
)
def test_distances(before: list[object], after: list[object], distance: float) -> None:
    found = compare(pl.DataFrame({"x": before}), pl.DataFrame({"x": after}), None)
    assert found.rows is None
    assert found.distributions[0].distance == pytest.approx(distance)


def test_a_column_that_goes_missing_has_moved() -> None:
    found = compare(pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [1, None]}), None)
    assert found.distributions[0].moved


def test_files() -> None:
    old = [SourceFile(name, 1, 1, 1, name) for name in "abc"]
    new = [SourceFile("b", 1, 1, 1, "b"), SourceFile("c", 1, 1, 1, "other"), SourceFile("d", 1, 1, 1, "d")]
    assert difference.files(old, new) == {"added": ["d"], "removed": ["a"], "changed": ["c"]}


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.lists(st.floats(-100, 100), min_size=1, max_size=60))
@settings(deadline=None, max_examples=40)
def test_profiles_give_about_the_same_distance(before: list[float], after: list[float]) -> None:
    """Off by no more than the largest share of one bin, for the values of a bin are taken to lie evenly in it."""
    frames = [pl.DataFrame({"x": values}) for values in (before, after)]
    exact = compare(frames[0], frames[1], None).distributions[0].distance
    profiles: list[Any] = [profile(frame) for frame in frames]
    near = compare_profiles(*profiles).distributions[0].distance
    bins = [
        max(p["columns"]["x"]["histogram"]["counts"]) / len(v) for p, v in zip(profiles, (before, after), strict=True)
    ]
    assert abs(exact - near) <= sum(bins) + 1e-9
    assert 0 <= near <= 1


@pytest.mark.parametrize(
    ("before", "after", "distance"),
    [(["a", "b"], ["b", "a"], 0.0), (["a", "a"], ["a", "b"], 0.5), ([True], [False], 1.0), ([None], ["a"], 0.0),
     ([date(2011, 1, 1)], [date(2011, 1, 1)], 0.0), ([1], ["1"], 0.0)],
)  # fmt: skip
def test_profiles_of_other_kinds(before: list[object], after: list[object], distance: float) -> None:
    profiles = [profile(pl.DataFrame({"x": values})) for values in (before, after)]
    assert compare_profiles(*profiles).distributions[0].distance == pytest.approx(distance)
