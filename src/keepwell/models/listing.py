"""The canonical list of what a call touched: its digest goes into the event, the list itself into the blobs."""

from __future__ import annotations

from keepwell.blobs import Blobs
from keepwell.core.digests import canonical_json, digest_bytes
from keepwell.models.model import ModelVersion

INLINE = 20
"""Up to so many members, an event's body lists them beside the digest of the list."""


def keep(listed: list[list[object]], blobs: Blobs | None) -> str:
    """Return the digest of a canonical list, and store it where there is a place for it."""
    data = canonical_json(listed)
    return digest_bytes(data) if blobs is None else blobs.put(data)


def label(version: ModelVersion) -> str:
    """Return how a sentence names a version."""
    return f"{version.model} {version.segment} v{version.number}"
