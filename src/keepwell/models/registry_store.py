"""What persons write on models and versions: tables, and the statements that write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from keepwell.core.names import name_key
from keepwell.db import Transaction, metadata, quick
from keepwell.db.bulk import chunks
from keepwell.models.registry_rules import alias_key
from keepwell.models.store import batches, champions, members, models, versions

model_tags = Table(
    "model_tags",
    metadata,
    Column("model", Text, ForeignKey("models.name", onupdate="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index(None, "name", "model"),
    sqlite_with_rowid=False,
)
details = Table(
    "version_details",
    metadata,
    Column("version", String(32), ForeignKey("model_versions.id"), primary_key=True),
    Column("description", Text),
    Column("source", Text),
    Column("run_link", Text),
    Column("logged_model", String(40)),
    Column("files", Integer),  # how many files its manifest lists; NULL: its bytes are the model itself
    Column("stage", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("status_message", Text),
    Column("updated_at", String(27), nullable=False),
    Index(None, "logged_model"),
    sqlite_with_rowid=False,
)
version_tags = Table(
    "version_tags",
    metadata,
    Column("version", String(32), ForeignKey("model_versions.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index(None, "name", "version"),
    sqlite_with_rowid=False,
)
aliases = Table(
    "model_aliases",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("version", String(32), ForeignKey("model_versions.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("since", String(27), nullable=False),
    Column("by", Text, nullable=False),
    Column("until", String(27)),
    Column("ended_by", Text),
    Column("ended_seq", Integer),
    Index("uq_model_aliases_now", "model", "key", unique=True, sqlite_where=text("until IS NULL"),
          postgresql_where=text("until IS NULL")),
    Index(None, "version"),
    Index(None, "model", "seq"),
)  # fmt: skip
stages = Table(
    "version_stages",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("version", String(32), ForeignKey("model_versions.id"), primary_key=True),
    Column("model", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("since", String(27), nullable=False),
    Column("by", Text, nullable=False),
    Column("until", String(27)),
    Column("ended_by", Text),
    Column("ended_seq", Integer),
    Index("uq_version_stages_now", "version", unique=True, sqlite_where=text("until IS NULL"),
          postgresql_where=text("until IS NULL")),
    Index(None, "model", "seq"),
)  # fmt: skip

_DETAILS = tuple(column.name for column in details.columns)
_ALIASES = ("seq", "model", "key", "alias", "version", "number", "since", "by")
_STAGES = ("seq", "version", "model", "number", "stage", "since", "by")
_TOUCH = update(models).where(models.c.name == bindparam("of_model")).values(updated_at=bindparam("new_at"))
_TOUCH_VERSION = (
    update(details).where(details.c.version == bindparam("of_version")).values(updated_at=bindparam("new_at"))
)
_END_ALIAS = (
    update(aliases)
    .where(aliases.c.seq == bindparam("of_seq"))
    .values(until=bindparam("new_until"), ended_by=bindparam("new_by"), ended_seq=bindparam("new_seq"))
)
_END_STAGE = (
    update(stages)
    .where(stages.c.version == bindparam("of_version"), stages.c.until.is_(None))
    .values(until=bindparam("new_until"), ended_by=bindparam("new_by"), ended_seq=bindparam("new_seq"))
)
_STAGE = (
    update(details)
    .where(details.c.version == bindparam("of_version"))
    .values(stage=bindparam("new_stage"), updated_at=bindparam("new_at"))
)
_NO_MODEL_TAG = delete(model_tags).where(
    model_tags.c.model == bindparam("of_model"), model_tags.c.name == bindparam("of_name")
)
_NO_VERSION_TAG = delete(version_tags).where(
    version_tags.c.version == bindparam("of_version"), version_tags.c.name == bindparam("of_name")
)


def add_model(tx: Transaction, name: str, at: str, description: str | None = None) -> None:
    """Write a model's name: a new one, or one whose model was deleted, which keeps its numbers."""
    key = name_key(name)
    before = tx.execute(select(models.c.name).where(models.c.key == key, models.c.deleted_at.is_not(None))).scalar()
    row = {"created_at": at, "updated_at": at, "description": description, "deleted_at": None}
    row["renamed_to"] = None
    if before is None:
        tx.execute(insert(models).values(key=key, name=name, **row))
        return
    tx.execute(update(models).where(models.c.key == key).values(**row))
    if before != name:
        spell(tx, before, name)


def spell(tx: Transaction, old: str, new: str) -> None:
    """Write a model's name in other letters of the same key, wherever it is."""
    tx.execute(update(models).where(models.c.name == old).values(name=new))  # cascades to batches and tags
    for table in (versions, members, champions, aliases, stages):
        tx.execute(update(table).where(table.c.model == old).values(model=new))


def change_model(tx: Transaction, name: str, at: str, **changes: object) -> None:
    """Change columns of a model."""
    tx.execute(update(models).where(models.c.name == name).values(updated_at=at, **changes))


def touch(tx: Transaction, name: str, at: str) -> None:
    """Write down that a model changed."""
    quick.change(tx, _TOUCH, ("new_at", "of_model"), [(at, name)])


def touch_version(tx: Transaction, version: str, at: str) -> None:
    """Write down that what is written on a version changed; its details are there."""
    quick.change(tx, _TOUCH_VERSION, ("new_at", "of_version"), [(at, version)])


def add_details(tx: Transaction, rows: Sequence[Mapping[str, object]]) -> None:
    """Write the details of versions."""
    full: list[dict[str, object]] = [{"stage": "None", "status": "ready", **row} for row in rows]
    quick.add(tx, details, _DETAILS, [tuple(row.get(name) for name in _DETAILS) for row in full])


