from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select
from sqlalchemy.exc import OperationalError

from keepwell.core.errors import Damaged, InvalidInput, Unavailable
from keepwell.core.events import Event
from keepwell.db import connect, read, write
from keepwell.db.schema import Json, json_text
from keepwell.db.wal import LIMIT, remark
from keepwell.ledger import append, once, service
from keepwell.ledger.export import check
from keepwell.testing.faults import failing_statements

things = Table("things", MetaData(), Column("id", Integer, primary_key=True), Column("facts", Json))


@pytest.fixture
def db(tmp_path):
    database = connect(f"sqlite:///{tmp_path / 'test.db'}", busy_seconds=0.2)
    things.create(database.engine)
    yield database
    database.engine.dispose()


def add(tx, number):
    tx.execute(insert(things).values(id=number, facts={"n": number}))


def numbers(db):
    with read(db) as tx:
        return list(tx.scalars(select(things.c.id)))


def test_settings_of_every_connection(db):
    with read(db) as tx:

        def pragma(name):
            return tx.exec_driver_sql(f"PRAGMA {name}").scalar()

        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "query_only": 1,
                  "wal_autocheckpoint": 0, "busy_timeout": 200}  # fmt: skip
        assert {name: pragma(name) for name in wanted} == wanted
    with write(db) as tx:
        assert tx.exec_driver_sql("PRAGMA query_only").scalar() == 0


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
    with pytest.raises(OperationalError, match="readonly"), read(db) as tx:
        add(tx, 3)  # our own mistake: said as it is


def test_a_writer_that_holds_too_long(db):
    with write(db), pytest.raises(Unavailable, match="busy"), write(db):
        pass


def test_a_stopped_process_holds_the_lock(db, tmp_path):
    """A process stopped inside a write: others are told to try again, readers go on, and all is well after."""
    code = (
        "import sys, time; from keepwell.db import connect, write\n"
        "db = connect(sys.argv[1])\n"
        "with write(db) as tx:\n"
        "    tx.exec_driver_sql('INSERT INTO things (id) VALUES (77)'); print('in', flush=True); time.sleep(60)\n"
    )
    url = f"sqlite:///{tmp_path / 'test.db'}"
    other = subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    os.kill(other.pid, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="Try again"), write(db):
        pass
    assert numbers(db) == []
    os.kill(other.pid, signal.SIGKILL)
    other.communicate()
    with write(db) as tx:
        add(tx, 1)
    assert numbers(db) == [1]


def test_a_full_database(db):
    with pytest.raises(Unavailable, match="full; nothing was changed"), write(db) as tx:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
        for number in range(10_000):
            add(tx, number)
    assert numbers(db) == []
    with read(db) as tx:
        assert tx.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    with write(db) as tx:
        tx.exec_driver_sql("PRAGMA max_page_count=1073741823")
        add(tx, 1)
    assert numbers(db) == [1]


LIMITED = """
import resource, sys
from keepwell.bootstrap import open_house
from keepwell.core.errors import Unavailable
from keepwell.core.events import Event
from keepwell.db import read, write
from keepwell.ledger import append, service
from keepwell.ledger.export import check
from keepwell.settings import read_settings
kit = open_house(read_settings(sys.argv[1], {}))
def add():
    with write(kit.db) as tx:
        append(tx, kit.call("person:ann"), *(Event("a.b", "x:1", {"x": "y" * 500}) for _ in range(20)))
add()
resource.setrlimit(resource.RLIMIT_FSIZE, (kit.db.wal.size() + 6000, resource.RLIM_INFINITY))
try:
    add()
except Unavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with read(kit.db) as tx:
    print(service.size(tx), check(tx).ok)
add()
with read(kit.db) as tx:
    print(service.size(tx), check(tx).ok)
"""


