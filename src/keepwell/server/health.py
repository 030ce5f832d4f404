"""Is the server well: open to everyone, so that whoever watches it needs no token; says nothing about what it holds."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from keepwell.core.errors import KeepwellError
from keepwell.db.migrate import revision
from keepwell.governance.identity_rules import OPEN
from keepwell.server.routing import Ask, Auth, Route

FIXED = (3, 51, 3)
"""SQLite 3.7.0 to 3.51.2 can damage a WAL that several connections checkpoint at once (sqlite.org/wal.html)."""


@dataclass(frozen=True, slots=True)
class Health:
    """The server's state.

    Attributes:
        status: `ok`, or `degraded` when the database does not answer.
        version: of Keepwell.
        auth: `none` when nobody has to sign in.
        database: whether the database answers.
        schema: revision of the database's schema, when it answers.
        warning: what whoever runs the server should do something about.
        loop_age_seconds: since the loop last finished a tick; null when it has not, or runs elsewhere.
        up_seconds: since the server started.
    """

    status: Literal["ok", "degraded"]
    version: str
    auth: Auth
    database: Literal["ok", "unavailable"]
    schema: int | None
    warning: str | None
    loop_age_seconds: float | None
    up_seconds: float


def health(ask: Ask[None, None]) -> Health:
    """Ask the database and the loop how they are."""
    now = ask.kit.clock.now()
    beat = ask.house.heartbeat()
    schema, answers = None, True
    try:
        schema = revision(ask.kit.db)
    except (KeepwellError, SQLAlchemyError):
        answers = False
    return Health(
        status="ok" if answers else "degraded",
        version=ask.house.version,
        auth=ask.house.auth,
        database="ok" if answers else "unavailable",
        schema=schema,
        warning=sqlite_warning(sqlite3.sqlite_version) if ask.kit.db.backend.name == "sqlite" else None,
        loop_age_seconds=round((now - beat).total_seconds(), 1) if beat is not None else None,
        up_seconds=round((now - ask.house.started_at).total_seconds(), 1),
    )


def sqlite_warning(version: str) -> str | None:
    """Return what to do about a SQLite whose WAL can be damaged; None when it is sound."""
    if tuple(int(part) for part in version.split(".")[:3]) >= FIXED:
        return None
    return f"SQLite {version} has a rare bug in its write-ahead log; 3.51.3 or newer does not. Keep backups."


ROUTES = (Route("GET", "/health", OPEN, health, "Tell whether the server is well.", answer=Health),)
