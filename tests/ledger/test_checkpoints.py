from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from keepwell.core.errors import Conflict, Damaged, InvalidInput, NotFound
from keepwell.db import read, write
from keepwell.db.bulk import insert_rows
from keepwell.ledger import checkpoints, rules, service, store, verify
from keepwell.ledger.checkpoints import checkpoint, checkpoint_if_due, held, rotate_key, sign_checkpoint, signing_key
from keepwell.ledger.export import check, export
from keepwell.ledger.keys import load_or_make_key
from keepwell.ledger.model import Checkpoint


def test_a_checkpoint_signs_what_is_there(kit, filled):
    filled(7)
    signed = checkpoint(kit.db, kit.home, kit.call("person:ann"))
    assert signed.size == 8  # the first one records the key, too
    with read(kit.db) as tx:
        hashes = [e.hash for e in service.entries(tx, after=0)]
        assert signed.root == rules.root(rules.extend(rules.Frontier(), hashes))
        assert store.last_checkpoint(tx) == signed
        assert check(tx, held(tx, signed)).signed == 8
    assert json.loads((kit.home / "checkpoint.json").read_text())["size"] == 8


def test_the_same_entries_have_one_checkpoint(kit, filled):
    filled(2)
    first = checkpoint(kit.db, kit.home, kit.call("person:ann"))
    kit.clock.advance(timedelta(hours=1))
    assert checkpoint(kit.db, kit.home, kit.call("person:ann")) == first


def test_an_empty_ledger_starts_with_its_key(kit):
    signed = checkpoint(kit.db, kit.home, kit.call("person:ann"))
    with read(kit.db) as tx:
        (entry,) = service.entries(tx)
        assert (entry.kind, entry.subject) == ("ledger.key_added", f"key:{signed.key}")
        assert check(tx).ok


def test_due_every_so_many_entries(kit, filled):
    call = kit.call("service:worker")
    filled(9)
    assert checkpoint_if_due(kit.db, kit.home, call, every=10) is None
    filled(1)
    signed = checkpoint_if_due(kit.db, kit.home, call, every=10)
    assert isinstance(signed, Checkpoint)
    assert checkpoint_if_due(kit.db, kit.home, call, every=10) is None
    filled(10)
    assert checkpoint_if_due(kit.db, kit.home, call, every=10).size == 21


def test_the_tree_is_kept_not_made_again(kit, filled, monkeypatch):
    """A checkpoint reads the entries since the last one, however many there are before."""
    monkeypatch.setattr(checkpoints, "_CHUNK", 8)  # so that summing up ahead happens, too
    with write(kit.db) as tx:
        fake = [f"{number:064x}" for number in range(1, 60_001)]
        columns = ("seq", "at", "actor", "kind", "subject", "body", "previous", "hash")
        rows = [(n, "2026-01-01T00:00:00.000000Z", "a", "k", "s", "{}", h, h) for n, h in enumerate(fake, 1)]
        insert_rows(tx, store.entries, columns, rows)
        tree = rules.extend(rules.Frontier(), fake)
        store.write_frontier(tx, rules.Frontier(), tree)
    filled(20)
    started = time.thread_time()
    signed = checkpoint(kit.db, kit.home, kit.call("person:ann"))
    assert time.thread_time() - started < 0.25  # 60,000 leaves alone take longer to hash
    with read(kit.db) as tx:
        new = [e.hash for e in service.entries(tx, after=60_000)]
        assert signed.root == rules.root(rules.extend(tree, new))
        assert store.read_frontier(tx).size == signed.size == 60_021
        trail = held(tx, signed)["trail"]
        assert trail["every"] == 15
        assert trail["hashes"][:16] == fake[14][:16]


def test_a_tree_summed_up_meanwhile_is_not_overwritten(kit):
    with write(kit.db) as tx:
        one, two = rules.extend(rules.Frontier(), ["0" * 64]), rules.extend(rules.Frontier(), ["0" * 64, "1" * 64])
        assert store.write_frontier(tx, rules.Frontier(), two)
        assert not store.write_frontier(tx, one, two)
        assert not store.write_frontier(tx, rules.Frontier(), one)
        assert store.read_frontier(tx) == two


def test_rotation_keeps_every_signature_good(kit, filled, tmp_path):
    filled(3)
    old = checkpoint(kit.db, kit.home, kit.call("person:ann"))
    with read(kit.db) as tx:
        kept_old = held(tx, old)
    added = rotate_key(kit.db, kit.home, kit.call("person:ann"))
    assert added.introduced_by == old.key
    filled(3)
    new = checkpoint(kit.db, kit.home, kit.call("person:ann"))
    assert new.key == added.key != old.key
    with read(kit.db) as tx:
        kept_new = held(tx, new)
        for kept in (None, kept_old, kept_new):
            report = check(tx, kept)
            assert report.ok, report.what
            assert (report.key, report.signed) == (new.key, new.size)
        assert [key.key for key in store.all_keys(tx)] == [old.key, new.key]
    export(kit.db, tmp_path / "out", signing_key(kit.db, kit.home), kit.call("person:ann"))
    (tmp_path / "old.json").write_text(json.dumps(kept_old))
    assert verify.verify(tmp_path / "out", tmp_path / "old.json").ok


def test_a_key_out_of_use_signs_nothing(kit, filled):
    old = load_or_make_key(kit.home)
    checkpoint(kit.db, kit.home, kit.call("person:ann"))
    rotate_key(kit.db, kit.home, kit.call("person:ann"))
    with pytest.raises(Conflict, match="not in use"), write(kit.db) as tx:
        sign_checkpoint(tx, kit.call("person:ann"), old)


