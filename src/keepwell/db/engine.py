"""Connections and transactions.

SQLite runs in WAL mode with immediate write transactions: a deferred transaction that turns from reading to writing
fails under load, an immediate one waits its turn. Foreign keys are on, deleted bytes are overwritten, and a commit is
durable (`synchronous=FULL`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from keepwell.core import failpoints
from keepwell.core.errors import InvalidInput, Unavailable

Transaction = sqlalchemy.Connection
"""An open transaction. What is done on it is done whole or not at all."""

BUSY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Database:
    """An opened database: its engine, and the file when it is SQLite."""

    engine: sqlalchemy.Engine
    file: Path | None


def connect(url: str) -> Database:
    """Open the database at a SQLAlchemy URL; makes the folder of a SQLite file, not the tables.

    Raises:
        InvalidInput: the URL cannot be read or names a database that is not supported.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput("KEEPWELL_DATABASE is not a database URL, like sqlite:////path/keepwell.db.") from error
    if parsed.get_backend_name() != "sqlite":
        raise InvalidInput(f"The database {parsed.get_backend_name()!r} is not supported yet; use a sqlite:/// URL.")
    return _connect_sqlite(parsed)


@contextmanager
def read(database: Database) -> Iterator[Transaction]:
    """A transaction that sees one snapshot and changes nothing."""
    with _busy(), database.engine.connect() as connection:
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
    """
    with _busy(), database.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
            failpoints.reach("db.before_commit")
            connection.commit()
            failpoints.reach("db.after_commit")
        except BaseException:
            connection.rollback()
            raise


@contextmanager
def _busy() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        text = str(error.orig)
        if "locked" in text or "busy" in text:
            raise Unavailable("The database is busy: another process has held it too long. Try again.") from error
        if "full" in text:
            raise Unavailable("The disk that holds the database is full; nothing was changed.") from error
        raise


def _connect_sqlite(url: URL) -> Database:
    file = Path(url.database) if url.database and url.database != ":memory:" else None
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = sqlalchemy.create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        poolclass=sqlalchemy.StaticPool if file is None else sqlalchemy.QueuePool,
        **({} if file is None else {"pool_size": 8, "max_overflow": 24}),
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are ours: BEGIN and BEGIN IMMEDIATE are written out
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_SECONDS * 1000}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "cache_size=-65536",
            "temp_store=MEMORY",
        ):
            _pragma(cursor, pragma)
        cursor.close()

    return Database(engine=engine, file=file)


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
