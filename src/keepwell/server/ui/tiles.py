"""The map of a fleet: a tile a segment, grouped, sized by volume. Layout in numbers, drawing as SVG. Pure.

A few hundred tiles are links with their names; thousands are one path a class, which `keepwell.js` can ask for names.
Positions are per cent, so that the map fills any width while its text keeps its size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from markupsafe import Markup

from keepwell.server.ui.words import segment_words

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
ASPECT = 1.5
"""How much wider than high the map is shown."""


class Tile(Protocol):
    """One segment on the map: its key, what its size stands for, its class."""

    @property
    def key(self) -> str:
        """Of the segment."""

    @property
    def volume(self) -> float:
        """What the area is in proportion to."""

    @property
    def tone(self) -> str:
        """The class that it is drawn with."""


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    w: float
    h: float


class Group(NamedTuple):
    """A group of tiles: their keys' leading part, its place in per cent, its tiles' places in its own units."""

    key: str
    box: Box
    tiles: Sequence[int]
    boxes: Sequence[Box]


@dataclass(frozen=True, slots=True)
class Words:
    """What is written on a map, and where it leads.

    Attributes:
        href: key to the page of a segment.
        group_href: key of a group to a page that lists it.
        name: key of a segment and of its group to a short name.
        note: place of a tile to a second line, such as its error.
        said: place of a tile to what it says on hover.
    """

    href: Callable[[str], str]
    group_href: Callable[[str], str]
    name: Callable[[str, str], str]
    note: Callable[[int], str]
    said: Callable[[int], str]


def grouping(columns: int, keys: Sequence[str]) -> int:
    """Return by how many leading columns to group: as many as leave few groups of several tiles each."""
    chosen = 0
    for count in range(1, columns if len(keys) > 3 else 0):
        groups = _groups(keys, count)
        if groups > MOST_GROUPS or groups * 2 > len(keys):
            break
        chosen = count
    return chosen


def _groups(keys: Sequence[str], count: int) -> int:
    """Return how many groups the leading columns make, counted until they are too many."""
    found: set[str] = set()
    for key in keys:
        found.add(leading(key, count))
        if len(found) > MOST_GROUPS:
            break
    return len(found)


def leading(key: str, count: int) -> str:
    """Return the part of a segment's key that its first columns make."""
    return ",".join(key.split(",", count)[:count])


def layout(tiles: Sequence[Tile], by: int) -> list[Group]:
    """Return the groups with their places, and the places of their tiles: areas in proportion to sizes.

    Tiles and groups far smaller than the others get at least a visible size.

    Args:
        tiles: the segments.
        by: group by so many leading columns.
    """
    sizes = _visible(np.asarray([tile.volume for tile in tiles], np.float64)).tolist()
    members: dict[str, list[int]] = {}
    for place, tile in enumerate(tiles):
        members.setdefault(leading(tile.key, by) if by else "", []).append(place)
    totals = {name: sum(sizes[i] for i in places) for name, places in members.items()}
    least = sum(totals.values()) / (6 * len(totals) + 8)
    names = sorted(members, key=lambda name: (-totals[name], name))
    boxes = squarified([max(totals[name], least) for name in names], Box(0.0, 0.0, 100.0, 100.0), aspect=ASPECT)
    found = []
    for name, box in zip(names, boxes, strict=True):
        ordered = sorted(members[name], key=lambda place: -sizes[place])
        aspect = ASPECT * box.w / box.h
        inside = squarified([sizes[i] for i in ordered], Box(0.0, 0.0, UNITS, UNITS), aspect=aspect)
        found.append(Group(name, box, ordered, inside))
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
    left, top = box.x, box.y
    found: list[Box] = []
    start = 0
    while start < len(areas):
        side = min(width, height)
        end, row = _row(areas, start, side)
        thick = row / side if side > 0 else 0.0
        at = 0.0
        for area in areas[start:end]:
            long = area / thick if thick > 0 else 0.0
            if width >= height:
                found.append(Box(left + x / aspect, top + y + at, thick / aspect, long))
            else:
                found.append(Box(left + (x + at) / aspect, top + y, long / aspect, thick))
            at += long
        if width >= height:
            x, width = x + thick, width - thick
        else:
            y, height = y + thick, height - thick
        start = end
    return found


