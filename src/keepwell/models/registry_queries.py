"""What the registry is asked of models and versions with what is written on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, Text, and_, bindparam, cast, func, null, select

from keepwell.core.names import name_key
from keepwell.core.segments import ALL
from keepwell.db import Transaction, quick
from keepwell.db.bulk import chunks
from keepwell.models.queries import moment
from keepwell.models.registry_model import RegisteredModel, RegisteredVersion
from keepwell.models.registry_rules import alias_key
from keepwell.models.registry_store import aliases, details, model_tags, stages, version_tags
from keepwell.models.store import batches, champions, members, models, versions

UPDATED = func.coalesce(details.c.updated_at, batches.c.created_at)
"""When a version last changed: one that nobody wrote on, when it was registered."""

VERSIONS: Select[Any] = (
    select(
        versions.c.id,
        versions.c.model,
        versions.c.number,
        versions.c.artifact,
        versions.c.length,
        versions.c.state,
        batches.c.run_id,
        batches.c.dataset_version,
        batches.c.code,
        batches.c.environment,
        batches.c.created_at,
        batches.c.created_by,
        details.c.files,
        details.c.source,
        details.c.run_link,
        details.c.logged_model,
        details.c.stage,
        details.c.status,
        details.c.status_message,
        details.c.description,
        details.c.updated_at,
    )
    .select_from(
        versions.join(batches, batches.c.id == versions.c.batch).outerjoin(details, details.c.version == versions.c.id)
    )
    .where(versions.c.segment == ALL, versions.c.deleted_at.is_(None))
)
"""Versions of models without segments, that are not deleted."""

MODELS: Select[Any] = select(
    models.c.name, models.c.description, models.c.created_at, models.c.updated_at
).where(models.c.deleted_at.is_(None))  # fmt: skip

_BY_ID = VERSIONS.where(versions.c.id == bindparam("of_id"))
_BY_IDS = VERSIONS.where(versions.c.id.in_(bindparam("ids", expanding=True)))
_BY_NUMBER = VERSIONS.where(versions.c.model == bindparam("of_model"), versions.c.number == bindparam("of_number"))
_BY_ALIAS = VERSIONS.join(aliases, and_(aliases.c.version == versions.c.id, aliases.c.until.is_(None))).where(
    aliases.c.model == bindparam("of_model"), aliases.c.key == bindparam("of_key")
)
_MODEL = MODELS.where(models.c.key == bindparam("of_key"))
_TAGS = select(version_tags.c.version, version_tags.c.name, version_tags.c.value).where(
    version_tags.c.version.in_(bindparam("ids", expanding=True))
)
_ALIASES = (
    select(aliases.c.version, aliases.c.alias)
    .where(aliases.c.version.in_(bindparam("ids", expanding=True)), aliases.c.until.is_(None))
    .order_by(aliases.c.key)
)
_LABELS_OF_ONE: Any = (
    select(version_tags.c.name, version_tags.c.value)
    .where(version_tags.c.version == bindparam("of_id"))
    .union_all(
        select(aliases.c.alias, cast(null(), Text))
        .where(aliases.c.version == bindparam("of_id"), aliases.c.until.is_(None))
    )
)  # fmt: skip
_NEWEST = select(members.c.model, members.c.latest).where(
    members.c.model.in_(bindparam("names", expanding=True)), members.c.segment == ALL, members.c.latest.is_not(None)
)
_STAGED = select(stages.c.model, stages.c.stage, stages.c.number, stages.c.version).where(
    stages.c.model.in_(bindparam("names", expanding=True)), stages.c.until.is_(None)
)
_MODEL_TAGS = select(model_tags.c.model, model_tags.c.name, model_tags.c.value).where(
    model_tags.c.model.in_(bindparam("names", expanding=True))
)
_MODEL_ALIASES = (
    select(aliases.c.model, aliases.c.alias, aliases.c.number)
    .where(aliases.c.model.in_(bindparam("names", expanding=True)), aliases.c.until.is_(None))
    .order_by(aliases.c.key)
)
_ALIAS_NOW: Select[Any] = select(aliases.c.seq, aliases.c.alias, aliases.c.version, aliases.c.number).where(
    aliases.c.model == bindparam("of_model"), aliases.c.key == bindparam("of_key"), aliases.c.until.is_(None)
)
_HAS_DETAILS = select(details.c.version, details.c.stage).where(details.c.version.in_(bindparam("ids", expanding=True)))


def model_row(tx: Transaction, name: str) -> Row[Any] | None:
    """Return a model's own row, whatever the case it is asked in; None for one that is deleted."""
    return tx.execute(_MODEL, {"of_key": name_key(name)}).first()


