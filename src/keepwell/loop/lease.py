"""Leases with fencing tokens: at most one process acts for a model, also when one was paused and wakes up late.

A holder renews its lease while it works. When it was away for longer than the lease lasts, another takes over with a
higher token, and every later write of the first is refused inside its own transaction. A holder also locks a file in
the house for as long as its process lives: one that was killed does not keep others waiting.

Leases end by the machine's own time: a simulated clock may stand still, or be another than the next process's.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

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
    holder = kit.ids.new("hold")
    with _alive(kit.home, holder):
        lease = _take(kit, name, holder)
        done = threading.Event()
        heart = threading.Thread(target=_renew, args=(kit, lease, done), name=f"lease {name}", daemon=True)
        heart.start()
        try:
            yield kit.guarded(lease.check)
        finally:
            done.set()
            heart.join()
            _give_back(kit, lease)


def _take(kit: Kit, name: str, holder: str) -> Lease:
    now = kit.wall.now()
    with write(kit.db) as tx:
        row = tx.execute(select(leases).where(leases.c.name == name)).first()
        if row is not None and row.expires > iso(now) and row.holder != holder and not _is_dead(kit.home, row.holder):
            raise Unavailable(f"{name} is being worked on by another process; try again in a moment.", code="leased")
        values = {"holder": holder, "token": row.token + 1 if row else 1, "expires": iso(now + LASTS)}
        if row is None:
            tx.execute(insert(leases).values(name=name, **values))
        else:
            tx.execute(update(leases).where(leases.c.name == name).values(**values))
    return Lease(name, holder, int(values["token"]))


@contextmanager
def _alive(home: Path, holder: str) -> Iterator[None]:
    """Hold a lock that the operating system drops when this process ends, however it ends."""
    path = _lock_of(home, holder)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _is_dead(home: Path, holder: str) -> bool:
    """Tell whether a holder of this house has died; one that leaves no lock file here may live on another machine."""
    path = _lock_of(home, holder)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        with suppress(OSError):
            path.unlink()
        return True
    finally:
        os.close(handle)


def _lock_of(home: Path, holder: str) -> Path:
    return home / "leases" / f"{holder}.lock"


def _renew(kit: Kit, lease: Lease, done: threading.Event) -> None:
    while not done.wait(LASTS.total_seconds() / 4):
        _set_expiry(kit, lease, iso(kit.wall.now() + LASTS))


def _give_back(kit: Kit, lease: Lease) -> None:
    _set_expiry(kit, lease, "")


def _set_expiry(kit: Kit, lease: Lease, expires: str) -> None:
    with write(kit.db) as tx:
        tx.execute(
            update(leases).where(leases.c.name == lease.name, leases.c.token == lease.token).values(expires=expires)
        )
