"""Small drawings of the record pages, as SVG made on the server: weeks, distributions, strips, spans. Pure.

Colours come from the stylesheet by class; values are said on hover, and states also by their shape or sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from keepwell.server.ui.words import number


@dataclass(frozen=True, slots=True)
class Stack:
    """One column of `weeks`: what it stands for, its parts (class, value, words), and its short label or none."""

    label: str
    parts: Sequence[tuple[str, float, str]]
    tick: str = ""

    @property
    def total(self) -> float:
        """The height of the whole column."""
        return sum(value for _, value, _ in self.parts)


def weeks(columns: Sequence[Stack], *, label: str, unit: str = "", width: int = 560, height: int = 150) -> Markup:
    """Return upright bars from zero, one a column, their parts on top of one another, with the greatest value named."""
    if not columns or not any(column.total for column in columns):
        return Markup('<p class="quiet">Nothing in this span.</p>')
    top = max(column.total for column in columns)
    left, base = 44, height - 20
    step = (width - left) / len(columns)
    tall = base - 16
    drawn = []
    for index, column in enumerate(columns):
        at = float(base)
        for tone, value, said in column.parts:
            size = tall * value / top
            at -= size
            drawn.append(
                Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>').format(
                    tone,
                    f"{left + index * step + step * 0.14:.1f}",
                    f"{at:.1f}",
                    f"{step * 0.72:.1f}",
                    f"{size:.1f}",
                    column.label,
                    said,
                )
            )
        if column.tick:
            middle = f"{left + (index + 0.5) * step:.1f}"
            drawn.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(middle, height - 4,
                                                                                            column.tick))  # fmt: skip
    axis = Markup(
        '<line class="axis" x1="{l}" x2="{w}" y1="{b}" y2="{b}"/><line class="grid" x1="{l}" x2="{w}" y1="16" y2="16"/>'
        '<text x="{t}" y="20" text-anchor="end">{most}</text><text x="{t}" y="{b}" text-anchor="end">0</text>'
    ).format(l=left, w=width, b=base, t=left - 6, most=number(top, unit))
    return Markup('<svg class="weeks" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        width, height, label, axis, Markup().join(drawn)
    )


def distribution(
    counts: Sequence[float], edges: Sequence[str], *, label: str, other: Sequence[float] = (), width: int = 280,
    height: int = 84,
) -> Markup:  # fmt: skip
    """Return a histogram whose edges are texts; `other` (shares of another distribution, same bins) is an outline."""
    total = sum(counts)
    if not total or len(edges) != len(counts) + 1:
        return Markup('<p class="quiet">No values.</p>')
    scaled = [share * total for share in other]
    top = max([*counts, *scaled])
    base, step = height - 18, width / len(counts)
    drawn = [
        Markup('<rect x="{}" y="{}" width="{}" height="{}"><title>{} to {}: {} rows ({})</title></rect>').format(
            f"{i * step + 0.5:.1f}",
            f"{base - (base - 4) * count / top:.1f}",
            f"{step - 1:.1f}",
            f"{(base - 4) * count / top:.1f}",
            edges[i],
            edges[i + 1],
            f"{count:,.0f}",
            f"{count / total:.1%}",
        )
        for i, count in enumerate(counts)
    ]
    outline = Markup()
    if scaled:
        points = " ".join(
            f"{(i + side) * step:.1f},{base - (base - 4) * v / top:.1f}"
            for i, v in enumerate(scaled)
            for side in (0, 1)
        )
        outline = Markup('<polyline class="outline" points="{}"/>').format(points)
    return Markup(
        '<svg class="histogram" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">{bars}'
        '{outline}<line class="axis" x1="0" x2="{w}" y1="{b}" y2="{b}"/><text x="0" y="{t}">{low}</text>'
        '<text x="{w}" y="{t}" text-anchor="end">{high}</text></svg>'
    ).format(
        w=width, h=height, label=label, bars=Markup().join(drawn), outline=outline, b=base, t=height - 3,
        low=edges[0], high=edges[-1],
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """One square of a strip: its class (`ok`, `bad`, `unknown`), what is said on hover, where it leads."""

    tone: str
    said: str
    href: str


def strip(cells: Sequence[Cell], *, label: str) -> Markup:
    """Return one small square each, oldest first; a failed one is also taller and crossed."""
    drawn = []
    for index, cell in enumerate(cells):
        x = index * 15 + 1
        shape = Markup('<rect class="{}" x="{}" y="{}" width="12" height="{}" rx="2"/>').format(
            cell.tone, x, 1 if cell.tone == "bad" else 4, 18 if cell.tone == "bad" else 12
        )
        cross = Markup()
        if cell.tone == "bad":
            cross = Markup('<path class="cross" d="M{} 6l6 8m0-8l-6 8"/>').format(x + 3)
        drawn.append(
            Markup('<a href="{}"><title>{}</title>{}{}</a>').format(cell.href, cell.said, shape, cross)
        )  # fmt: skip
    width = max(1, len(cells)) * 15
    return Markup(
        '<svg class="strip" width="{w}" height="20" viewBox="0 0 {w} 20" role="img" aria-label="{label}">{cells}</svg>'
    ).format(w=width, label=label, cells=Markup().join(drawn))


def span(start: float, length: float, whole: float, *, tone: str, said: str) -> Markup:
    """Return one bar on a common time axis: from `start` for `length`, of `whole`."""
    scale = 100 / whole if whole > 0 else 0.0
    wide = max(0.6, min(100.0, length * scale))
    at = min(start * scale, 100 - wide)
    return Markup(
        '<svg class="span {}" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<title>{}</title><rect x="{}" y="0" width="{}" height="10"/></svg>'
    ).format(tone, said, said, f"{max(0.0, at):.2f}", f"{wide:.2f}")


def shares(parts: Sequence[tuple[str, float, str]], *, label: str) -> Markup:
    """Return one bar made of parts (class, value, words), each with its words on hover."""
    total = sum(value for _, value, _ in parts)
    if not total:
        return Markup()
    at, drawn = 0.0, []
    for tone, value, said in parts:
        wide = 100 * value / total
        if wide:
            drawn.append(
                Markup('<rect class="{}" x="{}" y="0" width="{}" height="10"><title>{}</title></rect>').format(
                    tone, f"{at:.2f}", f"{wide:.2f}", said
                )
            )
        at += wide
    return Markup(
        '<svg class="shares" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(label, Markup().join(drawn))
