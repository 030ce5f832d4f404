"""The spool of one process: what it logged and no server has acknowledged yet, in a folder of its own.

`<spool>/ses_.../` holds `target.json` (where it goes to; no token), `lock` (held as long as the process lives, or while
`keepwell sync` sends what a dead one left), segments `0000000001.log`, ... of `records`, copies of files to upload
(`files/`), and `acked`: up to where the target has acknowledged. One call of a verb is one `write`, so what was logged
survives the death of the process; it does not survive the loss of power of the last seconds, as nothing is synced.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from keepwell.client import records
from keepwell.client.locks import Lock
from keepwell.client.private import write_private
from keepwell.core.errors import Unavailable

SEGMENT_BYTES = 32 << 20
MOST_BYTES = 16 << 30
"""Bytes of points that wait at most; what is logged beyond them is dropped, counted and told."""

_ACKED = struct.Struct("<QQQ")
_CHUNK = 1 << 20
_POINT, _FRAME = records.POINT, records.FRAME


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a spool's records go.

    Attributes:
        uri: `http(s)://host:port`, or the folder of a home.
        pid: of the process that wrote it.
        parent: the session of the process that this one was forked from.
    """

    uri: str
    pid: int
    parent: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a spool: segment, offset in it, and how many records stand before it."""

    segment: int = 1
    offset: int = records.HEADER.size
    seq: int = 0


class Spool:
    """Writes one session's folder; any thread may."""

    def __init__(self, root: Path, session: str, target: Target) -> None:
        self.session = session
        self.folder = root / session
        self.dropped = 0
        self.failure: OSError | None = None
        self._mutex = threading.Lock()
        self._lock, self._handle, self._segment = _make(root, session, target)
        self._size = records.HEADER.size
        self._seq = 0
        self._staged = 0
        self._past = 0
        self._most = MOST_BYTES
        self._runs: dict[str, int] = {}
        self._names: dict[str, int] = {}

    def point(self, run: str, name: str, step: int, at: int, value: float) -> None:
        """Append a point."""
        with self._mutex:
            number = self._names.get(name)
            if (number is None or run not in self._runs) and not self._define(run, (name,)):
                self.dropped += 1
                return
            payload = _POINT.pack(records.KIND_POINT, self._runs[run], self._names[name], step, at, value)
            self._write(_FRAME.pack(31, zlib.crc32(payload)) + payload, 1)

    def points(self, run: str, step: int, at: int, values: dict[str, float]) -> None:
        """Append points of one step in one write."""
        with self._mutex:
            if not self._define(run, tuple(values)):
                self.dropped += len(values)
                return
            number, names = self._runs[run], self._names
            payloads = [_POINT.pack(records.KIND_POINT, number, names[name], step, at, v) for name, v in values.items()]
            self._write(b"".join(_FRAME.pack(31, zlib.crc32(p)) + p for p in payloads), len(payloads))

    def packed(self, run: str, batch: bytes) -> None:
        """Append a batch of points in the form of `core.points`."""
        with self._mutex:
            if self._define(run, ()):
                self._write(records.packed_record(self._runs[run], batch), 1)
            else:
                self.dropped += 1

    def other(self, kind: int, payload: bytes) -> None:
        """Append a record of another kind."""
        with self._mutex:
            self._write(records.frame(bytes((kind,)) + payload), 1)

    def stage(self, source: Path) -> str:
        """Copy a file into the session's folder and return the name of the copy.

        Raises:
            OSError: it cannot be read, or the disk is full.
        """
        name = self._place()
        try:
            write_private(self.folder / "files" / name, b"")
            shutil.copyfile(source, self.folder / "files" / name)
        except BaseException:
            (self.folder / "files" / name).unlink(missing_ok=True)
            raise
        return name

    def stage_bytes(self, data: bytes) -> str:
        """Write bytes into the session's folder and return the name of the file.

        Raises:
            OSError: the disk is full.
        """
        name = self._place()
        try:
            write_private(self.folder / "files" / name, data)
        except BaseException:
            (self.folder / "files" / name).unlink(missing_ok=True)
            raise
        return name

    def opens(self, run: str) -> None:
        """Note that this process begins a run: whoever sends what a dead process left ends it."""
        folder = self.folder / "runs"
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / run).touch(mode=0o600)

    def closes(self, run: str) -> None:
        """Note that a run has been ended."""
        with contextlib.suppress(OSError):
            (self.folder / "runs" / run).unlink(missing_ok=True)

    def end(self) -> Position:
        """Return the place after the last record."""
        with self._mutex:
            return Position(self._segment, self._size, self._seq)

    def released(self, size: int) -> None:
        """Note that so many bytes of earlier segments are gone."""
        with self._mutex:
            self._past = max(0, self._past - size)

    def close(self, *, remove: bool) -> None:
        """Give the folder up: to `keepwell sync`, or away when everything in it was acknowledged."""
        with self._mutex:
            if self._handle >= 0:
                os.close(self._handle)
                self._handle = -1
        if remove:
            discard(self.folder)
        self._lock.release()

    def forget(self) -> None:
        """Let go of the parent's files in a forked child, without touching them."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._lock.forget()

    def _place(self) -> str:
        (self.folder / "files").mkdir(mode=0o700, exist_ok=True)
        with self._mutex:
            self._staged += 1
            return f"{self._staged:08d}"

    def _define(self, run: str, names: tuple[str, ...]) -> bool:
        """Give numbers to a run and to names that have none in this segment; tell whether all have one now."""
        if run in self._runs and all(name in self._names for name in names):
            return True
        if self._size >= SEGMENT_BYTES or len(self._runs) > 0xFFF0:
            self._turn()
        if run not in self._runs and self._write(records.run_record(len(self._runs), run), 1):
            self._runs[run] = len(self._runs)
        for name in names:
            if name not in self._names and self._write(records.name_record(len(self._names), name), 1):
                self._names[name] = len(self._names)
        return run in self._runs and all(name in self._names for name in names)

    def _write(self, data: bytes, count: int) -> bool:
        """Append whole records; what does not fit is dropped and counted. Tell whether they are there."""
        kind = data[_FRAME.size] if data else 0
        full = kind in (records.KIND_POINT, records.KIND_PACKED) and self._past + self._size > self._most
        if self._handle >= 0 and not full:
            try:
                done = os.write(self._handle, data)
                if done == len(data):
                    self._size += done
                    self._seq += count
                    if self._size >= SEGMENT_BYTES and kind >= records.KIND_POINT:
                        self._turn()
                    return True
            except OSError as error:
                self.failure = error
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)  # no half of a record stays between whole ones
        self.dropped += count
        return False

    def _turn(self) -> None:
        """Begin the next segment; numbers of runs and names begin anew with it."""
        try:
            handle = _open_segment(self.folder, self._segment + 1, self._seq)
        except OSError as error:
            self.failure = error
            return
        os.close(self._handle)
        self._handle = handle
        self._segment += 1
        self._past += self._size
        self._size = records.HEADER.size
        self._runs, self._names = {}, {}


class Reader:
    """Reads the records of a session's folder in order, from a position on, also while they are written."""

    def __init__(self, folder: Path, position: Position) -> None:
        self._folder = folder
        self.position = position
        self.runs: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self._prepared = False
        self._handle: int | None = None

    def read(self, most: int = _CHUNK) -> Iterator[tuple[records.Rows | records.Other, Position]]:
        """Yield the records of about `most` bytes, each with the position after it; nothing when there is none yet."""
        if not self._prepared:
            self._prepare()
        data = self._bytes(self.position.offset, most)
        if not data and self._next():
            data = self._bytes(self.position.offset, most)
        start, seq = self.position, self.position.seq
        for found, end in records.scan(data):
            self._learn(found)
            seq += found.count if isinstance(found, records.Rows) else 1
            self.position = Position(start.segment, start.offset + end, seq)
            yield found, self.position
        if self.position == start and len(data) >= most and most < records.MOST + _CHUNK:
            yield from self.read(records.MOST + _CHUNK)  # one record longer than what was read

    def torn(self) -> int:
        """Return how many bytes after the position are no whole record; only of use when nobody writes any more."""
        if not self._prepared:
            self._prepare()
        return max(0, self._path(self.position.segment).stat().st_size - self.position.offset)

    def skip(self) -> bool:
        """Go on with the next segment, whatever is left of this one; tell whether there is one."""
        return self._next(force=True)

    def close(self) -> None:
        """Close what is open."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _learn(self, found: records.Rows | records.Other) -> None:
        if isinstance(found, records.Other) and found.kind == records.KIND_RUN:
            number = int.from_bytes(found.payload[:2], "little")
            self.runs[number] = found.payload[2:].decode("utf-8", "replace")
        elif isinstance(found, records.Other) and found.kind == records.KIND_NAME:
            number = int.from_bytes(found.payload[:4], "little")
            self.names[number] = found.payload[4:].decode("utf-8", "replace")

    def _prepare(self) -> None:
        """Learn the numbers that the segment gave before the position."""
        self._prepared = True
        wanted, at = self.position.offset, records.HEADER.size
        while at < wanted:
            data = self._bytes(at, max(_CHUNK, min(wanted - at, records.MOST + _CHUNK)))[: wanted - at]
            end = 0
            for found, end in records.scan(data):  # noqa: B007
                self._learn(found)
            if not end:
                return
            at += end

    def _bytes(self, offset: int, most: int) -> bytes:
        if self._handle is None:
            try:
                self._handle = os.open(self._path(self.position.segment), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
        return os.pread(self._handle, most, offset)

    def _next(self, *, force: bool = False) -> bool:
        following = self._path(self.position.segment + 1)
        if not following.exists():
            return False
        if not force and self._bytes(self.position.offset, 1):
            return False  # written between our look at the end and the start of the next segment
        head = following.read_bytes()[: records.HEADER.size] if force else b""
        seq = self.position.seq
        if len(head) == records.HEADER.size:
            seq = max(seq, records.HEADER.unpack(head)[1])
        self.close()
        self.position = Position(self.position.segment + 1, records.HEADER.size, seq)
        self.runs, self.names = {}, {}
        return True

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:010d}.log"


class Acked:
    """The file that says up to where a target has acknowledged."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "acked"

    def read(self) -> Position:
        """Return the position; the beginning of what is there when there is none, or it was cut off in writing."""
        data = self._file.read_bytes() if self._file.exists() else b""
        if len(data) != _ACKED.size + 4 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            return _first(self._file.parent)
        return Position(*_ACKED.unpack(data[:-4]))

    def write(self, position: Position) -> None:
        """Note a position, with one write."""
        data = _ACKED.pack(position.segment, position.offset, position.seq)
        data += zlib.crc32(data).to_bytes(4, "little")
        handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(handle, data, 0)
        finally:
            os.close(handle)