def _row(areas: Sequence[float], start: int, side: float) -> tuple[int, float]:
    """Return where the row that starts at a place ends, and its area: as long as its tiles get squarer."""
    end, row = start + 1, areas[start]
    worst = _worst(row, areas[start], areas[start], side)
    while end < len(areas):
        longer = row + areas[end]
        next_worst = _worst(longer, areas[start], areas[end], side)
        if next_worst > worst:
            break
        end, row, worst = end + 1, longer, next_worst
    return end, row


def draw(
    tiles: Sequence[Tile],
    groups: Sequence[Group],
    *,
    label: str,
    words: Words,
) -> Markup:
    """Return the map as SVG.

    Args:
        tiles: the segments.
        groups: from `layout`.
        label: what the map shows, for readers.
        words: what is written on it.
    """
    linked = len(tiles) <= LINKED
    drawn = []
    for number, group in enumerate(groups):
        inner = _linked(tiles, group, words) if linked else _merged(tiles, group, number)
        drawn.append(_group(group, inner, words))
    return Markup('<svg class="map" role="img" aria-label="{}">{}{}</svg>').format(label, HATCH, Markup().join(drawn))


def hover_names(groups: Sequence[Group], tiles: Sequence[Tile], said: Callable[[int], str]) -> list[dict[str, object]]:
    """Return for each group its tiles' boxes and texts, which the script looks up under the pointer."""
    return [
        {
            "boxes": [[round(v, 1) for v in box] for box in group.boxes],
            "keys": [tiles[i].key for i in group.tiles],
            "said": [said(i) for i in group.tiles],
        }
        for group in groups
    ]


def _group(group: Group, inner: Markup, said: Words) -> Markup:
    place = _percents(group.box)
    if not group.key:
        return Markup("<svg {}>{}</svg>").format(place, inner)
    words = segment_words(group.key)
    return Markup(
        '<svg {}><a href="{}"><title>List {}</title><rect class="group-head" width="100%" height="20"/>'
        '<text class="group-label" x="4" y="14">{}</text></a><svg class="group-tiles" y="20">{}</svg></svg>'
    ).format(place, said.group_href(group.key), words, words, inner)


def _linked(tiles: Sequence[Tile], group: Group, words: Words) -> Markup:
    drawn = []
    for place, box in zip(group.tiles, group.boxes, strict=True):
        tile = tiles[place]
        share = Box(box.x / 10, box.y / 10, box.w / 10, box.h / 10)
        big = share.w * group.box.w > 550 and share.h * group.box.h > 700
        text = Markup()
        if big:
            text = Markup('<text x="7" y="18">{}</text><text class="note" x="7" y="36">{}</text>').format(
                words.name(tile.key, group.key), words.note(place)
            )
        drawn.append(
            Markup(
                '<a class="tile" href="{}"><title>{}</title><svg {}><rect class="{}"{} width="100%" height="100%"/>{}'
                "</svg></a>"
            ).format(words.href(tile.key), words.said(place), _percents(share), tile.tone, _fill(tile.tone), text)
        )
    return Markup().join(drawn)


def _merged(tiles: Sequence[Tile], group: Group, number: int) -> Markup:
    paths: dict[str, list[str]] = {}
    for place, box in zip(group.tiles, group.boxes, strict=True):
        drawn = f"M{box.x:.1f} {box.y:.1f}h{box.w:.1f}v{box.h:.1f}h-{box.w:.1f}z"
        paths.setdefault(tiles[place].tone, []).append(drawn)
    whole = [
        Markup('<path class="tiles {}"{} d="{}"/>').format(tone, _fill(tone), "".join(d))
        for tone, d in sorted(paths.items())
    ]
    return Markup(
        '<svg class="hovered" data-group="{}" width="100%" height="100%" viewBox="0 0 1000 1000" '
        'preserveAspectRatio="none">{}</svg>'
    ).format(number, Markup().join(whole))


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
    return np.clip(known, middle / 8, middle * 60)
