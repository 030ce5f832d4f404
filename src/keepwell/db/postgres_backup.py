"""A dump of a PostgreSQL database before its schema is changed, by the server's own tool."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from keepwell.core import failpoints
from keepwell.core.errors import Conflict
from keepwell.settings import outside_variables

_ELSE = (
    "Make a backup yourself, then start once with KEEPWELL_BACKED_UP=1; the schema is changed whole or not at all, so "
    "this is against a change that was a mistake."
)
_PASSED = ("PATH", "HOME", "LD_LIBRARY_PATH", "PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGPASSFILE")


_TOLD = (
    "host", "hostaddr", "port", "dbname", "user", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile",
    "connect_timeout", "channel_binding", "gssencmode", "krbsrvname", "target_session_attrs",
)  # fmt: skip
"""What the tool is told of the connection: its library may be older than the driver's, and know less."""


def dump(connection: psycopg.Connection[Any], place: Path) -> None:
    """Write all of the connection's database to a file that `pg_restore` reads, whole or not at all.

    Raises:
        Conflict: there is no `pg_dump`, or it failed.
    """
    tool = shutil.which("pg_dump")
    if tool is None:
        raise Conflict(
            f"Before the database's schema is changed it is backed up by pg_dump, which is not here. {_ELSE}"
        )
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temp = Path(f"{place}.tmp")
    temp.unlink(missing_ok=True)
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        done = subprocess.run(  # noqa: S603
            [tool, "--format=custom", "--no-password", f"--dbname={_where(connection)}"],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.PIPE,
            env={**outside_variables(_PASSED), "PGPASSWORD": connection.info.password},
            check=False,
        )
        os.fsync(handle)
    finally:
        os.close(handle)
    if done.returncode != 0:
        temp.unlink(missing_ok=True)
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Conflict(f"pg_dump could not back up the database ({said[-1] if said else 'it said nothing'}). {_ELSE}")
    failpoints.reach("migrate.backup_written")
    temp.replace(place)
    failpoints.reach("migrate.backed_up")


def _where(connection: psycopg.Connection[Any]) -> str:
    """Return how to connect, without the password."""
    known = connection.info.get_parameters()
    return make_conninfo("", **{name: value for name, value in known.items() if name in _TOLD})
