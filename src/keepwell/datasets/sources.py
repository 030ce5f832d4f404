"""Find the files that patterns name, and digest those that are new or changed.

A pattern is a file, a folder (every file below it), or a glob whose `**` crosses folders. Names that start with a dot
are not seen, so a writer can write `.part` and rename. A link may lead anywhere inside the folder that the pattern
names, never out of it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from operator import attrgetter
from pathlib import Path

from keepwell.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from keepwell.datasets.model import SourceFile

_MAGIC = re.compile(r"[*?\[]")
_BUFFER = 1 << 18
_THREADS = 2
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LISTED = tuple[str, str, os.stat_result]
"""The name of a file, the place its bytes are at, and its status."""


def scan(
    patterns: Sequence[str],
    folder: Path,
    *,
    known: Mapping[str, SourceFile] | None = None,
    missing_ok: bool = False,
    skip_busy: bool = False,
) -> list[SourceFile]:
    """Return the files that the patterns name, each once, sorted by name.

    Args:
        patterns: files, folders and globs; relative ones are relative to `folder`.
        folder: the folder of the charter or the command.
        known: files as they were last seen, by uri: one with the same size and times is not digested again.
        missing_ok: a file or folder that is not there names no files; otherwise it is an error.
        skip_busy: leave out a file that changes or vanishes while it is digested; otherwise it is an error.

    Raises:
        NotFound: a file or folder that a pattern names is not there.
        InvalidInput: a pattern cannot be used, a link leads out, or a name is not a regular file.
        Conflict: a file changed while it was digested.
    """
    seen = known or {}
    files: list[SourceFile] = []
    fresh: list[_LISTED] = []
    taken: set[str] = set()
    for item in chain.from_iterable(_listing(pattern, folder, missing_ok) for pattern in patterns):
        uri, _, status = item
        if len(patterns) > 1:
            if uri in taken:
                continue
            taken.add(uri)
        old = seen.get(uri)
        if (
            old is not None
            and old.size == status.st_size
            and old.mtime_ns == status.st_mtime_ns
            and old.ctime_ns == status.st_ctime_ns
        ):
            files.append(old)
        else:
            fresh.append(item)
    files.extend(_digested(fresh, skip_busy))
    files.sort(key=attrgetter("uri"))
    return files


def read_source(file: SourceFile) -> bytes:
    """Return the bytes of a file that was scanned.

    Raises:
        NotFound: it is no longer there.
        Conflict: it holds other bytes than when it was scanned.
    """
    try:
        handle = os.open(os.path.realpath(file.uri), _OPEN)
    except OSError as error:
        raise NotFound(f"{file.uri} can no longer be read: {_why(error)}.") from error
    with os.fdopen(handle, "rb") as opened:
        data = opened.read()
    if "sha256:" + hashlib.sha256(data).hexdigest() != file.sha256:
        raise Conflict(f"{file.uri} has changed since its digest was taken; run `keepwell data check`.")
    return data


def natural(uri: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts `week_2` before `week_10`."""
    return [(0, int(piece)) if piece.isdigit() else (1, piece) for piece in re.split(r"([0-9]+)", uri) if piece]


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _listing(pattern: str, folder: Path, missing_ok: bool) -> Iterator[_LISTED]:
    if not pattern or "\0" in pattern:
        raise InvalidInput("A source is a file, a folder or a glob; this one is empty or holds a NUL byte.")
    whole = os.path.normpath(os.path.join(folder, os.path.expanduser(pattern)))  # noqa: PTH111,PTH118
    if os.path.lexists(whole) or not _MAGIC.search(pattern):
        return _plain(whole, pattern, missing_ok)
    base, _, rest = _split(whole)
    if not os.path.isdir(base):  # noqa: PTH112
        if missing_ok:
            return iter(())
        raise NotFound(f"The folder {base} that the source {pattern!r} names is not there.")
    accept = re.compile(_regex(rest))
    return _walk(base, accept, deep="/" in rest or "**" in rest)


def _plain(whole: str, pattern: str, missing_ok: bool) -> Iterator[_LISTED]:
    if os.path.isdir(whole):  # noqa: PTH112
        return _walk(whole, None, deep=True)
    try:
        status = os.lstat(whole)
    except OSError as error:
        if missing_ok and isinstance(error, FileNotFoundError):
            return iter(())
        raise NotFound(f"The source {pattern!r} cannot be read at {whole}: {_why(error)}.") from error
    root = os.path.dirname(whole)  # noqa: PTH120
    item = _file(whole, status, os.path.realpath(root))
    return iter((item,) if item else ())


def _split(whole: str) -> tuple[str, str, str]:
    """Split a glob into the folder before its first wildcard and the rest."""
    pieces = whole.split("/")
    at = next(i for i, piece in enumerate(pieces) if _MAGIC.search(piece))
    return "/".join(pieces[:at]) or "/", "/", "/".join(pieces[at:])


