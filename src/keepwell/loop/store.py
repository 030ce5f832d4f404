"""The loop's tables and queries: ticks, their decisions, the outcomes of segments other than holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import msgspec
from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    Row,
    Select,
    String,
    Table,
    Text,
    and_,
    func,
    insert,
    select,
)

from keepwell.core.clock import from_iso, iso
from keepwell.core.digests import digest_parts
from keepwell.db import Transaction, metadata
from keepwell.db.bulk import insert_rows
from keepwell.db.portable import has_text
from keepwell.db.schema import Json
from keepwell.loop.decisions import Decision, Hold, decode_one, kind_of, outcomes
from keepwell.loop.ticks import Recorded, Tick

loop_fleets = Table(
    "loop_fleets",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("segments", Json, nullable=False),
)
loop_ticks = Table(
    "loop_ticks",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(31), nullable=False, unique=True),
    Column("model", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", String(27), nullable=False),
    Column("actor", Text, nullable=False),
    Column("charter", Text, nullable=False),
    Column("state", String(71), nullable=False),
    Column("fleet", String(71), ForeignKey("loop_fleets.digest"), nullable=False),
    Column("size", Integer, nullable=False),
    Column("counts", Json, nullable=False),
    Index(None, "model", "number", unique=True),
)
loop_decisions = Table(
    "loop_decisions",
    metadata,
    Column("tick", Integer, ForeignKey("loop_ticks.seq"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("model", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("size", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index(None, "model", "tick"),
    Index(None, "kind", "tick"),
    Index(None, "model", "kind", "tick"),
)
loop_outcomes = Table(
    "loop_outcomes",
    metadata,
    Column("model", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("tick", Integer, ForeignKey("loop_ticks.seq"), primary_key=True),
    Column("place", Integer, nullable=False),
    Index(None, "tick"),
)


def next_number(tx: Transaction, model: str) -> int:
    """Return the number of a fleet's next tick; they are dense from 1."""
    last = tx.scalar(select(func.max(loop_ticks.c.number)).where(loop_ticks.c.model == model))
    return int(last or 0) + 1


def add_tick(tx: Transaction, tick: Tick, fleet: Sequence[str]) -> None:
    """Write a tick with its decisions, and an index from each segment to what it got, holds aside."""
    digest = digest_parts(fleet)
    if tx.execute(select(loop_fleets.c.digest).where(loop_fleets.c.digest == digest)).first() is None:
        tx.execute(insert(loop_fleets).values(digest=digest, segments=list(fleet)))
    row = {
        "id": tick.id,
        "model": tick.model,
        "number": tick.number,
        "at": iso(tick.at),
        "actor": tick.actor,
        "charter": tick.charter,
        "state": tick.state,
        "fleet": digest,
        "size": tick.size,
        "counts": dict(tick.counts),
    }
    seq = tx.execute(insert(loop_ticks).values(row)).inserted_primary_key[0]  # type: ignore[index]
    insert_rows(
        tx,
        loop_decisions,
        ("tick", "place", "model", "kind", "size", "reason", "body"),
        [
            (seq, i, tick.model, kind_of(d), d.scope.size(tick.size), d.reason, msgspec.json.encode(d).decode())
            for i, d in enumerate(tick.decisions)
        ],
    )
    acted = {id(d) for d in outcomes(tick.decisions) if not isinstance(d, Hold)}
    insert_rows(
        tx,
        loop_outcomes,
        ("model", "segment", "tick", "place"),
        [
            (tick.model, segment, seq, i)
            for i, d in enumerate(tick.decisions)
            if id(d) in acted
            for segment in d.scope.of(fleet)
        ],
    )


def find_ticks(tx: Transaction, model: str | None, *, before: int | None, limit: int) -> list[Tick]:
    """Return ticks without their decisions, newest first; `before` is the `seq` of the page before."""
    query = select(loop_ticks).order_by(loop_ticks.c.seq.desc()).limit(limit)
    if model is not None:
        query = query.where(loop_ticks.c.model == model)
    if before is not None:
        query = query.where(loop_ticks.c.seq < before)
    return [_tick(row, ()) for row in tx.execute(query)]


def tick(tx: Transaction, tick_id: str) -> Tick | None:
    """Return a tick with its decisions."""
    return _whole(tx, select(loop_ticks).where(loop_ticks.c.id == tick_id))


def latest(tx: Transaction, model: str) -> Tick | None:
    """Return a fleet's newest tick with its decisions."""
    query = select(loop_ticks).where(loop_ticks.c.model == model)
    return _whole(tx, query.order_by(loop_ticks.c.number.desc()).limit(1))