def test_a_disk_that_fills_under_the_ledger(tmp_path):
    """RLIMIT_FSIZE cuts a write of the log short: the call fails, nothing of it is there, and the next one works."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "home")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert "full or failing; nothing was changed" in first
    assert rest == ["20 True", "40 True"]


def test_the_nth_statement_fails(kit):
    """Whichever statement of an append fails, nothing of the call is there, and the same call again acts once."""
    call = kit.call("person:ann", key="k")

    def act():
        with write(kit.db) as tx:
            effect = lambda: append(tx, call, Event("a.b", "x:1", note="n"))[0].hash  # noqa: E731
            return once(tx, call, {}, effect, str)

    nth = 0
    while True:
        nth += 1
        with failing_statements(kit.db.engine, nth) as fault:
            try:
                act()
            except Unavailable:
                assert fault.fired
        if not fault.fired:
            break
        with read(kit.db) as tx:
            assert service.size(tx) == 0
    assert nth >= 6  # begin, look up the key, head, entry, outbox, note, answer
    act()
    with read(kit.db) as tx:
        assert service.size(tx) == 1
        assert check(tx).ok


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "test.db").write_bytes(b"not a database, for sure" * 1000)
    db = connect(f"sqlite:///{tmp_path / 'test.db'}")
    with pytest.raises(Damaged, match="restore it from a backup"), read(db):
        pass


def test_a_torn_database(db, tmp_path):
    with write(db) as tx:
        for number in range(2000):
            add(tx, number)
    db.engine.dispose()
    with (tmp_path / "test.db").open("r+b") as file:
        file.truncate(8192)
    again = connect(f"sqlite:///{tmp_path / 'test.db'}")
    with pytest.raises(Damaged), read(again) as tx:
        tx.execute(select(things)).all()
    again.engine.dispose()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be made"):
        connect(f"sqlite:///{tmp_path / 'file' / 'x' / 'test.db'}")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(Unavailable, match="cannot be opened"), read(connect(f"sqlite:///{tmp_path / 'folder.db'}")):
        pass


@pytest.mark.parametrize("url", ["", "nonsense", "postgresql+asyncpg://localhost/x", "mysql://x"])
def test_urls_that_are_none_of_ours(url):
    with pytest.raises(InvalidInput):
        connect(url)


@pytest.mark.parametrize("value", [float("nan"), [1.0, float("inf")], {"a": {"b": [None, -float("inf")]}}])
def test_nan_is_never_stored(db, value):
    with pytest.raises(InvalidInput, match="NaN and infinity"), write(db) as tx:
        tx.execute(insert(things).values(id=1, facts=value))
    assert numbers(db) == []


def test_json_columns_bring_back_what_was_stored(db):
    facts = {"none": None, "list": [1, 2.5, "\u2028"], "word": "null"}
    with write(db) as tx:
        tx.execute(insert(things), [{"id": 1, "facts": facts}, {"id": 2, "facts": None}])
    with read(db) as tx:
        assert [row.facts for row in tx.execute(select(things).order_by(things.c.id))] == [facts, None]
    assert json_text([None]) == "[null]"


def test_the_log_is_kept_short_by_one_connection(db):
    """The log is checkpointed as it grows, and starts again: it never grows far beyond its limit."""
    largest = 0
    for number in range(40):
        with write(db) as tx:
            tx.execute(insert(things).values(id=number, facts="x" * 400_000))
        largest = max(largest, db.wal.size())
    assert LIMIT / 2 < largest < 2 * LIMIT
    assert len(numbers(db)) == 40


def test_a_long_reader_delays_the_log_only(db):
    """While a reader holds an old snapshot the log grows and writes go on; afterwards it is cut again."""
    with write(db) as tx:
        add(tx, 1000)
    with read(db) as tx:
        tx.execute(select(things)).all()
        for number in range(30):
            with write(db) as other:
                other.execute(insert(things).values(id=number, facts="x" * 400_000))
        assert db.wal.size() > 2 * LIMIT
    for number in range(30, 60):
        with write(db) as other:
            other.execute(insert(things).values(id=number, facts="x" * 400_000))
    assert db.wal.size() < 2 * LIMIT


def test_a_restarted_log_is_written_over(db):
    """A commit need not make the file longer: what was checkpointed is written over from the start."""
    sizes = []
    for number in range(40):
        with write(db) as tx:
            tx.execute(insert(things).values(id=number, facts="x" * 400_000))
        sizes.append(db.wal.size())
    assert sizes.count(LIMIT) >= 5
    assert min(sizes[sizes.index(LIMIT) :]) == LIMIT


def test_what_reads_is_let_go_with_the_rest(db, tmp_path):
    """The last connection takes the log away: one that was left open would keep it."""
    with write(db) as tx:
        add(tx, 1)
    assert numbers(db) == [1]
    db.engine.dispose()
    assert [file.name for file in tmp_path.iterdir()] == ["test.db"]
    assert numbers(db) == [1]


def test_transactions_leave_what_was_compiled(db):
    """No transaction begins with a pragma, after which SQLite would compile each statement anew."""
    said: list[str] = []
    with read(db) as tx, write(db) as other:
        for connection in (tx, other):
            connection.connection.driver_connection.set_trace_callback(said.append)
    for number in range(3):
        with write(db) as tx:
            add(tx, number)
        numbers(db)
    assert "BEGIN" in said
    assert "BEGIN IMMEDIATE" in said
    assert not [one for one in said if "PRAGMA" in one]


def test_deleted_bytes_are_gone(db, tmp_path):
    with write(db) as tx:
        tx.execute(insert(things), [{"id": n, "facts": f"canary-{n:05}"} for n in range(1000)])
    with write(db) as tx:
        tx.exec_driver_sql("DELETE FROM things")
    db.wal.checkpoint()
    db.engine.dispose()  # the last connection moves the log into the file
    assert all(b"canary-" not in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


def test_threads_share_a_database(db, tmp_path):
    patient = connect(f"sqlite:///{tmp_path / 'test.db'}")

    def work(start):
        for number in range(start, start + 10):
            with write(patient) as tx:
                add(tx, number)
            numbers(patient)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(0, 60, 10)))
    assert len(numbers(patient)) == 60
    patient.engine.dispose()


def test_what_to_know_of_this_sqlite(monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    assert remark() is None
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    assert "WAL-reset" in str(remark())


def test_opening_is_quick(tmp_path):
    started = time.perf_counter()
    with read(connect(f"sqlite:///{tmp_path / 'test.db'}")) as tx:
        tx.exec_driver_sql("SELECT 1")
    assert time.perf_counter() - started < 1
