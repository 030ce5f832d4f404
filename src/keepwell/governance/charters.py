"""Applied charters: which intent is in force for each model, since when, and what was in force before."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime

from keepwell.charter.model import Charter
from keepwell.charter.parse import read_charter, recall_charter
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import from_iso, iso
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.events import Event
from keepwell.core.names import name_key
from keepwell.db import Transaction
from keepwell.governance import charters_store as store
from keepwell.ledger import append, once


@dataclass(frozen=True, slots=True)
class AppliedCharter:
    """A charter that is or was in force.

    Attributes:
        charter: its values.
        text: as it was written.
        digest: of the text.
        number: 1 for the model's first, one more for each that follows.
        folder: the folder that its relative paths start from.
        applied_at: when, in UTC.
        applied_by: the actor.
    """

    charter: Charter
    text: str
    digest: str
    number: int
    folder: str
    applied_at: datetime
    applied_by: str


def apply_charter(tx: Transaction, call: Call, text: str, folder: str) -> AppliedCharter:
    """Put a charter in force. The same text from the same folder again changes nothing.

    Raises:
        InvalidInput: the text has findings; the message says the first.
        Conflict: there is a model whose name differs in case only.
    """
    charter = read_charter(text)
    digest = digest_bytes(text.encode())
    key = name_key(charter.model)
    request = {"do": "charter.apply", "digest": digest, "folder": folder}
    number = once(tx, call, request, lambda: _put(tx, call, charter, text, digest, folder), int)
    row = store.find(tx, key, number)
    assert row is not None  # noqa: S101  (written in this transaction, and never deleted)
    return _applied(row)


def current_charter(tx: Transaction, model: str) -> AppliedCharter:
    """Return the charter in force for a model.

    Raises:
        NotFound: none was applied.
    """
    return charter_version(tx, model)


def charter_version(tx: Transaction, model: str, number: int | None = None) -> AppliedCharter:
    """Return a model's charter of that number, or the one in force.

    Raises:
        NotFound: there is none.
    """
    row = store.find(tx, name_key(model), number)
    if row is None:
        which = "charter" if number is None else f"charter number {number}"
        raise NotFound(f"There is no {which} for the model {model[:200]!a}; see `keepwell charter list`.")
    return _applied(row)


def current_charters(tx: Transaction) -> list[AppliedCharter]:
    """Return the charters in force, by name of the model."""
    return [_applied(row) for row in store.newest(tx)]


def charter_history(tx: Transaction, model: str) -> list[AppliedCharter]:
    """Return every charter that was applied to a model, newest first.

    Raises:
        NotFound: none was.
    """
    rows = store.history(tx, name_key(model))
    if not rows:
        raise NotFound(f"There is no charter for the model {model[:200]!a}; see `keepwell charter list`.")
    return [_applied(row) for row in rows]


def _put(tx: Transaction, call: Call, charter: Charter, text: str, digest: str, folder: str) -> int:
    key = name_key(charter.model)
    last = store.find(tx, key)
    if last is not None and last.model != charter.model:
        raise Conflict(f"There is a model {last.model!r}, which differs in case only: use that name.", where="model")
    if last is not None and (last.digest, last.folder) == (digest, folder):
        return int(last.number)
    number = 1 if last is None else int(last.number) + 1
    store.add(
        tx,
        {
            "model_key": key,
            "number": number,
            "model": charter.model,
            "digest": digest,
            "text": text,
            "folder": folder,
            "applied_at": iso(call.now),
            "applied_by": call.actor,
        },
    )
    failpoints.reach("charter.written")
    previous = None if last is None else last.digest
    body = {"model": charter.model, "number": number, "digest": digest, "previous": previous}
    append(tx, call, Event("charter.applied", f"model:{charter.model}", body))
    return number


@functools.lru_cache(maxsize=256)
def _recalled(text: str) -> Charter:
    return recall_charter(text)


def _applied(row: store.Record) -> AppliedCharter:
    return AppliedCharter(
        charter=_recalled(row.text),
        text=row.text,
        digest=row.digest,
        number=row.number,
        folder=row.folder,
        applied_at=from_iso(row.applied_at),
        applied_by=row.applied_by,
    )
