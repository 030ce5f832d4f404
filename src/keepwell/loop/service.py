"""Record ticks of the loop, and read them: what was decided, and why a segment got what it got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from keepwell import ledger
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.core.paging import check_limit
from keepwell.db import Transaction
from keepwell.loop import store
from keepwell.loop.decisions import (
    OUTCOMES,
    Alert,
    AskApproval,
    Decision,
    Hold,
    causes,
    encode,
    kind_of,
)
from keepwell.loop.model import State, ordered, state_digest
from keepwell.loop.ticks import Recorded, Tick

KINDS = (
    "roll_back", "fail_over", "quarantine", "open_incident", "close_incident", "condition", "score", "advance",
    "promote", "ask_approval", "discard", "train", "alert", "hold",
)  # fmt: skip
"""Every kind of decision."""
_OUTCOME_KINDS = tuple(str(kind.__struct_config__.tag) for kind in OUTCOMES)


def record_tick(tx: Transaction, call: Call, state: State, now: datetime, decisions: Sequence[Decision]) -> Tick:
    """Record what was decided for a fleet, holds too, with a ledger event `loop.tick`.

    Args:
        tx: a write transaction.
        call: who ran the loop.
        state: what it was decided from.
        now: the moment it was decided for.
        decisions: as `decide` returned them.

    Raises:
        Conflict: the call's idempotency key was used for another tick.
    """
    state = ordered(state)
    body = digest_bytes(encode(decisions))
    digest = state_digest(state)
    request = {"tick": state.model, "at": iso(now), "state": digest, "decisions": body}
    found = ledger.once(tx, call, request, lambda: _record(tx, call, state, now, tuple(decisions), digest, body), str)
    return tick(tx, found)


def ticks(tx: Transaction, model: str | None = None, *, before: int | None = None, limit: int = 50) -> list[Tick]:
    """Return ticks without their decisions, newest first.

    Args:
        tx: a transaction.
        model: of one fleet; None is all.
        before: `seq` of the last tick of the page before.
        limit: how many at most, up to 1,000.

    Raises:
        InvalidInput: the limit is out of bounds.
    """
    return store.find_ticks(tx, model, before=before, limit=check_limit(limit))


def tick(tx: Transaction, tick_id: str) -> Tick:
    """Return a tick with its decisions.

    Raises:
        NotFound: there is no such tick.
    """
    found = store.tick(tx, tick_id)
    if found is None:
        raise NotFound("There is no such tick; `keepwell decisions list` shows them.", where=tick_id[:60])
    return found


def latest(tx: Transaction, model: str) -> Tick | None:
    """Return a fleet's newest tick with its decisions, or None when the loop never decided for it."""
    return store.latest(tx, model)


def alerted(tx: Transaction, model: str) -> frozenset[str]:
    """Return the causes that someone was told of and that stood at the newest tick: `State.alerted`."""
    newest = store.latest(tx, model)
    return causes(newest.decisions) if newest else frozenset()


def fleet_of(tx: Transaction, tick_id: str) -> list[str]:
    """Return the segments of the fleet at a tick, sorted: what `Scope.of` needs."""
    return store.fleet_of(tx, tick_id)


def decisions(
    tx: Transaction,
    *,
    model: str | None = None,
    kinds: Sequence[str] = (),
    q: str | None = None,
    before: tuple[int, int] | None = None,
    limit: int = 50,
) -> list[Recorded]:
    """Return decisions of all ticks, newest first.

    Args:
        tx: a transaction.
        model: of one fleet; None is all.
        kinds: only these kinds, such as `train`; empty is all.
        q: a part of the reason.
        before: (`seq`, `place`) of the last one of the page before.
        limit: how many at most, up to 1,000.

    Raises:
        InvalidInput: a kind is not known, or the limit is out of bounds.
    """
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise InvalidInput(f"No decision is called {unknown[0][:40]!r}: use {', '.join(KINDS)}.", where="kind")
    return store.find_decisions(tx, model, kinds, q, before=before, limit=check_limit(limit))


def why(tx: Transaction, model: str, segment: str, *, before: int | None = None, limit: int = 20) -> list[Recorded]:
    """Return what a segment got in the newest ticks, holds too, newest first.

    Args:
        tx: a transaction.
        model: the fleet.
        segment: its member.
        before: `seq` of the last tick of the page before.
        limit: how many ticks are looked at, up to 1,000.

    Raises:
        NotFound: the loop never decided for this fleet, or the segment is not in it.
        InvalidInput: the limit is out of bounds.
    """
    looked = store.find_ticks(tx, model, before=before, limit=check_limit(limit))
    if not looked:
        if before is not None:
            return []
        raise NotFound("The loop has not decided for this model yet; run `keepwell loop tick`.", where=model[:60])
    inside = store.with_member(tx, [t.seq for t in looked], segment)
    if before is None and not inside:
        raise NotFound("The fleet has no such segment; `keepwell fleet members` lists them.", where=segment[:60])
    found = store.decisions_of(tx, inside, _OUTCOME_KINDS)
    return [r for r in found if r.decision.scope.covers(segment)]


def actions(tx: Transaction, model: str, segment: str, *, before: int | None = None, limit: int = 20) -> list[Recorded]:
    """Return what a segment got in the ticks in which it was not held, newest first, however long ago."""
    return store.outcomes_of(tx, model, segment, before=before, limit=check_limit(limit))


def needs_a_person(tx: Transaction) -> list[Recorded]:
    """Return what stands since the newest tick of each fleet and wants a person: alerts and approvals asked for."""
    newest = {t.seq for t in store.newest_of_each(tx)}
    found = store.decisions_of(tx, newest, ("alert", "ask_approval", "hold"))
    return [r for r in found if _wants_a_person(r.decision)]


def _wants_a_person(decision: Decision) -> bool:
    if isinstance(decision, Hold):
        return decision.cause is not None or decision.waits_for_a_person
    return isinstance(decision, Alert | AskApproval)


def _record(
    tx: Transaction,
    call: Call,
    state: State,
    now: datetime,
    made: tuple[Decision, ...],
    digest: str,
    body: str,
) -> str:
    counts: Counter[str] = Counter()
    for decision in made:
        counts[kind_of(decision)] += decision.scope.size(len(state.segments)) if isinstance(decision, OUTCOMES) else 1
    new = Tick(
        seq=0,
        id=call.ids.new("tick"),
        model=state.model,
        number=store.next_number(tx, state.model),
        at=now,
        actor=call.actor,
        charter=state.charter,
        state=digest,
        size=len(state.segments),
        counts=dict(sorted(counts.items())),
        decisions=made,
    )
    store.add_tick(tx, new, state.segments)
    failpoints.reach("loop.tick_written")
    facts = {
        "tick": new.id,
        "number": new.number,
        "at": iso(now),
        "charter": state.charter,
        "state": digest,
        "decisions": body,
        "counts": dict(new.counts),
    }
    ledger.append(tx, call, Event("loop.tick", f"model:{state.model}", facts))
    return new.id
