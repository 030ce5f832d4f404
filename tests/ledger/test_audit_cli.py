"""`keepwell audit` and `keepwell fsck`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keepwell.cli import cli
from keepwell.core import errors


@pytest.fixture
def home(tmp_path: Path, kit, filled) -> Path:
    filled(12)
    kit.db.engine.dispose()
    return kit.home


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--home", str(home)])


def sentence(result: Result) -> str:
    assert isinstance(result.exception, errors.KeepwellError)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_hand_out_a_checkpoint_export_and_verify(home, kit, tmp_path):
    held, out = tmp_path / "held.json", tmp_path / "out.zip"
    assert "Signed 13 entries" in run(home, "audit", "checkpoint", "--out", str(held)).output
    assert json.loads(run(home, "audit", "checkpoint").output)["size"] == 13
    said = run(home, "audit", "export", str(out))
    assert said.exit_code == 0
    assert "13 entries, 3 notes" in said.output
    good = run(home, "audit", "verify", str(out), "--checkpoint", str(held))
    assert (good.exit_code, good.output.splitlines()[-1][:14]) == (0, "OK: 13 entries")
    assert run(home, "audit", "verify", "--checkpoint", str(held)).exit_code == 0  # the ledger itself
    with kit.write() as tx:
        tx.exec_driver_sql("UPDATE ledger_entries SET subject = 'thing:other' WHERE seq = 6")
    bad = run(home, "audit", "verify", "--checkpoint", str(held), "--json")
    assert bad.exit_code == 1
    assert json.loads(bad.output)["first_bad"] == 6
    shown = run(home, "audit", "verify")
    assert shown.exit_code == 1
    assert "Entry 6 was changed after it was written" in shown.output


def test_list_the_entries(home):
    assert len(run(home, "audit", "list").output.splitlines()) == 13
    found = json.loads(run(home, "audit", "list", "--subject", "thing:3", "--json").output)
    assert [(e["seq"], e["subject"]) for e in found] == [(4, "thing:3")]
    assert "no such entry" in run(home, "audit", "list", "--kind", "nothing").output
    page = json.loads(run(home, "audit", "list", "--before", "5", "--limit", "2", "--json").output)
    assert [e["seq"] for e in page] == [4, 3]


def test_rotate(home):
    assert "introduced by" in run(home, "audit", "rotate").output
    assert json.loads(run(home, "audit", "rotate", "--json").output)["seq"] == 15
    assert "not lost" in sentence(run(home, "audit", "rotate", "--lost"))


def test_bad_input_is_one_sentence(home, tmp_path):
    (tmp_path / "held.json").write_text("{")
    for arguments in (
        ("audit", "verify", "--checkpoint", str(tmp_path / "held.json")),
        ("audit", "verify", "--checkpoint", str(tmp_path / "nowhere")),
        ("audit", "checkpoint", "--out", str(tmp_path / "no" / "where")),
        ("audit", "export", str(home)),
    ):
        sentence(run(home, *arguments))
    assert run(home, "audit", "verify", str(tmp_path / "nowhere")).exit_code == 1


def test_fsck(home, kit):
    clean = run(home, "fsck")
    assert (clean.exit_code, "Clean" in clean.output) == (0, True)
    with kit.write() as tx:
        tx.exec_driver_sql("DELETE FROM outbox WHERE seq = 6")
    for arguments in (("fsck",), ("fsck", "--quick")):
        broken = run(home, *arguments)
        assert broken.exit_code == 8
        assert "I4  ledger:outbox" in broken.output
    found = json.loads(run(home, "fsck", "--json").stdout)
    assert (found["clean"], found["problems"][0]["invariant"]) == (False, "I4")
