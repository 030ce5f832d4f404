"""Migrations of a PostgreSQL database: whole or not at all, one at a time, after a dump."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect

from keepwell.core.errors import Conflict
from keepwell.db import Database, connect, read, write
from keepwell.db import postgres_backup as backup
from keepwell.db.migrate import migrate, revision
from keepwell.testing.migrations import differences
from keepwell.testing.postgres import Server, binaries

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
BROKEN = SECOND + "    op.execute('UPDATE parent SET nothing = 1')\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """Three packages of revisions: with the first, with both, with a second that fails at its end."""
    unique = f"pg{abs(hash(request.node.name))}"
    names = []
    for name, files in (("one", [FIRST]), ("two", [FIRST, SECOND]), ("broken", [FIRST, BROKEN])):
        folder = tmp_path / "packages" / f"{name}_{unique}"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        for number, text in enumerate(files, 1):
            (folder / f"r{number:04}_step.py").write_text(text)
        names.append(folder.name)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    return names[0], names[1], names[2]


@pytest.fixture
def opened(postgres: Server, tmp_path: Path) -> Iterator[Callable[..., Database]]:
    """Open databases that are dropped after the test."""
    made: dict[str, list[Database]] = {}

    def open_(name: str = "house", template: str | None = None, backups: bool = True) -> Database:
        if name not in made:
            postgres.drop(name)
            postgres.make(name, template or "template0")
        database = connect(postgres.url(name), backups=tmp_path / "backups" if backups else None)
        made.setdefault(name, []).append(database)
        return database

    yield open_
    for name, databases in made.items():
        for database in databases:
            database.engine.dispose()
        postgres.drop(name)


def fill(database: Database, package: str) -> None:
    migrate(database, package)
    with write(database) as tx:
        tx.exec_driver_sql("INSERT INTO parent VALUES (1, 'one'), (2, 'two')")
        tx.exec_driver_sql("INSERT INTO child VALUES (7, 2)")
    database.engine.dispose()


def parents(database: Database) -> list[tuple[object, ...]]:
    with read(database) as tx:
        return [tuple(row) for row in tx.exec_driver_sql("SELECT * FROM parent ORDER BY id")]


def test_a_new_database(opened, packages, tmp_path):
    db = opened()
    assert revision(db) is None
    migrate(db, packages[1])
    assert revision(db) == 2
    with read(db) as tx:
        assert set(inspect(tx).get_table_names()) == {"parent", "child", "schema_revision"}
    assert not (tmp_path / "backups").exists()
    migrate(db, packages[1])  # nothing to do


def test_an_older_database_keeps_its_rows_and_a_dump_that_can_be_restored(opened, packages, tmp_path):
    db = opened()
    fill(db, packages[0])
    migrate(db, packages[1])
    assert parents(db) == [(1, "one", 10), (2, "two", 20)]
    dump = tmp_path / "backups" / "keepwell-before-0002.dump"
    assert [file.name for file in dump.parent.iterdir()] == [dump.name] and dump.stat().st_mode & 0o777 == 0o600
    again = opened("restored")
    programs = binaries()
    assert programs is not None
    subprocess.run(
        [programs / "pg_restore", "--no-owner", "-h", again.engine.url.query["host"], "-U", "keepwell",
         "-d", "restored", dump],
        check=True,
    )  # fmt: skip
    assert (revision(again), parents(again)) == (1, [(1, "one"), (2, "two")])
    migrate(again, packages[1])
    assert parents(again) == parents(db)


def test_without_pg_dump_it_is_refused_until_somebody_answers_for_a_backup(opened, packages, monkeypatch, tmp_path):
    db = opened()
    fill(db, packages[0])
    monkeypatch.setattr(backup.shutil, "which", lambda name: None)
    with pytest.raises(Conflict, match="KEEPWELL_BACKED_UP=1"):
        migrate(db, packages[1])
    monkeypatch.setattr(backup.shutil, "which", lambda name: "/bin/false")
    with pytest.raises(Conflict, match="pg_dump could not back up"):
        migrate(db, packages[1])
    assert revision(db) == 1 and list((tmp_path / "backups").iterdir()) == []
    told = opened(backups=False)
    migrate(told, packages[1])
    assert parents(told) == [(1, "one", 10), (2, "two", 20)]


def test_a_revision_that_fails_changes_nothing(opened, packages):
    db = opened(backups=False)
    fill(db, packages[0])
    with pytest.raises(Exception, match="nothing"):
        migrate(db, packages[2])
    assert (revision(db), parents(db)) == (1, [(1, "one"), (2, "two")])
    migrate(db, packages[1])
    assert revision(db) == 2


def test_newer_and_strange_databases_are_refused(opened, packages):
    db = opened(backups=False)
    migrate(db, packages[1])
    with pytest.raises(Conflict, match="newer Keepwell"):
        migrate(db, packages[0])
    strange = opened("strange")
    with write(strange) as tx:
        tx.exec_driver_sql("CREATE TABLE mine (id int)")
    with pytest.raises(Conflict, match="not made by a released Keepwell"):
        migrate(strange, packages[1])


RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from keepwell.core import failpoints
failpoints.arm(sys.argv[4])
from pathlib import Path
from keepwell.db import connect
from keepwell.db.migrate import migrate
sys.stdin.readline()
migrate(connect(sys.argv[2], backups=Path(sys.argv[5])), sys.argv[3])
"""


