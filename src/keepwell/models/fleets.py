"""What is asked of a fleet as a whole: its members with their newest versions and champions, found and in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.sql.elements import ColumnElement

from keepwell.db import Transaction
from keepwell.models.model import FleetColumns, FleetMember, MemberStanding, Standing
from keepwell.models.queries import moment, pairs, parts
from keepwell.models.rules import Query
from keepwell.models.store import batches, champions, members, versions

_challenger = versions.alias("challenger")
_champion = versions.alias("champion")


def found_newest(tx: Transaction, model: str, asked: Query) -> list[Standing]:
    """Return what the newest versions of the members that a search finds are now, by segment."""
    here = _challenger.c
    query = select(here.id, here.model, here.segment, here.number, here.state, here.reason).select_from(members)
    query = query.join(_challenger, here.id == members.c.latest).where(*_asked(model, asked))
    return [Standing(*row) for row in tx.execute(query.order_by(members.c.segment))]


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
    return [(row[0], row[1]) for row in tx.execute(query)]


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
    columns: Sequence[Sequence[object]] = list(zip(*tx.execute(query).all(), strict=True)) or [()] * 13
    return FleetColumns(*columns)  # type: ignore[arg-type]


def fleet_standing(tx: Transaction, model: str, environment: str) -> list[MemberStanding]:
    """Return who answers and who wants to in every segment of a fleet, by segment, without metrics and facts."""
    trained, champion_trained = batches.alias("trained"), batches.alias("champion_trained")
    newest = func.coalesce(champion_trained.c.trained_at, trained.c.trained_at)
    query = (
        _joined(
            select(
                members.c.segment,
                members.c.latest,
                members.c.number,
                _challenger.c.state,
                _challenger.c.reason,
                newest,
                champions.c.version_id,
                champions.c.number,
                champions.c.since,
            ),
            environment,
        )
        .join(trained, trained.c.id == _challenger.c.batch)
        .outerjoin(champion_trained, champion_trained.c.id == _champion.c.batch)
        .where(members.c.model == model)
        .order_by(members.c.segment)
    )
    return [MemberStanding._make(row) for row in tx.execute(query).all()]


def state_counts(tx: Transaction, model: str) -> dict[str, int]:
    """Return how many members have a newest version in each state."""
    query = (
        select(versions.c.state, func.count())
        .join_from(members, versions, versions.c.id == members.c.latest)
        .where(members.c.model == model)
        .group_by(versions.c.state)
    )
    return pairs(tx, query)


def _asked(model: str, asked: Query) -> list[ColumnElement[bool]]:
    wanted = [members.c.model == model, members.c.latest.is_not(None), *parts(asked)]
    if asked.number is not None:
        wanted.append(members.c.number == asked.number)
    if asked.state is not None:
        wanted.append(_challenger.c.state == asked.state)
    return wanted


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


def _fleet_member(row: Row[Any]) -> FleetMember:
    return FleetMember(
        segment=row.segment,
        version_id=row.latest,
        number=row.number,
        state=row.state,
        reason=row.reason,
        metrics=row.metrics,
        trained_at=moment(row.trained_at),
        champion_id=row.champion_id,
        champion_number=row.champion_number,
        champion_since=moment(row.since) if row.since else None,
        champion_metrics=row.champion_metrics,
    )
