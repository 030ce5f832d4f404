"""A lock that ends with the process that holds it."""

from __future__ import annotations

import os
from pathlib import Path

from keepwell.core.errors import Conflict

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows: the folder's owner is trusted to be alone)
    fcntl = None  # type: ignore[assignment]


class Lock:
    """A lock on a file. A forked child shares it until it calls `forget`, which does not end it for the parent."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._handle = -1

    def take(self) -> None:
        """Take the lock.

        Raises:
            Conflict: another process, or another part of this one, holds it.
        """
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise Conflict(f"{self._file.parent.name} is being sent by the process that writes it.") from None
        self._handle = handle

    def release(self) -> None:
        """End the lock."""
        if self._handle >= 0:
            if fcntl is not None:
                fcntl.flock(self._handle, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """Close this process's handle; the lock lives on where another process has it too."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
