"""SQLite: a file in WAL mode, with immediate write transactions.

A deferred transaction that turns from reading to writing fails under load, an immediate one waits its turn. Foreign
keys are on, deleted bytes are overwritten, and a commit is durable (`synchronous=FULL`). The log is checkpointed by
`wal` only.

Reading has connections of its own, that cannot write (`query_only`): a pragma that is switched for each transaction
would have SQLite compile every statement of the connection anew.
"""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from keepwell.core import failpoints
from keepwell.core.errors import Damaged, KeepwellError, Unavailable
from keepwell.db import wal
from keepwell.db.wal import Wal

_jitter = random.Random()  # noqa: S311  (only how long to sleep between two tries)

_BUSY = "The database is busy: another process has held it too long. Try again."
_DAMAGED = "The database file is damaged; restore it from a backup and run 'keepwell fsck'."
_SAID: dict[int, tuple[type[KeepwellError], str]] = {
    sqlite3.SQLITE_BUSY: (Unavailable, _BUSY),
    sqlite3.SQLITE_LOCKED: (Unavailable, _BUSY),
    sqlite3.SQLITE_FULL: (Unavailable, "The disk that holds the database is full; nothing was changed."),
    sqlite3.SQLITE_IOERR: (
        Unavailable,
        "The disk that holds the database is full or failing; nothing was changed. Free some space, or check the disk.",
    ),
    sqlite3.SQLITE_CANTOPEN: (Unavailable, "The database cannot be opened; see that its folder is there and is yours."),
    sqlite3.SQLITE_READONLY: (Unavailable, "The database cannot be written: its file or folder is read-only."),
    sqlite3.SQLITE_CORRUPT: (Damaged, _DAMAGED),
    sqlite3.SQLITE_NOTADB: (Damaged, _DAMAGED),
}


