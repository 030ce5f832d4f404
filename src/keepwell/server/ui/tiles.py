"""The map of a fleet: a tile a segment, grouped, sized by volume. Layout in numbers, drawing as SVG. Pure.

A few hundred tiles are links with their names; thousands are one path a class, which `keepwell.js` can ask for names.
Positions are per cent, so that the map fills any width while its text keeps its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from keepwell.core.segments import segment_values

LINKED = 400
"""Up to so many tiles are links of their own."""
MOST_GROUPS = 24
HATCH = Markup(
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="7" height="7"/><line class="hatch-line" y2="7"/></pattern></defs>'
)
"""Nothing is known of it: never a plain colour."""
UNITS = 1000.0
"""Width and height of a group in its own units."""


class Tile(NamedTuple):
    """One segment on the map: its key, what its size stands for, its class, and what it says on hover."""

    key: str
    size: float
    tone: str
    said: str


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    w: float
    h: float


class Group(NamedTuple):
    """A group of tiles: its values by column, its place in per cent, the places of its tiles in its own units."""

    values: Mapping[str, str]
    box: Box
    tiles: Sequence[int]
    boxes: Sequence[Box]


def grouping(columns: Sequence[str], keys: Sequence[str]) -> tuple[str, ...]:
    """Return the leading columns to group by: as many as leave few groups of several tiles each."""
    chosen: tuple[str, ...] = ()
    values = [segment_values(key) for key in keys] if len(keys) > 3 else []
    for count in range(1, len(columns)):
        groups = len({tuple(v.get(c, "") for c in columns[:count]) for v in values})
        if not values or groups > MOST_GROUPS or groups * 2 > len(keys):
            break
        chosen = tuple(columns[:count])
    return chosen


def layout(tiles: Sequence[Tile], by: Sequence[str]) -> list[Group]:
    """Return the groups with their places, and the places of their tiles: areas in proportion to sizes.

    Tiles far smaller than the others get at least a visible size.
    """
    sizes = _visible(np.asarray([tile.size for tile in tiles], np.float64))
    members: dict[tuple[str, ...], list[int]] = {}
    for place, tile in enumerate(tiles):
        values = segment_values(tile.key) if by else {}
        members.setdefault(tuple(values.get(c, "") for c in by), []).append(place)
    names = sorted(members, key=lambda name: -float(sizes[members[name]].sum()))
    totals = [float(sizes[members[name]].sum()) for name in names]
    places = squarified(totals, Box(0.0, 0.0, 100.0, 100.0), aspect=2.4)
    found = []
    for name, box in zip(names, places, strict=True):
        ordered = sorted(members[name], key=lambda place: -sizes[place])
        inside = squarified([float(sizes[i]) for i in ordered], Box(0.0, 0.0, UNITS, UNITS), aspect=2.4 * box.w / box.h)
        found.append(Group(dict(zip(by, name, strict=True)), box, ordered, inside))
    return found


def squarified(sizes: Sequence[float], box: Box, aspect: float = 1.0) -> list[Box]:
    """Return one rectangle a size, areas in proportion, as square as rows allow.

    Args:
        sizes: positive, largest first.
        box: what they fill.
        aspect: how much wider than high a unit of the box is shown.

    Source: Bruls, Huizing, van Wijk: Squarified Treemaps (2000).
    """
    total = sum(sizes)
    if not sizes or total <= 0:
        return []
    x, y, width, height = 0.0, 0.0, box.w * aspect, box.h
    scale = width * height / total
    areas = [size * scale for size in sizes]
    found: list[Box] = []
    start = 0
    while start < len(areas):
        side = min(width, height)
        end, row = start + 1, areas[start]
        worst = _worst(row, areas[start], areas[start], side)
        while end < len(areas):
            longer = row + areas[end]
            next_worst = _worst(longer, areas[start], areas[end], side)
            if next_worst > worst:
                break
            end, row, worst = end + 1, longer, next_worst
        thick = row / side if side > 0 else 0.0
        at = 0.0
        for area in areas[start:end]:
            long = area / thick if thick > 0 else 0.0
            found.append(Box(x, y + at, thick, long) if width >= height else Box(x + at, y, long, thick))
            at += long
        if width >= height:
            x, width = x + thick, width - thick
        else:
            y, height = y + thick, height - thick
        start = end
    return [Box(box.x + b.x / aspect, box.y + b.y, b.w / aspect, b.h) for b in found]


def draw(
    tiles: Sequence[Tile],
    groups: Sequence[Group],
    *,
    label: str,
    href: Callable[[str], str],
    group_href: Callable[[Mapping[str, str]], str],
    name: Callable[[str, Mapping[str, str]], str],
    note: Callable[[int], str],
) -> Markup:
    """Return the map as SVG.

    Args:
        tiles: the segments.
        groups: from `layout`.
        label: what the map shows, for readers.
        href: key to the page of a segment.
        group_href: a group's values to a page that lists it.
        name: a segment's key and its group's values to a short name.
        note: place of a tile to a second line, such as its error.
    """
    linked = len(tiles) <= LINKED
    drawn = []
    for number, group in enumerate(groups):
        inner = _linked(tiles, group, href, name, note) if linked else _merged(tiles, group, number)
        drawn.append(_group(group, inner, group_href))
    return Markup('<svg class="map" role="img" aria-label="{}">{}{}</svg>').format(label, HATCH, Markup().join(drawn))


def hover_names(groups: Sequence[Group], tiles: Sequence[Tile]) -> list[dict[str, object]]:
    """Return for each group its tiles' boxes and texts, which the script looks up under the pointer."""
    return [
        {
            "boxes": [[round(v, 1) for v in box] for box in group.boxes],
            "keys": [tiles[i].key for i in group.tiles],
            "said": [tiles[i].said for i in group.tiles],
        }
        for group in groups
    ]


