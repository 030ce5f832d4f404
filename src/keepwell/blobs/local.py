"""Blobs in a folder: `<root>/ab/cdef...`, written as temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keepwell.core import failpoints
from keepwell.core.digests import check_digest, digest_bytes
from keepwell.core.errors import Damaged, NotFound


class LocalBlobs:
    """A content-addressed store in one folder of one machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temp = root / "tmp"
        self._temp.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._verified: set[str] = set()

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their digest."""
        digest = digest_bytes(data)
        if self._intact(digest):
            return digest
        handle, name = tempfile.mkstemp(dir=self._temp)
        failpoints.reach("upload.temp_open")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                failpoints.reach("upload.written")
                file.flush()
                os.fsync(file.fileno())
            self._settle(Path(name), digest)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return digest

    def put_file(self, path: Path) -> str:
        """Store a copy of a file's bytes durably and return their digest."""
        handle, name = tempfile.mkstemp(dir=self._temp)
        failpoints.reach("upload.temp_open")
        try:
            with os.fdopen(handle, "wb") as file, path.open("rb") as source:
                total = hashlib.sha256()
                while chunk := source.read(1 << 20):
                    total.update(chunk)
                    file.write(chunk)
                failpoints.reach("upload.written")
                file.flush()
                os.fsync(file.fileno())
            digest = "sha256:" + total.hexdigest()
            self._settle(Path(name), digest)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes, verified."""
        try:
            data = self._place(digest).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"No bytes are stored under {digest}.") from None
        if digest_bytes(data) != digest:
            raise Damaged(f"The bytes stored under {digest} have changed; restore them from a backup.")
        return data

    def path(self, digest: str) -> Path:
        """Return the file that holds the bytes, verified once a process."""
        place = self._place(digest)
        if digest not in self._verified:
            if not place.is_file():
                raise NotFound(f"No bytes are stored under {digest}.")
            with place.open("rb") as file:
                found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            if found != digest:
                raise Damaged(f"The bytes stored under {digest} have changed; restore them from a backup.")
            self._verified.add(digest)
        return place

    def has(self, digest: str) -> bool:
        """Tell whether something is stored under that digest."""
        return self._place(digest).is_file()

    def digests(self) -> Iterator[str]:
        """Yield every digest that is stored."""
        for folder in sorted(self._root.iterdir()):
            if len(folder.name) == 2:
                yield from (f"sha256:{folder.name}{file.name}" for file in sorted(folder.iterdir()))

    def sweep(self, older_than: float) -> int:
        """Remove temp files last changed before that moment (seconds since the epoch); return how many."""
        stale = [file for file in self._temp.iterdir() if file.stat().st_mtime < older_than]
        for file in stale:
            file.unlink(missing_ok=True)
        return len(stale)

    def free_bytes(self) -> int:
        """Return how many bytes the disk has left."""
        return shutil.disk_usage(self._root).free

    def _place(self, digest: str) -> Path:
        value = check_digest(digest).removeprefix("sha256:")
        return self._root / value[:2] / value[2:]

    def _intact(self, digest: str) -> bool:
        """Tell whether the bytes are there and right; a torn or rotten copy is written anew."""
        try:
            return digest_bytes(self._place(digest).read_bytes()) == digest
        except FileNotFoundError:
            return False

    def _settle(self, temp: Path, digest: str) -> None:
        failpoints.reach("upload.synced")
        place = self._place(digest)
        if not place.parent.is_dir():
            place.parent.mkdir(exist_ok=True, mode=0o700)
            _sync_folder(self._root)
        temp.chmod(0o400)
        temp.replace(place)
        failpoints.reach("upload.renamed")
        _sync_folder(place.parent)
        failpoints.reach("upload.folder_synced")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
