"""The canonical list of what a call touched: its digest goes into the event, the list itself into the blobs."""

from __future__ import annotations

from keepwell.blobs import Blobs
from keepwell.core.digests import canonical_json, digest_bytes
from keepwell.models.model import ModelVersion

INLINE = 20
"""Up to so many members, an event's body lists them beside the digest of the list."""


def told(listed: list[list[object]], blobs: Blobs | None, shown: int | None = None) -> dict[str, object]:
    """Return what an event's body says of a canonical list: its digest, and the list itself when it is short.

    Args:
        listed: the list, in its canonical order.
        blobs: where a long list is stored; None stores none.
        shown: how many fields of each row a short list shows; all by default.
    """
    data = canonical_json(listed)
    body: dict[str, object] = {"count": len(listed), "members": digest_bytes(data)}
    if len(listed) <= INLINE:
        body["versions"] = [row[:shown] for row in listed]
    elif blobs is not None:
        blobs.put(data)
    return body


def label(version: ModelVersion) -> str:
    """Return how a sentence names a version."""
    return f"{version.model} {version.segment} v{version.number}"
