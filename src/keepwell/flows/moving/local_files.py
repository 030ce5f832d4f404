"""Files of a store on this machine: only what lies below the folders that a person named, and never through a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from keepwell.core.errors import NotFound
from keepwell.flows.moving.source import File, Lost, Place

_CHUNK = 1 << 20
_DEPTH = 3
"""Folders from that of all experiments down to that of a run's artifacts: experiment, run, `artifacts`."""
_FEWEST = 2
"""Parts of a path that must agree where a store was moved since it wrote its paths down."""


class LocalFiles:
    """Files below some folders.

    Args:
        bases: the folders, most likely first.
        lost: told of links and other things that are no files.
        usual: says where the store itself would put the files of a place, when it knows.
    """

    def __init__(self, bases: Sequence[Path], lost: Lost, usual: Callable[[Place], Path | None] | None = None) -> None:
        self._bases = [base.resolve() for base in bases if base.is_dir()]
        self._lost = lost
        self._usual = usual

    def list(self, place: Place) -> Iterator[File]:
        """Yield every file below a place, by path; where nothing was logged the store has no folder."""
        top = self._top(place)
        if top is not None:
            yield from self._below(place, top, "")

    def read(self, place: Place, path: str) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces."""
        top = self._top(place)
        if top is None:
            raise NotFound("It is gone.")
        handle = _open(top, path)
        with os.fdopen(handle, "rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def _below(self, place: Place, folder: Path, start: str) -> Iterator[File]:
        try:
            found = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise NotFound(f"The folder {folder} cannot be read: {error.strerror}.") from None
        for entry in found:
            path = start + entry.name
            if entry.is_symlink():
                self._lost("artifact", f"{place.id}/{path}", "It is a link; links are not followed.")
            elif entry.is_dir(follow_symlinks=False):
                yield from self._below(place, Path(entry.path), path + "/")
            elif entry.is_file(follow_symlinks=False):
                yield File(path, entry.stat(follow_symlinks=False).st_size)
            else:
                self._lost("artifact", f"{place.id}/{path}", "It is neither a file nor a folder.")

    def _top(self, place: Place) -> Path | None:
        """Return the folder of a place; None where the store has none, as nothing was logged.

        Raises:
            NotFound: it lies elsewhere, or cannot be told.
        """
        usual = self._usual(place) if self._usual is not None else None
        if usual is not None and self._inside(usual):
            return usual
        parts = _parts(place.uri)
        if parts is None:
            raise NotFound(f"Its files lie at {place.uri[:200]}, which is not on this machine.")
        if place.uri and (whole := Path("/", *parts)).is_dir() and self._inside(whole):
            return whole
        found = self._moved(parts)
        if found is not None:
            return found
        if place.kind != "version" and (usual is not None or self._holds(parts)):
            return None
        raise NotFound(f"Its files ({place.uri[:200] or 'at no address'}) are not below the folder that was named.")

    def _moved(self, parts: Sequence[str]) -> Path | None:
        """Return where a folder is now, when the store was moved since it wrote the path down."""
        for base in self._bases:
            for start in range(len(parts) - _FEWEST + 1):
                here = base.joinpath(*parts[start:])
                if here.is_dir() and self._inside(here):
                    return here
        return None

    def _holds(self, parts: Sequence[str]) -> bool:
        """Tell whether the folder in which a store keeps those of all its experiments is one of the bases."""
        if len(parts) < _DEPTH:
            return False
        top = Path("/", *parts[:-_DEPTH])
        moved = any(base.joinpath(*parts[-_DEPTH : -_DEPTH + 1]).is_dir() for base in self._bases)
        return moved or any(top.resolve() == base for base in self._bases)

    def _inside(self, folder: Path) -> bool:
        """Tell whether a folder is there and lies below a base, whatever links lead to it."""
        try:
            real = folder.resolve(strict=True)
        except (OSError, RuntimeError):
            return False
        return real.is_dir() and any(real == base or base in real.parents for base in self._bases)


def _parts(uri: str) -> list[str] | None:
    """Return the parts of the path of an address, or None when it is none on this machine."""
    split = urlsplit(uri)
    if split.scheme in ("", "file"):
        path = unquote(split.path) if split.scheme else uri
    elif split.scheme == "mlflow-artifacts":
        path = unquote(split.path)
    else:
        return None
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return None if ".." in parts or "\0" in path else parts


def _open(top: Path, path: str) -> int:
    """Open a file below a folder, a part of the path at a time, so that no link is followed."""
    *folders, name = path.split("/")
    try:
        here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in folders:
                there = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
                os.close(here)
                here = there
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
        finally:
            os.close(here)
    except OSError as error:
        raise NotFound(f"The file {path} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise NotFound(f"{path} is no file.")
    return file
