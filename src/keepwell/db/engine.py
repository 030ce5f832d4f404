"""Connections and transactions.

SQLite runs in WAL mode with immediate write transactions: a deferred transaction that turns from reading to writing
fails under load, an immediate one waits its turn. Foreign keys are on, deleted bytes are overwritten, and a commit is
durable (`synchronous=FULL`). The log is checkpointed by `wal` only.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from keepwell.core import failpoints
from keepwell.core.errors import Damaged, InvalidInput, KeepwellError, Unavailable
from keepwell.db.wal import Wal

Transaction = sqlalchemy.Connection
"""An open transaction. What is done on it is done whole or not at all."""

BUSY_SECONDS = 30.0
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
class Database:
    """An opened database.

    Attributes:
        engine: its engine.
        file: its file, when it is SQLite on a disk.
        wal: that file's log.
        busy_seconds: how long a transaction waits for other processes.
    """

    engine: sqlalchemy.Engine
    file: Path | None
    wal: Wal | None = None
    busy_seconds: float = BUSY_SECONDS


def connect(url: str, *, busy_seconds: float = BUSY_SECONDS) -> Database:
    """Open the database at a SQLAlchemy URL; makes the folder of a SQLite file, not the tables.

    Args:
        url: such as `sqlite:////path/keepwell.db`.
        busy_seconds: how long a transaction waits for another process before it gives up.

    Raises:
        InvalidInput: the URL cannot be read or names a database that is not supported.
        Unavailable: the folder of the file cannot be made.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput("KEEPWELL_DATABASE is not a database URL, like sqlite:////path/keepwell.db.") from error
    if parsed.get_backend_name() != "sqlite":
        raise InvalidInput(f"The database {parsed.get_backend_name()!r} is not supported yet; use a sqlite:/// URL.")
    return _connect_sqlite(parsed, busy_seconds)


@contextmanager
def read(database: Database) -> Iterator[Transaction]:
    """A transaction that sees one snapshot and changes nothing; a statement that would change something is a bug.

    Raises:
        Unavailable: the database cannot be opened or read.
        Damaged: the file is not what it was.
    """
    with in_plain_words(reading=True), database.engine.connect() as connection:
        _driver(connection).execute("PRAGMA query_only=ON")
        connection.exec_driver_sql("BEGIN")
        try:
            yield connection
        finally:
            connection.rollback()


@contextmanager
def write(database: Database) -> Iterator[Transaction]:
    """A transaction that changes state: committed at the end, rolled back by any exception.

    Raises:
        Unavailable: another process held the database for longer than the busy timeout, or the disk is full.
        Damaged: the file is not what it was.
    """
    with in_plain_words(), database.engine.connect() as connection:
        begin_write(connection, database.busy_seconds)
        if database.wal is not None and database.wal.is_long():
            database.wal.checkpoint()
            connection.rollback()  # the log restarts only with a transaction that began after the checkpoint
            begin_write(connection, database.busy_seconds)
        try:
            yield connection
            failpoints.reach("db.before_commit")
            connection.commit()
            failpoints.reach("db.after_commit")
        except BaseException:
            connection.rollback()
            raise


def begin_write(connection: sqlalchemy.Connection, busy_seconds: float) -> None:
    """Begin an immediate transaction, waiting for others for so long.

    The waiting is ours: SQLite's own busy handler sleeps longer each time, so late comers overtake. 50 processes that
    commit 40 times each waited 3.4 s at the 99th percentile with it, and 0.5 s with short random sleeps.
    """
    driver = _driver(connection)
    connection.begin()
    driver.execute("PRAGMA query_only=OFF")
    driver.execute("PRAGMA busy_timeout=0")
    try:
        deadline = time.monotonic() + busy_seconds
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(_jitter.uniform(0.0005, 0.004))
    finally:
        driver.execute(f"PRAGMA busy_timeout={round(busy_seconds * 1000)}")


@contextmanager
def in_plain_words(*, reading: bool = False) -> Iterator[None]:
    """Turn what a driver says of a busy, full, missing or damaged database into an error of ours.

    A write inside a `reading` transaction is our mistake, not the disk's, and is raised as it is.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable("The database is busy: too many calls at once. Try again.") from error
    except (StatementError, sqlite3.DatabaseError) as error:
        if isinstance(error, StatementError) and isinstance(error.orig, KeepwellError):
            raise error.orig from error  # a column type refused a value
        cause = error.orig if isinstance(error, StatementError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        said = _SAID.get(code)
        if said is None or (reading and code == sqlite3.SQLITE_READONLY):
            raise
        raise said[0](said[1]) from error


def _driver(connection: Transaction) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101
    return driver


def _connect_sqlite(url: URL, busy_seconds: float) -> Database:
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
        **({} if file is None else {"pool_size": 8, "max_overflow": 24}),
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are ours: BEGIN and BEGIN IMMEDIATE are written out
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={round(busy_seconds * 1000)}",
            "journal_mode=WAL",
            "wal_autocheckpoint=0",
            "journal_size_limit=0",  # a restarted log is cut, so that its size tells how much waits in it
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "cache_size=-16384",
            "temp_store=MEMORY",
        ):
            _pragma(cursor, pragma)
        cursor.close()

    return Database(engine=engine, file=file, wal=Wal(file) if file else None, busy_seconds=busy_seconds)


def _pragma(cursor: sqlite3.Cursor, pragma: str) -> None:
    """Run a pragma; switching to WAL ignores the busy timeout, so it alone is tried again for a while."""
    for attempt in range(200):
        try:
            cursor.execute(f"PRAGMA {pragma}")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == 199:
                raise
            time.sleep(0.025)
