"""The manifest of a folder: the canonical list of its files, whose digest stands for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from keepwell.core.digests import canonical_json, check_digest
from keepwell.core.errors import Damaged


class File(NamedTuple):
    """One file of a folder: its path from there, the digest of its bytes, and how many they are."""

    path: str
    digest: str
    size: int


def write_manifest(files: Iterable[File]) -> bytes:
    """Return the canonical JSON of [path, digest, size] of every file, by path."""
    return canonical_json([list(file) for file in sorted(files)])


def read_manifest(data: bytes) -> list[File]:
    """Return the files that `write_manifest` wrote.

    Raises:
        Damaged: the bytes are no manifest.
    """
    try:
        files = [File(*row) for row in msgspec.json.decode(data, type=list[tuple[str, str, int]])]
        for file in files:
            check_digest(file.digest)
    except (msgspec.DecodeError, ValueError) as error:
        raise Damaged("These bytes are not the manifest of a folder.") from error
    return files
