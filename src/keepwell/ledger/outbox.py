"""The outbox: every entry waits here, from the transaction that wrote it, until somebody outside was told.

Delivery is at least once, in order of first attempts; a consumer tells repeats apart by the entry's number. A claim is
a lease: who dies with it is followed by another once it ran out, and a late first claimant can no longer settle it.
"""

from __future__ import annotations

from datetime import timedelta

from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.errors import Conflict
from keepwell.db import Transaction
from keepwell.ledger import store
from keepwell.ledger.model import Delivery

LEASE = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=1)


def claim(tx: Transaction, call: Call, limit: int = 100, lease: timedelta = LEASE) -> list[Delivery]:
    """Lease the oldest waiting entries that nobody holds."""
    token = call.ids.new("lea")
    taken = store.claim(tx, limit, iso(call.now), iso(call.now + lease), token)
    return [Delivery(entry, token, attempt) for entry, attempt in taken]


def delivered(tx: Transaction, call: Call, delivery: Delivery) -> None:
    """Record that the entry was told; it does not wait any more.

    Raises:
        Conflict: the lease ran out and another has claimed or settled it.
    """
    _settle(tx, delivery, delivered_at=iso(call.now), leased_until=None)


def failed(tx: Transaction, call: Call, delivery: Delivery) -> None:
    """Record that telling failed: it is tried again after 2, 4, 8 ... seconds, at most an hour.

    Raises:
        Conflict: the lease ran out and another has claimed or settled it.
    """
    wait = min(timedelta(seconds=2 ** min(delivery.attempt, 12)), _LONGEST_WAIT)
    _settle(tx, delivery, delivered_at=None, leased_until=iso(call.now + wait))


def waiting(tx: Transaction) -> int:
    """Return how many entries nobody outside was told of yet."""
    return store.undelivered(tx)


def _settle(tx: Transaction, delivery: Delivery, *, delivered_at: str | None, leased_until: str | None) -> None:
    seq = delivery.entry.seq
    if not store.settle(tx, seq, delivery.lease, delivered_at=delivered_at, leased_until=leased_until):
        raise Conflict(f"The lease on entry {seq} ran out; another took it over.", code="lease_lost")
