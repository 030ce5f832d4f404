"""Blobs in a folder: `<root>/ab/cdef...`, written as temp file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from keepwell.core import failpoints
from keepwell.core.digests import check_digest, digest_bytes
from keepwell.core.errors import Damaged, NotFound, Unavailable

_CHUNK = 1 << 20
_KNOWN = 100_000
_PATIENCE = 30.0
"""Seconds to wait for the lock between those who give bytes their name and who frees them."""
_NAME = re.compile(r"[0-9a-f]{62}\Z")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalBlobs:
    """A content-addressed store in one folder of one machine; threads and processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._start = f"{root}{os.sep}"
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
                self._write((data,))
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

    def writer(self) -> Writer:
        """Begin to store bytes that come in pieces."""
        with _in_plain_words(self._root):
            return Writer(self._root, self._temp, self._settle)

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
                    stamp = _stamp(os.fstat(file.fileno()))
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

    def keep(self, *digests: str) -> None:
        """Let stored bytes count as stored just now, so that `free` leaves them until a row refers to them.

        Whoever refers to bytes that it did not put itself keeps them first, in the transaction that writes the row.

        Raises:
            NotFound: nothing is stored under one of them.
        """
        with _in_plain_words(self._root), self._shared():
            for digest in digests:
                if not self._touch(digest):
                    raise NotFound(f"No bytes are stored under {digest}.")

    def stored(self) -> Iterator[tuple[str, int, float]]:
        """Yield the digest of everything that is stored, how many bytes it is, and when it was last put."""
        for digest in self.digests():
            with suppress(FileNotFoundError):  # freed meanwhile
                facts = self._place(digest).stat()
                yield digest, facts.st_size, facts.st_mtime

    def free(self, digest: str, older_than: float) -> int | None:
        """Remove bytes that nobody has put or kept since a moment (seconds since the epoch).

        Returns:
            How many bytes were freed; None when somebody has put or kept them since.

        Raises:
            NotFound: nothing is stored under that digest.
        """
        place = self._place(digest)
        with _in_plain_words(self._root), self._alone():
            try:
                facts = place.stat()
            except FileNotFoundError:
                raise NotFound(f"No bytes are stored under {digest}.") from None
            if facts.st_mtime >= older_than:
                return None
            failpoints.reach("blobs.freeing")
            place.unlink()
        self._verified.pop(digest, None)
        return facts.st_size

    def free_bytes(self) -> int:
        """Return how many bytes the disk has left."""
        return shutil.disk_usage(self._root).free

    def _place(self, digest: str) -> Path:
        return Path(self._name(digest))

    def _name(self, digest: str) -> str:
        """Return the place as a text: what is asked of every file of a model should not take paths apart."""
        value = check_digest(digest).removeprefix("sha256:")
        return f"{self._start}{value[:2]}{os.sep}{value[2:]}"

    def _holds(self, digest: str, data: bytes) -> bool:
        """Tell whether these bytes are there, whole and durable; a torn or rotten copy is written anew."""
        try:
            handle = os.open(self._name(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(handle).st_size != len(data) or not _same(handle, memoryview(data)):
                return False
        except IsADirectoryError:
            return False
        finally:
            os.close(handle)
        with self._shared():
            if not self._touch(digest):  # freed since it was looked at
                return False
        if digest not in self._durable:  # the process that renamed it may have died before it synced the folder
            _sync_folder(self._place(digest).parent)
            _sync_folder(self._root)
            self._remember(digest)
        return True

    def _write(self, chunks: Iterable[bytes]) -> str:
        writer = Writer(self._root, self._temp, self._settle)
        try:
            for chunk in chunks:
                writer.write(chunk)
            return writer.settle()
        except BaseException:
            writer.abort()
            raise

    def _settle(self, temp: Path, digest: str) -> None:
        failpoints.reach("upload.synced")
        place = self._place(digest)
        if place.parent.name not in self._durable:
            place.parent.mkdir(exist_ok=True, mode=0o700)
            _sync_folder(self._root)
            self._remember(place.parent.name)
        os.utime(temp)  # an upload may take longer than what nothing refers to is left alone
        with self._shared():
            temp.replace(place)
        failpoints.reach("upload.renamed")
        _sync_folder(place.parent)
        self._remember(digest)
        failpoints.reach("upload.folder_synced")

    def _touch(self, digest: str) -> bool:
        """Let bytes count as put just now; False when they are not there. `free` is kept away meanwhile."""
        place = self._name(digest)
        try:
            before = os.stat(place)  # noqa: PTH116  (making a path of it costs as much again)
            os.utime(place)
        except FileNotFoundError:
            return False
        if self._verified.get(digest) == _stamp(before):  # the same bytes, looked at another time
            self._verified[digest] = _stamp(Path(place).stat())
        return True

    def _shared(self) -> AbstractContextManager[None]:
        """Keep `free` away while bytes get their name or are looked at again."""
        return self._locked(fcntl.LOCK_SH)

    def _alone(self) -> AbstractContextManager[None]:
        """Keep every other process and thread from giving bytes a name."""
        return self._locked(fcntl.LOCK_EX)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        handle = os.open(f"{self._start}lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _flock(handle, how):
                if time.monotonic() > deadline:
                    raise Unavailable(f"Another process has held {self._root / 'lock'} too long; try again.")
                time.sleep(0.002)
            yield
        finally:
            os.close(handle)

    def _remember(self, name: str) -> None:
        if len(self._durable) >= _KNOWN:
            self._durable.clear()
        self._durable.add(name)


class Writer:
    """Bytes on their way into the store: in a temp file until `settle` gives them their name.

    Its calls may come from several threads, one after another; `abort` may come at any time.
    """

    def __init__(self, root: Path, folder: Path, place: Callable[[Path, str], None]) -> None:
        self._root = root
        self._temp = folder / secrets.token_hex(16)
        self._place = place
        self._total = hashlib.sha256()
        self._lock = threading.Lock()
        self._handle = os.open(self._temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
        self._open = True
        self.size = 0
        failpoints.reach("upload.temp_open")

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            Unavailable: the disk is full or failing, or this writer has ended.
        """
        with self._lock, _in_plain_words(self._root):
            self._check()
            self._total.update(data)
            _write_all(self._handle, memoryview(data))
            self.size += len(data)

    def settle(self) -> str:
        """Make the bytes durable under their digest, and return it.

        Raises:
            Unavailable: the disk is full or failing, or this writer has ended.
        """
        with self._lock, _in_plain_words(self._root):
            self._check()
            failpoints.reach("upload.written")
            os.fsync(self._handle)
            self._close()
            digest = "sha256:" + self._total.hexdigest()
            self._place(self._temp, digest)
        return digest

    def abort(self) -> None:
        """Drop the bytes, unless they are settled."""
        with self._lock:
            self._close()
            self._temp.unlink(missing_ok=True)

    def _check(self) -> None:
        if not self._open:
            raise Unavailable("This upload has ended; send it again.")

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._handle)


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


def _stamp(facts: os.stat_result) -> tuple[int, int, int]:
    return (facts.st_ino, facts.st_size, facts.st_mtime_ns)


def _flock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_all(handle: int, data: memoryview) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _same(handle: int, data: memoryview) -> bool:
    while data:
        found = os.read(handle, min(_CHUNK, len(data)))
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
