"""What the registry's tables are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.sql.elements import ColumnElement

from keepwell.core.clock import from_iso
from keepwell.core.names import name_key
from keepwell.db import Transaction
from keepwell.db.bulk import chunks
from keepwell.models.model import Batch, Champion, FleetColumns, FleetMember, Model, ModelVersion, Standing
from keepwell.models.rules import Query
from keepwell.models.store import batches, champions, members, models, versions

_LINEAGE = (
    "pack", "run_id", "dataset_version", "code", "environment", "trained_at", "trained_until", "created_at",
    "created_by",
)  # fmt: skip
_VERSION = select(versions, *(batches.c[name] for name in _LINEAGE)).join_from(
    versions, batches, batches.c.id == versions.c.batch
)
_challenger = versions.alias("challenger")
_champion = versions.alias("champion")


def model_name(tx: Transaction, name: str) -> str | None:
    """Return the name as it was registered, whatever the case it is asked in."""
    found: str | None = tx.execute(select(models.c.name).where(models.c.key == name_key(name))).scalar()
    return found


def all_models(tx: Transaction, after: str | None, limit: int) -> list[Model]:
    """Return models by name."""
    query = (
        select(models.c.name, models.c.created_at, func.count(members.c.segment), func.sum(members.c.number))
        .join_from(models, members, members.c.model == models.c.name)
        .group_by(models.c.name)
        .order_by(models.c.key)
        .limit(limit)
    )
    if after is not None:
        query = query.where(models.c.key > name_key(after))
    return [Model(name, count, total, from_iso(at)) for name, at, count, total in tx.execute(query)]


def numbers(tx: Transaction, model: str, segments: Sequence[str]) -> dict[str, int]:
    """Return the newest number of those segments that have one."""
    query = select(members.c.segment, members.c.number).where(members.c.model == model)
    if len(segments) <= 500:
        query = query.where(members.c.segment.in_(segments))
    return dict(tx.execute(query).tuples().all())


def batch(tx: Transaction, batch_id: str) -> tuple[Batch, int] | None:
    """Return a batch and the number of the ledger's entry that tells of it."""
    row = tx.execute(select(batches).where(batches.c.id == batch_id)).first()
    return (_batch(row), row.seq) if row else None


def model_batches(tx: Transaction, model: str, limit: int) -> list[Batch]:
    """Return a model's batches, newest first."""
    query = select(batches).where(batches.c.model == model).order_by(batches.c.seq.desc()).limit(limit)
    return [_batch(row) for row in tx.execute(query)]


def by_ids(tx: Transaction, ids: Sequence[str]) -> list[ModelVersion]:
    """Return the versions with those ids, in the ids' order; what is not there is left out."""
    found: dict[str, ModelVersion] = {}
    for part in chunks(list(dict.fromkeys(ids))):
        found.update((v.id, v) for v in _versions(tx, _VERSION.where(versions.c.id.in_(part))))
    return [found[version] for version in ids if version in found]


def standings(tx: Transaction, ids: Sequence[str]) -> list[Standing]:
    """Return what those versions are now, in the ids' order; what is not there is left out."""
    here = versions.c
    found: dict[str, Standing] = {}
    for part in chunks(list(dict.fromkeys(ids))):
        query = select(here.id, here.model, here.segment, here.number, here.state, here.reason)
        found.update((row[0], Standing(*row)) for row in tx.execute(query.where(here.id.in_(part))))
    return [found[version] for version in ids if version in found]


def packs(tx: Transaction, ids: Sequence[str]) -> dict[str, str]:
    """Return version to the digest of its pack."""
    found: dict[str, str] = {}
    for part in chunks(list(dict.fromkeys(ids))):
        query = select(versions.c.id, batches.c.pack).join_from(versions, batches, batches.c.id == versions.c.batch)
        found.update(tx.execute(query.where(versions.c.id.in_(part))).tuples().all())
    return found


def ids_of_batch(tx: Transaction, batch_id: str) -> dict[str, str]:
    """Return segment to version of a batch, by segment."""
    query = select(versions.c.segment, versions.c.id).where(versions.c.batch == batch_id).order_by(versions.c.segment)
    return dict(tx.execute(query).tuples().all())


def champion_ids(tx: Transaction, model: str, environment: str) -> dict[str, str]:
    """Return segment to the version that is its champion in an environment."""
    query = select(champions.c.segment, champions.c.version_id).where(
        champions.c.model == model, champions.c.environment == environment, champions.c.until.is_(None)
    )
    return dict(tx.execute(query).tuples().all())


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
        query = query.join(members, named).where(*_parts(asked))
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


def past_holders(tx: Transaction, model: str, environment: str, segments: Sequence[str]) -> list[Champion]:
    """Return who was champion of those segments in an environment, oldest first."""
    query = select(champions).where(champions.c.model == model, champions.c.environment == environment)
    return _of_segments(tx, query.order_by(champions.c.seq), segments)


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
    return _champions(tx, select(champions).where(champions.c.seq == seq).order_by(champions.c.segment))


def discarded(tx: Transaction, model: str, segments: Sequence[str]) -> frozenset[str]:
    """Return the ids of those segments' discarded versions."""
    query = select(versions.c.id, versions.c.segment).where(versions.c.model == model, versions.c.state == "discarded")
    wanted = frozenset(segments)
    return frozenset(version for version, segment in tx.execute(query) if segment in wanted)


