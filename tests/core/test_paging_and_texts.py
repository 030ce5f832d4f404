"""Limits, places in a listing and reasons: what cannot be meant is refused."""

from __future__ import annotations

import pytest

from keepwell.core.errors import InvalidInput
from keepwell.core.paging import check_after, check_limit
from keepwell.core.texts import check_text


def test_limits() -> None:
    assert [check_limit(n) for n in (1, 50, 1000)] == [1, 50, 1000]
    assert check_limit(5000, most=10_000) == 5000
    for wrong in (0, -1, 1001, 10**9, True, 1.0, "5", None):
        with pytest.raises(InvalidInput, match="whole number from 1 to 1000"):
            check_limit(wrong)


def test_places() -> None:
    assert check_after(None) is None
    assert check_after("region=South") == "region=South"
    for wrong in ("", "x" * 1001, "a\nb", "\x00", 5):
        with pytest.raises(InvalidInput, match="start again"):
            check_after(wrong)


def test_reasons() -> None:
    assert check_text("better:\n\tby a fifth, in every région") == "better:\n\tby a fifth, in every région"
    for wrong in ("x" * 2001, "\x1b[2J", "a\x00", "\u202ereversed", "\r", 5, None):
        with pytest.raises(InvalidInput):
            check_text(wrong)
