"""Blobs in a folder: `<root>/ab/cdef...`, written as temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keepwell.core import failpoints
from keepwell.core.digests import check_digest, digest_bytes
from keepwell.core.errors import Damaged, NotFound, Unavailable

_CHUNK = 1 << 20
_KNOWN = 100_000
_NAME = re.compile(r"[0-9a-f]{62}\Z")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalBlobs:
    """A content-addressed store in one folder of one machine; threads and processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temp = root / "tmp"
        with _in_plain_words(root):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._temp.mkdir(exist_ok=True, mode=0o700)
        self._verified: dict[str, tuple[int, int, int]] = {}
        self._durable: set[str] = set()

    def put(self, data: bytes) -> str:
        """Store bytes durably and return their digest."""
        digest = digest_bytes(data)
        with _in_plain_words(self._root):
            if not self._holds(digest, data):
                self._write(iter((data,)))
        return digest

    def put_file(self, path: Path) -> str:
        """Store a copy of a file's bytes durably and return their digest."""
        with _in_plain_words(self._root):
            try:
                source = path.open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise NotFound(f"There is no file {path} to store.") from None
            with source:
                return self._write(iter(lambda: source.read(_CHUNK), b""))

    def get(self, digest: str) -> bytes:
        """Return the bytes, verified."""
        place = self._place(digest)
        with _in_plain_words(self._root):
            try:
                data = place.read_bytes()
            except (FileNotFoundError, IsADirectoryError):
                raise NotFound(f"No bytes are stored under {digest}.") from None
        if digest_bytes(data) != digest:
            raise _changed(digest)
        return data

    def path(self, digest: str) -> Path:
        """Return the file that holds the bytes, verified once a process (and again when the file was changed)."""
        place = self._place(digest)
        with _in_plain_words(self._root):
            try:
                with place.open("rb") as file:
                    facts = os.fstat(file.fileno())
                    stamp = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
                    if self._verified.get(digest) == stamp:
                        return place
                    found = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
            except (FileNotFoundError, IsADirectoryError):
                raise NotFound(f"No bytes are stored under {digest}.") from None
        if found != digest:
            raise _changed(digest)
        if len(self._verified) >= _KNOWN:
            self._verified.clear()
        self._verified[digest] = stamp
        return place

    def has(self, digest: str) -> bool:
        """Tell whether something is stored under that digest."""
        return self._place(digest).is_file()

    def size(self, digest: str) -> int | None:
        """Return how many bytes are stored under that digest, unverified; None when there are none."""
        place = self._place(digest)
        return place.stat().st_size if place.is_file() else None

    def digests(self) -> Iterator[str]:
        """Yield every digest that is stored."""
        for folder in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            names = sorted(file.name for file in folder.iterdir())
            yield from (f"sha256:{folder.name}{name}" for name in names if _NAME.match(name))

    def verify(self, digest: str) -> bool:
        """Tell whether the stored bytes still are what their digest says, reading all of them.

        Raises:
            NotFound: nothing is stored under that digest.
        """
        self._verified.pop(digest, None)
        try:
            self.path(digest)
        except Damaged:
            return False
        return True

    def sweep(self, older_than: float) -> int:
        """Remove temp files last changed before that moment (seconds since the epoch); return how many."""
        stale = []
        for file in self._temp.iterdir():
            with suppress(FileNotFoundError):  # another process finished or swept it meanwhile
                if file.stat().st_mtime < older_than:
                    file.unlink()
                    stale.append(file)
        return len(stale)

    def free_bytes(self) -> int:
        """Return how many bytes the disk has left."""
        return shutil.disk_usage(self._root).free

    def _place(self, digest: str) -> Path:
        value = check_digest(digest).removeprefix("sha256:")
        return self._root / value[:2] / value[2:]

    def _holds(self, digest: str, data: bytes) -> bool:
        """Tell whether these bytes are there, whole and durable; a torn or rotten copy is written anew."""
        place = self._place(digest)
        try:
            with place.open("rb") as file:
                if os.fstat(file.fileno()).st_size != len(data) or not _same(file.fileno(), memoryview(data)):
                    return False
        except (FileNotFoundError, IsADirectoryError):
            return False
        if digest not in self._durable:  # the process that renamed it may have died before it synced the folder
            _sync_folder(place.parent)
            _sync_folder(self._root)
            self._remember(digest)
        return True

    def _write(self, chunks: Iterable[bytes]) -> str:
        temp = self._temp / secrets.token_hex(16)
        handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
        failpoints.reach("upload.temp_open")
        try:
            total = hashlib.sha256()
            try:
                for chunk in chunks:
                    total.update(chunk)
                    _write_all(handle, memoryview(chunk))
                failpoints.reach("upload.written")
                os.fsync(handle)
            finally:
                os.close(handle)
            digest = "sha256:" + total.hexdigest()
            self._settle(temp, digest)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
        return digest

    def _settle(self, temp: Path, digest: str) -> None:
        failpoints.reach("upload.synced")
        place = self._place(digest)
        if place.parent.name not in self._durable:
            place.parent.mkdir(exist_ok=True, mode=0o700)
            _sync_folder(self._root)
            self._remember(place.parent.name)
        temp.replace(place)
        failpoints.reach("upload.renamed")
        _sync_folder(place.parent)
        self._remember(digest)
        failpoints.reach("upload.folder_synced")

    def _remember(self, name: str) -> None:
        if len(self._durable) >= _KNOWN:
            self._durable.clear()
        self._durable.add(name)


@contextmanager
def _in_plain_words(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Unavailable(f"The disk that holds {root} is full; nothing was stored. Free some space.") from error
        if error.errno == errno.EIO:
            raise Unavailable(
                f"The disk that holds {root} is failing; nothing was stored. Look at the disk."
            ) from error
        raise Unavailable(f"The folder {root} cannot be used: {error.strerror} ({error.filename}).") from error


def _changed(digest: str) -> Damaged:
    return Damaged(f"The bytes stored under {digest} have changed; restore them from a backup.")


def _write_all(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _same(handle: int, data: memoryview) -> bool:
    while data:
        found = os.read(handle, _CHUNK)
        if not found or found != data[: len(found)]:
            return False
        data = data[len(found) :]
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
