"""The ledger's tables and queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from keepwell.core.clock import from_iso, iso
from keepwell.db import Transaction, metadata, quick
from keepwell.db.portable import has_text
from keepwell.db.schema import Json, json_text
from keepwell.ledger.model import Checkpoint, Entry, PublicKey
from keepwell.ledger.rules import Frontier

entries = Table(
    "ledger_entries",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(27), nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),  # canonical JSON, as it was hashed
    Column("commitment", String(64)),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "subject", "seq"),
    Index(None, "kind", "seq"),
    Index(None, "actor", "seq"),
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
keys = Table(
    "ledger_keys",
    metadata,
    Column("key", String(16), primary_key=True),
    Column("public", String(64), nullable=False),
    Column("seq", Integer, nullable=False, unique=True),
    Column("added_at", String(27), nullable=False),
    Column("introduced_by", String(16)),
    Column("introduction", String(128)),
)
frontier = Table(
    "ledger_frontier",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("size", Integer, nullable=False),
    Column("peaks", Text, nullable=False),  # hex, 64 digits a peak
)
outbox = Table(
    "outbox",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("delivered_at", String(27)),
    Column("lease", String(31)),
    Column("leased_until", String(27)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Index(None, "delivered_at", "seq"),
)
idempotency = Table(
    "idempotency",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", String(71), nullable=False),
    Column("answer", Json),
    Column("at", String(27), nullable=False),
    Index(None, "at"),
)

_HEAD = select(entries.c.seq, entries.c.hash).order_by(entries.c.seq.desc()).limit(1)
_REMEMBERED = select(idempotency.c.request, idempotency.c.answer).where(
    idempotency.c.actor == bindparam("of_actor"), idempotency.c.key == bindparam("of_key")
)
_WITH_NOTE = select(entries, notes.c.note, notes.c.salt).select_from(
    entries.outerjoin(notes, notes.c.seq == entries.c.seq)
)


def head(tx: Transaction) -> tuple[int, str] | None:
    """Return the last entry's number and hash, or None on an empty ledger."""
    row = quick.first(tx, _HEAD, {})
    return (row[0], row[1]) if row else None


def add(tx: Transaction, new: Sequence[tuple[Entry, str]], salts: Mapping[int, bytes]) -> None:
    """Write entries (each with its body's canonical JSON), their notes and their outbox rows."""
    quick.add(
        tx,
        entries,
        ("seq", "at", "actor", "kind", "subject", "body", "commitment", "previous", "hash"),
        [(e.seq, iso(e.at), e.actor, e.kind, e.subject, body, e.commitment, e.previous, e.hash) for e, body in new],
    )
    quick.add(tx, outbox, ("seq",), [(e.seq,) for e, _ in new])
    noted = [(e.seq, e.note, salts[e.seq]) for e, _ in new if e.note is not None]
    quick.add(tx, notes, ("seq", "note", "salt"), noted)


def entry(tx: Transaction, seq: int) -> Entry | None:
    """Return one entry, or None."""
    row = tx.execute(_WITH_NOTE.where(entries.c.seq == seq)).first()
    return _entry(row) if row else None


def find(
    tx: Transaction,
    *,
    subject: str | None,
    kind: str | None,
    actor: str | None,
    q: str | None,
    after: int | None,
    before: int | None,
    limit: int,
) -> list[Entry]:
    """Return entries: oldest first when `after` is given, else newest first."""
    where: list[ColumnElement[bool]] = []
    if subject is not None:
        where.append(entries.c.subject == subject)
    if actor is not None:
        where.append(entries.c.actor == actor)
    if q:
        where.append(or_(*(has_text(c, q) for c in (entries.c.subject, entries.c.kind, entries.c.actor))))
    if before is not None:
        where.append(entries.c.seq < before)
    if after is not None:
        where.append(entries.c.seq > after)
    kinds: list[str | None] = [None] if kind is None else [*_kinds(tx, kind)]
    order = entries.c.seq.asc() if after is not None else entries.c.seq.desc()
    found: list[Entry] = []
    for one in kinds:  # one index range a kind, so that a rare kind is found as fast as a common one
        query = _WITH_NOTE.where(*where, *([] if one is None else [entries.c.kind == one]))
        found += [_entry(row) for row in tx.execute(query.order_by(order).limit(limit))]
    return sorted(found, key=lambda e: e.seq, reverse=after is None)[:limit]


def _kinds(tx: Transaction, prefix: str) -> Iterator[str]:
    """Yield the kinds that start with a prefix, each found by one look into the index."""
    least = select(func.min(entries.c.kind))
    kind = tx.scalar(least.where(entries.c.kind >= prefix))
    while kind is not None and kind.startswith(prefix):
        yield kind
        kind = tx.scalar(least.where(entries.c.kind > kind))


def stream(tx: Transaction, after: int = 0, chunk: int = 5000) -> Iterator[Row[tuple[object, ...]]]:
    """Yield the rows of all entries after a number, in order, with note and salt, in memory that does not grow."""
    query = _WITH_NOTE.where(entries.c.seq > bindparam("last")).order_by(entries.c.seq).limit(chunk)
    while rows := tx.execute(query, {"last": after}).all():
        yield from rows
        after = rows[-1].seq


def hashes(tx: Transaction, after: int, limit: int) -> list[str]:
    """Return the hashes of the entries after a number, in order."""
    query = select(entries.c.hash).where(entries.c.seq > after).order_by(entries.c.seq).limit(limit)
    return list(tx.scalars(query))


