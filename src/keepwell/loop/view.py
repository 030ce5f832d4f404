"""What follows from a state and a charter for each segment, as boolean columns. Pure; the rules read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from keepwell.charter.crons import last_moment
from keepwell.charter.model import Charter
from keepwell.charter.risk import all_approvals
from keepwell.core.clock import as_utc
from keepwell.core.spans import parse_span
from keepwell.loop.decisions import TRIGGERS, Trigger
from keepwell.loop.model import (
    Approval,
    Compared,
    Gates,
    Health,
    Known,
    State,
    Texts,
    Training,
)

Mask: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Rows: TypeAlias = npt.NDArray[np.intp]

PRESSING: tuple[Trigger, ...] = ("no_model", "cannot_answer", "performance", "staleness")
"""Triggers of which someone must know when nothing can be done."""
URGENT: tuple[Trigger, ...] = ("no_model", "cannot_answer", "person", "performance")
"""Triggers that do not wait for a challenger that is held."""


@dataclass(frozen=True, slots=True)
class Block:
    """An incident that stands against training: known by its cause; the id is None while it is being opened."""

    cause: str
    incident: str | None
    title: str
    segments: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Columns that the rules choose by; one place a segment, all derived, nothing guessed.

    Attributes:
        charter, state, now: what it was derived from.
        roles: who must approve a promotion; empty when nobody must.
        blocks: incidents against training; `block` is the index of a segment's first one, -1 for none.
        ready: a challenger that may take over, approvals aside.
        out: a challenger that is to go; `held` one that is held.
        bits: the triggers that fired, one bit each in the order of `TRIGGERS`.
        candidate: a trigger fired, and neither a ready nor a held challenger nor an unknown champion comes before.
        changed: what answers changed less than a window ago, until `settled_at`.
        cooling: trained so recently that the cool-down is not over, at `cool_until`.
        nothing_new: data and code are those of the last training.
        clear: nothing stands against training.
    """

    charter: Charter
    state: State
    now: datetime
    roles: tuple[str, ...]
    blocks: tuple[Block, ...]
    block: Ints
    has_champion: Mask
    no_champion: Mask
    ready: Mask
    refused: Mask
    out: Mask
    held: Mask
    bits: Ints
    candidate: Mask
    running: Mask
    changed: Mask
    settled_at: npt.NDArray[np.datetime64]
    cooling: Mask
    cool_until: npt.NDArray[np.datetime64]
    nothing_new: Mask
    arriving: bool
    incidents_known: bool
    clear: Mask

    def fired(self, *triggers: Trigger) -> Mask:
        """Return where one of the triggers fired."""
        wanted = sum(1 << TRIGGERS.index(t) for t in triggers)
        return np.asarray((self.bits & wanted) != 0)


def view_of(charter: Charter, state: State, now: datetime, blocks: Sequence[Block]) -> View:
    """Derive the columns.

    Args:
        charter: what must be.
        state: what is; its segments are sorted.
        now: the moment of the tick.
        blocks: incidents that stand against training this tick, sorted by cause.
    """
    s = state
    has_champion, no_champion = s.champion == Known.YES, s.champion == Known.NO
    roles = tuple(sorted({role for roles in all_approvals(charter).values() for role in roles}))
    passed = (s.challenger == Known.YES) & (s.gates == Gates.PASSED)
    dead = has_champion & (s.can_answer == Known.NO)
    refresh = _refreshes(charter, s, passed & has_champion)
    ready = passed & (no_champion | dead | (has_champion & (s.compared == Compared.BETTER)) | refresh)
    refused = ready & bool(roles) & (s.approval == Approval.REFUSED)
    out, held = _challengers(charter, s, passed, has_champion & ~dead & ~refresh, refused)
    ready &= ~refused
    bits = _triggers(charter, s, now, has_champion, no_champion & ((s.challenger == Known.NO) | out))
    urgent = (bits & sum(1 << TRIGGERS.index(t) for t in URGENT)) != 0
    candidate = (bits != 0) & ~ready & ~(held & ~urgent) & (has_champion | no_champion)
    block = _blocked(s, blocks)
    moment = np.datetime64(as_utc(now).replace(tzinfo=None), "us")
    cool_until = s.trained_at + np.timedelta64(parse_span(charter.retrain.cool_down))
    settled_at = s.champion_since + np.timedelta64(parse_span(charter.monitor.window))
    person = _bit(bits, "person")
    cooling = ~np.isnat(s.trained_at) & (cool_until > moment) & ~person
    nothing_new = _same(s.trained_data, s.data_latest) & _same(s.trained_code, s.code_latest)
    nothing_new &= (s.training == Training.FINISHED) & ~person & ~_bit(bits, "cannot_answer")
    running = s.training == Training.RUNNING
    arriving = s.conditioning == Known.YES or any(a.contract != Gates.FAILED for a in s.arrivals or ())
    standing = running | (s.training == Training.UNKNOWN) | cooling | (block >= 0) | nothing_new
    return View(
        charter=charter,
        state=s,
        now=now,
        roles=roles,
        blocks=tuple(blocks),
        block=block,
        has_champion=has_champion,
        no_champion=no_champion,
        ready=ready,
        refused=refused,
        out=out,
        held=held,
        bits=bits,
        candidate=candidate,
        running=running,
        changed=has_champion & ~np.isnat(settled_at) & (settled_at > moment),
        settled_at=settled_at,
        cooling=cooling,
        cool_until=cool_until,
        nothing_new=nothing_new,
        arriving=arriving,
        incidents_known=s.incidents is not None,
        clear=~standing & (not arriving) & (s.incidents is not None),
    )


