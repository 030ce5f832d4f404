"""fsck names what was planted, and says nothing of a house that is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from keepwell.db import read, write
from keepwell.flows import gc
from keepwell.flows.fsck import fsck, remarks
from keepwell.flows.kit import Kit
from keepwell.flows.receive import receive, settle
from keepwell.governance.charters import current_charter
from keepwell.ledger import outbox, verify
from keepwell.ledger.checkpoints import checkpoint, rotate_key
from keepwell.models import registry
from keepwell.models import service as models
from keepwell.testing.fleets import generated_fleet
from keepwell.testing.walks import ACTOR, WALKS, house


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A house with dataset versions, a quarantined and a settled arrival, two generations of a fleet, two keys."""
    base = tmp_path_factory.mktemp("fsck")
    kit = house(base / "home", seed=3)
    (base / "inputs").mkdir()
    WALKS["receive"].prepare(kit, base / "inputs")
    with read(kit.db) as tx:
        applied = current_charter(tx, "stands")
    received = receive(kit, applied, ACTOR)
    settle(kit, received.quarantined[0].id, ACTOR, "release", "it was meant in hundreds")
    fleet = generated_fleet(kit, 6, versions=2)
    with kit.write() as tx:
        segments = list(fleet.certified[-1].versions)
        before = models.previous_versions(tx, "generated", "test", segments)
        back = [segment for segment, version in before.items() if version]
        assert back
        models.roll_back(tx, kit.call(ACTOR), "generated", "test", back, "to see")
    WALKS["registry"].prepare(kit, base / "inputs")
    WALKS["registry"].act(kit, base / "inputs", "walked")
    given_up(kit)
    checkpoint(kit.db, kit.home, kit.call(ACTOR))
    rotate_key(kit.db, kit.home, kit.call(ACTOR))
    with kit.write() as tx:
        outbox.claim(tx, kit.call(ACTOR), limit=3)
    kit.db.engine.dispose()
    return base / "home"


def given_up(kit: Kit) -> None:
    """A model that was deleted and whose bytes were freed: a tombstone."""
    digest = kit.blobs.put(b"given up")
    with kit.write() as tx:
        registry.create_model(tx, kit.call(ACTOR), "gone")
        registry.create_version(tx, kit.call(ACTOR), "gone", registry.Origin(digest, 8))
        registry.delete_model(tx, kit.call(ACTOR), "gone")
    kit.clock.advance(timedelta(seconds=1))
    os.utime(kit.blobs.path(digest), (1_700_000_000, 1_700_000_000))
    assert gc.run(kit, ACTOR, timedelta(0)).blobs == 1


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Kit:
    shutil.copytree(whole, tmp_path / "home")
    return house(tmp_path / "home", seed=4)


def run(kit: Kit, *statements: str) -> None:
    with kit.db.engine.connect() as raw:
        raw.exec_driver_sql("PRAGMA foreign_keys=OFF")
        raw.exec_driver_sql("PRAGMA query_only=OFF")
        for statement in statements:
            raw.exec_driver_sql(statement)
        raw.commit()


def test_a_whole_house_is_clean(home):
    assert fsck(home) == []
    assert fsck(home, quick=True) == []
    assert all(isinstance(remark, str) for remark in remarks(home))


def test_an_empty_house_is_clean(kit):
    assert fsck(kit) == []


