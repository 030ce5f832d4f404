"""The change feed: what happened after an entry, in order; and a bounded wait for what happens next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from keepwell.core.errors import InvalidInput
from keepwell.core.paging import check_limit
from keepwell.db import Database, Transaction, read
from keepwell.ledger import service
from keepwell.ledger.model import Entry

LONGEST = 10.0
"""Seconds that one call waits at most."""
STEP = 0.2


class Changes(msgspec.Struct, frozen=True):
    """What happened after an entry.

    Attributes:
        items: entries, oldest first, without gaps among those asked for.
        after: give this to go on: everything up to it was told or did not match.
    """

    items: Sequence[Entry]
    after: int


def changes(
    tx: Transaction, after: int, *, subject: str | None = None, kind: str | None = None, limit: int = 100
) -> Changes:
    """Return what happened after an entry.

    Args:
        tx: a transaction.
        after: number of the last entry that is known; 0 starts with the first.
        subject: only of this subject, such as `model:iris`.
        kind: only of this kind, or of kinds that start so, such as `model.`.
        limit: at most so many.

    Raises:
        InvalidInput: a number cannot be meant.
    """
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after < 1 << 53:
        raise InvalidInput("The feed goes on after the number of an entry, from 0.", where="after")
    size = check_limit(limit)
    head = service.size(tx)
    found = service.entries(tx, subject=subject, kind=kind, after=after, limit=size)
    return Changes(found, found[-1].seq if len(found) == size else max(after, head))


def wait_for_changes(
    database: Database,
    after: int,
    seconds: float,
    *,
    subject: str | None = None,
    kind: str | None = None,
    limit: int = 100,
    now: Callable[[], float],
    sleep: Callable[[float], object],
) -> Changes:
    """Return what happened after an entry, or wait so long for something to happen.

    Args:
        database: where the ledger is.
        after: number of the last entry that is known.
        seconds: how long at most; never longer than `LONGEST`.
        subject: as in `changes`.
        kind: as in `changes`.
        limit: as in `changes`.
        now: a clock that only goes forward, in seconds.
        sleep: waits so many seconds.

    Raises:
        InvalidInput: a number cannot be meant.
    """
    deadline = now() + min(seconds, LONGEST)
    while True:
        with read(database) as tx:
            found = changes(tx, after, subject=subject, kind=kind, limit=limit)
        left = deadline - now()
        if found.items or left <= 0:
            return found
        after = found.after
        sleep(min(STEP, left))
