"""Time as an argument: a clock is asked at the edge only, and rules take `now`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time, in UTC."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)  # noqa: TID251  (the one place)


class SimulatedClock:
    """A clock that stands still until it is told to move: for the demo, for replay and for tests."""

    def __init__(self, start: datetime) -> None:
        self._now = as_utc(start)

    def now(self) -> datetime:
        """Return the simulated time."""
        return self._now

    def move_to(self, moment: datetime) -> None:
        """Set the simulated time; it may go back, as real clocks do."""
        self._now = as_utc(moment)

    def advance(self, span: timedelta) -> None:
        """Move the simulated time by `span`."""
        self._now += span


def as_utc(moment: datetime) -> datetime:
    """Return `moment` in UTC; a naive one is read as UTC."""
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def iso(moment: datetime) -> str:
    """Return the one text form of a moment: `2026-01-31T12:00:00.000000Z`, which sorts as time does."""
    return as_utc(moment).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def from_iso(text: str) -> datetime:
    """Return the moment that `iso` wrote, or any ISO 8601 moment or date.

    Raises:
        ValueError: the text is neither.
    """
    try:
        return as_utc(datetime.fromisoformat(text))
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside the years 1 to 9999 in UTC") from error


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""


def to_ms(moment: datetime) -> int:
    """Return a moment as whole milliseconds since 1970."""
    return (as_utc(moment) - _EPOCH) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """Return the moment that lies so many milliseconds after 1970; it must lie in the years 1970 to 9999."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def iso_ms(milliseconds: int) -> str:
    """Return `iso` of the moment that lies so many milliseconds after 1970."""
    return iso(from_ms(milliseconds))
