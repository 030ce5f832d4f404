"""Bounds of a page: every listing has a limit, and a limit that cannot be meant is refused, not cut."""

from __future__ import annotations

from keepwell.core.errors import InvalidInput

MOST = 1_000
"""The largest page."""


def check_limit(limit: object, most: int = MOST) -> int:
    """Return `limit` when it is a whole number from 1 to `most`.

    Raises:
        InvalidInput: it is not.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
        raise InvalidInput(f"The limit must be a whole number from 1 to {most}.", where="limit")
    return limit


def check_after(after: object) -> str | None:
    """Return a page token when it can be one: None, or 1 to 1,000 printable characters.

    Raises:
        InvalidInput: it cannot.
    """
    if after is None:
        return None
    if not isinstance(after, str) or not 0 < len(after) <= 1_000 or not after.isprintable():
        raise InvalidInput("This is not a page's 'after'; start again without it.", where="after")
    return after
