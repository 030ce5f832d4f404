"""The bytes of versions, as far as they can be read: a pack that is gone must not keep the others from answering."""

from __future__ import annotations

from collections.abc import Sequence

from keepwell.core.errors import Damaged, NotFound
from keepwell.flows.kit import Kit
from keepwell.models import service as models
from keepwell.models.model import ModelVersion


def readable(kit: Kit, versions: Sequence[ModelVersion]) -> dict[str, bytes]:
    """Return segment to bytes of those versions whose bytes can be read, whole packs at once where all is well."""
    try:
        return models.artifacts(kit.blobs, versions)
    except (Damaged, NotFound):
        pass
    packs: dict[str, list[ModelVersion]] = {}
    for version in versions:
        packs.setdefault(version.pack, []).append(version)
    found: dict[str, bytes] = {}
    for some in packs.values():
        try:
            found.update(models.artifacts(kit.blobs, some))
        except (Damaged, NotFound):
            continue
    return found
