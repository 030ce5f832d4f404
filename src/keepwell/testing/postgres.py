"""A PostgreSQL server of one's own, for tests and benchmarks: in a temporary folder, on a socket in it, gone after.

The system's binaries run it (Debian's `postgresql` is enough; its own cluster is not used). PostgreSQL refuses to run
as root: then it runs as another user of this machine.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

LACKING = "PostgreSQL's server is not installed here (initdb and postgres were not found)"
_USERS = ("postgres", "nobody")
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
"""For tests that do not pull the plug: nothing waits for the disk."""
_ALWAYS = (
    "listen_addresses=", "max_connections=200", "shared_buffers=32MB", "autovacuum_naptime=10min",
    "log_min_messages=fatal", "lc_messages=C", "max_wal_size=512MB",
)  # fmt: skip


class Server:
    """A running server.

    Attributes:
        folder: holds its data and its socket.
        has_icu: whether its databases have an English collation.
    """

    def __init__(self, folder: Path, command: Sequence[str], user: pwd.struct_passwd | None, has_icu: bool) -> None:
        self.folder, self.has_icu = folder, has_icu
        self._command, self._user = command, user
        self._start()

    @property
    def socket(self) -> Path:
        """The socket file that it listens on."""
        return self.folder / ".s.PGSQL.5432"

    def url(self, database: str, user: str = "keepwell", more: str = "") -> str:
        """Return the URL of a database on this server."""
        return f"postgresql+psycopg://{user}@/{database}?host={self.folder}{more}"

    def crash(self) -> None:
        """Kill the server and all its processes, as a power loss would but for the disk's own cache."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=30)

    def restart(self) -> None:
        """Start the server again after a crash."""
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self._start()

    def stop(self) -> None:
        """Stop at once: what it holds is thrown away."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=30)

    def _start(self) -> None:
        """Start, and wait until it answers; processes of a crashed one may still be ending, so it is tried again."""
        deadline = time.monotonic() + 60
        self._process = self._run()
        while True:
            try:
                self.admin().close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                if self._process.poll() is not None:
                    time.sleep(0.5)
                    self._process = self._run()
            else:
                return

    def _run(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self.folder, start_new_session=True, **_as(self._user),
        )  # fmt: skip

    def admin(self) -> psycopg.Connection[Any]:
        """Return a connection of the superuser, with each statement a transaction of its own."""
        return psycopg.connect(f"host={self.folder} user=keepwell dbname=postgres", autocommit=True)

    def make(self, database: str, template: str = "template0") -> None:
        """Make a database like another one; its own collation is English where the server can (15 and newer)."""
        with self.admin() as admin:
            admin.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"'.encode())

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected to it."""
        with self.admin() as admin:
            admin.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'.encode())


class Shared:
    """A migrated database that one test after another uses: emptied between them, or made anew when its tables changed.

    Making a database from a template takes ten times as long as deleting a test's rows.
    """

    def __init__(self, server: Server, template: str, name: str = "shared") -> None:
        self._server, self._template, self._name = server, template, name
        self._schema: tuple[object, ...] | None = None
        self.url = server.url(name)

    def fresh(self) -> str:
        """Return the URL of the database, which has its tables and no rows."""
        if self._schema is not None:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                connection.execute(_OTHERS_AWAY)
                if connection.execute(_SCHEMA).fetchone() == self._schema:
                    connection.execute(_EMPTY)
                    return self.url
        self._server.drop(self._name)
        self._server.make(self._name, self._template)
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(_KEEP)
            self._schema = connection.execute(_SCHEMA).fetchone()
        return self.url

    @property
    def _dsn(self) -> str:
        return f"host={self._server.folder} user=keepwell dbname={self._name}"


_OTHERS_AWAY = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid()"
)
_SCHEMA = """
SELECT (SELECT sum(hashtext(concat(c.oid, c.relname, a.attname, a.atttypid, a.attnotnull)))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace),
       (SELECT sum(hashtext(concat(oid, conname, contype))) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace),
       (SELECT count(*) FROM pg_namespace)
"""
_KEEP = """
CREATE SCHEMA at_first;
DO $$ DECLARE t text; filled boolean; BEGIN
  FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', t) INTO filled;
    IF filled THEN EXECUTE format('CREATE TABLE at_first.%I AS TABLE public.%I', t, t); END IF;
  END LOOP;
END $$
"""
_EMPTY = """
DO $$ DECLARE t text; BEGIN
  SET LOCAL session_replication_role = replica;
  FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('DELETE FROM %I', t);
  END LOOP;
  FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'at_first' LOOP
    EXECUTE format('INSERT INTO %I SELECT * FROM at_first.%I', t, t);
  END LOOP;
  FOR t IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER SEQUENCE %I RESTART', t);
  END LOOP;
END $$
"""


def binaries() -> Path | None:
    """Return the folder of the newest installed server's programs."""
    found = [Path(place).parent for place in [shutil.which("initdb")] if place]
    found += [place.parent for place in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    whole = [place for place in found if (place / "postgres").exists()]
    return max(whole, key=_version, default=None)


@contextmanager
def private_server(*, durable: bool = False, settings: Sequence[str] = ()) -> Iterator[Server]:
    """Run a server until the block ends.

    Args:
        durable: whether it waits for the disk, as in production.
        settings: further `name=value` of its configuration.

    Raises:
        FileNotFoundError: no server is installed.
    """
    programs = binaries()
    if programs is None:
        raise FileNotFoundError(LACKING)
    folder = Path(tempfile.mkdtemp(prefix="kwpg-"))  # short: a socket's path has at most 107 characters
    user = _other_user()
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        has_icu = _version(programs) >= 15
        words = ["--locale=C.UTF-8"] if not has_icu else ["--locale-provider=icu", "--icu-locale=en"]
        _run([programs / "initdb", "-D", folder / "data", "-U", "keepwell", "--auth=trust", "--encoding=UTF8",
              "--no-sync", *words], folder, user)  # fmt: skip
        (folder / "data" / "pg_hba.conf").write_text(
            "local all locked scram-sha-256\nlocal all all trust\n", encoding="utf-8"
        )
        options = [f"unix_socket_directories={folder}", *_ALWAYS, *(() if durable else _QUICK), *settings]
        command = [str(programs / "postgres"), "-D", str(folder / "data"), *(p for o in options for p in ("-c", o))]
        server = Server(folder, command, user, has_icu)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _version(place: Path) -> int:
    found = re.search(r"postgresql/(\d+)/", str(place))
    return int(found[1]) if found else 0


def _other_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in _USERS if name in known)


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run(command: Sequence[str | Path], folder: Path, user: pwd.struct_passwd | None) -> None:
    done = subprocess.run(  # noqa: S603
        [str(part) for part in command], capture_output=True, text=True, cwd=folder, check=False, **_as(user)
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")
