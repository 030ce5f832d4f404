"""What a stranger with an export and a checkpoint can find out, by running the one file alone."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keepwell.ledger import verify

Line = dict[str, object]


def rehash(lines: list[Line], first: int, links: bool = True) -> None:
    """Make the hashes of the entries from number `first` on fit again, as a forger would."""
    for position in range(first - 1, len(lines)):
        line = lines[position]
        if links:
            line["previous"] = lines[position - 1]["hash"] if position else verify.GENESIS
        line["hash"] = hashlib.sha256(verify.canonical({name: line[name] for name in verify.HASHED})).hexdigest()
        if not links:
            return


def renumber(lines: list[Line]) -> None:
    for number, line in enumerate(lines, 1):
        line["seq"] = number


def write(folder: Path, lines: list[Line]) -> None:
    (folder / "entries.jsonl").write_bytes(b"".join(verify.canonical(line) + b"\n" for line in lines))


def resign(folder: Path, lines: list[Line]) -> str:
    """Replace key and checkpoints by new ones that fit the lines, and return the new key's id."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    key = verify.key_id(public)
    number = next(i for i, line in enumerate(lines) if line["kind"] == "ledger.key_added")
    lines[number]["body"] = {"introduced_by": None, "introduction": None, "key": key, "public": public}
    rehash(lines, number + 1)
    write(folder, lines)
    (folder / "keys.json").write_bytes(verify.canonical([lines[number]["body"]]))
    tree, made = verify.Tree(), []
    for line in lines:
        tree.add(str(line["hash"]))
        if tree.size in (21, 42, len(lines)):
            mark = {"at": line["at"], "key": key, "root": tree.root(), "size": tree.size}
            mark["signature"] = private.sign(verify.checkpoint_statement(mark)).hex()
            made.append(verify.canonical(mark) + b"\n")
    (folder / "checkpoints.jsonl").write_bytes(b"".join(made))
    return key


