"""What the registry's tables are asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from keepwell.core.clock import from_iso
from keepwell.core.names import name_key
from keepwell.db import Transaction, quick
from keepwell.db.bulk import chunks
from keepwell.models.model import Batch, Champion, Model, ModelVersion, Standing
from keepwell.models.rules import Query
from keepwell.models.store import batches, champions, members, models, versions

_LINEAGE = (
    "pack", "run_id", "dataset_version", "code", "environment", "trained_at", "trained_until", "created_at",
    "created_by",
)  # fmt: skip
_VERSION = (
    select(*(column for column in versions.c if column.name != "deleted_at"), *(batches.c[name] for name in _LINEAGE))
    .join_from(versions, batches, batches.c.id == versions.c.batch)
    .where(versions.c.deleted_at.is_(None))
)

_SOME_VERSIONS = _VERSION.where(versions.c.id.in_(bindparam("ids", expanding=True)))
_NAME = select(models.c.name).where(models.c.key == bindparam("name_key"), models.c.deleted_at.is_(None))
_LAST = select(members.c.last).where(
    members.c.model == bindparam("of_model"), members.c.segment == bindparam("of_segment")
)
_HOLDING = select(champions.c.version_id).where(
    champions.c.version_id.in_(bindparam("ids", expanding=True)), champions.c.until.is_(None)
)
_MADE = select(champions).where(champions.c.seq == bindparam("entry")).order_by(champions.c.segment)
_OF_BATCH = (
    select(versions.c.segment, versions.c.id)
    .where(versions.c.batch == bindparam("of_batch"), versions.c.deleted_at.is_(None))
    .order_by(versions.c.segment)
)


def model_name(tx: Transaction, name: str) -> str | None:
    """Return the name as it was registered, whatever the case it is asked in."""
    found = quick.first(tx, _NAME, {"name_key": name_key(name)})
    return None if found is None else str(found[0])


def all_models(tx: Transaction, after: str | None, limit: int) -> list[Model]:
    """Return models by name."""
    query = (
        select(models.c.name, models.c.created_at, func.count(members.c.latest), func.sum(members.c.versions))
        .select_from(models.outerjoin(members, members.c.model == models.c.name))
        .where(models.c.deleted_at.is_(None))
        .group_by(models.c.name, models.c.key, models.c.created_at)
        .order_by(models.c.key)
        .limit(limit)
    )
    if after is not None:
        query = query.where(models.c.key > name_key(after))
    return [Model(name, count, total or 0, from_iso(at)) for name, at, count, total in tx.execute(query)]


def numbers(tx: Transaction, model: str, segments: Sequence[str]) -> dict[str, int]:
    """Return the last number ever given to those segments that were given one."""
    query = select(members.c.segment, members.c.last).where(members.c.model == model)
    if len(segments) <= 500:
        query = query.where(members.c.segment.in_(segments))
    return pairs(tx, query)


def last_number(tx: Transaction, model: str, segment: str) -> int | None:
    """Return the last number ever given to a segment, or None."""
    found = quick.first(tx, _LAST, {"of_model": model, "of_segment": segment})
    return None if found is None else int(found[0])


def batch(tx: Transaction, batch_id: str) -> tuple[Batch, int] | None:
    """Return a batch and the number of the ledger's entry that tells of it."""
    row = tx.execute(select(batches).where(batches.c.id == batch_id)).first()
    return (_batch(row), row.seq) if row else None


def some_batches(tx: Transaction, model: str | None, run_id: str | None, limit: int) -> list[Batch]:
    """Return batches of a model, of a run, or of all, newest first."""
    query = select(batches).order_by(batches.c.seq.desc()).limit(limit)
    if model is not None:
        query = query.where(batches.c.model == model)
    if run_id is not None:
        query = query.where(batches.c.run_id == run_id)
    return [_batch(row) for row in tx.execute(query)]


def by_ids(tx: Transaction, ids: Sequence[str]) -> list[ModelVersion]:
    """Return the versions with those ids, in the ids' order; what is not there is left out."""
    found: dict[str, ModelVersion] = {}
    for part in chunks(list(dict.fromkeys(ids))):
        found.update((row.id, _version(row)) for row in tx.execute(_SOME_VERSIONS, {"ids": part}))
    return [found[version] for version in ids if version in found]


