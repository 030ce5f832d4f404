"""Digests and the canonical JSON that is hashed and signed.

A digest is written `sha256:<64 hex digits>` everywhere. Canonical JSON is UTF-8 with keys sorted by code point, no
white space, no NaN or infinity, and floats as Python writes them: the shortest digits that read back as the same number
(RFC 8785, but for the spelling of floats, `1.0` and `1e-05`, and the order of keys beyond the basic plane).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from keepwell.core.errors import InvalidInput

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
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
        InvalidInput: the value holds NaN, an infinity, a key that is not text, or something that is not JSON.
    """
    try:
        _refuse_other_keys(value)
        return _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"This value cannot be recorded: {error}.") from error


def _refuse_other_keys(value: object) -> None:
    """Refuse keys that are not text: JSON turns 2 and 10 into "2" and "10", which sort otherwise when read back."""
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is not text")
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    for part in inner:
        if isinstance(part, dict | list | tuple):
            _refuse_other_keys(part)


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
