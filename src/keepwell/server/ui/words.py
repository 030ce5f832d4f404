"""Numbers, times and states as people read them. Pure."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

from keepwell.core.clock import as_utc, iso

Tone = Literal["ok", "watch", "bad", "unknown", "none"]
"""What a colour may mean; `none` is no state at all."""

RATIOS = frozenset({"wmape", "mape", "mape100", "bias"})
"""Metrics that are fractions and shown as per cent."""
NAMES = {"wmape": "WMAPE", "mape": "MAPE", "mape100": "MAPE (≥ 100)", "rmse": "RMSE", "rmse_zero": "RMSE at 0",
         "mae": "MAE", "bias": "Bias"}  # fmt: skip
"""How metrics are written."""

SIGNS: dict[Tone, str] = {"ok": "✓", "watch": "!", "bad": "✕", "unknown": "?", "none": "·"}
"""A sign beside every state colour."""

TONES: dict[str, Tone] = {
    "ok": "ok", "passed": "ok", "finished": "ok", "done": "ok", "accepted": "ok", "released": "ok", "given": "ok",
    "champion": "ok", "promoted": "ok", "closed": "ok", "verified": "ok", "cached": "none",
    "watch": "watch", "held": "watch", "asked": "watch", "undecided": "watch", "stale": "watch", "running": "watch",
    "quarantined": "bad", "bad": "bad", "failed": "bad", "open": "bad", "refused": "bad", "rejected": "none",
    "interrupted": "bad", "decaying": "bad",
    "unknown": "unknown", "registered": "none", "retired": "none", "discarded": "none", "withdrawn": "none",
    "skipped": "none",
}  # fmt: skip
"""The colour of a word of state; a word that is not here has none."""


_DAY = 86_400
_UNITS = (
    (3_570, "min", 60.0),
    (84_600, "h", 3_600.0),
    (45 * _DAY, "d", float(_DAY)),
    (700 * _DAY, "months", 30.44 * _DAY),
    (math.inf, "years", 365.25 * _DAY),
)
"""Up to so many seconds a span is said in this unit, of so many seconds."""


def tone_of(state: str) -> Tone:
    """Return the colour of a word of state."""
    return TONES.get(state, "none")


def number(value: float | int | None, unit: str = "", digits: int = 3) -> str:
    """Return a number with at most `digits` significant ones; whole numbers stay whole; None is `unknown`."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "unknown"
    if isinstance(value, int) or (value == int(value) and abs(value) >= 10 ** (digits - 1)):
        text = f"{int(value):,}"
    elif abs(value) >= 10 ** (digits - 1):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{digits}g}" if value == 0 or abs(value) >= 1e-4 else f"{value:.{digits - 1}e}"
    return f"{text} {unit}" if unit else text  # narrow no-break space


def percent(value: float | None, digits: int = 3) -> str:
    """Return a fraction as per cent."""
    if value is None or not math.isfinite(value):
        return "unknown"
    shown = value * 100
    decimals = max(0, min(digits - 1 - math.floor(math.log10(abs(shown))), 2)) if abs(shown) >= 0.05 else 1
    return f"{shown:,.{min(decimals, 1)}f} %"


def metric(value: float | None, name: str) -> str:
    """Return a metric's value in its own unit."""
    return percent(value) if name in RATIOS else number(value)


def metric_name(name: str) -> str:
    """Return how a metric is written."""
    return NAMES.get(name, name)


def size(value: int | None) -> str:
    """Return a number of bytes."""
    if value is None:
        return "unknown"
    shown = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if shown < 1000:
            return number(shown if unit != "B" else int(shown), unit)
        shown /= 1000
    return number(shown, "TB")


def duration(seconds: float | None) -> str:
    """Return a span of seconds."""
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return number(round(seconds, 2), "s") if seconds >= 1 else number(round(seconds * 1000), "ms")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def span(text: str, times: int = 1) -> str:
    """Return a charter's span of time in words, so many times: `60d` as `60 d`, four times `1w` as `4 weeks`."""
    count, unit = int(text[:-1]) * times, text[-1]
    word = {"m": "min", "w": "week" if count == 1 else "weeks"}.get(unit, unit)
    return f"{count} {word}"


def ago(moment: datetime, now: datetime) -> str:
    """Return how far a moment is from now, in words: `3 d ago`, `in 2 h`."""
    seconds = (as_utc(now) - as_utc(moment)).total_seconds()
    span = abs(seconds)
    if span < 45:
        return "just now" if seconds >= 0 else "in a moment"
    unit, divisor = next((unit, divisor) for limit, unit, divisor in _UNITS if span < limit)
    text = f"{max(1, round(span / divisor))} {unit}"
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def exact(moment: datetime) -> str:
    """Return a moment to the second, with its zone."""
    return as_utc(moment).strftime("%d %b %Y %H:%M:%S UTC")


def day(moment: datetime) -> str:
    """Return a moment's day."""
    return as_utc(moment).strftime("%d %b %Y").lstrip("0")


def machine(moment: datetime) -> str:
    """Return a moment for a `datetime` attribute."""
    return iso(moment)


def short(text: str) -> str:
    """Return an id or digest shortened: its prefix and its last characters."""
    if text.startswith("sha256:"):
        return text[7:15]
    prefix, bar, rest = text.partition("_")
    return f"{prefix}_…{rest[-6:]}" if bar and len(rest) == 26 else text[:12]


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def segment_words(key: str) -> str:
    """Return a segment's key for people: `South · large · fast`; the values in the charter's order."""
    from keepwell.core.segments import segment_values

    return " · ".join(segment_values(key).values()) or "all"


def person(actor: str) -> str:
    """Return who an actor of the ledger is, without its kind."""
    kind, _, name = actor.partition(":")
    return name if kind == "person" and name else actor