def _regex(rest: str) -> str:
    """Return the regular expression of a glob relative to its folder: `*` stays in a folder, `**` crosses them."""
    out = []
    pieces = rest.split("/")
    for i, piece in enumerate(pieces):
        last = i == len(pieces) - 1
        if piece == "**":
            out.append(".*" if last else "(?:[^/]+/)*")
        else:
            body = fnmatch.translate(piece).removeprefix("(?s:").removesuffix(r")\Z")
            out.append(body.replace(".*", "[^/]*") + ("" if last else "/"))
    return "(?s:" + "".join(out) + r")\Z"


def _walk(base: str, accept: re.Pattern[str] | None, deep: bool) -> Iterator[_LISTED]:
    root = os.path.realpath(base)
    cut = len(base.rstrip("/")) + 1
    waiting, visited = [base], {root}
    while waiting:
        place = waiting.pop()
        try:
            entries = os.scandir(place)
        except OSError as error:
            raise Unavailable(f"The folder {place} cannot be read: {_why(error)}.") from error
        with entries:
            for entry in entries:
                if entry.name[0] == ".":
                    continue
                path = entry.path
                if entry.is_file(follow_symlinks=False):  # nearly all are: no further question
                    if accept is None or accept.match(path, cut):
                        if not path.isascii():
                            _check_text(path)
                        yield path, path, entry.stat(follow_symlinks=False)
                elif _is_folder(entry):
                    real = os.path.realpath(path) if entry.is_symlink() else ""
                    if deep and not (real and _loops(path, real, root, visited)):
                        waiting.append(path)
                elif accept is None or accept.match(path, cut):
                    item = _file(path, entry.stat(follow_symlinks=False), root)
                    if item:
                        yield item


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _loops(path: str, real: str, root: str, visited: set[str]) -> bool:
    """Tell whether a linked folder was walked already, or lies inside what is walked anyway."""
    _check_inside(path, real, root)
    if real in visited or root.startswith(real.rstrip("/") + "/"):
        return True
    visited.add(real)
    return False


def _check_inside(path: str, real: str, root: str) -> None:
    if real != root and not real.startswith(root.rstrip("/") + "/"):
        raise InvalidInput(
            f"The link {path} leads out of the folder {root}; name the folder it leads to, or copy the file."
        )


def _file(path: str, status: os.stat_result, root: str) -> _LISTED | None:
    mode = status.st_mode
    real = path
    if stat.S_ISLNK(mode):
        real = os.path.realpath(path)
        _check_inside(path, real, root)
        try:
            status = Path(real).stat()
        except OSError as error:
            raise NotFound(f"The link {path} leads to nothing: {_why(error)}.") from error
        mode = status.st_mode
    if not stat.S_ISREG(mode):
        raise InvalidInput(f"{path} is not a regular file; a source is made of regular files only.")
    if not path.isascii():
        _check_text(path)
    return path, real, status


def _check_text(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = ascii(path)
        raise InvalidInput(f"The name {shown} is not UTF-8; rename the file.") from None


def _digested(items: Sequence[_LISTED], skip_busy: bool) -> Iterable[SourceFile]:
    """Digest files: small ones in this thread, since handing them over costs more than it wins, large ones in two."""
    digest = _digest_unless_busy if skip_busy else _digest
    large = [item for item in items if item[2].st_size > 4 * _BUFFER]
    if len(large) < 2:
        return filter(None, map(digest, items))
    small = (item for item in items if item[2].st_size <= 4 * _BUFFER)
    with ThreadPoolExecutor(_THREADS) as pool:
        running = pool.map(digest, large)
        return filter(None, [*map(digest, small), *running])


def _digest_unless_busy(item: _LISTED) -> SourceFile | None:
    try:
        return _digest(item)
    except (Conflict, NotFound):
        return None


def _digest(item: _LISTED) -> SourceFile:
    uri, real, before = item
    try:
        handle = os.open(real, _OPEN)
    except OSError as error:
        raise NotFound(f"{uri} cannot be read: {_why(error)}.") from error
    try:
        size = before.st_size
        if size <= _BUFFER:
            data = os.read(handle, _BUFFER)
            total, count = hashlib.sha256(data), len(data)
        else:
            total, count = _digest_long(handle)
        after = os.fstat(handle)
    finally:
        os.close(handle)
    if count != size or after.st_mtime_ns != before.st_mtime_ns or after.st_ino != before.st_ino:
        raise Conflict(f"{uri} is being written; try again when it is whole, or write it elsewhere and rename it.")
    return SourceFile(uri, size, after.st_mtime_ns, after.st_ctime_ns, "sha256:" + total.hexdigest())


def _digest_long(handle: int) -> tuple[hashlib._Hash, int]:
    total, count = hashlib.sha256(), 0
    buffer = bytearray(_BUFFER)
    view = memoryview(buffer)
    while read := os.readv(handle, [buffer]):
        total.update(view[:read])
        count += read
    return total, count
