"""What every flow is handed: the opened stores, the clock and the id source, chosen in `bootstrap`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from keepwell.blobs import LocalBlobs
from keepwell.core.calls import Call
from keepwell.core.clock import Clock
from keepwell.core.ids import Ids
from keepwell.db import Database


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
    """

    home: Path
    db: Database
    blobs: LocalBlobs
    clock: Clock
    ids: Ids
    workers: int = 2

    def call(self, actor: str, key: str | None = None) -> Call:
        """Return a call by `actor` at the clock's present moment."""
        return Call(actor=actor, now=self.clock.now(), ids=self.ids, key=key)
