"""Connections and transactions.

`read` sees one snapshot, `write` changes state. Governed state is written by one transaction at a time, on SQLite and
on PostgreSQL alike: the ledger's numbers have no gap. What lies between the databases is a `Backend`: `sqlite` and
`postgres` each have one.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from keepwell.core import failpoints
from keepwell.core.errors import InvalidInput, KeepwellError, NotInstalled, Unavailable
from keepwell.db import sqlite
from keepwell.db.wal import Wal

Transaction = sqlalchemy.Connection
"""An open transaction. What is done on it is done whole or not at all."""

BUSY_SECONDS = 30.0
CONNECTIONS = 20
_SHARED = "keepwell_shared"


class NotSerial(RuntimeError):
    """The ledger was to be appended to in a transaction that is not alone: do the work again in one that is."""


class Backend(Protocol):
    """What one kind of database does in its own way."""

    @property
    def name(self) -> str:
        """`sqlite` or `postgresql`."""

    def for_reading(self, engine: sqlalchemy.Engine) -> sqlalchemy.Connection:
        """Return a connection for a transaction that changes nothing."""

    def begin_read(self, connection: sqlalchemy.Connection) -> None:
        """Begin a transaction that sees one snapshot and changes nothing."""

    def begin_write(self, connection: sqlalchemy.Connection, *, serial: bool) -> None:
        """Begin a transaction that changes state; `serial`: alone among all writers that are."""

    def explain(self, error: Exception, *, reading: bool, committing: bool) -> KeepwellError | None:
        """Say in plain words what the driver said, or return None when it is our own mistake."""

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Tell whether a statement failed because its table is not there."""

    def locked(self, engine: sqlalchemy.Engine) -> AbstractContextManager[None]:
        """Hold the lock of the schema: one process at a time makes or changes tables."""

    def migrating(self, engine: sqlalchemy.Engine, found: int | None) -> AbstractContextManager[sqlalchemy.Connection]:
        """A transaction for the schema's change, after a backup of revision `found`; committed at its end."""

    def unsound(self, tx: Transaction, *, deep: bool) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the stored bytes and with references between rows: subject, sentence."""

    def remarks(self, tx: Transaction) -> list[str]:
        """Return what an operator should know of this database."""


@dataclass(frozen=True, slots=True)
class Database:
    """An opened database.

    Attributes:
        engine: its engine.
        backend: what it does in its own way.
        busy_seconds: how long a transaction waits for other processes.
    """

    engine: sqlalchemy.Engine
    backend: Backend
    busy_seconds: float = BUSY_SECONDS

    @property
    def file(self) -> Path | None:
        """Its file, when it is SQLite on a disk."""
        return self.backend.file if isinstance(self.backend, sqlite.Sqlite) else None

    @property
    def in_memory(self) -> bool:
        """Whether it is SQLite without a file: one connection that all threads share."""
        return isinstance(self.backend, sqlite.Sqlite) and self.backend.file is None

    @property
    def wal(self) -> Wal | None:
        """That file's log."""
        return self.backend.wal if isinstance(self.backend, sqlite.Sqlite) else None


def connect(
    url: str,
    *,
    busy_seconds: float = BUSY_SECONDS,
    connections: int = CONNECTIONS,
    backups: Path | None = None,
) -> Database:
    """Open the database at a SQLAlchemy URL; makes the folder of a SQLite file, not the tables.

    Args:
        url: such as `sqlite:////path/keepwell.db` or `postgresql+psycopg://user@host/keepwell`.
        busy_seconds: how long a transaction waits for another process before it gives up.
        connections: the most connections to PostgreSQL that this process has at a time.
        backups: the folder for dumps of a PostgreSQL database that is about to be migrated; None makes none.

    Raises:
        InvalidInput: the URL cannot be read or names a database that is not supported.
        NotInstalled: the driver of PostgreSQL is missing.
        Unavailable: the folder of the file cannot be made.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput(
            "KEEPWELL_DATABASE is not a database URL, like sqlite:////path/keepwell.db or "
            "postgresql+psycopg://user@host/keepwell."
        ) from error
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        return Database(*sqlite.engine_for(parsed, busy_seconds), busy_seconds)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        try:
            from keepwell.db import postgres
        except ImportError as error:
            raise NotInstalled(
                "PostgreSQL needs its driver, the extra 'postgres': pip install 'keepwell[postgres]'."
            ) from error
        return Database(*postgres.engine_for(parsed, busy_seconds, connections, backups), busy_seconds)
    raise InvalidInput(
        f"The database {parsed.drivername!r} is not supported; use a sqlite:/// or a postgresql+psycopg:// URL."
    )


@contextmanager
def read(database: Database) -> Iterator[Transaction]:
    """A transaction that sees one snapshot and changes nothing; a statement that would change something is a bug.

    Raises:
        Unavailable: the database cannot be opened or read.
        Damaged: the database is not what it was.
    """
    with in_plain_words(database, reading=True), database.backend.for_reading(database.engine) as connection:
        database.backend.begin_read(connection)
        try:
            yield connection
        finally:
            _roll_back(connection)


@contextmanager
def write(database: Database, *, serial: bool = True) -> Iterator[Transaction]:
    """A transaction that changes state: committed at the end, rolled back by any exception.

    Args:
        database: the database.
        serial: whether it is alone among all such transactions, of all processes. What appends to the ledger has to
            be. `False` is for rows of one owner that no other row depends on (a run's points): lock the owner's row
            first. On SQLite every writer is alone anyway.

    Raises:
        Unavailable: another process held the database for longer than the busy timeout, the disk is full, or the
            connection was cut. The message says when it is not known whether the change was made; a call with an
            idempotency key can be repeated either way.
        Damaged: the database is not what it was.
    """
    with in_plain_words(database), database.engine.connect() as connection:
        connection.execution_options(**{_SHARED: not serial})
        database.backend.begin_write(connection, serial=serial)
        try:
            yield connection
            failpoints.reach("db.before_commit")
            with in_plain_words(database, committing=True):
                connection.commit()
            failpoints.reach("db.after_commit")
        except BaseException:
            _roll_back(connection)
            raise


def is_serial(tx: Transaction) -> bool:
    """Tell whether a write transaction is alone, so that it may append to the ledger."""
    return not tx.get_execution_options().get(_SHARED, False)


@contextmanager
def in_plain_words(database: Database, *, reading: bool = False, committing: bool = False) -> Iterator[None]:
    """Turn what a driver says of a busy, full, missing, unreachable or damaged database into an error of ours.

    A write inside a `reading` transaction is our mistake, not the disk's, and is raised as it is.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable("The database is busy: too many calls at once. Try again.") from error
    except _errors(StatementError) as error:
        cause = error.orig if isinstance(error, StatementError) else error
        if isinstance(cause, KeepwellError):
            raise cause from error  # a column type refused a value
        said = None
        if isinstance(cause, Exception):
            said = database.backend.explain(cause, reading=reading, committing=committing)
        if said is None:
            raise
        raise said from error


def _errors(of_sqlalchemy: type[Exception]) -> tuple[type[Exception], ...]:
    """Return an error class with those that drivers raise; that of PostgreSQL is imported only where it is used."""
    psycopg: Any = sys.modules.get("psycopg")
    return (of_sqlalchemy, sqlite3.DatabaseError, *(() if psycopg is None else (psycopg.Error,)))


def _roll_back(connection: sqlalchemy.Connection) -> None:
    """Roll back; what cannot be rolled back because the connection is gone was never committed."""
    try:
        connection.rollback()
    except _errors(SQLAlchemyError):
        connection.invalidate()
