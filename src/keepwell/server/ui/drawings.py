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


def weeks(columns: Sequence[Stack], *, label: str, unit: str = "") -> Markup:
    """Return upright bars from zero, one a column, their parts on top of one another, with the greatest value named.

    Labels are text beside the picture, so that they keep their size when it is narrow.
    """
    if not columns or not any(column.total for column in columns):
        return Markup('<p class="quiet">Nothing in this span.</p>')
    top = max(column.total for column in columns)
    drawn = []
    for index, column in enumerate(columns):
        at = 100.0
        for tone, value, said in column.parts:
            size = 100 * value / top
            at -= size
            drawn.append(
                Markup('<rect class="{}" x="{}" y="{}" width="7.2" height="{}"><title>{}: {}</title></rect>').format(
                    tone, f"{index * 10 + 1.4:.1f}", f"{at:.1f}", f"{size:.1f}", column.label, said
                )
            )
    ticks = [Markup("<span>{}</span>").format(column.tick) for column in columns if column.tick]
    return Markup(
        '<div class="weeks"><span class="most">{most}</span><svg viewBox="0 0 {wide} 100" preserveAspectRatio="none" '
        'role="img" aria-label="{label}">{bars}</svg><span class="least">0</span><div class="ticks">{ticks}</div></div>'
    ).format(
        most=number(int(top) if float(top).is_integer() else top, unit),
        wide=len(columns) * 10,
        label=label,
        bars=Markup().join(drawn),
        ticks=Markup().join(ticks),
    )


def distribution(counts: Sequence[float], edges: Sequence[str], *, label: str, other: Sequence[float] = ()) -> Markup:
    """Return a histogram whose edges are texts; `other` (shares of another distribution, same bins) is an outline."""
    total = sum(counts)
    if not total or len(edges) != len(counts) + 1:
        return Markup('<p class="quiet">No values.</p>')
    scaled = [share * total for share in other]
    top = max([*counts, *scaled]) * 1.04
    drawn = [
        Markup('<rect x="{}" y="{}" width="9.2" height="{}"><title>{} to {}: {} rows ({})</title></rect>').format(
            f"{i * 10 + 0.4:.1f}",
            f"{100 - 100 * count / top:.1f}",
            f"{100 * count / top:.1f}",
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
            f"{(i + side) * 10},{100 - 100 * v / top:.1f}" for i, v in enumerate(scaled) for side in (0, 1)
        )
        outline = Markup('<polyline class="outline" points="{}"/>').format(points)
    return Markup(
        '<div class="distribution"><svg viewBox="0 0 {} 100" preserveAspectRatio="none" role="img" aria-label="{}">'
        '{}{}</svg><div class="ends"><span>{}</span><span>{}</span></div></div>'
    ).format(len(counts) * 10, label, Markup().join(drawn), outline, edges[0], edges[-1])


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