def standings(tx: Transaction, ids: Sequence[str]) -> list[Standing]:
    """Return what those versions are now, in the ids' order; what is not there is left out."""
    here = versions.c
    found: dict[str, Standing] = {}
    for part in chunks(list(dict.fromkeys(ids))):
        query = select(here.id, here.model, here.segment, here.number, here.state, here.reason)
        query = query.where(here.id.in_(part), here.deleted_at.is_(None))
        found.update((row[0], Standing(*row)) for row in tx.execute(query))
    return [found[version] for version in ids if version in found]


def numbered(tx: Transaction, model: str, segment: str, number: int | None) -> str | None:
    """Return the id of a segment's version of that number, or of its newest."""
    here = versions.c
    query = select(here.id).where(here.model == model, here.segment == segment, here.deleted_at.is_(None))
    query = query.order_by(here.number.desc()).limit(1)
    if number is not None:
        query = query.where(here.number == number)
    found: str | None = tx.execute(query).scalar()
    return found


def packs(tx: Transaction, ids: Sequence[str]) -> dict[str, str]:
    """Return version to the digest of its pack."""
    found: dict[str, str] = {}
    for part in chunks(list(dict.fromkeys(ids))):
        query = select(versions.c.id, batches.c.pack).join_from(versions, batches, batches.c.id == versions.c.batch)
        found.update(pairs(tx, query.where(versions.c.id.in_(part), versions.c.deleted_at.is_(None))))
    return found


def ids_of_batch(tx: Transaction, batch_id: str) -> dict[str, str]:
    """Return segment to version of a batch, by segment."""
    return {row[0]: row[1] for row in tx.execute(_OF_BATCH, {"of_batch": batch_id})}


def champion_ids(tx: Transaction, model: str, environment: str) -> dict[str, str]:
    """Return segment to the version that is its champion in an environment."""
    query = select(champions.c.segment, champions.c.version_id).where(
        champions.c.model == model, champions.c.environment == environment, champions.c.until.is_(None)
    )
    return pairs(tx, query)


def of_batch(tx: Transaction, batch_id: str) -> list[ModelVersion]:
    """Return a batch's versions by segment."""
    return _versions(tx, _VERSION.where(versions.c.batch == batch_id).order_by(versions.c.segment))


def newest(tx: Transaction, model: str) -> list[ModelVersion]:
    """Return the newest version of every segment."""
    query = _VERSION.join(members, members.c.latest == versions.c.id).where(members.c.model == model)
    return _versions(tx, query.order_by(members.c.segment))


def page(
    tx: Transaction,
    model: str,
    *,
    segment: str | None,
    state: str | None,
    asked: Query,
    after: tuple[str, int] | None,
    limit: int,
) -> list[ModelVersion]:
    """Return versions by segment, then newest first, after (segment, number)."""
    query = _VERSION.where(versions.c.model == model)
    if segment is not None:
        query = query.where(versions.c.segment == segment)
    if state is not None:
        query = query.where(versions.c.state == state)
    if asked.state is not None:
        query = query.where(versions.c.state == asked.state)
    if asked.number is not None:
        query = query.where(versions.c.number == asked.number)
    if asked.parts:
        named = and_(members.c.model == versions.c.model, members.c.segment == versions.c.segment)
        query = query.join(members, named).where(*parts(asked))
    if after is not None:
        at, number = after
        same = and_(versions.c.segment == at, versions.c.number < number)
        query = query.where((versions.c.segment > at) | same)
    return _versions(tx, query.order_by(versions.c.segment, versions.c.number.desc()).limit(limit))


def holders(
    tx: Transaction, model: str, environment: str | None, segments: Sequence[str] | None = None
) -> list[Champion]:
    """Return the champions of a model, by segment; of one environment, or of all."""
    query = select(champions).where(champions.c.model == model, champions.c.until.is_(None))
    if environment is not None:
        query = query.where(champions.c.environment == environment)
    return _of_segments(tx, query.order_by(champions.c.segment), segments)


def holding(tx: Transaction, version_ids: Sequence[str]) -> frozenset[str]:
    """Return those versions that are champion somewhere."""
    found: set[str] = set()
    for part in chunks(version_ids):
        found.update(tx.execute(_HOLDING, {"ids": part}).scalars())
    return frozenset(found)


def past_holders(tx: Transaction, model: str, environment: str, segments: Sequence[str]) -> list[Champion]:
    """Return who was champion of those segments in an environment, oldest first."""
    query = select(champions).where(champions.c.model == model, champions.c.environment == environment)
    return _of_segments(tx, query.order_by(champions.c.seq), segments)


