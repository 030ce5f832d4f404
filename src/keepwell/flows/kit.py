"""What every flow is handed: the opened stores, the clock and the id source, chosen in `bootstrap`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from keepwell.blobs import LocalBlobs
from keepwell.core.calls import Call
from keepwell.core.clock import Clock, SystemClock
from keepwell.core.ids import Ids
from keepwell.db import Database, Transaction, read, write


@dataclass(frozen=True, slots=True)
class Kit:
    """An opened house.

    Attributes:
        home: the installation's folder.
        db: the database, migrated.
        blobs: content-addressed bytes.
        clock: tells the time, real or simulated.
        ids: makes ids.
        workers: how many processes long work may use.
        wall: the machine's own time, also where `clock` is simulated: leases end by it.
        guard: asked at the start of every write transaction; raises when this process may no longer write (its lease
            was taken over).
    """

    home: Path
    db: Database
    blobs: LocalBlobs
    clock: Clock
    ids: Ids
    workers: int = 2
    wall: Clock = field(default_factory=SystemClock)
    guard: Callable[[Transaction], None] | None = None

    def call(self, actor: str, key: str | None = None) -> Call:
        """Return a call by `actor` at the clock's present moment."""
        return Call(actor=actor, now=self.clock.now(), ids=self.ids, key=key)

    @contextmanager
    def write(self, *, serial: bool = True) -> Iterator[Transaction]:
        """A transaction that changes state, refused when the guard says so; `serial` as in `db.write`."""
        with write(self.db, serial=serial) as tx:
            if self.guard is not None:
                self.guard(tx)
            yield tx

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that sees one snapshot."""
        with read(self.db) as tx:
            yield tx

    def guarded(self, guard: Callable[[Transaction], None]) -> Kit:
        """Return the same house, writing only while `guard` lets it."""
        return replace(self, guard=guard)
