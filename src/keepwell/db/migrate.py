"""Bring a database to the schema this code needs."""

from __future__ import annotations

from keepwell.db.engine import Database
from keepwell.db.schema import metadata


def migrate(database: Database) -> None:
    """Make what is missing. Alembic takes this over before the first release."""
    metadata.create_all(database.engine)