def by_id(tx: Transaction, version: str) -> RegisteredVersion | None:
    """Return a version of a model without segments."""
    return _one(tx, quick.first(tx, _BY_ID, {"of_id": version}))


def by_number(tx: Transaction, model: str, number: int) -> RegisteredVersion | None:
    """Return a model's version of that number."""
    return _one(tx, quick.first(tx, _BY_NUMBER, {"of_model": model, "of_number": number}))


def by_alias(tx: Transaction, model: str, alias: str) -> RegisteredVersion | None:
    """Return the version that an alias names."""
    return _one(tx, quick.first(tx, _BY_ALIAS, {"of_model": model, "of_key": alias_key(alias)}))


def by_ids(tx: Transaction, ids: Sequence[str]) -> list[RegisteredVersion]:
    """Return the versions with those ids, in the ids' order; what is not there is left out."""
    found: dict[str, RegisteredVersion] = {}
    for part in chunks(list(dict.fromkeys(ids))):
        rows = tx.execute(_BY_IDS, {"ids": part}).all()
        found.update((one.id, one) for one in labelled(tx, rows))
    return [found[version] for version in ids if version in found]


def labelled(tx: Transaction, rows: Sequence[Row[Any]]) -> list[RegisteredVersion]:
    """Return the versions of rows of `VERSIONS`, in their order, with tags and aliases."""
    ids = [row.id for row in rows]
    tags: dict[str, dict[str, str]] = {}
    names: dict[str, list[str]] = {}
    for part in chunks(ids):
        for version, name, value in tx.execute(_TAGS, {"ids": part}):
            tags.setdefault(version, {})[name] = value
        for version, alias in tx.execute(_ALIASES, {"ids": part}):
            names.setdefault(version, []).append(alias)
    return [_version(row, tags.get(row.id, {}), names.get(row.id, [])) for row in rows]


def latest_ids(tx: Transaction, names: Sequence[str]) -> dict[str, list[str]]:
    """Return for each model the ids of the newest version in each stage that has one."""
    best: dict[tuple[str, str], tuple[int, str]] = {}
    staged: dict[str, set[str]] = {}
    found: dict[str, list[str]] = {name: [] for name in names}
    for part in chunks(names):
        for model, stage, number, version in tx.execute(_STAGED, {"names": part}):
            best[model, stage] = max(best.get((model, stage), (0, "")), (number, version))
            staged.setdefault(model, set()).add(version)
        for model, newest in tx.execute(_NEWEST, {"names": part}).all():
            free = newest if newest not in staged.get(model, ()) else _newest_of_none(tx, model)
            if free is not None:
                found[model].append(free)
    for (model, _), (_, version) in best.items():
        found[model].append(version)
    return found


def whole_models(tx: Transaction, rows: Sequence[Row[Any]]) -> list[RegisteredModel]:
    """Return the models of rows of `MODELS`, in their order, with tags, aliases and newest versions."""
    names = [row.name for row in rows]
    tags: dict[str, dict[str, str]] = {}
    named: dict[str, dict[str, int]] = {}
    for part in chunks(names):
        for model, name, value in tx.execute(_MODEL_TAGS, {"names": part}):
            tags.setdefault(model, {})[name] = value
        for model, alias, number in tx.execute(_MODEL_ALIASES, {"names": part}):
            named.setdefault(model, {})[alias] = number
    latest: dict[str, list[RegisteredVersion]] = {}
    for version in by_ids(tx, [one for ids in latest_ids(tx, names).values() for one in ids]):
        latest.setdefault(version.model, []).append(version)
    return [
        RegisteredModel(
            name=row.name,
            description=row.description,
            created_at=moment(row.created_at),
            updated_at=moment(row.updated_at),
            tags=tags.get(row.name, {}),
            aliases=named.get(row.name, {}),
            latest=sorted(latest.get(row.name, ()), key=lambda one: -one.number),
        )
        for row in rows
    ]


class Named(NamedTuple):
    """What an alias names now, and the number of the entry that says so."""

    seq: int
    alias: str
    version: str
    number: int


def alias_now(tx: Transaction, model: str, alias: str) -> Named | None:
    """Return what an alias names now."""
    found = quick.first(tx, _ALIAS_NOW, {"of_model": model, "of_key": alias_key(alias)})
    return None if found is None else Named(*found)


def aliases_of(tx: Transaction, model: str, ids: Iterable[str] | None = None) -> list[Row[Any]]:
    """Return (seq, alias, version, number) of the aliases of a model that name those versions now, or any."""
    query: Select[Any] = select(aliases.c.seq, aliases.c.alias, aliases.c.version, aliases.c.number)
    query = query.where(aliases.c.model == model, aliases.c.until.is_(None)).order_by(aliases.c.key)
    rows = list(tx.execute(query))
    return rows if ids is None else [row for row in rows if row.version in set(ids)]


