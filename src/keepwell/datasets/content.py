"""What a version holds: its manifest, its rows, its profile, and the draft of the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.digests import digest_parts
from keepwell.core.lazy import pl
from keepwell.datasets.model import DatasetVersion, Manifest, Part
from keepwell.datasets.parts import assemble, decode, schema_of, unite
from keepwell.datasets.profile import profile
from keepwell.datasets.reading import read_table


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that is ready to be added: its manifest and profile are stored, its row is not."""

    digest: str
    rows: int | None
    parts: int
    schema: dict[str, str]
    manifest: str
    profile: str | None
    superseded: int
    parent: str | None


def draft(blobs: Blobs, manifest: Manifest, frame: pl.DataFrame | None, parent: str | None) -> Draft:
    """Store what a version is made of, outside of any transaction.

    Args:
        blobs: where manifest and profile go.
        manifest: what the version is made of.
        frame: its rows, corrections applied; None for files that are not tables.
        parent: id of the version that must still be the newest when this one is added; None: there is none.
    """
    stored = blobs.put(msgspec.json.encode(manifest))
    failpoints.reach("dataset.manifest_stored")
    described = None if frame is None else blobs.put(msgspec.json.encode(profile(frame)))
    failpoints.reach("dataset.profile_stored")
    return Draft(
        digest=content_digest(manifest),
        rows=None if frame is None else frame.height,
        parts=len(manifest.parts) or len(manifest.files),
        schema={} if frame is None else schema_of(frame),
        manifest=stored,
        profile=described,
        superseded=manifest.superseded,
        parent=parent,
    )


def content_digest(manifest: Manifest) -> str:
    """Return the digest of what a version holds, the same wherever its files lie."""
    if manifest.form is not None:
        return digest_parts((manifest.form.time, *manifest.form.keys, *(part.blob for part in manifest.parts)))
    cut = len(manifest.folder.rstrip("/")) + 1
    inside = manifest.folder.rstrip("/") + "/"
    names = (f.uri[cut:] if f.uri.startswith(inside) else f.uri for f in manifest.files)
    return digest_parts(text for pair in zip(names, (f.sha256 for f in manifest.files), strict=True) for text in pair)


def manifest_of(blobs: Blobs, found: DatasetVersion) -> Manifest:
    """Return what a version is made of.

    Raises:
        NotFound: its manifest is not stored.
        Damaged: its manifest's bytes have changed.
    """
    return msgspec.json.decode(blobs.get(found.manifest), type=Manifest)


def profile_of(blobs: Blobs, found: DatasetVersion) -> dict[str, object] | None:
    """Return the profile of a version, or None when it has none."""
    return None if found.profile is None else msgspec.json.decode(blobs.get(found.profile), type=dict[str, object])


def rows_of(blobs: Blobs, manifest: Manifest) -> pl.DataFrame:
    """Return the rows that a manifest stands for; see `load`."""
    if manifest.form is None:
        return unite([read_table(file, manifest.format) for file in manifest.files])
    return assemble(frames_of(blobs, manifest.parts), manifest.form, distinct=manifest.superseded == 0)


def frames_of(blobs: Blobs, parts: Sequence[Part]) -> list[pl.DataFrame]:
    """Return the tables of parts."""
    return [decode(blobs.path(part.blob)) for part in parts]
