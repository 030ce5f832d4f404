"""The ledger's tables and queries."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Index, Integer, LargeBinary, Row, String, Table, Text, insert, select

from keepwell.core.clock import from_iso, iso
from keepwell.db import Transaction, metadata
from keepwell.db.schema import Json
from keepwell.ledger.model import Checkpoint, Entry

entries = Table(
    "ledger_entries",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(27), nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Json, nullable=False),
    Column("commitment", String(64)),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "subject", "seq"),
    Index(None, "kind", "seq"),
)
notes = Table(
    "ledger_notes",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("salt", LargeBinary, nullable=False),
)
checkpoints = Table(
    "ledger_checkpoints",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("root", String(64), nullable=False),
    Column("at", String(27), nullable=False),
    Column("key", String(16), nullable=False),
    Column("signature", String(128), nullable=False),
)
outbox = Table(
    "outbox",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("delivered_at", String(27)),
    Index(None, "delivered_at"),
)
idempotency = Table(
    "idempotency",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", String(71), nullable=False),
    Column("answer", Json),
    Column("at", String(27), nullable=False),
)


def head(tx: Transaction) -> tuple[int, str] | None:
    """Return the last entry's number and hash, or None on an empty ledger."""
    row = tx.execute(select(entries.c.seq, entries.c.hash).order_by(entries.c.seq.desc()).limit(1)).first()
    return (row.seq, row.hash) if row else None


def add(tx: Transaction, new: Sequence[Entry], salts: dict[int, bytes]) -> None:
    """Write entries, their notes and their outbox rows."""
    tx.execute(
        insert(entries),
        [
            {
                "seq": e.seq,
                "at": iso(e.at),
                "actor": e.actor,
                "kind": e.kind,
                "subject": e.subject,
                "body": dict(e.body),
                "commitment": e.commitment,
                "previous": e.previous,
                "hash": e.hash,
            }
            for e in new
        ],
    )
    tx.execute(insert(outbox), [{"seq": e.seq} for e in new])
    if noted := [{"seq": e.seq, "note": e.note, "salt": salts[e.seq]} for e in new if e.note is not None]:
        tx.execute(insert(notes), noted)


def find(
    tx: Transaction, *, subject: str | None, kind: str | None, after: int, before: int | None, limit: int
) -> list[Entry]:
    """Return entries newest first when `before` is given or neither bound is; oldest first after `after` otherwise."""
    query = select(entries, notes.c.note).select_from(entries.outerjoin(notes, notes.c.seq == entries.c.seq))
    if subject is not None:
        query = query.where(entries.c.subject == subject)
    if kind is not None:
        query = query.where(entries.c.kind.startswith(kind, autoescape=True))
    if before is not None:
        query = query.where(entries.c.seq < before)
    if after:
        query = query.where(entries.c.seq > after).order_by(entries.c.seq)
    else:
        query = query.order_by(entries.c.seq.desc())
    return [_entry(row) for row in tx.execute(query.limit(limit))]


def remembered(tx: Transaction, actor: str, key: str) -> tuple[str, object] | None:
    """Return the request digest and answer kept under an idempotency key, if any."""
    row = tx.execute(
        select(idempotency.c.request, idempotency.c.answer).where(
            idempotency.c.actor == actor, idempotency.c.key == key
        )
    ).first()
    return (row.request, row.answer) if row else None


def remember(tx: Transaction, actor: str, key: str, request: str, answer: object, at: str) -> None:
    """Keep an answer under an idempotency key."""
    tx.execute(insert(idempotency).values(actor=actor, key=key, request=request, answer=answer, at=at))


def last_checkpoint(tx: Transaction) -> Checkpoint | None:
    """Return the newest checkpoint."""
    row = tx.execute(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).first()
    return Checkpoint(row.size, row.root, from_iso(row.at), row.key, row.signature) if row else None


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    return Entry(
        seq=row.seq,
        at=from_iso(row.at),
        actor=row.actor,
        kind=row.kind,
        subject=row.subject,
        body=row.body,
        commitment=row.commitment,
        previous=row.previous,
        hash=row.hash,
        note=row.note,
    )
