"""Digests and the canonical JSON that is hashed and signed.

A digest is written `sha256:<64 hex digits>` everywhere. Canonical JSON is UTF-8 with sorted keys, no white space and
no NaN or infinity (the subset of RFC 8785 that integers, text, booleans, null and finite doubles need).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from keepwell.core.errors import InvalidInput

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def digest_bytes(data: bytes | memoryview) -> str:
    """Return the sha256 digest of `data`, with its prefix."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_parts(parts: Iterable[str]) -> str:
    """Return one digest over an ordered list of texts, unambiguous about where each ends."""
    total = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        total.update(len(encoded).to_bytes(8, "big"))
        total.update(encoded)
    return "sha256:" + total.hexdigest()


def canonical_json(value: object) -> bytes:
    """Return the one byte string that stands for a JSON value.

    Raises:
        InvalidInput: the value holds NaN, an infinity, or something that is not JSON.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"This value cannot be recorded: {error}.") from error


def digest_json(value: object) -> str:
    """Return the digest of a value's canonical JSON."""
    return digest_bytes(canonical_json(value))


def check_digest(text: object) -> str:
    """Return `text` when it is a digest.

    Raises:
        InvalidInput: it is not `sha256:` and 64 lower-case hex digits.
    """
    if not isinstance(text, str) or not _DIGEST.match(text):
        raise InvalidInput("A digest is written 'sha256:' and 64 hex digits.", where="digest")
    return text
