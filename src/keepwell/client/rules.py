"""What the verbs accept, and how long the sender waits. Pure."""

from __future__ import annotations

import math
import random
import re
import unicodedata

from keepwell.core.errors import InvalidInput

INT64 = 1 << 63
_SEGMENT = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\:*?\"<>|\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]{1,255}\Z")


def check_metric(name: object) -> str:
    """Return the name of a metric.

    Raises:
        InvalidInput: it is not 1 to 250 printable characters.
    """
    if not isinstance(name, str) or not 0 < len(name) <= 250 or not name.isprintable():
        raise InvalidInput("The name of a metric is 1 to 250 printable characters.", where="name")
    return name


def check_value(name: str, value: object) -> float:
    """Return the value of a metric as a number; whatever has a float in it (a tensor of one element) is one.

    Raises:
        InvalidInput: it is no number.
    """
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        item = getattr(value, "item", None)
        return float(item() if callable(item) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        raise InvalidInput(f"The metric {name!r} must be a number, not {type(value).__name__}.", where=name) from None


def check_step(step: object) -> int:
    """Return a step as a whole number of 64 bits.

    Raises:
        InvalidInput: it is none.
    """
    try:
        number = int(step)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("A step is a whole number.", where="step") from None
    if not -INT64 <= number < INT64 or number != step:
        raise InvalidInput("A step is a whole number of 64 bits.", where="step")
    return int(number)


def safe_path(text: str) -> tuple[str, ...]:
    """Return the segments of an artifact's path, when each can be a file or folder of that name on any machine.

    Raises:
        InvalidInput: a segment is empty, `.`, `..`, ends with a dot or space, or holds what means something to a
            file system.
    """
    segments = tuple(text.split("/"))
    for segment in segments:
        if segment in ("", ".", "..") or not _SEGMENT.match(segment) or segment[-1] in ". " or segment[0] == "~":
            raise InvalidInput(
                f"{text[:80]!a} cannot be the path of an artifact: use names joined by '/', without '..', "
                "backslashes, or a slash at the start.",
                where="path",
            )
        if segment != unicodedata.normalize("NFC", segment):
            raise InvalidInput("The path of an artifact is written in composed characters (NFC).", where="path")
    return segments


def wait_seconds(
    attempt: int, draw: random.Random, *, told: float | None = None, base: float = 0.5, cap: float = 30.0
) -> float:
    """Return how long to wait after a failed attempt: full jitter over a window that doubles.

    Args:
        attempt: how many attempts failed in a row, from 1.
        draw: source of randomness.
        told: seconds that the server asked for (Retry-After); at least that, at most five minutes.
        base: the first window in seconds.
        cap: the largest window in seconds.
    """
    window = min(cap, base * 2 ** min(attempt - 1, 16))
    wait = draw.uniform(0, window)
    if told is not None and math.isfinite(told) and told > 0:
        return min(told, 300.0) + draw.uniform(0, base)
    return wait