def run(folder: Path, held: Path | None) -> tuple[int, str]:
    """Run the file on its own, isolated: nothing of Keepwell can be imported."""
    script = shutil.copy(verify.__file__, folder.parent / "verify.py")
    command = [sys.executable, "-I", "-S", str(script), str(folder), *(["--checkpoint", str(held)] if held else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_alone_and_in_order(exported):
    code, said = run(exported.folder, exported.held)
    assert code == 0, said
    assert said.splitlines()[-1].startswith("OK: 60 entries, up to 2026-01-05T06:00:59.000000Z, signed by key ")
    assert said.splitlines()[-1].endswith("up to entry 60.")


def test_without_a_held_checkpoint_it_says_what_it_cannot_see(exported):
    code, said = run(exported.folder, None)
    assert code == 0
    assert "could not be seen" in said


EDITS: dict[str, Callable[[Line], object]] = {
    "actor": lambda _: "person:eve",
    "at": lambda _: "2026-01-05T06:00:00.000000Z",
    "body": lambda line: {**line["body"], "share": 0.5},
    "commitment": lambda _: "0" * 64,
    "hash": lambda _: "1" * 64,
    "kind": lambda _: "thing.approved",
    "note": lambda _: "because I say so",
    "previous": lambda _: "2" * 64,
    "salt": lambda _: "3" * 64,
    "subject": lambda _: "thing:other",
}


@pytest.mark.parametrize("field", sorted(EDITS))
@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_an_edit_of_any_field(exported, field, with_checkpoint):
    lines = exported.lines()
    target = lines[31]  # entry 32, with a note
    assert "note" in target
    target[field] = EDITS[field](target)
    write(exported.folder, lines)
    report = verify.verify(exported.folder, exported.held if with_checkpoint else None)
    assert not report.ok
    assert report.first_bad == 32, report.what
    assert report.what.startswith("Entry 32 ")
    assert report.entries == 31
    assert "only 31 entries" in report.last_line()


def test_edited_number(exported):
    lines = exported.lines()
    lines[32]["seq"] = 34
    write(exported.folder, lines)
    assert verify.verify(exported.folder, None).first_bad == 33


@pytest.mark.parametrize("field", sorted(verify.FIELDS))
def test_a_field_removed_or_of_another_type(exported, field):
    for change in (None, [], {"a": 1}, True, 1.5):
        lines = exported.lines()
        if change is None:
            del lines[11][field]
        elif not (field == "body" and isinstance(change, dict)):
            lines[11][field] = change
        else:
            continue
        write(exported.folder, lines)
        report = verify.verify(exported.folder, None)
        assert (report.ok, report.first_bad) == (False, 12), report.what


def test_a_cut_tail(exported):
    write(exported.folder, exported.lines()[:30])
    assert verify.verify(exported.folder, None).first_bad == 31  # by the export's own checkpoints
    shutil.copy(exported.folder / "checkpoints.jsonl", exported.folder / "old")
    first = (exported.folder / "checkpoints.jsonl").read_bytes().splitlines(keepends=True)[0]
    (exported.folder / "checkpoints.jsonl").write_bytes(first)
    assert verify.verify(exported.folder, None).ok  # nothing inside the export can tell
    report = verify.verify(exported.folder, exported.held)
    assert report.first_bad == 31
    assert "older database was restored" in report.what
    assert report.entries == 30


def test_a_tail_cut_within_a_line(exported):
    data = (exported.folder / "entries.jsonl").read_bytes()
    (exported.folder / "entries.jsonl").write_bytes(data[:-40])
    report = verify.verify(exported.folder, exported.held)
    assert report.first_bad == 60
    assert "not whole JSON" in report.what


def test_a_cut_middle(exported):
    lines = exported.lines()
    write(exported.folder, lines[:20] + lines[25:])
    report = verify.verify(exported.folder, exported.held)
    assert report.first_bad == 21
    assert "cut out or moved" in report.what


def test_a_cut_middle_renumbered(exported):
    lines = exported.lines()
    lines = lines[:20] + lines[25:]
    renumber(lines)
    write(exported.folder, lines)
    assert verify.verify(exported.folder, exported.held).first_bad == 21


def test_a_swap(exported):
    lines = exported.lines()
    lines[9], lines[10] = lines[10], lines[9]
    write(exported.folder, lines)
    assert verify.verify(exported.folder, exported.held).first_bad == 10
    renumber(lines)
    write(exported.folder, lines)
    assert verify.verify(exported.folder, exported.held).first_bad == 10
    rehash(lines, 10)
    write(exported.folder, lines)
    assert verify.verify(exported.folder, exported.held).first_bad == 10


def test_an_insert(exported):
    lines = exported.lines()
    lines.insert(14, {**copy.deepcopy(lines[13]), "subject": "thing:evil"})
    write(exported.folder, lines)
    report = verify.verify(exported.folder, exported.held)
    assert report.first_bad == 15
    assert "insert or a fork" in report.what
    renumber(lines)
    rehash(lines, 15)
    write(exported.folder, lines)
    assert verify.verify(exported.folder, exported.held).first_bad == 15


def test_a_fork(exported):
    lines = exported.lines()
    lines[20]["previous"] = lines[18]["hash"]  # entry 21 follows 19, as 20 does
    rehash(lines, 21, links=False)
    write(exported.folder, lines)
    report = verify.verify(exported.folder, exported.held)
    assert report.first_bad == 21
    assert "forked" in report.what


def test_an_entry_rehashed_alone_is_named_by_the_held_trail(exported):
    lines = exported.lines()
    lines[16]["actor"] = "person:eve"
    rehash(lines, 17, links=False)
    write(exported.folder, lines)
    without = verify.verify(exported.folder, None)
    assert (without.first_bad, without.entries) == (18, 17)
    assert verify.verify(exported.folder, exported.held).first_bad == 17


def test_a_full_rewrite_with_hashes_made_anew(exported):
    lines = exported.lines()
    lines[4]["body"] = {"number": 999}
    rehash(lines, 5)
    write(exported.folder, lines)
    report = verify.verify(exported.folder, exported.held)
    assert report.first_bad == 5
    assert "the ledger was rewritten from here on" in report.what
    assert report.entries == 4
    without = verify.verify(exported.folder, None)  # the export's own checkpoint over 21 narrows it
    assert without.first_bad == 1
    assert "up to entry 21" in without.what


def test_a_rewrite_signed_anew_by_another_key(exported):
    lines = exported.lines()
    lines[4]["body"] = {"number": 999}
    rehash(lines, 5)
    resign(exported.folder, lines)
    assert verify.verify(exported.folder, None).ok  # it is whole in itself: only a held checkpoint can tell
    report = verify.verify(exported.folder, exported.held)
    assert report.first_bad == 5


def test_checkpoints_signed_anew_over_true_entries(exported):
    """Entries after the held checkpoint rewritten, under a key that the held one never introduced."""
    lines = exported.lines()
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    body = {"introduced_by": None, "introduction": None, "key": verify.key_id(public), "public": public}
    lines = lines[:50]
    lines.append({**copy.deepcopy(lines[49]), "kind": "ledger.key_added", "seq": 51, "body": body})
    rehash(lines, 51)
    write(exported.folder, lines)
    tree = verify.Tree()
    for line in lines:
        tree.add(str(line["hash"]))
    mark = {"at": lines[-1]["at"], "key": body["key"], "root": tree.root(), "size": 51}
    mark["signature"] = private.sign(verify.checkpoint_statement(mark)).hex()
    kept = (exported.folder / "checkpoints.jsonl").read_bytes().splitlines(keepends=True)[:2]
    (exported.folder / "checkpoints.jsonl").write_bytes(b"".join(kept) + verify.canonical(mark) + b"\n")
    keys = json.loads((exported.folder / "keys.json").read_text())
    (exported.folder / "keys.json").write_bytes(verify.canonical([*keys, body]))
    report = verify.verify(exported.folder, exported.held)
    assert report.first_bad == 43
    assert "never introduced" in report.what
    trusting = verify.verify(exported.folder, None)
    assert trusting.ok
    assert any("older key was lost" in remark for remark in trusting.remarks)


def test_an_older_database_restored_and_used_again(exported):
    lines = exported.lines()[:35]
    for number in range(36, 61):
        lines.append({**copy.deepcopy(lines[34]), "seq": number, "subject": f"thing:after-{number}"})
    rehash(lines, 36)
    write(exported.folder, lines)
    assert verify.verify(exported.folder, exported.held).first_bad == 36


@pytest.mark.parametrize("name", ["entries.jsonl", "checkpoints.jsonl", "keys.json"])
def test_a_file_taken_out(exported, name):
    (exported.folder / name).unlink()
    code, said = run(exported.folder, exported.held)
    assert code == 1
    assert name in said


def test_a_changed_checkpoint_of_the_export(exported):
    place = exported.folder / "checkpoints.jsonl"
    marks = [json.loads(line) for line in place.read_text().splitlines()]
    marks[0]["at"] = "2025-01-01T00:00:00.000000Z"
    place.write_bytes(b"".join(verify.canonical(mark) + b"\n" for mark in marks))
    report = verify.verify(exported.folder, exported.held)
    assert not report.ok
    assert "over the first 21 entries has a signature that is not by key" in report.what


def test_a_changed_list_of_keys(exported):
    (exported.folder / "keys.json").write_bytes(b"[]")
    assert "keys.json" in verify.verify(exported.folder, exported.held).what
    (exported.folder / "keys.json").write_bytes(b'[{"key":[]}]')
    assert "keys.json" in verify.verify(exported.folder, exported.held).what


@pytest.mark.parametrize(
    "change",
    [
        {"size": 41}, {"size": 0}, {"size": "42"}, {"root": "0" * 64}, {"public": "0" * 64}, {"public": None},
        {"at": "yesterday"}, {"signature": "0" * 128}, {"trail": {"every": 0, "hashes": ""}}, {"trail": []},
    ],
)  # fmt: skip
def test_a_changed_checkpoint_file(exported, change):
    held = json.loads(exported.held.read_text())
    exported.held.write_text(json.dumps({**held, **change}))
    report = verify.verify(exported.folder, exported.held)
    assert not report.ok
    assert report.what.startswith("The checkpoint file")


@pytest.mark.parametrize("data", [b"", b"{", b"[1,2]", b"\xff\xfe", b'{"size":1,"size":2}', b"[" * 100_000])
def test_a_checkpoint_file_that_is_none(exported, data):
    exported.held.write_bytes(data)
    code, said = run(exported.folder, exported.held)
    assert code == 1
    assert "checkpoint file" in said


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"seq":1,"seq":1}', "twice"),
        (b'{"seq":NaN}', "NaN"),
        (b'{"seq":-Infinity}', "Infinity"),
        (b'{"seq":9007199254740993}', "too large"),
        (b'{"seq":' + b"9" * 5000 + b"}", "too large"),
        (b'{"seq":1e999}', "not written as Keepwell writes it"),
        (b'{"seq": 1}', "not written as Keepwell writes it"),
        (b'{"a":"\\ud800"}', "not written as Keepwell writes it"),
        (b"\xff", "not whole JSON"),
        (b"", "not whole JSON"),
        (b'{"a":' * 50_000, "not whole JSON"),
        (b"7", "not an entry"),
    ],
)
def test_lines_that_are_not_strict_json(exported, line, why):
    place = exported.folder / "entries.jsonl"
    rest = place.read_bytes().splitlines(keepends=True)
    rest[6] = line + b"\n"
    place.write_bytes(b"".join(rest))
    report = verify.verify(exported.folder, exported.held)
    assert (report.ok, report.first_bad) == (False, 7)
    assert why in report.what


def test_notes_may_be_left_out(exported):
    lines = [{k: v for k, v in line.items() if k not in ("note", "salt")} for line in exported.lines()]
    write(exported.folder, lines)
    report = verify.verify(exported.folder, exported.held)
    assert report.ok, report.what
    assert any("left out, or erased" in remark for remark in report.remarks)


def test_a_zip_and_a_torn_zip(exported, tmp_path):
    shutil.make_archive(str(tmp_path / "packed"), "zip", exported.folder)
    packed = tmp_path / "packed.zip"
    assert run(packed, exported.held)[0] == 0
    data = packed.read_bytes()
    packed.write_bytes(data[: len(data) // 2])
    assert run(packed, exported.held)[0] == 1
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        middle = archive.getinfo("entries.jsonl").header_offset + 500
    packed.write_bytes(data[:middle] + bytes(b ^ 255 for b in data[middle : middle + 64]) + data[middle + 64 :])
    assert run(packed, exported.held)[0] == 1
    assert run(tmp_path / "nowhere", None)[0] == 1


def test_json_report(exported):
    script = verify.__file__
    done = subprocess.run(
        [sys.executable, "-I", script, str(exported.folder), "--checkpoint", str(exported.held), "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["entries"] == 60
