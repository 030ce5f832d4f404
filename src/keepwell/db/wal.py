"""The write-ahead log of SQLite, and the one moment at which it is moved into the database file.

SQLite 3.7.0 to 3.51.2 can corrupt a database when a commit restarts the log while another connection checkpoints it
(sqlite.org/wal.html, the WAL-reset bug). So no connection of ours checkpoints by itself; a write transaction that finds
the log long has a second connection checkpoint it, while the transaction holds the write lock: nobody can commit then,
in this process or another.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

LIMIT = 4 << 20
"""Bytes by which the log grows between checkpoints: 1,000 pages, as SQLite's own default.

A restarted log keeps so many and is written over from its start: the sync of a commit that makes the file longer costs
twice the processor's time and more than twice the disk's. So a log that is longer than this is one that waits.
"""
FIXED_IN = (3, 51, 3)


class Wal:
    """The log of one database file, as one process sees it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._log = Path(f"{file}-wal")
        self._tried_at = 0

    def size(self) -> int:
        """Return how many bytes the log has."""
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def is_long(self) -> bool:
        """Tell whether the log has grown enough, since it was last tried or restarted, to be checkpointed."""
        size = self.size()
        if size < self._tried_at:
            self._tried_at = 0
        return size - self._tried_at > LIMIT

    def checkpoint(self) -> None:
        """Move what can be moved into the database file; call it only while holding the write lock.

        A reader of an old snapshot can hold some of it back, and a full disk all of it: it is tried again when the log
        has grown further, and nothing is lost meanwhile.
        """
        self._tried_at = self.size()
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._file, timeout=0)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def remark() -> str | None:
    """Return what an operator should know about the SQLite in use, or None."""
    if sqlite3.sqlite_version_info >= FIXED_IN:
        return None
    return (
        f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug (fixed in 3.51.3). Keepwell checkpoints only under the "
        "write lock, which avoids it; let no other program write to the database while Keepwell runs."
    )
