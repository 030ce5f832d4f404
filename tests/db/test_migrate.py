from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect

from keepwell.core import failpoints
from keepwell.core.errors import Conflict, Damaged
from keepwell.db import connect, read
from keepwell.db.migrate import OURS, migrate, revision, revisions
from keepwell.testing.migrations import differences, draft, load_tables, store_modules

FIRST = """
import sqlalchemy as sa

def upgrade(op):
    op.create_table("parent", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
    op.create_table("child", sa.Column("id", sa.Integer, primary_key=True),
                    sa.Column("parent", sa.Integer, sa.ForeignKey("parent.id")))
"""
SECOND = """
import sqlalchemy as sa

def upgrade(op):
    with op.batch_alter_table("parent") as batch:
        batch.add_column(sa.Column("size", sa.Integer, nullable=False, server_default="1"))
        batch.alter_column("name", new_column_name="title")
    op.create_index("ix_parent_title", "parent", ["title"])
    op.execute("UPDATE parent SET size = id * 10")
"""
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from keepwell.core import failpoints
failpoints.arm(sys.argv[4])
from keepwell.db import connect
from keepwell.db.migrate import migrate
sys.stdin.readline()
migrate(connect("sqlite:///" + sys.argv[2]), sys.argv[3])
assert ("alembic" in sys.modules) == (sys.argv[5] == "moves"), "alembic is imported when there is something to do"
"""


@pytest.fixture
def packages(tmp_path, monkeypatch, request):
    """Two packages of revisions: `one_<n>` with the first, `two_<n>` with both."""
    unique = f"{abs(hash(request.node.name))}"
    for name, files in ((f"one_{unique}", [FIRST]), (f"two_{unique}", [FIRST, SECOND])):
        folder = tmp_path / "packages" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        for number, text in enumerate(files, 1):
            (folder / f"r{number:04}_step.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    return f"one_{unique}", f"two_{unique}"


@pytest.fixture
def filled(tmp_path, packages):
    """A database at revision 1 with rows."""
    db = connect(f"sqlite:///{tmp_path / 'house.db'}")
    migrate(db, packages[0])
    with db.engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO parent VALUES (1, 'one'), (2, 'two')")
        connection.exec_driver_sql("INSERT INTO child VALUES (7, 2)")
        connection.commit()
    db.engine.dispose()
    return tmp_path / "house.db"


def parents(db):
    with read(db) as tx:
        return tx.exec_driver_sql("SELECT * FROM parent ORDER BY id").all()


def run(tmp_path, place, package, points="", expects="moves"):
    command = [sys.executable, "-c", RUN, str(tmp_path / "packages"), str(place), package, points, expects]
    return subprocess.run(command, input="\n", capture_output=True, text=True, check=False)


def test_a_new_database(tmp_path, packages):
    db = connect(f"sqlite:///{tmp_path / 'new.db'}")
    assert revision(db) is None
    migrate(db, packages[1])
    assert revision(db) == 2
    with read(db) as tx:
        assert set(inspect(tx).get_table_names()) == {"parent", "child", "schema_revision"}
    assert list(tmp_path.glob("*.before-*")) == []


def test_an_older_database_keeps_its_rows_and_a_backup(tmp_path, packages, filled):
    db = connect(f"sqlite:///{filled}")
    migrate(db, packages[1])
    assert parents(db) == [(1, "one", 10), (2, "two", 20)]
    backup = Path(f"{filled}.before-0002")
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as old:
        assert old.execute("SELECT * FROM parent").fetchall() == [(1, "one"), (2, "two")]
    migrate(db, packages[1])  # nothing to do
    assert revision(db) == 2
    with read(db) as tx:
        assert tx.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_nothing_to_do_costs_nothing(tmp_path, packages, filled):
    done = run(tmp_path, filled, packages[0], expects="stays")
    assert done.returncode == 0, done.stderr


def test_a_newer_database_is_refused(tmp_path, packages, filled):
    db = connect(f"sqlite:///{filled}")
    migrate(db, packages[1])
    with pytest.raises(Conflict, match="newer Keepwell") as caught:
        migrate(connect(f"sqlite:///{filled}"), packages[0])
    assert caught.value.code == "newer_schema"
    assert (revision(db), parents(db)) == (2, [(1, "one", 10), (2, "two", 20)])


def test_a_database_of_something_else_is_refused(tmp_path, packages):
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE parent (mine)")
        other.commit()
    with pytest.raises(Conflict, match="not made by a released Keepwell"):
        migrate(connect(f"sqlite:///{tmp_path / 'other.db'}"), packages[0])


def test_rows_that_do_not_fit_are_refused_whole(tmp_path, packages, filled):
    with closing(sqlite3.connect(filled)) as raw:
        raw.execute("INSERT INTO child VALUES (8, 999)")
        raw.commit()
    with pytest.raises(Damaged, match="refer to rows"):
        migrate(connect(f"sqlite:///{filled}"), packages[1])
    assert revision(connect(f"sqlite:///{filled}")) == 1


KILLS = """
import json, shutil, sys
from pathlib import Path
folder, package = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(folder / "packages"))
import alembic.operations, alembic.runtime.migration
from keepwell.core import failpoints
from keepwell.db import connect
from keepwell.db.migrate import migrate
from keepwell.testing.killing import in_child, reached
def run(place, points):
    def work():
        failpoints.arm(points)
        migrate(connect("sqlite:///" + str(place)), package)
    return in_child(folder, work)
