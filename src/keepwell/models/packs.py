"""Packs: the artifacts of many members as one blob, so that a fleet of thousands is one file and one fsync.

A pack is its members' bytes one after the other, ordered by segment; equal artifacts are stored once. Where each
starts and its sha256 is written with the version; what is read is verified against it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Damaged, InvalidInput
from keepwell.models.model import Member, ModelVersion


def pack(
    blobs: Blobs,
    artifacts: Mapping[str, bytes],
    *,
    facts: Mapping[str, Mapping[str, object]] | None = None,
    metrics: Mapping[str, Mapping[str, float | None]] | None = None,
) -> tuple[str, list[Member]]:
    """Store the artifacts of a chunk of a fleet as one blob.

    Args:
        blobs: where.
        artifacts: segment to bytes.
        facts: segment to what its training says of it.
        metrics: segment to its own metrics over all rows.

    Returns:
        The pack's digest, and a member for each segment, by segment.

    Raises:
        InvalidInput: there are no artifacts, or one is empty.
    """
    if not artifacts:
        raise InvalidInput("There is nothing to pack; give at least one artifact.")
    members: list[Member] = []
    places: dict[str, int] = {}
    parts: list[bytes] = []
    size = 0
    for segment in sorted(artifacts):
        data = artifacts[segment]
        if not data:
            raise InvalidInput(f"The artifact of {segment} has no bytes; every member needs some.")
        digest = digest_bytes(data)
        if digest not in places:
            places[digest] = size
            parts.append(data)
            size += len(data)
        said, measured = (facts or {}).get(segment, {}), (metrics or {}).get(segment, {})
        members.append(Member(segment, digest, places[digest], len(data), said, measured))
    digest = blobs.put(b"".join(parts))
    failpoints.reach("models.packed")
    return digest, members


def verify(blobs: Blobs, digest: str, members: Iterable[Member]) -> None:
    """Read a pack and verify that every member's bytes are in it.

    Raises:
        NotFound: the pack is not stored.
        Damaged: it is not what its digest says, or a member's bytes are not.
    """
    data = memoryview(blobs.get(digest))
    for member in members:
        if digest_bytes(data[member.offset : member.offset + member.length]) != member.artifact:
            raise Damaged(f"The bytes of {member.segment} in the pack are not what their digest says; pack them again.")


def artifact(blobs: Blobs, version: ModelVersion) -> bytes:
    """Return a version's bytes, verified against its digest.

    Raises:
        NotFound: the pack is gone.
        Damaged: the bytes are not what was registered.
    """
    with blobs.path(version.pack).open("rb") as file:
        file.seek(version.offset)
        data = file.read(version.length)
    return _verified(version, data)


def artifacts(blobs: Blobs, versions: Iterable[ModelVersion]) -> dict[str, bytes]:
    """Return segment to bytes of many versions, verified; each pack is read once.

    Raises:
        NotFound: a pack is gone.
        Damaged: bytes are not what was registered.
    """
    by_pack: defaultdict[str, list[ModelVersion]] = defaultdict(list)
    for version in versions:
        by_pack[version.pack].append(version)
    found: dict[str, bytes] = {}
    for digest, wanted in by_pack.items():
        data = memoryview(blobs.get(digest))
        for version in wanted:
            found[version.segment] = _verified(version, bytes(data[version.offset : version.offset + version.length]))
    return found


def _verified(version: ModelVersion, data: bytes) -> bytes:
    if digest_bytes(data) != version.artifact:
        raise Damaged(
            f"The bytes of {version.model} {version.segment} v{version.number} are not what was registered; "
            "restore the blobs from a backup."
        )
    return data
