"""How entries are hashed, chained and summed up. Pure; `verify.py` repeats it with the standard library only."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from keepwell.core.clock import iso
from keepwell.core.digests import canonical_json
from keepwell.core.errors import InvalidInput
from keepwell.core.events import Event

GENESIS = "0" * 64
LARGEST = 2**53 - 1
"""The largest whole number that means the same to every reader of JSON (RFC 7493 section 2.2)."""
TRAIL = 4096
"""How many positions a checkpoint's trail has at most."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """A Merkle tree that can grow: how many leaves it has, and the roots of its full subtrees, largest first."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()


def body_text(event: Event) -> str:
    """Return the canonical JSON of an event's body: what is hashed and what is stored.

    Raises:
        InvalidInput: the body holds NaN, an infinity, a key that is not text, a whole number beyond 2**53 - 1, or
            something that is not JSON.
    """
    text = canonical_json(dict(event.body)).decode()
    json.loads(text, parse_int=_whole)
    return text


def entry_hash(
    seq: int, at: datetime, actor: str, event: Event, body: str, commitment: str | None, previous: str
) -> str:
    """Return the hex sha256 of an entry's canonical JSON; `body` is the event's body as `body_text` gives it."""
    before = canonical_json({"actor": actor, "at": iso(at)})[:-1]
    after = canonical_json(
        {"commitment": commitment, "kind": event.kind, "previous": previous, "seq": seq, "subject": event.subject}
    )[1:]
    return hashlib.sha256(b'%s,"body":%s,%s' % (before, body.encode(), after)).hexdigest()


def commit_note(note: str, salt: bytes) -> str:
    """Return the salted commitment of a note: HMAC-SHA256, hex. Without the salt it tells nothing of the note.

    Raises:
        InvalidInput: the note is not text that can be stored.
    """
    try:
        return hmac.new(salt, note.encode(), hashlib.sha256).hexdigest()
    except UnicodeEncodeError:
        raise InvalidInput("A reason must be proper text; this one holds half a character.", where="reason") from None


def extend(frontier: Frontier, hashes: Iterable[str]) -> Frontier:
    """Return the tree with entries' hashes (hex) added as leaves, by RFC 6962 section 2.1."""
    size, peaks = frontier.size, list(frontier.peaks)
    for leaf in hashes:
        node, bits = hashlib.sha256(b"\0" + bytes.fromhex(leaf)).digest(), size
        while bits & 1:
            node = hashlib.sha256(b"\1" + peaks.pop() + node).digest()
            bits >>= 1
        peaks.append(node)
        size += 1
    return Frontier(size, tuple(peaks))


def root(frontier: Frontier) -> str:
    """Return the Merkle tree hash of RFC 6962 section 2.1 over all leaves, hex."""
    if not frontier.peaks:
        return hashlib.sha256(b"").hexdigest()
    node = frontier.peaks[-1]
    for peak in reversed(frontier.peaks[:-1]):
        node = hashlib.sha256(b"\1" + peak + node).digest()
    return node.hex()


def trail_step(size: int) -> int:
    """Return every how many entries a trail over `size` entries keeps a hash."""
    return max(1, -(-size // TRAIL))


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) > LARGEST:
        raise InvalidInput(f"The number {text} cannot be recorded exactly for every reader; record it as text.")
    return number
