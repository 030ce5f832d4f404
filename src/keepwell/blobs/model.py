"""What a blob store promises. Implementations pass `keepwell.testing.blobs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Incoming(Protocol):
    """Bytes that come in pieces; nothing is stored under their digest before `settle`."""

    size: int

    def write(self, data: bytes) -> None:
        """Add bytes."""

    def settle(self) -> str:
        """Store what was written durably and return its digest; the writer has ended then."""

    def abort(self) -> None:
        """End without storing anything; does nothing after `settle`."""


class Blobs(Protocol):
    """Immutable bytes under their digest (`sha256:...`)."""

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their digest; storing the same bytes again changes nothing."""

    def put_file(self, path: Path) -> str:
        """Store a copy of a file's bytes durably and return their digest.

        Raises:
            NotFound: there is no such file.
        """

    def writer(self) -> Incoming:
        """Begin to store bytes that come in pieces, too many to be held at once."""

    def get(self, digest: str) -> bytes:
        """Return the bytes, verified.

        Raises:
            NotFound: nothing is stored under that digest.
            Damaged: what is stored is not what the digest says.
        """

    def path(self, digest: str) -> Path:
        """Return a local file that holds the bytes, verified once a process, for readers that map files.

        Raises:
            NotFound: nothing is stored under that digest.
            Damaged: what is stored is not what the digest says.
        """

    def has(self, digest: str) -> bool:
        """Tell whether something is stored under that digest, without verifying it."""

    def digests(self) -> Iterator[str]:
        """Yield every digest that is stored."""