def _group(group: Group, inner: Markup, group_href: Callable[[Mapping[str, str]], str]) -> Markup:
    place = _percents(group.box)
    if not group.values:
        return Markup("<svg {}>{}</svg>").format(place, inner)
    words = " · ".join(group.values.values())
    return Markup(
        '<svg {}><a href="{}"><title>List {}</title><rect class="group-head" width="100%" height="20"/>'
        '<text class="group-label" x="4" y="14">{}</text></a><svg class="group-tiles" y="20">{}</svg></svg>'
    ).format(place, group_href(group.values), words, words, inner)


def _linked(
    tiles: Sequence[Tile],
    group: Group,
    href: Callable[[str], str],
    name: Callable[[str, Mapping[str, str]], str],
    note: Callable[[int], str],
) -> Markup:
    drawn = []
    for place, box in zip(group.tiles, group.boxes, strict=True):
        tile = tiles[place]
        share = Box(box.x / 10, box.y / 10, box.w / 10, box.h / 10)
        big = share.w * group.box.w > 550 and share.h * group.box.h > 700
        text = Markup()
        if big:
            text = Markup('<text x="7" y="18">{}</text><text class="note" x="7" y="36">{}</text>').format(
                name(tile.key, group.values), note(place)
            )
        drawn.append(
            Markup(
                '<a class="tile" href="{}"><title>{}</title><svg {}><rect class="{}"{} width="100%" height="100%"/>{}'
                "</svg></a>"
            ).format(href(tile.key), tile.said, _percents(share), tile.tone, _fill(tile.tone), text)
        )
    return Markup().join(drawn)


def _merged(tiles: Sequence[Tile], group: Group, number: int) -> Markup:
    paths: dict[str, list[str]] = {}
    for place, box in zip(group.tiles, group.boxes, strict=True):
        paths.setdefault(tiles[place].tone, []).append(
            f"M{box.x:.1f} {box.y:.1f}h{box.w:.1f}v{box.h:.1f}h-{box.w:.1f}z"
        )
    drawn = [
        Markup('<path class="tiles {}"{} d="{}"/>').format(tone, _fill(tone), "".join(d))
        for tone, d in sorted(paths.items())
    ]
    return Markup(
        '<svg class="hovered" data-group="{}" width="100%" height="100%" viewBox="0 0 1000 1000" '
        'preserveAspectRatio="none">{}</svg>'
    ).format(number, Markup().join(drawn))


def _fill(tone: str) -> Markup:
    return Markup(' fill="url(#hatch)"') if tone == "unknown" else Markup()


def _percents(box: Box) -> Markup:
    return Markup('x="{}%" y="{}%" width="{}%" height="{}%"').format(
        f"{box.x:.3f}", f"{box.y:.3f}", f"{box.w:.3f}", f"{box.h:.3f}"
    )


def _worst(row: float, largest: float, smallest: float, side: float) -> float:
    squared, edge = row * row, side * side
    return max(edge * largest / squared, squared / (edge * smallest)) if squared > 0 and edge > 0 else float("inf")


def _visible(sizes: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    known = np.where(np.isfinite(sizes) & (sizes > 0), sizes, 0.0)
    middle = float(np.median(known[known > 0])) if (known > 0).any() else 1.0
    return np.clip(known, middle / 12, middle * 60)
