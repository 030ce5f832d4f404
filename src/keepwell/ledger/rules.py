"""How entries are hashed, chained and summed up. Pure; `verify.py` repeats it with the standard library only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

from keepwell.core.clock import iso
from keepwell.core.digests import canonical_json
from keepwell.core.events import Event

GENESIS = "0" * 64


def entry_hash(seq: int, at: datetime, actor: str, event: Event, commitment: str | None, previous: str) -> str:
    """Return the hex sha256 of an entry's canonical JSON.

    Raises:
        InvalidInput: the event's body holds NaN, an infinity or something that is not JSON.
    """
    return hashlib.sha256(
        canonical_json(
            {
                "seq": seq,
                "at": iso(at),
                "actor": actor,
                "kind": event.kind,
                "subject": event.subject,
                "body": event.body,
                "commitment": commitment,
                "previous": previous,
            }
        )
    ).hexdigest()


def commit_note(note: str, salt: bytes) -> str:
    """Return the salted commitment of a note: HMAC-SHA256, hex. Without the salt it tells nothing of the note."""
    return hmac.new(salt, note.encode(), hashlib.sha256).hexdigest()


def merkle_root(hashes: Sequence[str]) -> str:
    """Return the Merkle tree hash of RFC 6962 section 2.1 over the entries' hashes (hex in, hex out)."""
    level = [hashlib.sha256(b"\0" + bytes.fromhex(h)).digest() for h in hashes]
    if not level:
        return hashlib.sha256(b"").hexdigest()
    while len(level) > 1:
        paired = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0].hex()
