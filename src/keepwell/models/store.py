"""The registry's tables, and the statements that write them; `queries` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    literal_column,
    text,
    update,
)

from keepwell.core.clock import iso
from keepwell.db import Transaction, metadata, quick
from keepwell.db.bulk import insert_rows, update_rows
from keepwell.db.schema import Json
from keepwell.models.model import Batch, Champion, Member
from keepwell.models.rules import search_text

models = Table(
    "models",
    metadata,
    Column("key", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", String(27), nullable=False),
    Column("updated_at", String(27), nullable=False),
    Column("description", Text),
    Column("deleted_at", String(27)),  # the name is kept: its numbers are never given again
    Column("renamed_to", Text),  # the name that a model without versions here went on under
)
batches = Table(
    "model_batches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("model", Text, ForeignKey("models.name", onupdate="CASCADE"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("run_id", String(32)),
    Column("dataset_version", String(32)),
    Column("code", Text),
    Column("environment", Text),
    Column("pack", String(71), nullable=False),
    Column("members", String(71), nullable=False),
    Column("trained_at", String(27), nullable=False),
    Column("trained_until", Text, nullable=False),
    Column("created_at", String(27), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("freed_at", String(27)),  # when its bytes were given back; its versions are tombstones
    Index(None, "model", "seq"),
    Index(None, "run_id"),
)
versions = Table(
    "model_versions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("model", Text, nullable=False),
    Column("segment", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("batch", String(32), ForeignKey("model_batches.id"), nullable=False),
    Column("artifact", String(71), nullable=False),
    Column("offset", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("facts", Json, nullable=False),
    Column("metrics", Json, nullable=False),
    Column("deleted_at", String(27)),
    UniqueConstraint("model", "segment", "number"),
    Index(None, "batch"),
    Index(None, "model", "state"),
)
members = Table(
    "fleet_members",
    metadata,
    Column("model", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("search", Text, nullable=False),
    Column("number", Integer, nullable=False),  # of the newest version that is not deleted; 0: there is none
    Column("latest", String(32)),
    Column("first", Integer, nullable=False),  # the number its versions start at, and the last one ever given
    Column("last", Integer, nullable=False),
    Column("versions", Integer, nullable=False),  # how many are not deleted
    sqlite_with_rowid=False,
)
champions = Table(
    "champions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("segment", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("version_id", String(32), ForeignKey("model_versions.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("since", String(27), nullable=False),
    Column("until", String(27)),
    Column("cause", String(16), nullable=False),
    Column("decision", String(32)),
    Column("by", Text, nullable=False),
    Index("uq_champions_holder", "model", "environment", "segment", unique=True, sqlite_where=text("until IS NULL"),
          postgresql_where=text("until IS NULL")),
    Index(None, "model", "segment", "seq"),
    Index(None, "version_id"),
)  # fmt: skip

_BATCH_COLUMNS = tuple(column.name for column in batches.columns if column.name != "freed_at")
_VERSION_COLUMNS = (
    "id", "model", "segment", "number", "batch", "artifact", "offset", "length", "state", "reason", "facts", "metrics",
)  # fmt: skip


_NEWEST = (
    update(members)
    .where(members.c.model == bindparam("of_model"), members.c.segment == bindparam("of_segment"))
    .values(
        number=bindparam("new_number"),
        latest=bindparam("new_latest"),
        last=bindparam("new_last"),
        versions=members.c.versions + literal_column("1"),
    )
)
_STATE = (
    update(versions)
    .where(versions.c.id == bindparam("of_id"))
    .values(state=bindparam("new_state"), reason=bindparam("new_reason"))
)
_CLOSE = (
    update(champions)
    .where(champions.c.seq == bindparam("of_seq"), champions.c.segment == bindparam("of_segment"))
    .values(until=bindparam("new_until"))
)


def add_batch(tx: Transaction, batch: Batch, seq: int) -> None:
    """Write a batch; `seq` is the number of the ledger's entry that tells of it."""
    row = (
        batch.id, batch.model, seq, batch.count, batch.run_id, batch.dataset_version, batch.code, batch.environment,
        batch.pack, batch.members, iso(batch.trained_at), batch.trained_until, iso(batch.created_at),
        batch.created_by,
    )  # fmt: skip
    quick.add(tx, batches, _BATCH_COLUMNS, [row])


def add_versions(
    tx: Transaction, batch: Batch, new: Sequence[tuple[str, Member, int]], known: Mapping[str, int]
) -> None:
    """Write versions (id, member, number) of a batch, and make each its segment's newest.

    Args:
        tx: the write transaction.
        batch: what they belong to; its row is written.
        new: id, member and number of each.
        known: segments that had versions before.
    """
    add, change = (quick.add, quick.change) if len(new) == 1 else (insert_rows, update_rows)
    add(
        tx,
        versions,
        _VERSION_COLUMNS,
        [
            (
                version, batch.model, member.segment, number, batch.id, member.artifact, member.offset, member.length,
                "registered", None, _json(member.facts), _json(member.metrics),
            )
            for version, member, number in new
        ],
    )  # fmt: skip
    add(
        tx,
        members,
        ("model", "segment", "search", "number", "latest", "first", "last", "versions"),
        [
            (batch.model, member.segment, search_text(member.segment), number, version, number, number, 1)
            for version, member, number in new
            if member.segment not in known
        ],
    )
    change(
        tx,
        _NEWEST,
        ("new_number", "new_latest", "new_last", "of_model", "of_segment"),
        [
            (number, version, number, batch.model, member.segment)
            for version, member, number in new
            if member.segment in known
        ],
    )


def set_states(tx: Transaction, rows: Iterable[tuple[str, str, str | None]]) -> None:
    """Set the state and the reason of versions: (state, id, reason)."""
    update_rows(tx, _STATE, ("new_state", "of_id", "new_reason"), list(rows))


def close_champions(tx: Transaction, rows: Iterable[tuple[str, int, str]]) -> None:
    """End intervals of champions: (until, seq, segment)."""
    update_rows(tx, _CLOSE, ("new_until", "of_seq", "of_segment"), list(rows))


def open_champions(tx: Transaction, new: Sequence[Champion]) -> None:
    """Write champions; the partial unique index refuses a second holder."""
    insert_rows(
        tx,
        champions,
        ("seq", "segment", "model", "environment", "version_id", "number", "since", "cause", "decision", "by"),
        [
            (c.seq, c.segment, c.model, c.environment, c.version_id, c.number, iso(c.since), c.cause, c.decision, c.by)
            for c in new
        ],
    )


def _json(value: Mapping[str, object] | Mapping[str, float | None]) -> str:
    return msgspec.json.encode(dict(value)).decode()