def stages_of(tx: Transaction, ids: Sequence[str]) -> dict[str, str]:
    """Return version to stage of those versions that have details."""
    found: dict[str, str] = {}
    for part in chunks(ids):
        found.update((row.version, row.stage) for row in tx.execute(_HAS_DETAILS, {"ids": part}))
    return found


def in_stage(tx: Transaction, model: str, stage: str) -> list[tuple[str, int]]:
    """Return id and number of a model's versions that are in a stage now."""
    query = select(stages.c.version, stages.c.number).where(
        stages.c.model == model, stages.c.stage == stage, stages.c.until.is_(None)
    )
    return [(row.version, row.number) for row in tx.execute(query.order_by(stages.c.number))]


def standing(tx: Transaction, model: str, ids: Sequence[str] | None = None) -> list[str]:
    """Return the environments in which a model, or one of those versions, has a champion."""
    query = select(champions.c.environment).distinct().where(champions.c.model == model, champions.c.until.is_(None))
    if ids is not None:
        query = query.where(champions.c.version_id.in_(ids))
    return sorted(tx.execute(query).scalars())


def ever_champion(tx: Transaction, model: str) -> bool:
    """Tell whether a model has or had a champion anywhere."""
    return tx.execute(select(champions.c.seq).where(champions.c.model == model).limit(1)).first() is not None


def ids_of(tx: Transaction, model: str) -> list[str]:
    """Return the ids of all versions of a model or fleet that are not deleted, by segment and number."""
    query = select(versions.c.id).where(versions.c.model == model, versions.c.deleted_at.is_(None))
    return list(tx.execute(query.order_by(versions.c.segment, versions.c.number)).scalars())


def is_free(tx: Transaction, name: str, for_model: str) -> bool:
    """Tell whether a name that no model has may become a model's: no other model ever gave numbers under it."""
    seen: set[str] = set()
    while name not in seen:
        seen.add(name)
        query: Select[Any] = select(models.c.name, models.c.renamed_to, models.c.deleted_at)
        row = tx.execute(query.where(models.c.key == name_key(name))).first()
        if row is None:
            return len(seen) == 1
        if row.deleted_at is None:
            return bool(row.name == for_model)
        if row.renamed_to is None:
            return tx.execute(select(members.c.last).where(members.c.model == row.name).limit(1)).first() is None
        name = row.renamed_to
    return False


def deleted_version(tx: Transaction, model: str, segment: str, number: int) -> Row[Any] | None:
    """Return (id, freed_at) of a version that is deleted."""
    query: Select[Any] = select(versions.c.id, batches.c.freed_at).join_from(
        versions, batches, batches.c.id == versions.c.batch
    )
    query = query.where(versions.c.model == model, versions.c.segment == segment, versions.c.number == number)
    return tx.execute(query.where(versions.c.deleted_at.is_not(None))).first()


def _newest_of_none(tx: Transaction, model: str) -> str | None:
    """Return the newest version of a model that is in no stage."""
    held = select(stages.c.version).where(stages.c.model == model, stages.c.until.is_(None))
    query = (
        select(versions.c.id)
        .where(versions.c.model == model, versions.c.segment == ALL, versions.c.deleted_at.is_(None))
        .where(versions.c.id.not_in(held))
        .order_by(versions.c.number.desc())
        .limit(1)
    )
    found: str | None = tx.execute(query).scalar()
    return found


def _one(tx: Transaction, row: Sequence[Any] | None) -> RegisteredVersion | None:
    if row is None:
        return None
    tags: dict[str, str] = {}
    names: list[str] = []
    for name, value in quick.fetch(tx, _LABELS_OF_ONE, {"of_id": row[0]}):
        if value is None:
            names.append(name)
        else:
            tags[name] = value
    return _version(row, tags, sorted(names, key=alias_key))


def _version(columns: Sequence[Any], tags: Mapping[str, str], names: Sequence[str]) -> RegisteredVersion:
    (
        id_, model, number, artifact, length, state, run_id, dataset_version, code, environment, created_at, created_by,
        files, source, run_link, logged_model, stage, status, status_message, description, updated_at,
    ) = columns  # fmt: skip
    return RegisteredVersion(
        id=id_,
        model=model,
        number=number,
        manifest=artifact,
        size=length,
        files=files,
        source=source,
        run_id=run_id,
        run_link=run_link,
        logged_model=logged_model,
        dataset_version=dataset_version,
        code=code,
        environment=environment,
        state=state,
        stage=stage or "None",
        status=status or "ready",
        status_message=status_message,
        description=description,
        created_at=moment(created_at),
        created_by=created_by,
        updated_at=moment(updated_at or created_at),
        tags=tags,
        aliases=names,
    )
