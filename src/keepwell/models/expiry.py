"""Deleted versions whose time is over: their rows become tombstones, and nothing needs their bytes any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, func, select, update

from keepwell.core import failpoints
from keepwell.db import Transaction
from keepwell.db.bulk import chunks
from keepwell.models.registry_store import details, version_tags
from keepwell.models.store import batches, versions


class ExpiredBatch(NamedTuple):
    """Versions that were registered together and are all deleted."""

    batch: str
    model: str
    versions: int
    deleted_at: str


def expired(tx: Transaction, before: str) -> list[ExpiredBatch]:
    """Return the batches whose versions were all deleted before a moment, and whose bytes are not given back yet."""
    touched = select(versions.c.batch).where(versions.c.deleted_at < before)
    last = func.max(func.coalesce(versions.c.deleted_at, "9"))
    query = (
        select(batches.c.id, batches.c.model, func.count(), last)
        .join_from(batches, versions, versions.c.batch == batches.c.id)
        .where(batches.c.freed_at.is_(None), batches.c.id.in_(touched))
        .group_by(batches.c.id, batches.c.model)
        .having(last < before)
        .order_by(batches.c.id)
    )
    return [ExpiredBatch(*row) for row in tx.execute(query)]


class Origins(NamedTuple):
    """What versions that are still there come from: runs and logged models."""

    runs: frozenset[str]
    logged_models: frozenset[str]


def origins(tx: Transaction, without: Sequence[str] = ()) -> Origins:
    """Return the runs and logged models that a version comes from whose bytes stay, but for batches that go."""
    gone = frozenset(without)
    kept = batches.c.freed_at.is_(None)
    runs = select(batches.c.id, batches.c.run_id).where(kept, batches.c.run_id.is_not(None))
    joined = details.join(versions, versions.c.id == details.c.version).join(batches, batches.c.id == versions.c.batch)
    logged = select(batches.c.id, details.c.logged_model).select_from(joined)
    logged = logged.where(kept, details.c.logged_model.is_not(None))
    return Origins(
        frozenset(str(run) for batch, run in tx.execute(runs) if batch not in gone),
        frozenset(str(model) for batch, model in tx.execute(logged) if batch not in gone),
    )


def waiting(tx: Transaction, before: str) -> int:
    """Return how many deleted versions still can be brought back after a moment."""
    query = select(func.count()).select_from(versions).where(versions.c.deleted_at >= before)
    return int(tx.execute(query).scalar_one())


def expire(tx: Transaction, ids: list[str], at: str) -> None:
    """Give up the bytes of batches for good, with what was written on their versions."""
    for part in chunks(ids):
        its = select(versions.c.id).where(versions.c.batch.in_(part))
        tx.execute(delete(version_tags).where(version_tags.c.version.in_(its)))
        tx.execute(
            update(details)
            .where(details.c.version.in_(its))
            .values(description=None, source=None, run_link=None, status_message=None)
        )
        tx.execute(update(versions).where(versions.c.batch.in_(part)).values(facts={}, metrics={}))
        tx.execute(update(batches).where(batches.c.id.in_(part)).values(freed_at=at))
    failpoints.reach("models.expired")
