"""Charts drawn on the server as SVG: they work without scripts, and say their values on hover. Pure.

Colours come from the stylesheet by class. `series` makes the data of a chart that `keepwell.js` draws with uPlot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from keepwell.server.ui.words import number

Say = Callable[[float], str]


def sparkline(
    values: Sequence[float | None], *, label: str, limit: float | None = None, width: int = 120, height: int = 28,
    say: Say = number,
) -> Markup:  # fmt: skip
    """Return a line without axes; gaps where a value is not known, a dashed line at the limit."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return Markup('<span class="quiet">no data yet</span>')
    top = max([*known, *([limit] if limit is not None else []), 1e-12]) * 1.08
    step = (width - 6) / max(1, len(values) - 1)

    def place(index: int, value: float) -> tuple[float, float]:
        return 3 + index * step, height - 2 - (height - 4) * value / top

    path, pen_down = [], False
    for index, value in enumerate(values):
        if value is None or not math.isfinite(value):
            pen_down = False
            continue
        x, y = place(index, value)
        path.append(f"L{x:.1f} {y:.1f}" if pen_down else f"M{x:.1f} {y:.1f}h.1")
        pen_down = True
    last = max(i for i, v in enumerate(values) if v is not None and math.isfinite(v))
    x, y = place(last, float(values[last] or 0.0))
    said = f"{label}: last {say(known[-1])}, least {say(min(known))}, most {say(max(known))}"
    line = Markup()
    if limit is not None:
        said += f", limit {say(limit)}"
        at = f"{place(0, limit)[1]:.1f}"
        line = Markup('<line class="limit" x1="0" x2="{}" y1="{}" y2="{}"/>').format(width, at, at)
    over = " over" if limit is not None and known[-1] > limit else ""
    return Markup(
        '<svg class="spark" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" aria-label="{said}">'
        '<title>{said}</title>{line}<path d="{path}"/><circle class="end{over}" cx="{x}" cy="{y}" r="2.5"/></svg>'
    ).format(w=width, h=height, said=said, line=line, path="".join(path), over=over, x=f"{x:.1f}", y=f"{y:.1f}")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, its value, how the value is written, its class (`ok`, `watch`, `bad`, ...), its link."""

    label: str
    value: float
    shown: str
    tone: str = ""
    href: str | None = None


def bars(items: Sequence[Bar], *, limit: float | None = None, limit_label: str = "") -> Markup:
    """Return horizontal bars from zero, one a row, with their values; a line where the limit is."""
    if not items:
        return Markup('<p class="quiet">No data yet.</p>')
    top = max([abs(b.value) for b in items] + ([limit] if limit else []) + [1e-12])
    rows = []
    for bar in items:
        label = Markup('<a href="{}">{}</a>').format(bar.href, bar.label) if bar.href else bar.label
        mark = Markup()
        if limit is not None:
            at = f"{100 * limit / top:.2f}"
            mark = Markup('<line class="limit" x1="{}" x2="{}" y1="0" y2="10"/>').format(at, at)
        rows.append(
            Markup(
                '<li><span class="bar-label">{label}</span><svg class="bar {tone}" viewBox="0 0 100 10" '
                'preserveAspectRatio="none" aria-hidden="true"><title>{said}</title>'
                '<rect x="0" y="0" width="{width}" height="10"/>{mark}</svg><span class="bar-value">{shown}</span></li>'
            ).format(
                label=label,
                tone=bar.tone,
                said=f"{bar.label}: {bar.shown}",
                width=f"{max(0.4, 100 * abs(bar.value) / top):.2f}",
                mark=mark,
                shown=bar.shown,
            )
        )
    note = Markup('<li class="bar-note">{}</li>').format(limit_label) if limit_label else Markup()
    return Markup('<ul class="bars">{}{}</ul>').format(Markup().join(rows), note)


def histogram(
    counts: Sequence[int], edges: Sequence[float], *, label: str, unit: str = "", width: int = 280, height: int = 96,
    other: Sequence[int] | None = None,
) -> Markup:  # fmt: skip
    """Return a histogram with its range below; `other` is drawn as an outline over it, scaled to the same total.

    Args:
        counts: rows a bin.
        edges: one more than bins.
        label: what is counted, for readers and hover.
        unit: of the edges.
        width: in pixels.
        height: in pixels, the axis included.
        other: counts of another distribution on the same bins.
    """
    total = sum(counts)
    if not counts or total == 0 or len(edges) != len(counts) + 1:
        return Markup('<span class="quiet">no values</span>')
    scaled = [c * total / max(1, sum(other)) for c in other] if other else []
    top = max([*counts, *scaled, 1])
    base, step = height - 16, width / len(counts)
    drawn = []
    for index, count in enumerate(counts):
        tall = (base - 4) * count / top
        low, high = number(float(edges[index])), number(float(edges[index + 1]), unit)
        drawn.append(
            Markup('<rect x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                f"{index * step + 0.5:.1f}",
                f"{base - tall:.1f}",
                f"{step - 1:.1f}",
                f"{tall:.1f}",
                f"{low} to {high}: {count:,} ({count / total:.1%})",
            )
        )
    outline = Markup()
    if scaled:
        points = " ".join(
            f"{(i + side) * step:.1f},{base - (base - 4) * value / top:.1f}"
            for i, value in enumerate(scaled) for side in (0, 1)
        )  # fmt: skip
        outline = Markup('<polyline class="outline" points="{}"/>').format(points)
    return Markup(
        '<svg class="histogram" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{label}">{bars}'
        '{outline}<line class="axis" x1="0" x2="{w}" y1="{b}" y2="{b}"/><text x="0" y="{t}">{low}</text>'
        '<text x="{w}" y="{t}" text-anchor="end">{high}</text></svg>'
    ).format(
        w=width, h=height, label=label, bars=Markup().join(drawn), outline=outline, b=base, t=height - 3,
        low=number(float(edges[0])), high=number(float(edges[-1]), unit),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a time series: its name, its values, its style (`main`, `quiet`, `dashed`), its unit (`%` or so)."""

    name: str
    values: Sequence[float | None]
    style: str = "main"


@dataclass(frozen=True, slots=True)
class Mark:
    """An event on the time axis: when (unix seconds), a word (`trained`, `promoted`, `incident`), a text."""

    at: float
    kind: str
    text: str


def series(
    times: Sequence[float], lines: Sequence[Line], *, unit: str = "", limit: float | None = None,
    limit_name: str = "charter allows", marks: Sequence[Mark] = (), ratio: bool = False, zero: bool = True,
) -> dict[str, object]:  # fmt: skip
    """Return the data of a chart over time, for `data_block` and `<div class="chart" data-chart="...">`.

    Args:
        times: unix seconds, rising.
        lines: of equal length with `times`.
        unit: of the values, for the axis and on hover.
        limit: drawn as a line across.
        limit_name: what the limit is.
        marks: events on the time axis.
        ratio: values are fractions and shown as per cent.
        zero: the axis starts at zero.
    """
    factor = 100.0 if ratio else 1.0

    def scaled(value: float | None) -> float | None:
        return round(value * factor, 6) if value is not None and math.isfinite(value) else None

    return {
        "times": [float(t) for t in times],
        "lines": [{"name": one.name, "style": one.style, "values": [scaled(v) for v in one.values]} for one in lines],
        "unit": "%" if ratio else unit,
        "limit": scaled(limit),
        "limitName": limit_name,
        "marks": [{"at": m.at, "kind": m.kind, "text": m.text} for m in marks],
        "zero": zero,
    }
