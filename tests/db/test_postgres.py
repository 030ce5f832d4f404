"""What is PostgreSQL's own: its settings, its words, its connections that are cut, waited for and refused."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from keepwell.bootstrap import open_house
from keepwell.core.calls import Call
from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, Damaged, InvalidInput, KeepwellError, NotInstalled, Unavailable
from keepwell.core.events import Event
from keepwell.core.ids import SeededIds
from keepwell.db import Database, connect, read, write
from keepwell.db.bulk import insert_rows, put_rows
from keepwell.db.portable import has_text
from keepwell.db.postgres_errors import explain
from keepwell.flows.kit import Kit
from keepwell.ledger import append, once, service
from keepwell.ledger.export import check
from keepwell.settings import read_settings
from keepwell.testing.cutting import Proxy, proxy_before
from keepwell.testing.postgres import Server, Shared, private_server

things = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(3)),
    Column("size", Float),
    Column("good", Boolean),
    Column("data", LargeBinary),
    Column("at", Text),
    UniqueConstraint("at"),
)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    postgres.drop("things")
    postgres.make("things")
    yield postgres.url("things")
    postgres.drop("things")


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    database = connect(url, busy_seconds=0.2)
    things.create(database.engine)
    yield database
    database.engine.dispose()


def add(tx, number, **more):
    tx.execute(insert(things).values(id=number, **more))


def numbers(db):
    with read(db) as tx:
        return list(tx.scalars(select(things.c.id).order_by(things.c.id)))


def test_settings_of_every_connection(db):
    with write(db) as tx:
        shown = {name: tx.exec_driver_sql(f"SHOW {name}").scalar() for name in
                 ("transaction_isolation", "transaction_read_only", "synchronous_commit", "lock_timeout", "timezone",
                  "idle_in_transaction_session_timeout")}  # fmt: skip
    assert shown == {
        "transaction_isolation": "read committed", "transaction_read_only": "off",
        "synchronous_commit": "on",  # this server's own is off: a commit of ours is durable all the same
        "lock_timeout": "200ms", "timezone": "UTC", "idle_in_transaction_session_timeout": "5min",
    }  # fmt: skip
    with read(db) as tx:
        assert tx.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
        assert tx.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
        assert db.backend.remarks(tx)[0].startswith("The PostgreSQL server runs with fsync off")


def test_committed_whole_or_not_at_all(db):
    with write(db) as tx:
        add(tx, 1)
    with pytest.raises(KeyError), write(db) as tx:
        add(tx, 2)
        raise KeyError
    with pytest.raises(KeyboardInterrupt), write(db) as tx:
        add(tx, 3)
        raise KeyboardInterrupt
    assert numbers(db) == [1]


def test_a_read_sees_one_snapshot_and_changes_nothing(db):
    with write(db) as tx:
        add(tx, 1)
    with read(db) as tx:
        assert tx.scalar(select(things.c.id)) == 1
        with write(db) as other:
            add(other, 2)
        assert list(tx.scalars(select(things.c.id))) == [1]
    assert numbers(db) == [1, 2]
    with pytest.raises(DBAPIError, match="read-only"), read(db) as tx:
        add(tx, 3)  # our own mistake: said as it is


def test_one_governed_writer_at_a_time_and_others_beside_it(db):
    with write(db) as tx:
        add(tx, 1)
        with pytest.raises(Unavailable, match="busy"), write(db):
            pass
        with write(db, serial=False) as other:
            add(other, 2)
        assert list(tx.scalars(select(things.c.id).order_by(things.c.id))) == [1, 2]
    assert numbers(db) == [1, 2]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_ledger_is_appended_to_by_a_governed_writer_only(kind, request, tmp_path):
    url = f"sqlite:///{tmp_path}/x.db" if kind == "sqlite" else request.getfixturevalue("url")
    database = connect(url)
    call = Call("person:ann", None, None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="serial"), write(database, serial=False) as tx:
        append(tx, call, Event("a.b", "x:1"))
    database.engine.dispose()


def test_what_is_stored_means_what_it_means_on_sqlite(db, tmp_path):
    """Text is ordered by bytes and has no length, NaN is NULL, whole numbers have 64 bits, and sums of them stay so."""
    small = connect(f"sqlite:///{tmp_path}/small.db")
    things.create(small.engine)
    words = ["b", "B", "a-b", "ab", "a_b", "Z", "\u00e4", "\u00c4", "z", "longer than three", "", " "]
    found = []
    for database in (db, small):
        with write(database) as tx:
            rows = [(2**40 + n, w, float("nan") if n % 2 else 0.5, n % 3 == 0, bytes([n]), str(n))
                    for n, w in enumerate(words)]  # fmt: skip
            insert_rows(tx, things, ("id", "name", "size", "good", "data", "at"), rows)
            add(tx, 5, name="c", size=float("nan"), good=True, data=b"\0\xff", at="x")
            put_rows(tx, things, ("id", "size", "name"), [(5, float("inf"), "d"), (6, -0.0, "e")])
            put_rows(tx, things, ("id", "name"), [(5, "not"), (7, "f")], replace=False)
        with read(database) as tx:
            c = things.c
            found.append([
                tx.execute(select(things).order_by(c.name, c.id)).all(),
                tx.scalars(select(c.name).where(c.name > "Z").order_by(c.name.desc())).all(),
                tx.execute(select(func.min(c.name), func.max(c.name), func.sum(c.id), func.avg(c.id))).all(),
                tx.scalars(select(c.id).where(has_text(c.name, "AB")).order_by(c.id)).all(),
                tx.scalars(select(c.id).where(has_text(c.name, "\u00c4")).order_by(c.id)).all(),
                tx.scalars(select(c.id / 4).order_by(c.id)).all(),
                [type(x) for x in tx.execute(select(func.sum(c.id), func.count(), func.sum(c.size))).one()],
            ])  # fmt: skip
    assert found[0] == found[1]
    small.engine.dispose()


def test_text_that_cannot_be_stored_is_the_callers_mistake(db):
    with pytest.raises(InvalidInput, match="NUL"), write(db) as tx:
        add(tx, 1, name="a\0b")
    with pytest.raises(InvalidInput, match="NUL"), write(db) as tx:
        insert_rows(tx, things, ("id", "name"), [(n, "a\0b") for n in range(300)])
    with pytest.raises(InvalidInput, match="too large"), write(db) as tx:
        add(tx, 2**63)
    assert numbers(db) == []


def test_many_rows_by_copy(db):
    rows = [
        (n, None if n % 7 == 0 else f"n{n}\t\\\n", n / 3, n % 2 == 0, b"\\x\0" * (n % 3), f"{n}") for n in range(900)
    ]
    names = ("id", "name", "size", "good", "data", "at")
    with write(db) as tx:
        insert_rows(tx, things, names, rows)
    with read(db) as tx:
        assert [tuple(row) for row in tx.execute(select(things).order_by(things.c.id))] == rows
    with pytest.raises(IntegrityError), write(db) as tx:
        insert_rows(tx, things, names, [(n + 5000, None, None, None, None, "same") for n in range(300)])
    assert len(numbers(db)) == 900


HOLDING = (
    "import sys, time; from keepwell.db import connect, write\n"
    "with write(connect(sys.argv[1])) as tx:\n"
    "    tx.exec_driver_sql('INSERT INTO things (id) VALUES (77)'); print('in', flush=True); time.sleep(60)\n"
)


@contextmanager
def holding(url):
    """A process inside a governed write."""
    other = subprocess.Popen([sys.executable, "-c", HOLDING, url], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    yield other
    other.kill()
    other.communicate()


def test_a_stopped_process_holds_the_lock_and_a_killed_one_does_not(db, url):
    """F20, and kill -9 of a writer: nothing of what it did is there, and others write at once."""
    with holding(url) as other:
        os.kill(other.pid, signal.SIGSTOP)
        with pytest.raises(Unavailable, match="Try again"), write(db):
            pass
        assert numbers(db) == []
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        patient = connect(url)
        with write(patient) as tx:
            add(tx, 1)
        patient.engine.dispose()
    assert numbers(db) == [1]


def test_a_deadlock_ends_with_a_sentence(db):
    """F25: two writers that wait for each other: one is told to try again, the other goes on."""
    with write(db) as tx:
        add(tx, 1)
        add(tx, 2)
    patient = connect(str(db.engine.url), busy_seconds=20)
    both = threading.Barrier(2)
    said: list[str] = []

    def work(first, second):
        try:
            with write(patient, serial=False) as tx:
                tx.execute(update(things).where(things.c.id == first).values(name="x"))
                both.wait()
                tx.execute(update(things).where(things.c.id == second).values(name="x"))
        except Unavailable as error:
            said.append(str(error))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (1, 2), (2, 1)))
    assert len(said) == 1 and "same moment" in said[0]
    patient.engine.dispose()


def test_more_calls_than_connections(url, db):
    """F25: what finds no connection waits for one, and gives up with a sentence."""
    small = connect(url, busy_seconds=0.3, connections=4)
    with read(small), read(small), read(small), read(small):
        started = time.monotonic()
        with pytest.raises(Unavailable, match="too many calls"), read(small):
            pass
        assert time.monotonic() - started < 5
    with ThreadPoolExecutor(16) as pool:
        patient = connect(url, connections=4)
        assert list(pool.map(lambda _: numbers(patient), range(64))) == [[]] * 64
        patient.engine.dispose()
    small.engine.dispose()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("postgresql+psycopg://keepwell@127.0.0.1:1/x", "cannot be reached"),
        ("postgresql+psycopg://keepwell@/x?host=/nowhere-at-all", "cannot be reached"),
        ("missing", "does not exist on this server"),
        ("user", "refuses this user"),
        ("password", "refuses this user"),
    ],
)
def test_a_server_that_lets_nobody_in(postgres, url, where, said):
    with postgres.admin() as admin:
        admin.execute("DROP ROLE IF EXISTS locked")
        admin.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
    secret = "wrong-and-secret"
    where = {"missing": postgres.url("nothing_of_the_kind"), "user": postgres.url("things", user="nobody_known"),
             "password": postgres.url("things", user=f"locked:{secret}")}.get(where, where)  # fmt: skip
    database = connect(where)
    with pytest.raises(Unavailable, match=said) as caught, read(database):
        pass
    assert secret not in str(caught.value) + repr(database)


def test_a_user_that_may_not(postgres, db):
    with postgres.admin() as admin:
        admin.execute("DROP ROLE IF EXISTS guest")
        admin.execute("CREATE ROLE guest LOGIN")
    guest = connect(postgres.url("things", user="guest"))
    with pytest.raises(Unavailable, match="may not do this"), read(guest) as tx:
        tx.execute(select(things)).all()
    guest.engine.dispose()


def test_a_standby_is_not_written_to(postgres, db):
    standby = connect(postgres.url("things", more="&options=-c%20default_transaction_read_only%3Don"))
    with read(standby) as tx:
        assert tx.scalar(text("SELECT 1")) == 1
    error = psycopg.errors.ReadOnlySqlTransaction("x")
    said = explain(error, reading=False, committing=False)
    assert said is not None and "standby" in said.message
    assert explain(error, reading=True, committing=False) is None
    standby.engine.dispose()


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (psycopg.errors.SerializationFailure("x"), Unavailable, "same moment"),
        (psycopg.errors.DiskFull("x"), Unavailable, "full; nothing was changed"),
        (psycopg.errors.TooManyConnections("x"), Unavailable, "no more connections"),
        (psycopg.errors.AdminShutdown("x"), Unavailable, "starting, stopping"),
        (psycopg.errors.QueryCanceled("x"), Unavailable, "too long"),
        (psycopg.errors.DataCorrupted("x"), Damaged, "damaged data"),
        (psycopg.errors.UniqueViolation("x"), None, ""),
        (psycopg.errors.UndefinedTable("x"), None, ""),
        (psycopg.ProgrammingError("x"), None, ""),
        (ValueError("x"), None, ""),
    ],
)
def test_the_servers_words(error: Exception, kind: type[KeepwellError] | None, said: str):
    found = explain(error, reading=False, committing=False)
    assert (type(found) if found else None) == kind
    assert said in (found.message if found else "")


def test_a_database_that_cannot_hold_our_text_is_refused(postgres, tmp_path):
    from keepwell.db.migrate import migrate

    with postgres.admin() as admin:
        admin.execute("DROP DATABASE IF EXISTS latin")
        admin.execute(
            "CREATE DATABASE latin TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C'"
            if postgres.has_icu
            else "CREATE DATABASE latin TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"
        )
    database = connect(postgres.url("latin"))
    with pytest.raises(Conflict, match="SQL_ASCII"):
        migrate(database)
    database.engine.dispose()
    postgres.drop("latin")


def test_without_the_driver_one_sentence_names_the_extra():
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from keepwell.core.errors import NotInstalled\n"
        "from keepwell.db import connect\n"
        "try: connect('postgresql+psycopg://x/y')\n"
        "except NotInstalled as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "PostgreSQL needs its driver, the extra 'postgres': pip install 'keepwell[postgres]'."
    assert NotInstalled.code == "not_installed"


def test_sqlite_alone_imports_no_driver_of_postgresql(tmp_path):
    open_house(read_settings(str(tmp_path), {})).db.engine.dispose()  # Alembic, which makes the tables, knows them all
    code = (
        "import sys; from keepwell.bootstrap import open_house; from keepwell.settings import read_settings\n"
        "open_house(read_settings(sys.argv[1], {}))\n"
        "print([m for m in sys.modules if m.startswith(('psycopg', 'sqlalchemy.dialects.postgresql'))])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Connections that are cut


@pytest.fixture
def cut(postgres: Server, shared_database: Shared, clock: SimulatedClock, tmp_path) -> Iterator[tuple[Kit, Proxy]]:
    """A house whose database lies behind a proxy."""
    name = shared_database.fresh().partition("@/")[2].partition("?")[0]
    with proxy_before(postgres.socket) as proxy:
        url = f"postgresql+psycopg://keepwell@127.0.0.1:{proxy.port}/{name}"
        kit = open_house(read_settings(str(tmp_path), {"KEEPWELL_DATABASE": url}), clock=clock, ids=SeededIds(clock, 1))
        yield kit, proxy
        kit.db.engine.dispose()


def append_once(kit, call, n):
    with write(kit.db) as tx:
        return once(tx, call, {"n": n}, lambda: append(tx, call, Event("a.b", f"x:{n}", note="n"))[0].hash, str)


@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_at_every_message_one_key_acts_once(cut, when):
    """F23, I6: wherever the connection is lost, at the commit too, the same call again acts once, with one answer."""
    kit, proxy = cut
    told, uncertain, n = set(), 0, 0
    while True:
        n += 1

        act = functools.partial(append_once, kit, kit.call("person:ann", key=f"k{n}"), n)
        proxy.cut(n, when)
        first = None
        try:
            first = act()
        except Unavailable as error:
            told.add(error.message)
            uncertain += "may have been made or not" in error.message
        fired = proxy.fired
        again = act()
        assert first in (None, again)
        with read(kit.db) as tx:
            assert service.size(tx) == n
            assert len(service.entries(tx, subject=f"x:{n}")) == 1
        if not fired:
            break
    assert n >= 7 and uncertain == 1  # begin, key, head, entry, outbox, note, answer, commit
    assert len(told) == 2, told
    with read(kit.db) as tx:
        assert check(tx).ok


def test_a_server_that_was_restarted_is_not_noticed_between_calls(cut):
    """Connections that died in the pool are replaced, all of them, and nobody is told."""
    kit, proxy = cut
    with read(kit.db), read(kit.db), read(kit.db):
        pass
    proxy.cut_all()
    for number in range(5):
        with write(kit.db) as tx:
            append(tx, kit.call("person:ann"), Event("a.b", f"x:{number}"))
        with read(kit.db) as tx:
            assert service.size(tx) == number + 1
    with pytest.raises(Unavailable, match="was cut; nothing was changed"), write(kit.db) as tx:
        append(tx, kit.call("person:ann"), Event("a.b", "x:9"))
        proxy.cut_all()
        append(tx, kit.call("person:ann"), Event("a.b", "x:9"))
    proxy.refuse(True)
    proxy.cut_all()
    with pytest.raises(Unavailable), read(kit.db):
        pass
    proxy.refuse(False)
    with read(kit.db) as tx:
        assert service.size(tx) == 5


CRASHED = """
import sys
from keepwell.bootstrap import open_house
from keepwell.core.events import Event
from keepwell.core.ids import SeededIds
from keepwell.db import write
from keepwell.ledger import append
from keepwell.settings import read_settings
kit = open_house(read_settings(sys.argv[1], {"KEEPWELL_DATABASE": sys.argv[2]}))
for number in range(10_000):
    with write(kit.db) as tx:
        append(tx, kit.call("person:ann"), Event("a.b", f"x:{number}"))
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_a_server_that_dies(tmp_path: Path):
    """A durable server is killed under load: every acknowledged entry is there, and the chain is whole."""
    with private_server(durable=True) as server:
        server.make("house")
        writer = subprocess.Popen(
            [sys.executable, "-c", CRASHED, str(tmp_path / "home"), server.url("house")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        acked = [writer.stdout.readline() for _ in range(50)]
        server.crash()
        acked += writer.communicate(timeout=30)[0].splitlines()
        assert writer.returncode == 1  # it was told: Unavailable
        server.restart()
        database = connect(server.url("house"))
        with read(database) as tx:
            assert len(acked) <= service.size(tx) <= len(acked) + 1
            assert check(tx).ok
        database.engine.dispose()
