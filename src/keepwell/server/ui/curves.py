"""Learning curves: what smoothing and scales do to them, and how they are drawn as SVG without scripts. Pure.

`keepwell-curves.js` draws the same with uPlot where scripts run; smoothing there is this module's `smoothed`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from keepwell.server.ui.words import duration, number

Across = Literal["step", "relative", "time"]
COLOURS = 10
"""So many colours tell runs apart; after them come the same colours in other dashes."""
_NONE = Markup('<p class="quiet">No points.</p>')


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one run.

    Attributes:
        run: the run's id.
        label: what the run is called.
        slot: the place that says colour and dash.
        steps: its steps.
        ats: when each was logged, ms since the epoch.
        values: what was logged; NaN and infinities are gaps.
        whole: how many points there are, of which these are a sample.
    """

    run: str
    label: str
    slot: int
    steps: Sequence[int]
    ats: Sequence[int]
    values: Sequence[float]
    whole: int = 0


def style_of(slot: int) -> str:
    """Return the class of a run's colour and dash."""
    dash = ("", " dash-1", " dash-2")[slot // COLOURS % 3]
    return f"run-{slot % COLOURS}{dash}"


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving average of values, free of the bias of its start; gaps stay gaps.

    Each value is `sum(w^k x[n-k]) / sum(w^k)` over the values so far.

    Args:
        values: in order.
        weight: how much of what came before stays, 0 (nothing is smoothed) to below 1.
    """
    if weight <= 0:
        return list(values)
    found, total, mass = [], 0.0, 0.0
    for value in values:
        if not math.isfinite(value):
            found.append(math.nan)
            continue
        total = total * weight + value
        mass = mass * weight + 1.0
        found.append(total / mass)
    return found


def across(curve: Curve, axis: Across) -> list[float]:
    """Return where on the axis the points of a curve are: its step, seconds since its first point, or unix seconds."""
    if axis == "step":
        return [float(step) for step in curve.steps]
    start = curve.ats[0] if axis == "relative" and len(curve.ats) else 0
    return [(at - start) / 1000 for at in curve.ats]


def along(value: float, axis: Across) -> str:
    """Return a place on the axis in words."""
    if axis == "step":
        return f"step {int(value):,}"
    if axis == "relative":
        return duration(max(0.0, value))
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(value, UTC):%d %b %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, straight or logarithmic."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float | None:
        """Return where a value is between 0 and 1; None where the axis has no place for it."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        if self.high == self.low:
            return 0.5
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def scale_of(values: Sequence[float], *, log: bool = False) -> Scale | None:
    """Return the axis that holds all of the values it can hold; None when there is none."""
    known = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    return Scale(min(known), max(known), log) if known else None


def draw(
    curves: Sequence[Curve], *, label: str, axis: Across = "step", smooth: float = 0.0, log_x: bool = False,
    log_y: bool = False,
) -> Markup:  # fmt: skip
    """Return the curves as lines between four numbers: the greatest and least value, and the ends of the axis."""
    drawn = [(one, across(one, axis), smoothed(one.values, smooth)) for one in curves]
    horizontal = scale_of([x for _, xs, _ in drawn for x in xs], log=log_x)
    vertical = scale_of([y for _, _, ys in drawn for y in ys], log=log_y)
    if horizontal is None or vertical is None:
        return _NONE
    lines = [_line(one, xs, ys, horizontal, vertical) for one, xs, ys in drawn]
    return Markup(
        '<div class="curve"><span class="most">{most}</span><svg viewBox="0 0 100 100" preserveAspectRatio="none" '
        'role="img" aria-label="{label}">{lines}</svg><span class="least">{least}</span>'
        '<div class="ends"><span>{first}</span><span>{last}</span></div></div>'
    ).format(
        most=number(vertical.high), least=number(vertical.low), label=label, lines=Markup().join(lines),
        first=along(horizontal.low, axis), last=along(horizontal.high, axis),
    )  # fmt: skip


def _line(one: Curve, xs: Sequence[float], ys: Sequence[float], horizontal: Scale, vertical: Scale) -> Markup:
    path, pen = [], False
    for x, y in zip(xs, ys, strict=True):
        right, up = horizontal.share(x), vertical.share(y)
        if right is None or up is None:
            pen = pen and right is None
            continue
        path.append(f"{'L' if pen else 'M'}{100 * right:.2f} {97 - 94 * up:.2f}{'' if pen else 'h.01'}")
        pen = True
    last = next((y for y in reversed(list(one.values)) if math.isfinite(y)), None)
    return Markup('<path class="{}" d="{}"><title>{}: {}</title></path>').format(
        style_of(one.slot), "".join(path), one.label, number(last)
    )