shutil.copy(folder / "house.db", folder / "undisturbed.db")
status, _, log = run(folder / "undisturbed.db", "*:log")
assert status == 0, log
points = reached(log)
for number, (name, nth) in enumerate(points):
    shutil.copy(folder / "house.db", folder / f"killed{number}.db")
    status, _, said = run(folder / f"killed{number}.db", f"{name}:kill@{nth}")
    assert status == 9, (name, nth, said)
print(json.dumps(points))
"""


def test_killed_anywhere_it_starts_again(tmp_path, packages, filled):
    """F09: killed at every point of a migration, every statement included, the next start completes it."""
    command = [sys.executable, "-c", KILLS, str(tmp_path), packages[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)
    assert {name for name, _ in points} >= {"migrate.backed_up", "migrate.statement", "migrate.before_commit"}
    wanted = parents(connect(f"sqlite:///{tmp_path / 'undisturbed.db'}"))
    assert wanted == [(1, "one", 10), (2, "two", 20)]
    for number in range(len(points)):
        place = tmp_path / f"killed{number}.db"
        with closing(sqlite3.connect(place)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        again = connect(f"sqlite:///{place}")
        migrate(again, packages[1])
        assert parents(again) == wanted
        assert Path(f"{place}.before-0002").exists()
        again.engine.dispose()


def test_four_processes_migrate_at_once(tmp_path, packages, filled):
    command = [sys.executable, "-c", RUN, str(tmp_path / "packages"), str(filled), packages[1], ""]
    racers = [
        subprocess.Popen([*command, "moves"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [racer.communicate("go\n")[1] for racer in racers]
    assert all(not text or "alembic is imported" in text for text in said), said
    assert said.count("") >= 1
    assert parents(connect(f"sqlite:///{filled}")) == [(1, "one", 10), (2, "two", 20)]


def test_memory(packages):
    db = connect("sqlite://")
    migrate(db, packages[1])
    assert revision(db) == 2


def test_every_module_with_tables_is_found():
    """`create_table` in the revisions comes from these modules; a table that hides elsewhere would be missing."""
    source = Path(sys.modules["keepwell"].__file__ or "").parent
    hidden = {
        file.relative_to(source).as_posix()
        for file in source.rglob("*.py")
        if "metadata,\n" in file.read_text() and "Table(" in file.read_text()
    } - {name.removeprefix("keepwell.").replace(".", "/") + ".py" for name in store_modules()}
    assert hidden <= {"testing/migrations.py"}
    assert {"ledger_entries", "outbox", "idempotency"} <= {table.name for table in load_tables()}


def test_the_revisions_make_what_the_stores_declare():
    if not revisions():
        pytest.skip("the initial revision is drafted before the first release")
    assert differences() == []


def test_a_draft_makes_what_the_stores_declare(tmp_path, monkeypatch):
    """The tool that writes the initial revision writes one after which nothing differs."""
    (tmp_path / "drafted").mkdir()
    (tmp_path / "drafted" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    place = draft(1, "initial", "drafted")
    assert place is not None
    assert "def upgrade(op: Operations) -> None:" in place.read_text()
    assert differences("drafted") == []
    assert draft(2, "more", "drafted") is None
    assert OURS == "keepwell.db.migrations"


def test_failpoints_are_off_again():
    failpoints.arm("")
