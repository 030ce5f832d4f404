"""Is the server well: open to everyone, so that whoever watches it needs no token; says nothing about what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError

from keepwell.core.errors import KeepwellError
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
        schema: the schema's revision, when the database knows it.
        warning: what whoever runs the server should do something about.
        loop_age_seconds: since the loop last finished a tick; null when it has not, or runs elsewhere.
        up_seconds: since the server started.
    """

    status: Literal["ok", "degraded"]
    version: str
    auth: Auth
    database: Literal["ok", "unavailable"]
    schema: str | None
    warning: str | None
    loop_age_seconds: float | None
    up_seconds: float


def health(ask: Ask[None, None]) -> Health:
    """Ask the database and the loop how they are."""
    now = ask.kit.clock.now()
    beat = ask.house.heartbeat()
    schema, sqlite = None, None
    try:
        with ask.read() as tx:
            sqlite = str(tx.exec_driver_sql("SELECT sqlite_version()").scalar_one())
            if tx.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").first():
                schema = _text(tx.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())
    except (KeepwellError, SQLAlchemyError):
        pass
    return Health(
        status="degraded" if sqlite is None else "ok",
        version=ask.house.version,
        auth=ask.house.auth,
        database="unavailable" if sqlite is None else "ok",
        schema=schema,
        warning=sqlite_warning(sqlite) if sqlite is not None else None,
        loop_age_seconds=round((now - beat).total_seconds(), 1) if beat is not None else None,
        up_seconds=round((now - ask.house.started_at).total_seconds(), 1),
    )


def sqlite_warning(version: str) -> str | None:
    """Return what to do about a SQLite whose WAL can be damaged; None when it is sound."""
    if tuple(int(part) for part in version.split(".")[:3]) >= FIXED:
        return None
    return f"SQLite {version} has a rare bug in its write-ahead log; 3.51.3 or newer does not. Keep backups."


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


ROUTES = (Route("GET", "/health", OPEN, health, "Tell whether the server is well.", answer=Health),)
