"""How parameters and metrics of several runs hang together: parallel coordinates and scatter plots, as SVG. Pure.

Values on hover; a run's line and point are links to its page and have its colour and dash.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from keepwell.server.ui import links
from keepwell.server.ui.columns import Column, is_number, said
from keepwell.server.ui.curves import COLOURS, Scale, scale_of, style_of
from keepwell.server.ui.words import number
from keepwell.tracking.model import Run

AXES = 8
"""So many axes, at most, when nobody chose them."""
CATEGORIES = 12
"""A parameter that is no number is an axis when it has at most so many values."""
_WIDE, _TALL, _TOP = 150, 240, 34


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its column, the value of each run on it (None where a run has none), and its scale or its categories.

    Attributes:
        column: what it shows.
        values: a number a run; of a category its place among them.
        scale: of the numbers.
        categories: in order, when it holds texts.
    """

    column: Column
    values: Sequence[float | None]
    scale: Scale
    categories: Sequence[str] = ()

    def share(self, place: int) -> float | None:
        """Return where a run is on the axis, 0 to 1."""
        value = self.values[place]
        return None if value is None else self.scale.share(value)

    def word(self, place: int) -> str:
        """Return a run's value in words."""
        value = self.values[place]
        if value is None:
            return "none"
        return self.categories[int(value)] if self.categories else number(value, digits=4)


def axis_of(runs: Sequence[Run], column: Column) -> Axis | None:
    """Return the axis of a column; None when no run has a value there, or it has too many that are no numbers."""
    texts = [_text(run, column) for run in runs]
    known = [text for text in texts if text is not None]
    if not known:
        return None
    if all(is_number(text) or text in ("nan", "inf", "-inf", "NaN", "Infinity", "-Infinity") for text in known):
        values = [float(t) if t is not None and is_number(t) else None for t in texts]
        finite = [v for v in values if v is not None]
        low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
        scale = scale_of(finite, log=low > 0 and high / low >= 100)
        return Axis(column, values, scale) if scale else None
    categories = sorted(set(known))
    if len(categories) > CATEGORIES:
        return None
    places = [float(categories.index(t)) if t is not None else None for t in texts]
    return Axis(column, places, Scale(0.0, max(1.0, len(categories) - 1.0)), categories)


def axes_of(runs: Sequence[Run], chosen: Sequence[Column]) -> list[Axis]:
    """Return the axes that were chosen, or parameters that differ and then metrics that most runs have."""
    if chosen:
        return [found for one in chosen if (found := axis_of(runs, one)) is not None]
    params = [Column("params", name) for name in sorted({name for run in runs for name in run.params})]
    told = [a for c in params if (a := axis_of(runs, c)) is not None and len({*a.values} - {None}) > 1]
    counts: dict[str, int] = {}
    for run in runs:
        for name in run.metrics:
            counts[name] = counts.get(name, 0) + (not name.startswith("system/"))
    names = [n for n in sorted(counts, key=lambda n: (-counts[n], n)) if counts[n] > 1][:3]
    measured = [found for name in names if (found := axis_of(runs, Column("metrics", name))) is not None]
    return [*told[: AXES - len(measured)], *measured]


def parallel(runs: Sequence[Run], axes: Sequence[Axis]) -> Markup:
    """Return a line a run through all axes; a run without a value on an axis leaves a gap there."""
    if len(axes) < 2:
        return Markup('<p class="quiet">These runs share fewer than two values that could be compared.</p>')
    width, height = _WIDE * (len(axes) - 1) + 150, _TALL + _TOP + 30
    drawn = [_axis(axis, 75 + _WIDE * index) for index, axis in enumerate(axes)]
    lines = [_through(run, place, axes) for place, run in enumerate(runs)]
    return Markup(
        '<div class="graph" tabindex="0"><svg class="parallel" width="{w}" height="{h}" viewBox="0 0 {w} {h}" '
        'role="img" aria-label="Parallel coordinates of {n} runs">{lines}{axes}</svg></div>'
    ).format(w=width, h=height, n=len(runs), lines=Markup().join(lines), axes=Markup().join(drawn))