def triggers_of(bits: int) -> tuple[Trigger, ...]:
    """Return the triggers of a number of `View.bits`, most pressing first."""
    return tuple(t for i, t in enumerate(TRIGGERS) if bits >> i & 1)


def _refreshes(charter: Charter, s: State, passed: Mask) -> Mask:
    """Return which challengers take over from a stale champion that they were held beside for long enough."""
    if charter.release.tie != "refresh":
        return np.zeros(len(s.segments), np.bool_)
    long = s.held_windows >= charter.release.hold_windows
    return np.asarray(passed & (s.compared == Compared.SAME) & (s.staleness == Health.BAD) & long)


def _challengers(charter: Charter, s: State, passed: Mask, has_champion: Mask, refused: Mask) -> tuple[Mask, Mask]:
    """Return which challengers are to go, and which are held."""
    there = s.challenger == Known.YES
    failed = there & (s.gates == Gates.FAILED)
    worse = passed & has_champion & (s.compared == Compared.WORSE)
    untold = passed & has_champion & ((s.compared == Compared.SAME) | (s.compared == Compared.UNKNOWN))
    pending = untold | (there & ((s.gates == Gates.UNDECIDED) | (s.gates == Gates.UNKNOWN)))
    over = pending & (s.held_windows >= max(charter.release.hold_windows, 0)) & (s.champion != Known.UNKNOWN)
    return failed | worse | refused | over, pending & ~over


def _triggers(charter: Charter, s: State, now: datetime, has_champion: Mask, no_model: Mask) -> Ints:
    """Return the triggers that fired, a bit each."""
    on = charter.retrain.on
    never = np.zeros(len(s.segments), np.bool_)
    slot = last_moment(charter.retrain.schedule, now) if "schedule" in on else None
    due = never if slot is None else _before(s, slot)
    fired: dict[Trigger, Mask] = {
        "no_model": no_model,
        "cannot_answer": has_champion & (s.can_answer == Known.NO),
        "person": s.wanted == Known.YES,
        "performance": has_champion & (s.performance == Health.BAD) if "performance" in on else never,
        "drift": has_champion & (s.drift == Health.BAD) if "drift" in on else never,
        "staleness": has_champion & (s.staleness == Health.BAD) if "staleness" in on else never,
        "schedule": has_champion & due,
        "new_data": has_champion & _differs(s.trained_data, s.data_latest) if "new_data" in on else never,
        "code": has_champion & _differs(s.trained_code, s.code_latest) if "code" in on else never,
    }
    bits = np.zeros(len(s.segments), np.int64)
    for i, trigger in enumerate(TRIGGERS):
        bits |= fired[trigger].astype(np.int64) << i
    return bits


def _before(s: State, slot: datetime) -> Mask:
    moment = np.datetime64(slot.replace(tzinfo=None), "us")
    return np.asarray((s.training == Training.NEVER) | (~np.isnat(s.trained_at) & (s.trained_at < moment)))


def _bit(bits: Ints, trigger: Trigger) -> Mask:
    return np.asarray(bits >> TRIGGERS.index(trigger) & 1, np.bool_)


def _same(column: Texts, latest: str | None) -> Mask:
    if latest is None:
        return np.zeros(len(column), np.bool_)
    return np.asarray(column == latest, np.bool_)


def _differs(column: Texts, latest: str | None) -> Mask:
    if latest is None:
        return np.zeros(len(column), np.bool_)
    known = np.asarray([v is not None for v in column.tolist()], np.bool_)
    return known & np.asarray(column != latest, np.bool_)


def _blocked(s: State, blocks: Sequence[Block]) -> Ints:
    first = np.full(len(s.segments), -1, np.int64)
    for i, block in reversed(list(enumerate(blocks))):
        if not block.segments:
            first[:] = i
        else:
            first[[place for place, name in enumerate(s.segments) if name in block.segments]] = i
    return first


def day_of(value: np.datetime64) -> str:
    """Return the first whole day on which a moment has passed, as `2026-01-31`."""
    return str((value + np.timedelta64(timedelta(days=1)) - np.timedelta64(1, "us")).astype("datetime64[D]"))
