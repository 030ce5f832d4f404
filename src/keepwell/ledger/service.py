"""Append to the ledger, and answer a repeated call with what it got the first time."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TypeVar

import msgspec

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import digest_json
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.db import NotSerial, Transaction, is_serial
from keepwell.ledger import rules, store
from keepwell.ledger.model import Entry

Answer = TypeVar("Answer")
_under_way: ContextVar[frozenset[tuple[str, str]]] = ContextVar("under_way", default=frozenset())
"""Keys whose effect is running: a call within it, under the same key, is a part of it."""


def append(tx: Transaction, call: Call, *events: Event) -> list[Entry]:
    """Write events to the ledger, in order, in the transaction that changes the state they tell of.

    `tx` must be a write transaction: it holds the database's write lock, so numbers have no gap and the chain no fork.

    Returns:
        The entries, one an event.

    Raises:
        InvalidInput: an event's body is not JSON.
        NotSerial: other writers may be at work beside this transaction.
    """
    if not is_serial(tx):
        raise NotSerial("append needs a transaction of db.write that is serial: others may append at the same time")
    last = store.head(tx)
    seq, previous = last or (0, rules.GENESIS)
    new: list[tuple[Entry, str]] = []
    salts: dict[int, bytes] = {}
    for event in events:
        seq += 1
        commitment = None
        if event.note is not None:
            salts[seq] = secrets.token_bytes(32)
            commitment = rules.commit_note(event.note, salts[seq])
        body = rules.body_text(event)
        digest = rules.entry_hash(seq, call.now, call.actor, event, body, commitment, previous)
        new.append((
            Entry(seq, call.now, call.actor, event.kind, event.subject, event.body, commitment, previous, digest,
                  event.note),
            body,
        ))  # fmt: skip
        previous = digest
    if new:
        store.add(tx, new, salts)
        failpoints.reach("ledger.appended")
    return [entry for entry, _ in new]


def once(tx: Transaction, call: Call, request: object, effect: Callable[[], Answer], kind: type[Answer]) -> Answer:
    """Run `effect` unless this call's idempotency key was seen; then return what it returned the first time.

    Args:
        tx: the write transaction in which the effect happens.
        call: the call; without a key the effect simply runs.
        request: what was asked, as JSON: the same key with another request is refused.
        effect: does the work on `tx`.
        kind: the type of the answer, which msgspec can encode and decode.

    Raises:
        Conflict: the key was used for another request.
        InvalidInput: the key is empty or longer than 200 characters.
    """
    if call.key is None or (call.actor, call.key) in _under_way.get():
        return effect()
    if not 0 < len(call.key) <= 200:
        raise InvalidInput("An idempotency key has 1 to 200 characters.", where="Idempotency-Key")
    digest = digest_json(request)
    seen = store.remembered(tx, call.actor, call.key)
    if seen is not None:
        if seen[0] != digest:
            raise Conflict("This idempotency key was used for another request; use a new key.", code="key_reused")
        return msgspec.convert(seen[1], kind)
    token = _under_way.set(_under_way.get() | {(call.actor, call.key)})
    try:
        answer = effect()
    finally:
        _under_way.reset(token)
    store.remember(tx, call.actor, call.key, digest, msgspec.to_builtins(answer), iso(call.now))
    return answer


def entries(
    tx: Transaction,
    *,
    subject: str | None = None,
    kind: str | None = None,
    actor: str | None = None,
    q: str | None = None,
    after: int | None = None,
    before: int | None = None,
    limit: int = 100,
) -> Sequence[Entry]:
    """Return entries: newest first, or oldest first when `after` is given (0 starts with the first entry).

    Args:
        tx: a transaction.
        subject: only of this subject.
        kind: only of this kind, or, as a prefix, of kinds such as `dataset.`.
        actor: only by this actor.
        q: only with this text in subject, kind or actor; ASCII letters match in either case.
        after: only entries with a larger number.
        before: only entries with a smaller number.
        limit: at most this many.
    """
    return store.find(tx, subject=subject, kind=kind, actor=actor, q=q, after=after, before=before, limit=limit)


def entry(tx: Transaction, seq: int) -> Entry:
    """Return one entry.

    Raises:
        NotFound: the ledger has no entry of that number.
    """
    found = store.entry(tx, seq)
    if found is None:
        raise NotFound(f"The ledger has no entry {seq}.")
    return found


def size(tx: Transaction) -> int:
    """Return how many entries there are."""
    last = store.head(tx)
    return last[0] if last else 0