def _axis(axis: Axis, x: int) -> Markup:
    label = axis.column.label if len(axis.column.label) <= 20 else f"{axis.column.label[:9]}…{axis.column.label[-9:]}"
    if axis.categories:
        marks = [(axis.scale.share(float(i)) or 0.0, text) for i, text in enumerate(axis.categories)]
    else:
        marks = [(0.0, number(axis.scale.low, digits=4)), (1.0, number(axis.scale.high, digits=4))]
        if axis.scale.low == axis.scale.high:
            marks = [(0.5, marks[0][1])]
    texts = [
        Markup('<text class="mark" x="{}" y="{}">{}</text>').format(
            x + 6, f"{_TOP + _TALL * (1 - at) + 4:.0f}", text if len(text) <= 16 else f"{text[:14]}…"
        )
        for at, text in marks
    ]
    return Markup(
        '<g class="axis"><title>{full}</title><line x1="{x}" x2="{x}" y1="{a}" y2="{b}"/>'
        '<text class="name {kind}" x="{x}" y="16" text-anchor="middle">{label}</text>{texts}</g>'
    ).format(
        full=axis.column.text, x=x, a=_TOP, b=_TOP + _TALL, kind=axis.column.kind, label=label,
        texts=Markup().join(texts),
    )  # fmt: skip


def _through(run: Run, place: int, axes: Sequence[Axis]) -> Markup:
    path, pen = [], False
    for index, axis in enumerate(axes):
        at = axis.share(place)
        if at is None:
            pen = False
            continue
        x, y = 75 + _WIDE * index, _TOP + _TALL * (1 - at)
        path.append(f"L{x} {y:.1f}" if pen else f"M{x} {y:.1f}")
        pen = True
    told = ", ".join(f"{axis.column.label} {axis.word(place)}" for axis in axes)
    return Markup('<a href="{}"><title>{}: {}</title><path class="{}" d="{}"/></a>').format(
        links.run(run.id), run.name, told, style_of(place), "".join(path)
    )


def scatter(runs: Sequence[Run], x: Axis, y: Axis) -> Markup:
    """Return a point a run, between the least and greatest values of two columns."""
    points = []
    for place, run in enumerate(runs):
        right, up = x.share(place), y.share(place)
        if right is None or up is None:
            continue
        points.append(
            Markup('<a href="{}"><title>{}: {} {}, {} {}</title>{}</a>').format(
                links.run(run.id), run.name, x.column.label, x.word(place), y.column.label, y.word(place),
                _dot(place, 4 + 92 * right, 95 - 90 * up),
            )
        )  # fmt: skip
    if not points:
        return Markup('<p class="quiet">No run has both values.</p>')
    label = f"{y.column.label} over {x.column.label}"
    return Markup(
        '<div class="curve scatter"><span class="most">{most}</span><svg width="100%" height="260" role="img" '
        'aria-label="{label}">{points}</svg><span class="least">{least}</span>'
        '<div class="ends"><span>{first}</span><span class="between">{name}</span><span>{last}</span></div></div>'
    ).format(
        most=_end(y, top=True), least=_end(y, top=False), first=_end(x, top=False), last=_end(x, top=True),
        label=label, name=x.column.label, points=Markup().join(points),
    )  # fmt: skip


def _dot(slot: int, x: float, y: float) -> Markup:
    """Return a circle, or past the first round of colours a square, that the pointer meets easily."""
    if slot // COLOURS % 2:
        shape = Markup('<rect width="11" height="11" x="-5.5" y="-5.5" rx="1"/>')
    else:
        shape = Markup('<circle r="6"/>')
    return Markup('<svg x="{}%" y="{}%" overflow="visible" class="dot {}">{}</svg>').format(
        f"{x:.2f}", f"{y:.2f}", style_of(slot % COLOURS), shape
    )


def _end(axis: Axis, *, top: bool) -> str:
    if axis.categories:
        return axis.categories[-1 if top else 0]
    return number(axis.scale.high if top else axis.scale.low, digits=4)


def _text(run: Run, column: Column) -> str | None:
    values = {"params": run.params, "metrics": run.metrics, "tags": run.tags}.get(column.kind, {})
    value = values.get(column.name)
    if value is None:
        return None
    return repr(value) if isinstance(value, float) and math.isfinite(value) else said(value)