def test_a_lost_key_is_loud(kit, filled):
    filled(2)
    signed = checkpoint(kit.db, kit.home, kit.call("person:ann"))
    with read(kit.db) as tx:
        kept = held(tx, signed)
    with pytest.raises(Conflict, match="not lost"):
        rotate_key(kit.db, kit.home, kit.call("person:ann"), lost=True)
    shutil.rmtree(kit.home / "keys")
    filled(2)
    with pytest.raises(Damaged, match=r"is not in .* start a new key"):
        checkpoint(kit.db, kit.home, kit.call("person:ann"))
    with pytest.raises(Damaged):
        rotate_key(kit.db, kit.home, kit.call("person:ann"))
    added = rotate_key(kit.db, kit.home, kit.call("person:ann"), lost=True)
    assert added.introduced_by is None
    checkpoint(kit.db, kit.home, kit.call("person:ann"))
    with read(kit.db) as tx:
        report = check(tx)
        assert report.ok
        assert any("older key was lost" in remark for remark in report.remarks)
        against = check(tx, kept)  # who holds the old key sees that nothing ties the new one to it
        assert (against.ok, against.first_bad) == (False, signed.size + 1)
        assert "never introduced" in against.what


def test_the_key_file_is_its_owners(kit):
    key = signing_key(kit.db, kit.home)
    place = kit.home / "keys" / f"ledger-{key.key}.key"
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert place.read_text().strip() not in repr(key)
    place.chmod(0o640)
    with pytest.raises(InvalidInput, match="chmod 600"):
        load_or_make_key(kit.home, key.key)
    place.chmod(0o600)
    place.write_text("nonsense")
    with pytest.raises(Damaged, match="not a signing key"):
        load_or_make_key(kit.home, key.key)
    place.write_text("00" * 32)
    with pytest.raises(Damaged, match="another key"):
        load_or_make_key(kit.home, key.key)


RACER = """
import sys
from keepwell.bootstrap import open_house
from keepwell.ledger.checkpoints import checkpoint
from keepwell.settings import read_settings
sys.stdin.readline()
kit = open_house(read_settings(sys.argv[1], {}))
print(checkpoint(kit.db, kit.home, kit.call("person:ann")).key)
"""


def test_processes_that_all_make_the_first_key(tmp_path):
    home = str(tmp_path / "home")
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, home], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = {racer.communicate("go\n")[0] for racer in racers}
    assert len(said) == 1
    assert len(list((tmp_path / "home" / "keys").glob("ledger-*.key"))) == 1


def test_a_copy_outside_is_never_replaced_by_an_older_one(kit, tmp_path):
    place = tmp_path / "checkpoint.json"
    checkpoints.keep(place, {"size": 5})
    checkpoints.keep(place, {"size": 4})
    assert checkpoints.kept_size(place) == 5
    place.write_text("torn{")
    assert checkpoints.kept_size(place) is None
    checkpoints.keep(place, {"size": 4})
    assert checkpoints.kept_size(place) == 4
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".check")] == []


def test_a_checkpoint_of_an_unknown_key_cannot_be_handed_out(kit):
    signed = checkpoint(kit.db, kit.home, kit.call("person:ann"))
    with read(kit.db) as tx, pytest.raises(NotFound):
        held(tx, Checkpoint(signed.size, signed.root, signed.at, "f" * 16, signed.signature))


def test_export_refuses_what_is_there(kit, filled, tmp_path):
    filled(6)
    key, call = signing_key(kit.db, kit.home), kit.call("person:ann")
    summary = export(kit.db, tmp_path / "new" / "out", key, call)
    assert (summary.entries, summary.notes, summary.checkpoints) == (7, 2, 1)
    names = {"entries.jsonl", "checkpoints.jsonl", "keys.json", "README.txt", "verify.py"}
    assert {file.name for file in (tmp_path / "new" / "out").iterdir()} == names
    with pytest.raises(Conflict, match="there already"):
        export(kit.db, tmp_path / "new" / "out", key, call)
    (tmp_path / "empty").mkdir()
    assert export(kit.db, tmp_path / "empty", key, call, notes=False).notes == 0
    assert "because" not in (tmp_path / "empty" / "entries.jsonl").read_text()
    assert verify.verify(tmp_path / "empty").ok
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        export(kit.db, tmp_path / "file" / "out.zip", key, call)
    export(kit.db, tmp_path / "out.zip", key, call)
    with pytest.raises(Conflict):
        export(kit.db, tmp_path / "out.zip", key, call)
    assert sorted(f.name for f in tmp_path.iterdir() if f.name.startswith(".")) == []


def test_the_export_is_the_same_every_time(kit, filled, tmp_path):
    filled(5)
    key, call = signing_key(kit.db, kit.home), kit.call("person:ann")
    export(kit.db, tmp_path / "a.zip", key, call)
    export(kit.db, tmp_path / "b.zip", key, call)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_hundred_thousand_entries_verify_in_seconds(tmp_path):
    """Measured on lines made here, not through the database: the verifier alone."""
    lines, previous, tree = [], verify.GENESIS, verify.Tree()
    for seq in range(1, 20_001):
        entry = {"actor": "person:ann", "at": "2026-01-01T00:00:00.000000Z", "commitment": None, "kind": "thing.made",
                 "previous": previous, "seq": seq, "subject": f"thing:{seq}",
                 "body": {"number": seq, "share": seq / 7, "names": ["a", "b"]}}  # fmt: skip
        previous = hashlib.sha256(verify.canonical(entry)).hexdigest()
        tree.add(previous)
        lines.append(verify.canonical({**entry, "hash": previous}) + b"\n")
    started = time.process_time()
    report = verify.audit(verify.values(lines, "entries"), [], [])
    assert report.ok
    assert time.process_time() - started < 5  # a fifth of 100,000; about 0.5 s on an idle core
