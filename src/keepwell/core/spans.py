"""Spans of time as people write them: `60d`, `1w`, `12h`, `30m`, `90s`."""

from __future__ import annotations

import re
from datetime import timedelta

from keepwell.core.errors import InvalidInput

_SPAN = re.compile(r"([1-9][0-9]{0,5})\s*(s|m|h|d|w)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_span(text: object) -> timedelta:
    """Return the span that `text` writes.

    Raises:
        InvalidInput: it is not a positive whole number followed by s, m, h, d or w.
    """
    match = _SPAN.match(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidInput(f"{text!r} is not a span of time: write a number and a unit, like '60d', '1w' or '12h'.")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def show_span(span: timedelta) -> str:
    """Return the shortest text that `parse_span` reads back."""
    seconds = int(span.total_seconds())
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
