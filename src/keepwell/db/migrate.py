"""Bring a database to the schema this code needs.

The schema's revision is one row of `schema_revision`. At the newest revision opening costs one SELECT; Alembic is
imported only to move from one revision to the next. That happens under a lock file beside the database, after a backup
when there is data, and in one transaction: a process that dies on the way leaves the old schema, and the next one
starts again.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, MetaData, Table, delete, event, insert, select
from sqlalchemy.exc import OperationalError

from keepwell.core import failpoints
from keepwell.core.errors import Conflict, Damaged, Unavailable
from keepwell.db.engine import Database, begin_write, in_plain_words, read

_revision = Table("schema_revision", MetaData(), Column("revision", Integer, nullable=False))
OURS = "keepwell.db.migrations"
"""The package that holds the revisions; tests name others."""


def migrate(database: Database, package: str = OURS) -> None:
    """Make the tables of a new database, or bring an older one to the newest revision.

    Raises:
        Conflict: the database is of a newer Keepwell than this one, or of none.
        Unavailable: the disk is full, or another process holds the database.
        Damaged: what the database holds does not fit the new schema.
    """
    newest = revisions(package)[-1]
    if revision(database) == newest:
        return
    with _locked(database):
        found = revision(database)
        if found != newest:
            _upgrade(database, found, newest, package)


def revision(database: Database) -> int | None:
    """Return the database's revision, or None when it has none yet."""
    try:
        with read(database) as tx:
            return tx.scalar(select(_revision.c.revision))
    except OperationalError as error:
        if "no such table" in str(error.orig):
            return None
        raise


def revisions(package: str = OURS) -> list[int]:
    """Return the numbers of all revisions that this code knows, in order."""
    return sorted(_files(package))


def apply(connection: Connection, found: int, wanted: int, package: str = OURS) -> None:
    """Run the revisions after `found` up to `wanted` on an open transaction."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    op = Operations(MigrationContext.configure(connection))
    files = _files(package)
    for number in range(found + 1, wanted + 1):
        importlib.import_module(f"{package}.{files[number]}").upgrade(op)
        failpoints.reach("migrate.revision")


def _files(package: str) -> dict[int, str]:
    """Return the module names of a package's revisions, by number."""
    folder = Path(importlib.import_module(package).__path__[0])
    return {int(file.name[1:5]): file.stem for file in folder.glob("r[0-9][0-9][0-9][0-9]_*.py")}


def _upgrade(database: Database, found: int | None, wanted: int, package: str) -> None:
    if found is None and _has_tables(database):
        raise Conflict("This database was not made by a released Keepwell; start with a new home folder.")
    if found is not None and found > wanted:
        raise Conflict(
            f"This database is of a newer Keepwell (schema {found}; this one knows {wanted}). Install that version, or "
            "restore the backup that was made before it.",
            code="newer_schema",
        )
    if found:
        _back_up(database, found)
    with in_plain_words(), database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # tables are rebuilt; checked below instead
        connection.rollback()
        begin_write(connection, database.busy_seconds)
        event.listen(connection, "after_cursor_execute", _reach_statement)
        try:
            _revision.create(connection, checkfirst=True)
            apply(connection, found or 0, wanted, package)
            connection.execute(delete(_revision))
            connection.execute(insert(_revision).values(revision=wanted))
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise Damaged("Rows of this database refer to rows that are not there; restore a backup.")
            failpoints.reach("migrate.before_commit")
            connection.commit()
            failpoints.reach("migrate.after_commit")
        except BaseException:
            connection.rollback()
            raise
        finally:
            event.remove(connection, "after_cursor_execute", _reach_statement)
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")


def _reach_statement(*_: object) -> None:
    failpoints.reach("migrate.statement")


def _has_tables(database: Database) -> bool:
    with read(database) as tx:
        return tx.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE type = 'table'").first() is not None


def _back_up(database: Database, found: int) -> None:
    """Copy the database to `<file>.before-<next revision>`, whole or not at all."""
    if database.file is None:
        return
    place = Path(f"{database.file}.before-{found + 1:04}")
    temp = Path(f"{place}.tmp")
    with in_plain_words():
        temp.unlink(missing_ok=True)
        os.close(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(database.file)) as source, closing(sqlite3.connect(temp)) as target:
            source.backup(target)
    failpoints.reach("migrate.backup_written")
    with temp.open("rb") as file:
        os.fsync(file.fileno())
    temp.replace(place)
    failpoints.reach("migrate.backed_up")


@contextmanager
def _locked(database: Database) -> Iterator[None]:
    """Hold the lock file beside the database: one process at a time makes or changes tables."""
    if database.file is None:
        yield
        return
    try:
        handle = os.open(f"{database.file}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unavailable(f"The folder of the database cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
