"""Wishes: a person asks for a training, and the loop answers at its next tick, by the same rules as for any trigger.

A wish is granted when a training of the segment began after it, whether that succeeded or not, so nothing has to be
written when it is: what is still wanted follows from the wishes and the trainings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Column, Index, Integer, String, Table, Text, insert, select, update

from keepwell import ledger
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import from_iso, iso
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.core.paging import check_limit
from keepwell.db import Transaction, metadata
from keepwell.db.schema import Json
from keepwell.models import service as models

LIFE = timedelta(days=30)
"""A wish that could not be granted for so long is no longer one."""
WHOLE_FLEET = "*"
MOST = 10_000

loop_wishes = Table(
    "loop_wishes",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(31), nullable=False, unique=True),
    Column("model", Text, nullable=False),
    Column("segments", Json, nullable=False),
    Column("at", String(27), nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("withdrawn_at", String(27)),
    Index(None, "model", "at"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """That somebody wants segments of a fleet trained.

    Attributes:
        id: `wish_...`.
        model: the fleet.
        segments: those that are to be trained; none named are all.
        at: when it was said.
        actor: who said it.
        reason: why.
        withdrawn_at: when it was taken back.
    """

    id: str
    model: str
    segments: tuple[str, ...]
    at: datetime
    actor: str
    reason: str
    withdrawn_at: datetime | None = None


def wish(tx: Transaction, call: Call, model: str, segments: Sequence[str], reason: str) -> Wish:
    """Ask for a training: the loop trains at its next tick unless something stands against it.

    Args:
        tx: a write transaction.
        call: who asks.
        model: the fleet, by the name of its charter.
        segments: which; none named are all.
        reason: why; it is kept as the note of the event.

    Raises:
        InvalidInput: there is no reason, or too many segments.
        NotFound: the fleet has versions, and none of a segment that is named.
    """
    if not 0 < len(reason.strip()) <= 2000:
        raise InvalidInput("Say why, in 1 to 2000 characters.", where="reason")
    named = tuple(dict.fromkeys(segments))
    if len(named) > MOST:
        raise InvalidInput(f"Name at most {MOST:,} segments, or none for all.", where="segments")
    there = models.latest_versions(tx, model) if named else {}
    unknown = next((segment for segment in named if there and segment not in there), None)
    if unknown is not None:
        raise NotFound(f"{model} has no segment {unknown[:200]!a}; `keepwell fleet members` lists them.")
    return ledger.once(
        tx, call, {"wish": model, "segments": list(named)}, lambda: _add(tx, call, model, named, reason.strip()), Wish
    )


def _add(tx: Transaction, call: Call, model: str, named: tuple[str, ...], reason: str) -> Wish:
    made = Wish(call.ids.new("wish"), model, named, call.now, call.actor, reason)
    tx.execute(
        insert(loop_wishes).values(
            id=made.id, model=model, segments=list(named), at=iso(made.at), actor=made.actor, reason=reason
        )
    )
    failpoints.reach("wishes.stored")
    body = {"wish": made.id, "segments": len(named), "named": list(named[:20])}
    ledger.append(tx, call, Event("training.wished", f"model:{model}", body, note=reason))
    return made


def withdraw(tx: Transaction, call: Call, wish_id: str) -> Wish:
    """Take a wish back.

    Raises:
        NotFound: there is no such wish.
        Conflict: it was taken back already.
    """
    row = tx.execute(select(loop_wishes).where(loop_wishes.c.id == wish_id)).first()
    if row is None:
        raise NotFound(f"There is no wish {wish_id[:40]!a}; `keepwell loop wishes` lists them.")
    if row.withdrawn_at is not None:
        raise Conflict("This wish was taken back already.", where=wish_id)
    tx.execute(update(loop_wishes).where(loop_wishes.c.id == wish_id).values(withdrawn_at=iso(call.now)))
    failpoints.reach("wishes.withdrawn")
    ledger.append(tx, call, Event("training.unwished", f"model:{row.model}", {"wish": wish_id}))
    return wishes(tx, row.model, wish_id=wish_id)[0]


def wishes(tx: Transaction, model: str, *, wish_id: str | None = None, limit: int = 100) -> list[Wish]:
    """Return the wishes for a fleet, newest first."""
    w = loop_wishes.c
    query = select(loop_wishes).where(w.model == model).order_by(w.seq.desc()).limit(check_limit(limit))
    if wish_id is not None:
        query = query.where(w.id == wish_id)
    return [
        Wish(row.id, row.model, tuple(row.segments), from_iso(row.at), row.actor, row.reason,
             from_iso(row.withdrawn_at) if row.withdrawn_at else None)
        for row in tx.execute(query)
    ]  # fmt: skip


def wanted(tx: Transaction, model: str, now: datetime) -> Mapping[str, datetime]:
    """Return segment to the newest wish for it that is not old or taken back; `*` stands for every segment."""
    w = loop_wishes.c
    query = select(w.segments, w.at).where(w.model == model, w.at > iso(now - LIFE), w.at <= iso(now))
    found: dict[str, datetime] = {}
    for row in tx.execute(query.where(w.withdrawn_at.is_(None)).order_by(w.seq)):
        found.update(dict.fromkeys(row.segments or (WHOLE_FLEET,), from_iso(row.at)))
    return found


def is_wanted(segment: str, wanted: Mapping[str, datetime], began: datetime | None) -> bool:
    """Tell whether a wish for a segment still stands, by when its newest training began."""
    said = max((at for name in (segment, WHOLE_FLEET) if (at := wanted.get(name)) is not None), default=None)
    return said is not None and (began is None or began < said)
