"""A model's folder: which of its files may be opened, and their digests."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from keepwell.core.errors import Damaged, InvalidInput, NotFound

MAX_FILES = 20_000
_CHUNK = 1 << 20


def inside(folder: Path, name: object) -> Path:
    """Return the plain file or folder that a model's folder names; it names nothing outside, and follows no link.

    Raises:
        InvalidInput: the name leads out of the folder or is none.
        Damaged: it is not there, or is a link or a device.
    """
    if not isinstance(name, str) or not name or len(name) > 500 or "\0" in name or "\\" in name or name.startswith("/"):
        raise InvalidInput(
            f"The model names a file {str(name)[:80]!a}, which is no place in its folder.", where="MLmodel"
        )
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise InvalidInput(f"The model names a file {name[:80]!a}, which leads out of its folder.", where="MLmodel")
    place = folder
    for part in parts:
        place = place / part
        _plain(place, name)
    return place


def read(place: Path, limit: int) -> bytes:
    """Return a file's bytes, without following a link.

    Raises:
        Damaged: it is not a plain file or larger than `limit`.
        NotFound: it is not there.
    """
    try:
        handle = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise NotFound(f"There is no file {place.name} in the model's folder.") from None
    except OSError as error:
        raise Damaged(f"{place.name} is not a plain file that can be read: {error.strerror}.") from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise Damaged(f"{place.name} is not a plain file of at most {limit:,} bytes.")
        return file.read(limit + 1)


def files(folder: Path) -> list[tuple[str, int]]:
    """Return the path and size of every plain file of a folder, sorted.

    Raises:
        Damaged: there is a link or a device, or there are too many files.
    """
    found = sorted(_walk(folder, ""))
    if len(found) > MAX_FILES:
        raise Damaged(f"The model's folder has more than {MAX_FILES:,} files.")
    return found


def digest(place: Path) -> str:
    """Return the digest of a file."""
    total = hashlib.sha256()
    with place.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return "sha256:" + total.hexdigest()


def _walk(folder: Path, below: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            name = f"{below}{entry.name}"
            if stat.S_ISDIR(found.st_mode):
                yield from _walk(Path(entry.path), f"{name}/")
            elif stat.S_ISREG(found.st_mode):
                yield name, found.st_size
            else:
                raise Damaged(f"{name[:200]} in the model's folder is a link or a device, not a file.")


def _plain(place: Path, name: str) -> None:
    try:
        found = place.lstat()
    except OSError:
        raise Damaged(f"The model's folder lacks {name[:200]!r}, which it names.") from None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise Damaged(f"{name[:200]} in the model's folder is a link or a device, not a file.")
