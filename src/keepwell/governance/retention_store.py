"""Bytes that are condemned: told in the ledger, about to be removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import BigInteger, Column, Integer, String, Table, delete, select

from keepwell.db import Transaction, metadata
from keepwell.db.bulk import chunks, insert_rows

condemned = Table(
    "gc_condemned",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("seq", Integer, nullable=False),
    sqlite_with_rowid=False,
)


def pending(tx: Transaction) -> dict[str, int]:
    """Return digest to size of all that is condemned."""
    return {row.digest: row.size for row in tx.execute(select(condemned).order_by(condemned.c.digest))}


def condemn(tx: Transaction, sizes: Mapping[str, int], seq: int) -> None:
    """Write what is condemned; `seq` is the number of the entry that tells of it."""
    rows = [(digest, size, seq) for digest, size in sizes.items()]
    insert_rows(tx, condemned, ("digest", "size", "seq"), rows)


def settle(tx: Transaction, digests: Sequence[str]) -> None:
    """Forget what was condemned: it is removed, or spared."""
    for part in chunks(digests):
        tx.execute(delete(condemned).where(condemned.c.digest.in_(part)))
