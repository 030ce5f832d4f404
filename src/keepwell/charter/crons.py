"""Schedules: five-field cron in UTC, with Debian cron's meaning (by cronsim)."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from keepwell.charter.findings import shown
from keepwell.core.clock import as_utc
from keepwell.core.errors import InvalidInput


def check_cron(text: str) -> str:
    """Return `text` when it is a schedule that ever comes due.

    Raises:
        InvalidInput: it is not five fields of cron, or names a day that no month has.
    """
    _simulate(text, datetime(2024, 1, 1))  # noqa: DTZ001  (any moment does; a naive one is UTC here)
    return text


def next_moments(text: str, now: datetime, count: int = 1) -> list[datetime]:
    """Return the next moments, after `now`, at which the schedule comes due, in UTC.

    Raises:
        InvalidInput: the text is not a schedule.
    """
    return list(itertools.islice(_simulate(text, as_utc(now)), count))


def last_moment(text: str, now: datetime) -> datetime | None:
    """Return the last moment, at or before `now`, at which the schedule came due, or None.

    Raises:
        InvalidInput: the text is not a schedule.
    """
    start = as_utc(now).replace(microsecond=0) + timedelta(seconds=1)
    return next(iter(_simulate(text, start, reverse=True)), None)


def _simulate(text: str, start: datetime, *, reverse: bool = False) -> CronSim:
    if len(text) > 100 or len(text.split()) != 5 or not text.isascii():
        raise InvalidInput(f"{shown(text)} is not a schedule of five fields.")
    try:
        return CronSim(text, start, reverse=reverse)
    except CronSimError as error:
        raise InvalidInput(f"{shown(text)} is not a schedule ({str(error).lower()}).") from error