def change_details(tx: Transaction, version: str, at: str, **changes: object) -> None:
    """Change the details of a version, which are there."""
    tx.execute(update(details).where(details.c.version == version).values(updated_at=at, **changes))


def set_model_tags(tx: Transaction, model: str, tags: Mapping[str, str]) -> None:
    """Write tags of a model, over those of the same name."""
    quick.change(tx, _NO_MODEL_TAG, ("of_model", "of_name"), [(model, name) for name in tags])
    quick.add(tx, model_tags, ("model", "name", "value"), [(model, *pair) for pair in tags.items()])


def drop_model_tags(tx: Transaction, model: str, name: str | None = None) -> int:
    """Remove one tag of a model, or all of them; return how many."""
    query = delete(model_tags).where(model_tags.c.model == model)
    return tx.execute(query if name is None else query.where(model_tags.c.name == name)).rowcount


def set_version_tags(tx: Transaction, version: str, tags: Mapping[str, str], *, new: bool = False) -> None:
    """Write tags of a version, over those of the same name; a new version has none yet."""
    if not new:
        quick.change(tx, _NO_VERSION_TAG, ("of_version", "of_name"), [(version, name) for name in tags])
    quick.add(tx, version_tags, ("version", "name", "value"), [(version, *pair) for pair in tags.items()])


def drop_version_tag(tx: Transaction, version: str, name: str) -> int:
    """Remove one tag of a version; return how many were there."""
    where = and_(version_tags.c.version == version, version_tags.c.name == name)
    return tx.execute(delete(version_tags).where(where)).rowcount


def open_alias(tx: Transaction, seq: int, model: str, alias: str, version: str, number: int, at: str, by: str) -> None:
    """Let an alias name a version from now on; the partial unique index refuses a second one."""
    quick.add(tx, aliases, _ALIASES, [(seq, model, alias_key(alias), alias, version, number, at, by)])


def end_aliases(tx: Transaction, rows: Iterable[int], at: str, by: str, seq: int) -> None:
    """End what aliases name, each given by the number of the entry that began it."""
    names = ("new_until", "new_by", "new_seq", "of_seq")
    quick.change(tx, _END_ALIAS, names, [(at, by, seq, row) for row in rows])


def set_stages(
    tx: Transaction, seq: int, model: str, moved: Sequence[tuple[str, int, str]], at: str, by: str, *, fresh: str = ""
) -> None:
    """Move versions (id, number, stage) to stages; all have details.

    Args:
        tx: a write transaction.
        seq: number of the entry that tells of it.
        model: whose versions.
        moved: which, and where to.
        at: when.
        by: who.
        fresh: a version in no stage is in none of the table's rows; this is the word for none.
    """
    ends = [(at, by, seq, version) for version, _, _ in moved]
    quick.change(tx, _END_STAGE, ("new_until", "new_by", "new_seq", "of_version"), ends)
    rows = [(seq, version, model, number, stage, at, by) for version, number, stage in moved if stage != fresh]
    quick.add(tx, stages, _STAGES, rows)
    quick.change(
        tx, _STAGE, ("new_stage", "new_at", "of_version"), [(stage, at, version) for version, _, stage in moved]
    )


def delete_versions(tx: Transaction, model: str, ids: Sequence[str], at: str) -> None:
    """Mark versions of a model as deleted, and let each of their segments name its newest that is left."""
    for part in chunks(ids):
        gone = update(versions).where(versions.c.id.in_(part), versions.c.deleted_at.is_(None))
        tx.execute(gone.values(deleted_at=at))
    renew_members(tx, model, ids)


def restore_versions(tx: Transaction, model: str, ids: Sequence[str]) -> None:
    """Take the mark from deleted versions, and let each of their segments name its newest again."""
    for part in chunks(ids):
        tx.execute(update(versions).where(versions.c.id.in_(part)).values(deleted_at=None))
    renew_members(tx, model, ids)


def renew_members(tx: Transaction, model: str, ids: Sequence[str]) -> None:
    """Let the segments of those versions name the newest version that is not deleted, and count what is left."""
    v = versions.alias("left")
    here = and_(v.c.model == members.c.model, v.c.segment == members.c.segment, v.c.deleted_at.is_(None))
    number = select(func.coalesce(func.max(v.c.number), 0)).where(here).scalar_subquery()
    newest = select(v.c.id).where(here).order_by(v.c.number.desc()).limit(1).scalar_subquery()
    count = select(func.count()).select_from(v).where(here).scalar_subquery()
    for part in chunks(ids):
        segments = select(versions.c.segment).where(versions.c.id.in_(part))
        changed = update(members).where(members.c.model == model, members.c.segment.in_(segments))
        tx.execute(changed.values(number=number, latest=newest, versions=count))


def rename(tx: Transaction, old: str, new: str, at: str) -> None:
    """Give a model, its versions, labels and history another name, under which no other model has numbers.

    The old name stays as a deleted one with its numbers, so that what is made under it goes on behind them.
    """
    before = tx.execute(select(models).where(models.c.name == old)).one()
    add_model(tx, new, at, before.description)
    tx.execute(update(models).where(models.c.name == new).values(created_at=before.created_at))
    tx.execute(delete(members).where(members.c.model == new))
    kept = tx.execute(select(members).where(members.c.model == old)).all()
    emptied = update(members).where(members.c.model == old)
    tx.execute(emptied.values(number=0, latest=None, first=members.c.last + 1, versions=0))
    names = [column.name for column in members.columns]
    quick.add(tx, members, names, [(new, *tuple(row)[1:]) for row in kept])
    for table in (batches, versions, champions, model_tags, aliases, stages):
        tx.execute(update(table).where(table.c.model == old).values(model=new))
    gone = update(models).where(models.c.name == old)
    tx.execute(gone.values(deleted_at=at, updated_at=at, description=None, renamed_to=new))
