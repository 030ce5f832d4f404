"""The experiment that every house has. It is looked for at each opening, so this imports little."""

from __future__ import annotations

from sqlalchemy import column, select, table

from keepwell.core.clock import Clock, to_ms
from keepwell.db import Database, read, write

_EXPERIMENTS = table("experiments", column("id"))


def furnish(database: Database, clock: Clock) -> None:
    """Put the experiment `Default` into a new house."""
    with read(database) as tx:
        if tx.scalar(select(_EXPERIMENTS.c.id).where(_EXPERIMENTS.c.id == 0)) is not None:
            return
    from keepwell.tracking.experiments_store import ensure_default

    with write(database) as tx:
        ensure_default(tx, to_ms(clock.now()))