def start(tmp_path: Path, url: str, package: str, points: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(tmp_path / "packages"), url, package, points, str(tmp_path / "backups")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("filled", [False, True])
def test_eight_processes_migrate_at_once(opened, packages, postgres, tmp_path, filled):
    db = opened()
    if filled:
        fill(db, packages[0])
    racers = [start(tmp_path, postgres.url("house"), packages[1]) for _ in range(8)]
    said = [racer.communicate("go\n")[1] for racer in racers]
    assert said == [""] * 8
    assert revision(db) == 2
    assert parents(db) == ([(1, "one", 10), (2, "two", 20)] if filled else [])


def test_killed_anywhere_it_starts_again(opened, packages, postgres, tmp_path):
    """F09: killed at every point of a migration, each statement included, the old schema is whole; the next ends it."""
    fill(opened("base"), packages[0])
    undisturbed = opened("undisturbed", "base")
    said = start(tmp_path, postgres.url("undisturbed"), packages[1], "*:log").communicate("go\n")[1]
    from keepwell.testing.killing import reached

    points = reached(said)
    assert {name for name, _ in points} >= {"migrate.backed_up", "migrate.statement", "migrate.before_commit"}, said
    wanted = parents(undisturbed)
    crews = []
    for number, (point, nth) in enumerate(points):
        db = opened(f"killed{number}", "base")
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "packages").symlink_to(tmp_path / "packages")
        crews.append((db, start(tmp_path / str(number), postgres.url(f"killed{number}"), packages[1],
                                f"{point}:kill@{nth}"), point))  # fmt: skip
    for db, racer, point in crews:
        racer.communicate("go\n")
        assert racer.returncode == -9
        assert revision(db) == (2 if point == "migrate.after_commit" else 1)
        migrate(db, packages[1])
        assert parents(db) == wanted


def test_the_revisions_make_what_the_stores_declare(opened, postgres):
    opened()
    assert differences(url=postgres.url("house")) == []


def test_both_databases_have_the_same_tables(opened, postgres, tmp_path):
    """Tables, columns, keys, indexes and references: the same names, on SQLite and on PostgreSQL."""
    small = connect(f"sqlite:///{tmp_path / 'small.db'}")
    found = []
    for db in (small, opened()):
        migrate(db)
        with read(db) as tx:
            look = inspect(tx)
            found.append({
                table: {
                    "columns": {(c["name"], c["nullable"]) for c in look.get_columns(table)},
                    "key": look.get_pk_constraint(table)["constrained_columns"],
                    "indexes": {(i["name"], tuple(i["column_names"]), bool(i["unique"]))
                                for i in look.get_indexes(table) if "duplicates_constraint" not in i},
                    "unique": {tuple(u["column_names"]) for u in look.get_unique_constraints(table)},
                    "references": {(tuple(f["constrained_columns"]), f["referred_table"])
                                   for f in look.get_foreign_keys(table)},
                }
                for table in look.get_table_names()
            })  # fmt: skip
    assert json.dumps(found[0], default=sorted, sort_keys=True) == json.dumps(found[1], default=sorted, sort_keys=True)
    small.engine.dispose()