PLANTED = {
    "an edited entry": ("I4", "UPDATE ledger_entries SET actor = 'person:eve' WHERE seq = 3", False),
    "an entry cut out": ("I4", "DELETE FROM ledger_entries WHERE seq = 4", True),
    "the tail cut": ("I4", "DELETE FROM ledger_entries WHERE seq > 9", True),
    "an edited note": ("I4", "UPDATE ledger_notes SET note = note || '!'", False),
    "a stray note": ("I4", "INSERT INTO ledger_notes VALUES (9999, 'x', x'00')", True),
    "no outbox row": ("I4", "DELETE FROM outbox WHERE seq = 2", True),
    "an edited root": ("I4", "UPDATE ledger_checkpoints SET root = hash FROM ledger_entries", False),
    "an edited tree": ("I4", "UPDATE ledger_frontier SET peaks = replace(peaks, 'a', 'b')", True),
    "a key nobody added": ("I4", "UPDATE ledger_keys SET introduction = NULL", False),
    "an answer torn": ("I6", "INSERT INTO idempotency VALUES ('a', 'k', 'sha256:x', '{\"a', 't')", True),
    "an answer for no request": ("I6", "INSERT INTO idempotency VALUES ('a', 'k', 'x', '1', 't')", True),
    "a dataset version gone": ("I3", "DELETE FROM dataset_versions WHERE number = 1", True),
    "a dataset version without entry": ("I4", "UPDATE dataset_versions SET id = 'dsv_x' WHERE number = 2", True),
    "a parent that is none": ("I3", "UPDATE dataset_versions SET parent = NULL WHERE number = 2", True),
    "an arrival gone": ("I4", "DELETE FROM dataset_arrivals WHERE seq = 4", True),
    "an arrival settled in secret": ("I4", "UPDATE dataset_arrivals SET state = 'rejected' WHERE seq = 1", True),
    "a manifest that is not stored": ("I1", f"UPDATE dataset_versions SET manifest = 'sha256:{'0' * 64}'", True),
    "a number skipped": ("I3", "UPDATE model_versions SET number = 7 WHERE number = 2", True),
    "a version gone": ("I3", "DELETE FROM model_versions WHERE number = 2", True),
    "a batch that counts wrong": ("I3", "UPDATE model_batches SET count = count + 1", True),
    "a batch without entry": (
        "I4",
        "UPDATE model_batches SET id = 'bat_x' WHERE seq = (SELECT min(seq) FROM model_batches)",
        True,
    ),
    "a last number forgotten": ("I3", "UPDATE fleet_members SET last = last - 1", True),
    "a count of versions that is wrong": ("I3", "UPDATE fleet_members SET versions = versions + 1", True),
    "a version deleted in secret": (
        "I3",
        "UPDATE model_versions SET deleted_at = '2026' WHERE model = 'iris' AND number = 3",
        True,
    ),
    "an alias moved in secret": ("I5", "UPDATE model_aliases SET number = 2 WHERE until IS NULL", True),
    "an alias that came back": (
        "I5",
        "UPDATE model_aliases SET until = NULL WHERE key = 'old'; "
        "UPDATE model_aliases SET until = since WHERE key = 'best' AND until IS NULL; "
        "UPDATE model_aliases SET until = NULL WHERE seq = "
        "(SELECT min(seq) FROM model_aliases WHERE key = 'best')",
        True,
    ),
    "an alias set in secret": ("I5", "UPDATE model_aliases SET seq = 1 WHERE key = 'best' AND until IS NULL", True),
    "a stage set in secret": ("I5", "UPDATE version_details SET stage = 'Archived' WHERE stage = 'Production'", True),
    "a stage held by a deleted version": (
        "I5",
        "UPDATE model_versions SET deleted_at = '2026' WHERE id IN (SELECT version FROM version_stages)",
        True,
    ),
    "a file of a version that is not stored": (
        "I1",
        "UPDATE model_batches SET freed_at = NULL WHERE model = 'gone'",
        True,
    ),
    "a run erased in secret": (
        "I4",
        "DELETE FROM run_params; DELETE FROM run_metrics; DELETE FROM artifacts; "
        "DELETE FROM run_tags; DELETE FROM run_inputs; DELETE FROM metric_log; "
        "DELETE FROM metric_chunks; DELETE FROM runs",
        True,
    ),
    "a fleet's list that is stale": ("I3", "UPDATE fleet_members SET number = 1", True),
    "a member not listed": ("I3", "DELETE FROM fleet_members", True),
    "an artifact of other bytes": ("I1", f"UPDATE model_versions SET artifact = 'sha256:{'0' * 64}'", False),
    "bytes outside of the pack": ("I1", "UPDATE model_versions SET offset = 1000000", True),
    "no champion": ("I5", "UPDATE champions SET until = since WHERE until IS NULL", True),
    "an older champion": (
        "I5",
        "UPDATE champions SET until = since WHERE until IS NULL AND environment = 'prod'; "
        "UPDATE champions SET until = NULL WHERE seq = (SELECT min(seq) FROM champions WHERE environment = 'prod')",
        True,
    ),
    "a champion of another segment": ("I5", "UPDATE champions SET segment = segment || 'x'", True),
    "a state that is not so": ("I5", "UPDATE model_versions SET state = 'registered' WHERE state = 'promoted'", True),
    "a promotion without entry": ("I5", "UPDATE champions SET seq = seq + 100", True),
    "an incident opened again in secret": ("I4", "UPDATE incidents SET state = 'open'", True),
    "an incident gone": ("I4", "DELETE FROM incidents", True),
    "a tick that nobody recorded": (
        "I4",
        "INSERT INTO loop_fleets VALUES ('f', '[]'); "
        "INSERT INTO loop_ticks (id, model, number, at, actor, charter, state, fleet, size, counts) "
        "VALUES ('tick_x', 'm', 1, 'a', 'a', 'c', 's', 'f', 0, '{}')",
        True,
    ),
    "a row that refers to nothing": ("database", "DELETE FROM model_batches", True),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_planted_is_found(home, name):
    invariant, statement, quick_too = PLANTED[name]
    run(home, *filter(None, (part.strip() for part in statement.split(";"))))
    found = fsck(home)
    assert invariant in {problem.invariant for problem in found}, found
    assert all(problem.wrong.endswith(".") and problem.subject.count(":") >= 1 for problem in found)
    if quick_too:
        assert fsck(home, quick=True)


def place_of(kit: Kit, digest: str) -> Path:
    return kit.home / "blobs" / digest[7:9] / digest[9:]


def test_bytes_that_rotted_or_went(home):
    with read(home.db) as tx:
        pack = tx.exec_driver_sql("SELECT pack FROM model_batches").scalars().first()
        part = tx.exec_driver_sql("SELECT part FROM dataset_arrivals WHERE part IS NOT NULL").scalars().first()
    data = place_of(home, pack).read_bytes()
    place_of(home, pack).chmod(0o600)
    place_of(home, pack).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    found = fsck(home)
    assert {p.invariant for p in found} == {"I1", "I2"}
    assert fsck(home, quick=True) == []  # nothing is hashed
    place_of(home, pack).write_bytes(data)
    place_of(home, part).unlink()
    assert {p.invariant for p in fsck(home)} == {p.invariant for p in fsck(home, quick=True)} == {"I1"}


def test_orphans_are_no_problem(home):
    home.blobs.put(b"nobody needs this")
    assert fsck(home) == []


def test_a_key_that_is_lost(home):
    shutil.rmtree(home.home / "keys")
    assert [p.invariant for p in fsck(home)] == ["I4"]


def test_an_older_database_restored(home, whole, tmp_path):
    """The copy of the last checkpoint outside of the database tells that it was turned back."""
    home.db.engine.dispose()
    shutil.copy(home.home / "keepwell.db", tmp_path / "old.db")
    kit = house(home.home, seed=5)
    generated_fleet(kit, 2, model="later")
    checkpoint(kit.db, kit.home, kit.call(ACTOR))
    kit.db.engine.dispose()
    shutil.copy(tmp_path / "old.db", home.home / "keepwell.db")
    found = fsck(house(home.home, seed=6), quick=True)
    assert any("older database was restored" in problem.wrong for problem in found)
    (home.home / "checkpoint.json").write_text("torn{")
    assert any("damaged" in problem.wrong for problem in fsck(house(home.home, seed=6), quick=True))


def test_the_whole_ledger_written_anew(home):
    """Every hash recomputed and every checkpoint removed: the kept checkpoint still tells."""
    with write(home.db) as tx:
        previous = verify.GENESIS
        for row in tx.exec_driver_sql("SELECT * FROM ledger_entries ORDER BY seq").mappings().all():
            entry = {**row, "body": json.loads(row["body"]), "previous": previous}
            entry["actor"] = "person:eve" if entry["seq"] == 5 else entry["actor"]
            previous = hashlib.sha256(verify.canonical({name: entry[name] for name in verify.HASHED})).hexdigest()
            tx.exec_driver_sql(
                "UPDATE ledger_entries SET actor = ?, previous = ?, hash = ? WHERE seq = ?",
                (entry["actor"], entry["previous"], previous, entry["seq"]),
            )
        tx.exec_driver_sql("DELETE FROM ledger_checkpoints")
        tx.exec_driver_sql("DELETE FROM ledger_frontier")
    (problem,) = [p for p in fsck(home) if p.invariant == "I4"]
    assert problem.subject == "entry:5"
    assert "rewritten from here on" in problem.wrong
