"""Leases with fencing tokens: at most one process acts for a model, also when one was paused and wakes up late.

A holder renews its lease while it works. When it was away for longer than the lease lasts, another takes over with a
higher token, and every later write of the first is refused inside its own transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Column, Integer, String, Table, Text, insert, select, update

from keepwell.core.clock import iso
from keepwell.core.errors import Conflict, Unavailable
from keepwell.db import Transaction, metadata, write
from keepwell.flows.kit import Kit

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("token", Integer, nullable=False),
    Column("expires", String(27), nullable=False),
)

LASTS = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was taken: who holds it, and the token that only grows."""

    name: str
    holder: str
    token: int

    def check(self, tx: Transaction) -> None:
        """Refuse the transaction when the lease has passed to someone else.

        Raises:
            Conflict: another process holds it now.
        """
        current = tx.execute(select(leases.c.token).where(leases.c.name == self.name)).scalar()
        if current != self.token:
            raise Conflict(f"Another process took over {self.name}; this one stops.", code="lease_lost")


@contextmanager
def holding(kit: Kit, name: str) -> Iterator[Kit]:
    """Take a lease, renew it while the block runs, and give it back; yields a kit whose writes the lease guards.

    Raises:
        Unavailable: another process holds the lease.
    """
    lease = _take(kit, name)
    done = threading.Event()
    heart = threading.Thread(target=_renew, args=(kit, lease, done), name=f"lease {name}", daemon=True)
    heart.start()
    try:
        yield kit.guarded(lease.check)
    finally:
        done.set()
        heart.join()
        _give_back(kit, lease)


def _take(kit: Kit, name: str) -> Lease:
    now = kit.clock.now()
    holder = kit.ids.new("hold")
    with write(kit.db) as tx:
        row = tx.execute(select(leases).where(leases.c.name == name)).first()
        if row is not None and row.expires > iso(now):
            raise Unavailable(f"{name} is being worked on by another process; try again in a moment.", code="leased")
        values = {"holder": holder, "token": row.token + 1 if row else 1, "expires": iso(now + LASTS)}
        if row is None:
            tx.execute(insert(leases).values(name=name, **values))
        else:
            tx.execute(update(leases).where(leases.c.name == name).values(**values))
    return Lease(name, holder, int(values["token"]))


def _renew(kit: Kit, lease: Lease, done: threading.Event) -> None:
    while not done.wait(LASTS.total_seconds() / 4):
        _set_expiry(kit, lease, iso(kit.clock.now() + LASTS))


def _give_back(kit: Kit, lease: Lease) -> None:
    _set_expiry(kit, lease, "")


def _set_expiry(kit: Kit, lease: Lease, expires: str) -> None:
    with write(kit.db) as tx:
        tx.execute(
            update(leases).where(leases.c.name == lease.name, leases.c.token == lease.token).values(expires=expires)
        )
