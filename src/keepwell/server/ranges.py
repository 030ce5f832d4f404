"""The Range header (RFC 9110, section 14): one range of bytes is served, anything else is the whole. Pure."""

from __future__ import annotations

import re

_ONE = re.compile(r"bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))\Z")


def read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and how many are asked for.

    Args:
        header: the header's value.
        size: how many bytes there are.

    Returns:
        None for the whole: no header, another unit, several ranges, or one that is none; a count of 0 for a range that
        lies behind the end.
    """
    found = _ONE.match(header) if header else None
    if found is None:
        return None
    first, last, tail = found.groups()
    if tail is not None:
        count = min(int(tail), size)
        return size - count, count
    start, end = int(first), int(last) if last else size - 1
    if end < start and last:
        return None
    return (start, min(end, size - 1) - start + 1) if start < size else (size, 0)
