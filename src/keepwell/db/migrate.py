"""Bring a database to the schema this code needs.

The schema's revision is one row of `schema_revision`. At the newest revision opening costs one SELECT; Alembic is
imported only to move from one revision to the next. That happens under a lock (a file beside a SQLite database, an
advisory lock of PostgreSQL), after a backup when there is data, and in one transaction: a process that dies on the way
leaves the old schema, and the next one starts again.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from sqlalchemy import Column, Connection, Integer, MetaData, Table, delete, event, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from keepwell.core import failpoints
from keepwell.core.errors import Conflict, Unavailable
from keepwell.db.engine import Database, in_plain_words, read

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
    with in_plain_words(database), database.backend.locked(database.engine):
        found = revision(database)
        if found != newest:
            _upgrade(database, found, newest, package)


def revision(database: Database) -> int | None:
    """Return the database's revision, or None when it has none yet."""
    try:
        with read(database) as tx:
            return tx.scalar(select(_revision.c.revision))
    except DBAPIError as error:
        if database.backend.is_missing_table(error):
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
        raise Conflict(
            "This database was not made by a released Keepwell; start with a new home folder, or a new database."
        )
    if found is not None and found > wanted:
        raise Conflict(
            f"This database is of a newer Keepwell (schema {found}; this one knows {wanted}). Install that version, or "
            "restore the backup that was made before it.",
            code="newer_schema",
        )
    with database.backend.migrating(database.engine, found) as connection:
        event.listen(connection, "after_cursor_execute", _reach_statement)
        try:
            _revision.create(connection, checkfirst=True)
            if connection.scalar(select(_revision.c.revision)) != found:
                raise Unavailable("Another process has changed the schema meanwhile. Try again.")
            apply(connection, found or 0, wanted, package)
            connection.execute(delete(_revision))
            connection.execute(insert(_revision).values(revision=wanted))
        finally:
            event.remove(connection, "after_cursor_execute", _reach_statement)
    failpoints.reach("migrate.after_commit")


def _reach_statement(*_: object) -> None:
    failpoints.reach("migrate.statement")


def _has_tables(database: Database) -> bool:
    with read(database) as tx:
        return bool(inspect(tx).get_table_names())
