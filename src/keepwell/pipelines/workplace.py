"""A run's own folder while it runs, and the lock in it that tells whether the run is alive.

The lock is the kernel's (`flock`): it goes with the process that holds it, however that ends. A run that is stored as
running and whose lock nobody holds was interrupted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from pathlib import Path
from types import TracebackType

from keepwell.core.errors import Conflict

_SECONDS = 1.0


class Workplace:
    """The folder of one run, held for as long as it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle: int | None = None
        self._tasks = 0

    def __enter__(self) -> Workplace:
        """Take the folder.

        Raises:
            Conflict: another process works in it.
        """
        until = time.monotonic() + _SECONDS
        while (handle := _hold(self.folder)) is None:
            if time.monotonic() > until:
                raise Conflict(f"The run {self.folder.name} is running in another process; wait for it.")
            time.sleep(0.02)
        self._handle = handle
        for left in self.folder.iterdir():
            if left.name != "lock":
                remove(left)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder and let the lock go."""
        remove(self.folder)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def task_folder(self) -> str:
        """Return a path for the next task's files; nothing is there yet."""
        self._tasks += 1
        return str(self.folder / str(self._tasks))


def sweep(place: Path) -> None:
    """Remove the folders of runs that were killed; nothing in them is needed any more."""
    for folder in place.iterdir() if place.is_dir() else ():
        handle = _hold(folder, make=False)
        if handle is not None:
            remove(folder)
            os.close(handle)


def _hold(folder: Path, *, make: bool = True) -> int | None:
    """Lock a run's folder and return the lock's handle; None when another process holds it, or it is gone."""
    if make:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(handle).st_ino:  # else it was swept in between
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None


def remove(path: Path | str) -> None:
    """Remove a folder and what is in it, if it is there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        shutil.rmtree(path, onerror=_force)


def is_alive(folder: str) -> bool:
    """Tell whether a process holds a run's folder."""
    try:
        handle = os.open(Path(folder) / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _force(_function: object, path: str, _error: object) -> None:
    """Remove what a program made read-only; what still cannot be removed stays for the next attempt."""
    place = Path(path)
    with contextlib.suppress(OSError):
        place.parent.chmod(0o700)
        if place.is_dir() and not place.is_symlink():
            place.chmod(0o700)
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