@dataclass(frozen=True, slots=True)
class Sqlite:
    """What is SQLite's own of a database: see `engine.Backend`."""

    file: Path | None
    wal: Wal | None
    busy_seconds: float
    readers: Readers | None
    name: str = "sqlite"

    def for_reading(self, engine: sqlalchemy.Engine) -> Connection:
        """Return a connection that reads; in memory there is but one, which writes too."""
        return engine.connect() if self.readers is None else Connection(engine, self.readers.pool.connect())

    def begin_read(self, connection: Connection) -> None:
        """Begin a transaction that sees one snapshot; a statement that would change something fails."""
        driver = _driver(connection)
        if self.readers is None:
            driver.execute("PRAGMA query_only=ON")
        driver.execute("BEGIN")

    def begin_write(self, connection: Connection, *, serial: bool) -> None:
        """Begin an immediate transaction: SQLite has one writer at a time, `serial` or not."""
        self._begin_immediate(connection)
        if self.wal is not None and self.wal.is_long():
            self.wal.checkpoint()
            connection.rollback()  # the log restarts only with a transaction that began after the checkpoint
            self._begin_immediate(connection)

    def _begin_immediate(self, connection: Connection) -> None:
        """Begin an immediate transaction, waiting for others for so long.

        The waiting is ours: SQLite's own busy handler sleeps longer each time, so late comers overtake. 50 processes
        that commit 40 times each waited 3.4 s at the 99th percentile with it, and 0.5 s with short random sleeps.
        """
        driver = _driver(connection)
        connection.begin()
        if self.readers is None:
            driver.execute("PRAGMA query_only=OFF")
        deadline = time.monotonic() + self.busy_seconds
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(_jitter.uniform(0.0005, 0.004))

    def explain(self, error: Exception, *, reading: bool, committing: bool) -> KeepwellError | None:
        """Say in plain words what the driver said of a busy, full, missing or damaged file."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        said = _SAID.get(code)
        return None if said is None or (reading and code == sqlite3.SQLITE_READONLY) else said[0](said[1])

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Tell whether a statement failed because its table is not there."""
        return "no such table" in str(error.orig)

    @contextmanager
    def migrating(self, engine: sqlalchemy.Engine, found: int | None) -> Iterator[Connection]:
        """A transaction that may rebuild tables: references are not enforced in it, but checked at its end.

        What is there is copied to `<file>.before-<next revision>` first, whole or not at all.
        """
        if found and self.file is not None:
            with closing(sqlite3.connect(self.file)) as source:
                _back_up(source, Path(f"{self.file}.before-{found + 1:04}"))
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.rollback()
            self._begin_immediate(connection)
            try:
                yield connection
                if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                    raise Damaged("Rows of this database refer to rows that are not there; restore a backup.")
                failpoints.reach("migrate.before_commit")
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
            finally:
                connection.exec_driver_sql("PRAGMA foreign_keys=ON")

    @contextmanager
    def locked(self, engine: sqlalchemy.Engine) -> Iterator[None]:
        """Hold the lock file beside the database: one process at a time makes or changes tables."""
        if self.file is None:
            yield
            return
        try:
            handle = os.open(f"{self.file}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise Unavailable(f"The folder of the database cannot be written: {error.strerror}.") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def unsound(self, tx: Connection, *, deep: bool) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the file and with references between rows: subject, sentence."""
        for (said,) in tx.exec_driver_sql("PRAGMA integrity_check(20)" if deep else "PRAGMA quick_check(20)"):
            if said != "ok":
                yield "database:file", f"The database file is damaged: {said}; restore a backup."
        for row in tx.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(20):
            yield f"table:{row[0]}", f"Row {row[1]} refers to a row of {row[2]} that is not there."

    def remarks(self, tx: Connection) -> list[str]:
        """Return what an operator should know."""
        said = [remark] if (remark := wal.remark()) else []
        if self.wal is not None and (size := self.wal.size()) > 256 << 20:
            said.append(
                f"The database's log has {size >> 20} MiB: a reader has held an old snapshot for long; restart it."
            )
        return said


class Readers:
    """The connections of an engine that only read; its events are theirs too, and they go when it is disposed of."""

    def __init__(self, engine: sqlalchemy.Engine, busy_seconds: float) -> None:
        self._busy = round(busy_seconds * 1000)
        self.pool = self._pool(engine)

        @event.listens_for(engine, "engine_disposed")
        def _dispose(_: object) -> None:
            gone, self.pool = self.pool, self._pool(engine)
            gone.dispose()

    def _pool(self, engine: sqlalchemy.Engine) -> sqlalchemy.Pool:
        pool = engine.pool.recreate()

        @event.listens_for(pool, "connect")
        def _only_query(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA busy_timeout={self._busy}")
            connection.execute("PRAGMA query_only=ON")

        return pool


def engine_for(url: URL, busy_seconds: float) -> tuple[sqlalchemy.Engine, Sqlite]:
    """Open a file, making its folder.

    Raises:
        Unavailable: the folder cannot be made.
    """
    file = Path(url.database) if url.database and url.database != ":memory:" else None
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Unavailable(f"The folder {file.parent} cannot be made: {error.strerror}.") from error
    engine = sqlalchemy.create_engine(
        url,
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
        poolclass=sqlalchemy.StaticPool if file is None else sqlalchemy.QueuePool,
        **({} if file is None else {"pool_size": 8, "max_overflow": 24, "pool_use_lifo": True}),
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are ours: BEGIN and BEGIN IMMEDIATE are written out
        cursor = connection.cursor()
        for pragma in (
            "busy_timeout=0",  # of those that write: their one moment to wait is where they begin, which is ours
            "journal_mode=WAL",
            "wal_autocheckpoint=0",
            f"journal_size_limit={wal.LIMIT}",  # to what a restarted log is cut; it is written over, which is cheap
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "cache_size=-16384",
            "temp_store=MEMORY",
        ):
            _pragma(cursor, pragma)
        cursor.close()

    if file is None:
        return engine, Sqlite(None, None, busy_seconds, None)
    return engine, Sqlite(file, Wal(file), busy_seconds, Readers(engine, busy_seconds))


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101
    return driver


def _pragma(cursor: sqlite3.Cursor, pragma: str) -> None:
    """Run a pragma; what finds the file locked is tried again for a while."""
    for attempt in range(200):
        try:
            cursor.execute(f"PRAGMA {pragma}")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == 199:
                raise
            time.sleep(0.025)


def _back_up(source: sqlite3.Connection, place: Path) -> None:
    temp = Path(f"{place}.tmp")
    temp.unlink(missing_ok=True)
    os.close(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(temp)) as target:
        source.backup(target)
    failpoints.reach("migrate.backup_written")
    with temp.open("rb") as file:
        os.fsync(file.fileno())
    temp.replace(place)
    failpoints.reach("migrate.backed_up")
