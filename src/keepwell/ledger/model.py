"""Values of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: an event, who caused it and when, chained to the entry before.

    `hash` is the sha256 of the canonical JSON of every other field but `note`; `previous` is the hash of entry
    `seq - 1`, or 64 zeros for the first.
    """

    seq: int
    at: datetime
    actor: str
    kind: str
    subject: str
    body: Mapping[str, object]
    commitment: str | None
    previous: str
    hash: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement: the first `size` entries have this Merkle root.

    Attributes:
        size: number of entries covered.
        root: RFC 6962 Merkle tree hash over the entries' hashes, hex.
        at: when it was made.
        key: id of the signing key: the first 16 hex digits of the sha256 of the public key.
        signature: Ed25519 signature of the canonical JSON of size, root, at and key, hex.
    """

    size: int
    root: str
    at: datetime
    key: str
    signature: str


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signs, or signed, checkpoints.

    Attributes:
        key: its id: the first 16 hex digits of the sha256 of the public key.
        public: the Ed25519 public key, hex.
        seq: number of the entry that added it.
        added_at: when that was.
        introduced_by: id of the older key that signed its introduction; None for the first key and after a loss.
        introduction: that signature, hex.
    """

    key: str
    public: str
    seq: int
    added_at: datetime
    introduced_by: str | None = None
    introduction: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry claimed from the outbox, to be told to somebody outside.

    Attributes:
        entry: what happened.
        lease: proof of the claim; a claim that ran out and was taken over has another.
        attempt: 1 for the first try.
    """

    entry: Entry
    lease: str
    attempt: int
