"""PostgreSQL: pooled connections, snapshots, and one governed writer at a time.

What SQLite means, PostgreSQL is made to mean: whole numbers have 64 bits, text has no length and is ordered by its
bytes (`COLLATE "C"`, whatever the database's own collation), NaN is NULL, sums of whole numbers are whole numbers.

Transactions are begun by hand, so that one round trip tests the connection, begins, and takes the writers' lock. A
connection that died while it waited in the pool is noticed there, before anything was done, and replaced once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.numeric import FloatDumper
from sqlalchemy import Column, Connection, Integer, MetaData, and_, event, select
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler, PGTypeCompiler
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from keepwell.core import failpoints
from keepwell.core.errors import Conflict, KeepwellError
from keepwell.db import postgres_backup, postgres_errors

WRITERS, SCHEMA = 0x6B656570_77656C6C, 0x6B656570_73636D61
"""Advisory locks, in the database they are taken in: of governed writers, and of whoever changes the schema."""

_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SHARED = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
    "SET LOCAL idle_in_transaction_session_timeout = '300s'"  # a stopped process gives the lock back
)
_SERIAL = f"{_SHARED}; SELECT pg_advisory_xact_lock({WRITERS})"
_OLDEST = 130000


@dataclass(frozen=True, slots=True)
class Postgres:
    """What is PostgreSQL's own of a database: see `engine.Backend`."""

    backups: Path | None
    name: str = "postgresql"

    def for_reading(self, engine: sqlalchemy.Engine) -> Connection:
        """Return a connection: of these each transaction says whether it only reads."""
        return engine.connect()

    def begin_read(self, connection: Connection) -> None:
        """Begin a transaction that sees one snapshot; a statement that would change something fails."""
        _begin(connection, _READ)

    def begin_write(self, connection: Connection, *, serial: bool) -> None:
        """Begin a transaction that sees what was committed when it has the lock: each statement a new snapshot."""
        _begin(connection, _SERIAL if serial else _SHARED)

    def explain(self, error: Exception, *, reading: bool, committing: bool) -> KeepwellError | None:
        """Say in plain words what the server or the driver said."""
        return postgres_errors.explain(error, reading=reading, committing=committing)

    @contextmanager
    def locked(self, engine: sqlalchemy.Engine) -> Iterator[None]:
        """Hold an advisory lock of this session; it is let go when the process or its connection ends."""
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT set_config('lock_timeout', '0', false), pg_advisory_lock(%s)", (SCHEMA,))
            try:
                yield
            finally:
                connection.invalidate()  # closes it, and with it the lock

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Tell whether a statement failed because its table is not there."""
        return isinstance(error.orig, psycopg.errors.UndefinedTable)

    @contextmanager
    def migrating(self, engine: sqlalchemy.Engine, found: int | None) -> Iterator[Connection]:
        """A transaction for the schema's change: PostgreSQL's DDL is part of it, so it happens whole or not at all.

        What is there is dumped by `pg_dump` first, into the folder of backups. Without that folder there is no dump.

        Raises:
            Conflict: the database cannot hold the schema, or was to be dumped and could not be.
        """
        with engine.connect() as connection:
            _fit(connection)
            if found and self.backups is not None:
                postgres_backup.dump(_driver(connection), self.backups / f"keepwell-before-{found + 1:04}.dump")
            _begin(connection, _SERIAL)
            try:
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
                yield connection
                failpoints.reach("migrate.before_commit")
                connection.commit()
            except BaseException:
                if not connection.invalidated:
                    connection.rollback()
                raise

    def unsound(self, tx: Connection, *, deep: bool) -> Iterator[tuple[str, str]]:
        """Yield references between rows that do not hold, as after a restore without constraints: subject, sentence.

        Pages are the server's to check (`pg_amcheck`, data checksums).
        """
        tables = MetaData()
        tables.reflect(tx)
        for table in tables.sorted_tables:
            for key in table.foreign_key_constraints:
                there = key.referred_table.alias("there")
                pairs = [(one.parent, there.c[one.column.name]) for one in key.elements]
                joined = table.outerjoin(there, and_(*(here == target for here, target in pairs)))
                query = select(*table.primary_key.columns).select_from(joined)
                query = query.where(*(here.is_not(None) for here, _ in pairs), pairs[0][1].is_(None))
                for row in tx.execute(query.limit(20)):
                    named, target = " ".join(map(str, row)), key.referred_table.name
                    yield f"table:{table.name}", f"Row {named} refers to a row of {target} that is not there."

    def remarks(self, tx: Connection) -> list[str]:
        """Return what an operator should know of the server."""
        said = []
        if tx.exec_driver_sql("SHOW fsync").scalar() != "on":
            said.append("The PostgreSQL server runs with fsync off: what it acknowledged can be lost with its power.")
        if tx.exec_driver_sql("SHOW full_page_writes").scalar() != "on":
            said.append("The PostgreSQL server runs with full_page_writes off: a power loss can tear its pages.")
        return said


def engine_for(
    url: URL, busy_seconds: float, connections: int, backups: Path | None
) -> tuple[sqlalchemy.Engine, Postgres]:
    """Make a pool of connections; none is opened yet."""
    kept = min(5, connections)
    defaults: Mapping[str, Any] = {
        "application_name": "keepwell",
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        "client_encoding": "utf8",
    }
    engine = sqlalchemy.create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={name: value for name, value in defaults.items() if name not in url.query},
        pool_size=kept,
        max_overflow=connections - kept,
        pool_timeout=busy_seconds,
        use_native_hstore=False,
    )
    engine.dialect.type_compiler_instance = _Types(engine.dialect)
    engine.dialect.ddl_compiler = _Ddl
    engine.dialect.statement_compiler = _Statements

    @event.listens_for(engine, "connect")
    def _prepare(connection: psycopg.Connection[Any], _record: object) -> None:
        connection.autocommit = True  # transactions are ours: BEGIN is written out
        connection.adapters.register_dumper(float, _NanIsNull)
        connection.adapters.register_loader("numeric", _PlainNumber)
        connection.execute(
            f"SET lock_timeout = {round(busy_seconds * 1000)}; SET jit = off; SET timezone = 'UTC'; "
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )

    return engine, Postgres(backups)


class _Types(PGTypeCompiler):
    """Types as SQLite has them: see the head of this file."""

    def visit_INTEGER(self, type_: Any, **_: Any) -> str:
        return "BIGINT"

    visit_SMALLINT = visit_INTEGER

    def visit_FLOAT(self, type_: Any, **_: Any) -> str:
        return "DOUBLE PRECISION"

    def visit_TEXT(self, type_: Any, **more: Any) -> str:
        return 'TEXT COLLATE "C"' if isinstance(more.get("type_expression"), Column) else "TEXT"

    visit_VARCHAR = visit_TEXT


class _Ddl(PGDDLCompiler):
    """Tables whose own numbering has 64 bits too."""

    def get_column_specification(self, column: Column[Any], **more: Any) -> str:
        text: str = super().get_column_specification(column, **more)  # type: ignore[no-untyped-call]
        name: str = self.preparer.format_column(column)
        return text.replace(f"{name} SERIAL", f"{name} BIGSERIAL", 1)


class _Statements(PGCompiler_psycopg):
    """Statements whose whole numbers go as wide as they are: the driver knows it, a cast to INTEGER would cut them."""

    def render_bind_cast(self, type_: Any, dbapi_type: Any, sqltext: str) -> str:
        if isinstance(dbapi_type, Integer):
            return sqltext
        text: str = super().render_bind_cast(type_, dbapi_type, sqltext)  # type: ignore[no-untyped-call]
        return text


class _NanIsNull(FloatDumper):
    def dump(self, obj: float) -> Buffer | None:
        return super().dump(obj) if not math.isnan(obj) else None


class _PlainNumber(Loader):
    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else float(text)


def _begin(connection: Connection, text: str) -> None:
    """Begin; on a connection that had died in the pool, once more on a new one."""
    try:
        connection.exec_driver_sql(text, execution_options={"no_parameters": True}).close()
    except DBAPIError as error:
        if not error.connection_invalidated:
            connection.rollback()
            raise
        connection.rollback()
        connection.exec_driver_sql(text, execution_options={"no_parameters": True}).close()


def _fit(connection: Connection) -> None:
    """Refuse a database that cannot hold what we store."""
    info = _driver(connection).info
    if info.server_version < _OLDEST:
        raise Conflict(f"PostgreSQL {info.server_version // 10000} is too old; Keepwell needs 13 or newer.")
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise Conflict(
            f"This database stores text as {encoding}; make one with: createdb --encoding=UTF8 --template=template0."
        )


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101
    return driver