def hashes_at(tx: Transaction, numbers: Sequence[int]) -> list[str]:
    """Return the hashes of the entries with these numbers, in order."""
    found: list[str] = []
    for start in range(0, len(numbers), 500):
        part = numbers[start : start + 500]
        found += tx.scalars(select(entries.c.hash).where(entries.c.seq.in_(part)).order_by(entries.c.seq))
    return found


def remembered(tx: Transaction, actor: str, key: str) -> tuple[str, object] | None:
    """Return the request digest and answer kept under an idempotency key, if any."""
    row = quick.first(tx, _REMEMBERED, {"of_actor": actor, "of_key": key})
    if row is None:
        return None
    return row[0], None if row[1] is None else msgspec.json.decode(row[1])


def remember(tx: Transaction, actor: str, key: str, request: str, answer: object, at: str) -> None:
    """Keep an answer under an idempotency key."""
    text = None if answer is None else json_text(answer)
    quick.add(tx, idempotency, ("actor", "key", "request", "answer", "at"), [(actor, key, request, text, at)])


def add_checkpoint(tx: Transaction, checkpoint: Checkpoint) -> None:
    """Write a checkpoint."""
    row = {**_fields(checkpoint), "at": iso(checkpoint.at)}
    tx.execute(insert(checkpoints), row)


def last_checkpoint(tx: Transaction) -> Checkpoint | None:
    """Return the newest checkpoint."""
    row = tx.execute(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).first()
    return _checkpoint(row) if row else None


def all_checkpoints(tx: Transaction) -> list[Checkpoint]:
    """Return every checkpoint, oldest first."""
    return [_checkpoint(row) for row in tx.execute(select(checkpoints).order_by(checkpoints.c.size))]


def add_key(tx: Transaction, key: PublicKey) -> None:
    """Write a signing key's public half."""
    tx.execute(insert(keys), {**_fields(key), "added_at": iso(key.added_at)})


def all_keys(tx: Transaction) -> list[PublicKey]:
    """Return every key that signed or signs, oldest first; the last one is in use."""
    return [
        PublicKey(r.key, r.public, r.seq, from_iso(r.added_at), r.introduced_by, r.introduction)
        for r in tx.execute(select(keys).order_by(keys.c.seq))
    ]


def read_frontier(tx: Transaction) -> Frontier:
    """Return the Merkle tree as far as it was summed up."""
    row = tx.execute(select(frontier)).first()
    if row is None:
        return Frontier()
    return Frontier(row.size, tuple(bytes.fromhex(row.peaks[i : i + 64]) for i in range(0, len(row.peaks), 64)))


def write_frontier(tx: Transaction, old: Frontier, new: Frontier) -> bool:
    """Replace the summed-up tree when it still is `old`; return whether it was."""
    values = {"size": new.size, "peaks": "".join(peak.hex() for peak in new.peaks)}
    if tx.scalar(select(func.count()).select_from(frontier)) == 0:
        if old.size == 0:
            tx.execute(insert(frontier), {"id": 1, **values})
        return old.size == 0
    return tx.execute(update(frontier).where(frontier.c.size == old.size).values(**values)).rowcount == 1


def claim(tx: Transaction, limit: int, now: str, until: str, lease: str) -> list[tuple[Entry, int]]:
    """Lease the oldest undelivered outbox rows that nobody holds; return their entries and attempt numbers."""
    free = or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= now)
    waiting = select(outbox.c.seq).where(outbox.c.delivered_at.is_(None), free).order_by(outbox.c.seq).limit(limit)
    numbers = list(tx.scalars(waiting))
    if not numbers:
        return []
    tx.execute(
        update(outbox)
        .where(outbox.c.seq == bindparam("of_seq"))
        .values(lease=lease, leased_until=until, attempts=outbox.c.attempts + 1),
        [{"of_seq": number} for number in numbers],
    )
    query = _WITH_NOTE.add_columns(outbox.c.attempts).join(outbox, outbox.c.seq == entries.c.seq)
    rows = tx.execute(query.where(outbox.c.lease == lease).order_by(entries.c.seq))
    return [(_entry(row), row.attempts) for row in rows]


def settle(tx: Transaction, seq: int, lease: str, *, delivered_at: str | None, leased_until: str | None) -> bool:
    """Mark a leased outbox row as delivered, or as free again from a moment on; False when the lease is not held."""
    held = and_(outbox.c.seq == seq, outbox.c.lease == lease, outbox.c.delivered_at.is_(None))
    values = {"delivered_at": delivered_at, "leased_until": leased_until, "lease": None}
    return tx.execute(update(outbox).where(held).values(**values)).rowcount == 1


def undelivered(tx: Transaction) -> int:
    """Return how many outbox rows wait."""
    return tx.scalar(select(func.count()).select_from(outbox).where(outbox.c.delivered_at.is_(None))) or 0


def _fields(value: Checkpoint | PublicKey) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__slots__}


def _checkpoint(row: Row[tuple[object, ...]]) -> Checkpoint:
    return Checkpoint(row.size, row.root, from_iso(row.at), row.key, row.signature)


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    return Entry(
        seq=row.seq,
        at=from_iso(row.at),
        actor=row.actor,
        kind=row.kind,
        subject=row.subject,
        body=msgspec.json.decode(row.body, type=dict[str, object]),
        commitment=row.commitment,
        previous=row.previous,
        hash=row.hash,
        note=row.note,
    )
