from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.segments import segment_key
from keepwell.server.ui import tiles
from keepwell.server.ui.tiles import Box


class Tile(NamedTuple):
    key: str
    volume: float
    tone: str


sizes = st.lists(st.floats(0.1, 1e6), min_size=1, max_size=60)


def key(region: int, store: int) -> str:
    return segment_key({"region": f"R{region}", "store": f"{store:04d}"})


def fleet(regions: int, stores: int) -> list[Tile]:
    return [Tile(key(r, s), 1.0 + s, "ok") for r in range(regions) for s in range(stores)]


WORDS = tiles.Words(
    href=lambda k: f"/x?key={k}",
    group_href=lambda k: f"/x?q={k}",
    name=lambda k, group: k,
    note=lambda place: f"note {place}",
    said=lambda place: f"said <{place}>",
)


@given(sizes, st.floats(0.3, 4))
def test_areas_are_in_proportion_and_fill_the_box(values: list[float], aspect: float) -> None:
    values = sorted(values, reverse=True)
    box = Box(0, 0, 100, 100)
    found = tiles.squarified(values, box, aspect)
    total = sum(values)
    assert len(found) == len(values)
    for value, one in zip(values, found, strict=True):
        assert one.w * one.h == pytest.approx(1e4 * value / total, rel=1e-6)
        assert one.x >= -1e-6 and one.y >= -1e-6 and one.x + one.w <= 100.0001 and one.y + one.h <= 100.0001


@pytest.mark.parametrize(
    ("regions", "stores", "columns", "by"), [(4, 2, 2, 1), (10, 1, 2, 0), (1, 1, 2, 0), (5, 100, 2, 1), (60, 3, 2, 0)]
)
def test_groups_are_few_and_have_several_members(regions: int, stores: int, columns: int, by: int) -> None:
    assert tiles.grouping(columns, [t.key for t in fleet(regions, stores)]) == by


def test_a_model_without_segments_is_one_tile() -> None:
    made = [Tile("all", 1.0, "bad")]
    groups = tiles.layout(made, tiles.grouping(0, ["all"]))
    drawn = tiles.draw(made, groups, label="Map", words=WORDS)
    assert drawn.count('class="tile"') == 1 and 'class="bad"' in drawn and "said &lt;0&gt;" in drawn


def test_every_segment_is_on_the_map_once() -> None:
    made = fleet(4, 30)
    groups = tiles.layout(made, 1)
    assert sorted(place for group in groups for place in group.tiles) == list(range(120))
    assert tiles.draw(made, groups, label="Map", words=WORDS).count('class="tile"') == 120


def test_thousands_are_one_path_a_state_and_are_named_on_request() -> None:
    made = [t._replace(tone="unknown" if i % 7 == 0 else "ok") for i, t in enumerate(fleet(5, 400))]
    groups = tiles.layout(made, 1)
    drawn = tiles.draw(made, groups, label="Map", words=WORDS)
    assert drawn.count("<path") == 10 and len(drawn) < 120_000 and 'fill="url(#hatch)"' in drawn
    named = tiles.hover_names(groups, made, WORDS.said)
    assert sum(len(one["keys"]) for one in named) == 2_000  # type: ignore[arg-type]


def test_sizes_that_are_not_known_are_small_and_not_lost() -> None:
    made = [Tile(key(0, 0), 1000.0, "ok"), Tile(key(0, 1), 0.0, "ok"), Tile(key(0, 2), float("nan"), "ok")]
    boxes = tiles.layout(made, 0)[0].boxes
    assert all(box.w * box.h > 100 for box in boxes)