def _first(folder: Path) -> Position:
    """Return the beginning of the first segment that is left: those before it were acknowledged, and removed."""
    for path in sorted(folder.glob("*.log")):
        head = path.read_bytes()[: records.HEADER.size]
        if len(head) == records.HEADER.size:
            return Position(int(path.stem), records.HEADER.size, records.HEADER.unpack(head)[1])
    return Position()


def target_of(folder: Path) -> Target | None:
    """Return where a session's records go; None when its folder does not say."""
    try:
        return msgspec.json.decode((folder / "target.json").read_bytes(), type=Target)
    except (OSError, msgspec.DecodeError):
        return None


def sessions(root: Path) -> list[Path]:
    """Return the folders of all sessions, the oldest first."""
    return sorted(p for p in root.glob("ses_*") if p.is_dir()) if root.is_dir() else []


def discard(folder: Path) -> None:
    """Remove a session's folder; out of sight first, so that nobody takes half of it for a whole one."""
    gone = folder.with_name(f".gone-{folder.name}")
    with contextlib.suppress(OSError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _make(root: Path, session: str, target: Target) -> tuple[Lock, int, int]:
    """Make the folder of a session under a name that nobody looks at, take its lock, and show it."""
    hidden = root / f".new-{session}"
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        hidden.mkdir(mode=0o700)
        write_private(hidden / "target.json", msgspec.json.encode(target))
        lock = Lock(hidden / "lock")
        lock.take()
        handle = _open_segment(hidden, 1, 0)
        hidden.rename(root / session)
    except OSError as error:
        raise Unavailable(f"The folder {root} cannot hold what is logged: {error.strerror}.") from error
    return lock, handle, 1


def _open_segment(folder: Path, number: int, seq: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    path = folder / f"{number:010d}.log"
    handle = os.open(path, flags, 0o600)
    try:
        os.write(handle, records.HEADER.pack(records.MAGIC, seq))
    except OSError:
        os.close(handle)
        path.unlink(missing_ok=True)
        raise
    return handle