def ever_held(tx: Transaction, model: str, environment: str) -> frozenset[str]:
    """Return every version that is or was champion in an environment."""
    query = select(champions.c.version_id).distinct()
    query = query.where(champions.c.model == model, champions.c.environment == environment)
    return frozenset(tx.execute(query).scalars())


def intervals(
    tx: Transaction,
    model: str,
    *,
    environment: str | None = None,
    segment: str | None = None,
    version: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Champion]:
    """Return who was champion when, newest first."""
    query = select(champions).where(champions.c.model == model)
    if environment is not None:
        query = query.where(champions.c.environment == environment)
    if segment is not None:
        query = query.where(champions.c.segment == segment)
    if version is not None:
        query = query.where(champions.c.version_id == version)
    if before is not None:
        query = query.where(champions.c.seq < before)
    return _champions(tx, query.order_by(champions.c.seq.desc(), champions.c.segment).limit(limit))


def since_entry(tx: Transaction, seq: int) -> list[Champion]:
    """Return the champions that one entry of the ledger made."""
    return [_champion_of(row) for row in tx.execute(_MADE, {"entry": seq})]


def discarded(tx: Transaction, model: str, segments: Sequence[str]) -> frozenset[str]:
    """Return the ids of those segments' versions that are discarded or deleted."""
    gone = or_(versions.c.state == "discarded", versions.c.deleted_at.is_not(None))
    query = select(versions.c.id, versions.c.segment).where(versions.c.model == model, gone)
    wanted = frozenset(segments)
    return frozenset(version for version, segment in tx.execute(query) if segment in wanted)


def parts(asked: Query) -> list[ColumnElement[bool]]:
    """Return the conditions that each part of a search is somewhere in a member's key."""
    return [members.c.search.contains(part, autoescape=True) for part in asked.parts]


def _versions(tx: Transaction, query: Select[Any]) -> list[ModelVersion]:
    return [_version(row) for row in tx.execute(query)]


def _of_segments(tx: Transaction, query: Select[Any], segments: Sequence[str] | None) -> list[Champion]:
    """Run a query for some segments: named in it when they are few, picked from its answer when they are many."""
    if segments is None:
        return _champions(tx, query)
    if len(segments) <= 500:
        return _champions(tx, query.where(champions.c.segment.in_(segments)))
    wanted = frozenset(segments)
    return [champion for champion in _champions(tx, query) if champion.segment in wanted]


def _champions(tx: Transaction, query: Select[Any]) -> list[Champion]:
    return [_champion_of(row) for row in tx.execute(query)]


def pairs(tx: Transaction, query: Select[Any]) -> dict[str, Any]:
    """Run a query of two columns; return the first to the second."""
    return {row[0]: row[1] for row in tx.execute(query)}


@lru_cache(maxsize=4096)
def moment(text: str) -> datetime:
    """Return the moment that a column holds; batches share theirs."""
    return from_iso(text)


def _version(row: Row[Any]) -> ModelVersion:
    return ModelVersion(
        id=row.id,
        model=row.model,
        segment=row.segment,
        number=row.number,
        batch=row.batch,
        artifact=row.artifact,
        pack=row.pack,
        offset=row.offset,
        length=row.length,
        run_id=row.run_id,
        dataset_version=row.dataset_version,
        code=row.code,
        environment=row.environment,
        trained_at=moment(row.trained_at),
        trained_until=row.trained_until,
        state=row.state,
        created_at=moment(row.created_at),
        created_by=row.created_by,
        reason=row.reason,
        facts=row.facts,
        metrics=row.metrics,
    )


def _batch(row: Row[Any]) -> Batch:
    return Batch(
        id=row.id,
        model=row.model,
        count=row._mapping["count"],
        run_id=row.run_id,
        dataset_version=row.dataset_version,
        code=row.code,
        environment=row.environment,
        pack=row.pack,
        members=row.members,
        trained_at=moment(row.trained_at),
        trained_until=row.trained_until,
        created_at=moment(row.created_at),
        created_by=row.created_by,
    )


def _champion_of(row: Row[Any]) -> Champion:
    return Champion(
        seq=row.seq,
        model=row.model,
        environment=row.environment,
        segment=row.segment,
        version_id=row.version_id,
        number=row.number,
        since=moment(row.since),
        until=moment(row.until) if row.until else None,
        cause=row.cause,
        decision=row.decision,
        by=row.by,
    )