def fleet_of(tx: Transaction, tick_id: str) -> list[str]:
    """Return the segments that were in the fleet at a tick."""
    query = select(loop_fleets.c.segments).join(loop_ticks, loop_ticks.c.fleet == loop_fleets.c.digest)
    found = tx.scalar(query.where(loop_ticks.c.id == tick_id))
    return cast("list[str]", found or [])


def with_member(tx: Transaction, seqs: Sequence[int], segment: str) -> list[int]:
    """Return those of some ticks at which a segment was in the fleet; each distinct fleet is read once."""
    t = loop_ticks.c
    fleets = tx.execute(select(t.seq, t.fleet).where(t.seq.in_(seqs))).all()
    distinct = {row.fleet for row in fleets}
    lists = tx.execute(select(loop_fleets).where(loop_fleets.c.digest.in_(distinct)))
    inside = {row.digest for row in lists if segment in row.segments}
    return [row.seq for row in fleets if row.fleet in inside]


def newest_of_each(tx: Transaction) -> list[Tick]:
    """Return the newest tick of every fleet, with its decisions, by name of the fleet."""
    last = select(func.max(loop_ticks.c.seq)).group_by(loop_ticks.c.model)
    rows = tx.execute(select(loop_ticks).where(loop_ticks.c.seq.in_(last)).order_by(loop_ticks.c.model)).all()
    return [_tick(row, _decisions(tx, row.seq)) for row in rows]


def find_decisions(
    tx: Transaction,
    model: str | None,
    kinds: Sequence[str],
    q: str | None,
    *,
    before: tuple[int, int] | None,
    limit: int,
) -> list[Recorded]:
    """Return decisions of all ticks, newest first; `before` is the (seq, place) of the page before."""
    d = loop_decisions.c
    query = select(loop_decisions, *_TICK).join(loop_ticks, loop_ticks.c.seq == d.tick)
    if model is not None:
        query = query.where(d.model == model)
    if kinds:
        query = query.where(d.kind.in_(kinds))
    if q:
        query = query.where(has_text(d.reason, q))
    if before is not None:
        query = query.where((d.tick < before[0]) | and_(d.tick == before[0], d.place > before[1]))
    return _recorded(tx, query.order_by(d.tick.desc(), d.place).limit(limit))


def outcomes_of(tx: Transaction, model: str, segment: str, *, before: int | None, limit: int) -> list[Recorded]:
    """Return what a segment got in the ticks in which it was not held, newest first."""
    d, o = loop_decisions.c, loop_outcomes.c
    query = (
        select(loop_decisions, *_TICK)
        .join(loop_outcomes, and_(o.tick == d.tick, o.place == d.place))
        .join(loop_ticks, loop_ticks.c.seq == d.tick)
        .where(o.model == model, o.segment == segment)
        .order_by(o.tick.desc())
        .limit(limit)
    )
    return _recorded(tx, query if before is None else query.where(o.tick < before))


def decisions_of(tx: Transaction, seqs: Iterable[int], kinds: Sequence[str]) -> list[Recorded]:
    """Return the decisions of some kinds in some ticks, newest tick first."""
    d = loop_decisions.c
    query = (
        select(loop_decisions, *_TICK)
        .join(loop_ticks, loop_ticks.c.seq == d.tick)
        .where(d.tick.in_(list(seqs)), d.kind.in_(kinds))
        .order_by(d.tick.desc(), d.place)
    )
    return _recorded(tx, query)


_TICK = (loop_ticks.c.id, loop_ticks.c.number, loop_ticks.c.at, loop_ticks.c.size.label("fleet_size"))


def _whole(tx: Transaction, query: Select[tuple[object, ...]]) -> Tick | None:
    row = tx.execute(query).first()
    return _tick(row, _decisions(tx, row.seq)) if row is not None else None


def _decisions(tx: Transaction, seq: int) -> tuple[Decision, ...]:
    d = loop_decisions.c
    return tuple(decode_one(body) for body in tx.scalars(select(d.body).where(d.tick == seq).order_by(d.place)))


def _tick(row: Row[tuple[object, ...]], decisions: tuple[Decision, ...]) -> Tick:
    return Tick(
        seq=row.seq,
        id=row.id,
        model=row.model,
        number=row.number,
        at=from_iso(row.at),
        actor=row.actor,
        charter=row.charter,
        state=row.state,
        size=row.size,
        counts=cast("dict[str, int]", row.counts),
        decisions=decisions,
    )


def _recorded(tx: Transaction, query: Select[tuple[object, ...]]) -> list[Recorded]:
    return [
        Recorded(
            seq=row.tick,
            place=row.place,
            tick=row.id,
            number=row.number,
            at=from_iso(row.at),
            model=row.model,
            fleet_size=row.fleet_size,
            size=row.size,
            decision=decode_one(row.body),
        )
        for row in tx.execute(query)
    ]
