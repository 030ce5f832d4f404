"""Names that things had elsewhere, and what they are called here: what makes moving in repeatable and resumable.

A row is written in the transaction that makes the thing, so a row says that the thing is whole. `stamp` is a digest of
what was carried; where the source has another one, there is something new to carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Column, Index, String, Table, Text, delete, insert, select

from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.db import Transaction, metadata

foreign_names = Table(
    "foreign_names",
    metadata,
    Column("origin", String(20), primary_key=True),
    Column("kind", String(20), primary_key=True),
    Column("theirs", Text, primary_key=True),
    Column("ours", Text, nullable=False),
    Column("stamp", String(71), nullable=False),
    Column("waits", Text),
    Column("at", String(27), nullable=False),
    Index(None, "origin", "kind", "ours"),
)


@dataclass(frozen=True, slots=True)
class Known:
    """Something that was carried here.

    Attributes:
        theirs: its name or id there.
        ours: its name or id here.
        stamp: digest of what was carried.
        waits: what could not be said yet, as it waits for something else to be carried.
    """

    theirs: str
    ours: str
    stamp: str
    waits: str | None = None


def known(tx: Transaction, origin: str, kind: str, foreign: Iterable[str]) -> Mapping[str, Known]:
    """Return those of some foreign names that are known here."""
    t, found, names = foreign_names.c, {}, list(dict.fromkeys(foreign))
    for start in range(0, len(names), 500):
        some = names[start : start + 500]
        query = select(foreign_names).where(t.origin == origin, t.kind == kind, t.theirs.in_(some))
        found.update({row.theirs: Known(row.theirs, row.ours, row.stamp, row.waits) for row in tx.execute(query)})
    return found


def of_ours(tx: Transaction, origin: str, kind: str, ours: str) -> Known | None:
    """Return what something of ours was called elsewhere."""
    t = foreign_names.c
    query = select(foreign_names).where(t.origin == origin, t.kind == kind, t.ours == ours).limit(1)
    row = tx.execute(query).first()
    return None if row is None else Known(row.theirs, row.ours, row.stamp, row.waits)


def waiting(tx: Transaction, origin: str, kind: str) -> list[Known]:
    """Return everything of a kind that waits for something else."""
    t = foreign_names.c
    query = select(foreign_names).where(t.origin == origin, t.kind == kind, t.waits.is_not(None)).order_by(t.theirs)
    return [Known(row.theirs, row.ours, row.stamp, row.waits) for row in tx.execute(query)]


def remember(tx: Transaction, call: Call, origin: str, kind: str, one: Known) -> None:
    """Keep what something is called here, in place of what was kept before."""
    t = foreign_names.c
    tx.execute(delete(foreign_names).where(t.origin == origin, t.kind == kind, t.theirs == one.theirs))
    row = {"theirs": one.theirs, "ours": one.ours, "stamp": one.stamp, "waits": one.waits, "at": iso(call.now)}
    tx.execute(insert(foreign_names).values(origin=origin, kind=kind, **row))
