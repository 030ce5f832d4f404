"""Spans of time as people write them: `60d`, `1w`, `12h`, `30m`, `90s`."""

from __future__ import annotations

import re
from datetime import timedelta

from keepwell.core.errors import InvalidInput

_SPAN = re.compile(r"([1-9][0-9]{0,9})\s*(s|m|h|d|w)\Z")
LONGEST = timedelta(days=36_500)
"""No span is longer: a moment and a span always make a moment."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_span(text: object) -> timedelta:
    """Return the span that `text` writes.

    Raises:
        InvalidInput: it is not a positive whole number followed by s, m, h, d or w, or is longer than `LONGEST`.
    """
    match = _SPAN.match(text) if isinstance(text, str) else None
    if match is None:
        shown = ascii(text if not isinstance(text, str) or len(text) <= 60 else text[:57] + "...")
        raise InvalidInput(f"{shown} is not a span of time: write a number and a unit, like '60d', '1w' or '12h'.")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds > LONGEST.total_seconds():
        raise InvalidInput(f"The span {text} is longer than a hundred years: write {LONGEST.days}d or less.")
    return timedelta(seconds=seconds)


def show_span(span: timedelta) -> str:
    """Return the text with the largest unit that `parse_span` reads back; `0s` is for showing only.

    Parts of a second are dropped.
    """
    seconds = int(span.total_seconds())
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
