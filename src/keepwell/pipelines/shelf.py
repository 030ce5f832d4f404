"""Where the values of a run are: small ones in the database, larger ones as blobs, recent ones also in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import NotFound
from keepwell.db import Database, Transaction, read
from keepwell.pipelines import store
from keepwell.pipelines.model import Stored
from keepwell.pipelines.record import Recorder
from keepwell.pipelines.values import Payload, manifest, parts_of

INLINE = 32 << 10
"""Values of at most this many bytes are kept in the database: no file a model, and no two waits for the disk each."""
RECENT = 256 << 10
"""Values of at most this many bytes are also held in memory for a while; larger ones are read from their files."""
MEMORY = 64 << 20
"""Bytes of recent values held in memory, together."""


class Shelf:
    """Puts bytes away under their digest, and hands them to tasks."""

    def __init__(self, database: Database, blobs: Blobs, recorder: Recorder) -> None:
        self._database = database
        self._blobs = blobs
        self._recorder = recorder
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0
        self._lent: dict[str, str] = {}

    def put(self, data: bytes) -> str:
        """Store bytes and return their digest."""
        if len(data) > INLINE:
            digest = self._blobs.put(data)
            failpoints.reach("pipelines.stored")
        else:
            digest = digest_bytes(data)
            self._recorder.keep(digest, data)
        self._remember(digest, data)
        return digest

    def put_payload(self, payload: Payload) -> Stored:
        """Store what a task made, from its bytes or its file."""
        if payload.data is not None:
            return Stored(self.put(payload.data), payload.format)
        path = Path(payload.path or "")
        if path.stat().st_size <= INLINE:
            return Stored(self.put(path.read_bytes()), payload.format)
        digest = self._blobs.put_file(path)
        failpoints.reach("pipelines.stored")
        return Stored(digest, payload.format)

    def put_parts(self, parts: list[Stored]) -> Stored:
        """Store the list of parts that are one value together."""
        return Stored(self.put(manifest(parts)), "parts")

    def lend(self, digest: str, path: Path) -> None:
        """Take note of a file that is read where it lies."""
        self._lent[digest] = str(path)

    def payload(self, stored: Stored) -> Payload:
        """Return a value for a task to read.

        Raises:
            NotFound: nothing is stored under its digest.
            Damaged: what is stored is not what the digest says.
        """
        if stored.format == "parts":
            parts = parts_of(self._bytes(stored.digest))
            away = [part.digest for part in parts if part.digest not in self._recent]
            if away:
                with read(self._database) as tx:
                    for digest, found in store.inline_values(tx, away).items():
                        self._remember(digest, found)
            return Payload(format="parts", parts=[self.payload(part) for part in parts])
        if stored.digest in self._lent:
            return Payload(format=stored.format, path=self._lent[stored.digest])
        data = self._in_memory(stored.digest)
        if data is None and self._blobs.has(stored.digest):
            return Payload(format=stored.format, path=str(self._blobs.path(stored.digest)))
        return Payload(format=stored.format, data=self._bytes(stored.digest) if data is None else data)

    def is_there(self, outputs: Mapping[str, Stored]) -> bool:
        """Tell whether everything that the outputs stand for is still stored."""
        waiting = list(outputs.values())
        while waiting:
            elsewhere = {one.digest for one in waiting if one.digest not in self._recorder.inline}
            unknown = [digest for digest in elsewhere if not self._blobs.has(digest)]
            if unknown:
                with read(self._database) as tx:
                    self._recorder.inline |= store.kept_of(tx, unknown)
                if not self._recorder.inline.issuperset(unknown):
                    return False
            waiting = [part for one in waiting if one.format == "parts" for part in parts_of(self._bytes(one.digest))]
        return True

    def _bytes(self, digest: str) -> bytes:
        data = self._in_memory(digest)
        if data is not None:
            return data
        with read(self._database) as tx:
            data = value_bytes(tx, self._blobs, digest)
        self._remember(digest, data)
        return data

    def _in_memory(self, digest: str) -> bytes | None:
        data = self._recent.get(digest)
        if data is not None:
            self._recent.move_to_end(digest)
        return data

    def _remember(self, digest: str, data: bytes) -> None:
        if len(data) > RECENT or digest in self._recent:
            return
        self._recent[digest] = data
        self._held += len(data)
        while self._held > MEMORY:
            _, oldest = self._recent.popitem(last=False)
            self._held -= len(oldest)


def payload_of(tx: Transaction, blobs: Blobs, stored: Stored) -> Payload:
    """Return a stored value for reading, outside of a run.

    Raises:
        NotFound: nothing is stored under its digest.
        Damaged: what is stored is not what the digest says.
    """
    if stored.format != "parts":
        return _payload(tx, blobs, stored, {})
    parts = parts_of(value_bytes(tx, blobs, stored.digest))
    inline = store.inline_values(tx, [part.digest for part in parts])
    return Payload(format="parts", parts=[_payload(tx, blobs, part, inline) for part in parts])


def _payload(tx: Transaction, blobs: Blobs, stored: Stored, inline: Mapping[str, bytes]) -> Payload:
    if stored.digest not in inline and blobs.has(stored.digest):
        return Payload(format=stored.format, path=str(blobs.path(stored.digest)))
    data = inline.get(stored.digest)
    return Payload(format=stored.format, data=value_bytes(tx, blobs, stored.digest) if data is None else data)


def value_bytes(tx: Transaction, blobs: Blobs, digest: str) -> bytes:
    """Return the bytes stored under a digest, in the database or as a blob.

    Raises:
        NotFound: nothing is stored under that digest.
        Damaged: what is stored is not what the digest says.
    """
    if blobs.has(digest):
        return blobs.get(digest)
    data = store.inline_value(tx, digest)
    if data is None:
        raise NotFound(f"No bytes are stored under {digest}.")
    return data