def count_members(tx: Transaction, model: str, asked: Query) -> int:
    """Return how many members a search finds."""
    query = select(func.count()).select_from(members).where(*_asked(model, asked))
    if asked.state is not None:
        query = query.join(_challenger, _challenger.c.id == members.c.latest)
    return int(tx.execute(query).scalar_one())


def fleet_members(
    tx: Transaction, model: str, environment: str, asked: Query, after: str | None, limit: int | None
) -> list[FleetMember]:
    """Return members by segment."""
    query = _fleet(environment).where(*_asked(model, asked)).order_by(members.c.segment)
    if after is not None:
        query = query.where(members.c.segment > after)
    return [_fleet_member(row) for row in tx.execute(query if limit is None else query.limit(limit))]


def named_members(tx: Transaction, model: str, environment: str, segments: Sequence[str]) -> list[FleetMember]:
    """Return the members of those segments, in that order."""
    query = _fleet(environment).where(members.c.model == model, members.c.segment.in_(segments))
    found = {row.segment: _fleet_member(row) for row in tx.execute(query)}
    return [found[segment] for segment in segments]


def member_metrics(
    tx: Transaction, model: str, environment: str, asked: Query
) -> list[tuple[str, Mapping[str, float | None]]]:
    """Return (segment, metrics of its champion, or of its newest version without one) of all that a search finds."""
    metrics = func.coalesce(_champion.c.metrics, _challenger.c.metrics, type_=versions.c.metrics.type)
    query = _joined(select(members.c.segment, metrics), environment).where(*_asked(model, asked))
    return list(tx.execute(query).tuples().all())


def fleet_columns(tx: Transaction, model: str, environment: str) -> FleetColumns:
    """Return a whole fleet as columns."""
    trained, champion_trained = batches.alias("trained"), batches.alias("champion_trained")
    query = (
        _joined(
            select(
                members.c.segment,
                members.c.latest,
                members.c.number,
                _challenger.c.state,
                _challenger.c.reason,
                trained.c.trained_at,
                _challenger.c.metrics,
                _challenger.c.facts,
                champions.c.version_id,
                champions.c.number,
                champions.c.since,
                champion_trained.c.trained_at,
                _champion.c.metrics,
            ),
            environment,
        )
        .join(trained, trained.c.id == _challenger.c.batch)
        .outerjoin(champion_trained, champion_trained.c.id == _champion.c.batch)
        .where(members.c.model == model)
        .order_by(members.c.segment)
    )
    columns: Sequence[Sequence[object]] = list(zip(*tx.execute(query), strict=True)) or [()] * 13
    return FleetColumns(*columns)  # type: ignore[arg-type]


def state_counts(tx: Transaction, model: str) -> dict[str, int]:
    """Return how many members have a newest version in each state."""
    query = (
        select(versions.c.state, func.count())
        .join_from(members, versions, versions.c.id == members.c.latest)
        .where(members.c.model == model)
        .group_by(versions.c.state)
    )
    return dict(tx.execute(query).tuples().all())


def _asked(model: str, asked: Query) -> list[ColumnElement[bool]]:
    wanted = [members.c.model == model, *_parts(asked)]
    if asked.number is not None:
        wanted.append(members.c.number == asked.number)
    if asked.state is not None:
        wanted.append(_challenger.c.state == asked.state)
    return wanted


def _parts(asked: Query) -> list[ColumnElement[bool]]:
    return [members.c.search.contains(part, autoescape=True) for part in asked.parts]


def _joined(query: Select[Any], environment: str) -> Select[Any]:
    """Join to members their newest version, and their champion in an environment."""
    holds = and_(
        champions.c.model == members.c.model,
        champions.c.environment == environment,
        champions.c.segment == members.c.segment,
        champions.c.until.is_(None),
    )
    return (
        query.select_from(members)
        .join(_challenger, _challenger.c.id == members.c.latest)
        .outerjoin(champions, holds)
        .outerjoin(_champion, _champion.c.id == champions.c.version_id)
    )


def _fleet(environment: str) -> Select[Any]:
    chosen = select(
        members.c.segment,
        members.c.latest,
        members.c.number,
        _challenger.c.state,
        _challenger.c.reason,
        _challenger.c.metrics,
        batches.c.trained_at,
        champions.c.version_id.label("champion_id"),
        champions.c.number.label("champion_number"),
        champions.c.since,
        _champion.c.metrics.label("champion_metrics"),
    )
    return _joined(chosen, environment).join(batches, batches.c.id == _challenger.c.batch)


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


@lru_cache(maxsize=4096)
def _moment(text: str) -> datetime:
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
        trained_at=_moment(row.trained_at),
        trained_until=row.trained_until,
        state=row.state,
        created_at=_moment(row.created_at),
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
        trained_at=_moment(row.trained_at),
        trained_until=row.trained_until,
        created_at=_moment(row.created_at),
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
        since=_moment(row.since),
        until=_moment(row.until) if row.until else None,
        cause=row.cause,
        decision=row.decision,
        by=row.by,
    )


def _fleet_member(row: Row[Any]) -> FleetMember:
    return FleetMember(
        segment=row.segment,
        version_id=row.latest,
        number=row.number,
        state=row.state,
        reason=row.reason,
        metrics=row.metrics,
        trained_at=_moment(row.trained_at),
        champion_id=row.champion_id,
        champion_number=row.champion_number,
        champion_since=_moment(row.since) if row.since else None,
        champion_metrics=row.champion_metrics,
    )
