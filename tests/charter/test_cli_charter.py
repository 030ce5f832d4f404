"""`keepwell charter` end to end: exit codes, words on stdout, and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keepwell.cli import main

SMALL = "model: demand\ndata: {dataset: sales, time: week, target: units, keys: [store], source: 'in/*.csv'}\n"


class Ended:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> object:
        return json.loads(self.out)


@pytest.fixture
def keepwell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEEPWELL_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["keepwell", "charter", *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ended(code, out, err)

    (tmp_path / "charter.yaml").write_text(SMALL)
    (tmp_path / "bad.yaml").write_text(SMALL + "onwer: {}\nsegments: [region]\n")
    return run


def test_check_says_good(keepwell) -> None:  # type: ignore[no-untyped-def]
    done = keepwell("check", "charter.yaml")
    assert (done.code, done.out) == (0, "charter.yaml: good.\n")
    assert keepwell("check", "charter.yaml", "--json").json == {"file": "charter.yaml", "ok": True, "findings": []}


def test_check_names_file_line_and_clause(keepwell) -> None:  # type: ignore[no-untyped-def]
    done = keepwell("check", "bad.yaml")
    assert done.code == 2
    lines = done.out.splitlines()
    assert lines[0] == "bad.yaml:3: onwer: There is no field 'onwer' here. Did you mean 'owner'?"
    assert lines[1].startswith("bad.yaml:4: warning: segments[0]: 'region' has no role")
    assert lines[2] == "bad.yaml: 1 to correct (1 to look at)."
    found = keepwell("check", "bad.yaml", "--json")
    assert found.code == 2
    assert found.json["findings"][0]["line"] == 3
    assert found.json["findings"][0]["file"] == "bad.yaml"


def test_check_knows_the_columns_of_a_source_that_is_there(keepwell, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_bytes(b"\xef\xbb\xbfweek,unit,store\r2026-01-05,1,2\r")
    done = keepwell("check", "charter.yaml")
    assert done.code == 2
    assert (
        "charter.yaml:2: data.target: The source has no column 'units', and nothing makes it. Did you mean 'unit'?"
        in done.out
    )
    assert keepwell("check", str(tmp_path / "charter.yaml")).code == 2
    absolute = SMALL.replace("in/*.csv", str(tmp_path / "in" / "*.csv"))
    (tmp_path / "charter.yaml").write_text(absolute)
    assert keepwell("check", "charter.yaml").code == 2
    for content in (b"week", b"\xff\xfe,x"):
        (tmp_path / "in" / "a.csv").write_bytes(content)
        assert keepwell("check", "charter.yaml").code == 0
    (tmp_path / "charter.yaml").write_text(absolute.replace("source:", "format: parquet, source:"))
    assert keepwell("check", "charter.yaml").code == 0


def test_check_reads_the_contract_that_is_named(keepwell, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "charter.yaml").write_text(SMALL.replace("time:", "contract: contract.yaml, time:"))
    missing = keepwell("check", "charter.yaml")
    assert (missing.code, "data.contract: The contract contract.yaml cannot be read" in missing.out) == (2, True)
    (tmp_path / "contract.yaml").write_text("keys_unique: true\nrows: {min: -1}\n")
    assert keepwell("check", "charter.yaml").out.startswith("contract.yaml:2: rows.min: -1 is out of bounds.")
    assert keepwell("check", "--contract", "contract.yaml").code == 2
    refused = keepwell("explain", "charter.yaml")
    assert (refused.code, refused.err.startswith("keepwell: contract.yaml:2: rows.min")) == (2, True)
    (tmp_path / "contract.yaml").write_text("keys_unique: true\n")
    assert keepwell("check", "charter.yaml").code == 0


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [(None, 3, "no such file"), (b"\xff", 2, "UTF-8"), (b"#" * 1_000_001, 2, "larger"), (b"", 2, "empty")],
)
def test_files_that_cannot_be_read(keepwell, tmp_path: Path, content: bytes | None, code: int, words: str) -> None:  # type: ignore[no-untyped-def]
    if content is not None:
        (tmp_path / "odd.yaml").write_bytes(content)
    for verb in ("check", "explain", "apply"):
        done = keepwell(verb, "odd.yaml")
        assert done.code == code
        assert words in done.out + done.err
    assert keepwell("check", ".").code == 2
    assert keepwell("check", "a\0b").code == 2


def test_schema_is_json(keepwell) -> None:  # type: ignore[no-untyped-def]
    assert keepwell("schema").json["title"] == "Keepwell charter"
    assert keepwell("schema", "--contract").json["title"] == "Keepwell data contract"


def test_explain_tells_moments_from_now(keepwell) -> None:  # type: ignore[no-untyped-def]
    done = keepwell("explain", "charter.yaml", "--now", "2026-01-05T06:00Z")
    assert "next at 2026-01-12 05:00" in done.out
    assert done.out.splitlines()[0] == "Model"
    assert keepwell("explain", "charter.yaml", "--json").json[0]["heading"] == "Model"
    assert keepwell("explain", "charter.yaml", "--now", "soon").code == 2


def test_apply_list_show_and_history(keepwell, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "apply FILE" in keepwell("list").out
    assert keepwell("show", "demand").code == 3
    assert keepwell("apply", "bad.yaml").code == 2
    assert keepwell("list", "--json").json == []
    assert "charter number 1 is in force" in keepwell("apply", "charter.yaml").out
    assert keepwell("apply", "charter.yaml", "--json").json["number"] == 1
    (tmp_path / "charter.yaml").write_text(SMALL + "purpose: more\n")
    second = keepwell("apply", "charter.yaml", "--json").json
    assert second["number"] == 2
    assert second["folder"] == str(tmp_path)
    assert [row["number"] for row in keepwell("list", "--json").json] == [2]
    assert "demand" in keepwell("list").out
    assert keepwell("show", "demand", "--number", "1").out == SMALL
    assert keepwell("show", "demand", "--json").json["charter"]["purpose"] == "more"
    assert [row["number"] for row in keepwell("history", "DEMAND", "--json").json] == [2, 1]
    assert "NUMBER" in keepwell("history", "demand").out
    assert keepwell("show", "demand", "--number", "0").code == 2
