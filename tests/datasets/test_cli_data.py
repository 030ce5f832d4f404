"""`keepwell data` end to end: words, JSON, exit codes; bad input is one sentence and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from keepwell.cli import main

CHARTER = """
model: stands
data:
  {dataset: sales, source: 'in/*.csv', time: week, target: units, keys: [stand],
   contract: {columns: {units: {min: 0}}}}
"""


class Ended:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def keepwell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    work = tmp_path / "work"
    (work / "in").mkdir(parents=True)
    (work / "charter.yaml").write_text(CHARTER)
    monkeypatch.chdir(work)
    monkeypatch.setenv("KEEPWELL_HOME", str(tmp_path / "home"))

    def run(*arguments: str, group: str = "data") -> Ended:
        monkeypatch.setattr("sys.argv", ["keepwell", group, *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ended(code, out, err)

    return run


def week(number: int, units: int = 5) -> None:
    day = date(2026, 1, 5) + timedelta(weeks=number)
    Path(f"in/{number}.csv").write_text(f"stand,week,units\na,{day},{units}\nb,{day},5\n")


def test_an_empty_house_says_what_to_do(keepwell: Run) -> None:
    assert "data add NAME FILE" in keepwell("list").out
    assert "data receive MODEL" in keepwell("arrivals").out
    assert "data add NAME FILE" in keepwell("check").out
    assert keepwell("list", "--json").json == []
    assert keepwell("arrivals", "--json").json == []
    assert keepwell("check", "--json").json == []


def test_add_list_show_diff(keepwell: Run) -> None:
    Path("a.csv").write_text("shop,units\nx,1\ny,2\n")
    added = keepwell("add", "sales", "*.csv")
    assert added.out.startswith("sales@1 is dsv_")
    assert "1 files, 2 rows" in added.out
    again = keepwell("add", "sales", "*.csv", "--json").json
    assert again["number"] == 1
    Path("a.csv").write_text("shop,units\nx,100\ny,200\n")
    Path("b.csv").write_text("shop,units,new\nz,3,1\n")
    assert keepwell("add", "sales", "*.csv", "--json").json["number"] == 2
    listed = keepwell("list", "--json").json
    assert [(one["name"], one["versions"], one["latest"]["rows"]) for one in listed] == [("sales", 2, 3)]
    assert keepwell("list").out.splitlines()[1].split()[:3] == ["sales", "2", "3"]
    assert [one["number"] for one in keepwell("list", "sales", "--json").json] == [2, 1]
    assert "files:2" in keepwell("list", "sales").out
    shown = keepwell("show", "sales@1")
    assert "2 rows, 1 files" in shown.out
    assert "units" in shown.out
    assert keepwell("show", "sales", "--json").json["profile"]["columns"]["units"]["max"] == 200
    diff = keepwell("diff", "sales")
    assert "1 files added: b.csv" in diff.out
    assert "1 files changed: a.csv" in diff.out
    assert "column new added: integer" in diff.out
    moved = keepwell("diff", "sales@1", "sales@2", "--json").json
    assert [one["change"] for one in moved["columns"]] == ["added"]
    assert next(one for one in moved["distributions"] if one["column"] == "units")["moved"]


def test_any_bytes(keepwell: Run) -> None:
    Path("x.bin").write_bytes(b"\0")
    assert "1 files, sha256:" in keepwell("add", "pictures", "x.bin", "--no-profile").out
    assert "It was not read as a table." in keepwell("show", "pictures").out
    Path("x.bin").write_bytes(b"\1")
    keepwell("add", "pictures", "x.bin", "--no-profile")
    assert "1 files changed: x.bin" in keepwell("diff", "pictures").out


def test_check_names_each_file_and_what_happened(keepwell: Run) -> None:
    for name in "abc":
        Path(f"in/{name}.csv").write_text(f"x\n{ord(name)}\n")
    keepwell("add", "letters", "in")
    good = keepwell("check")
    assert (good.code, good.out) == (0, "3 files of 1 datasets are where and what they were.\n")
    Path("in/a.csv").write_text("x\nother\n")
    Path("in/b.csv").unlink()
    Path("in/c.csv").rename("in/d.csv")
    Path("in/e.csv").write_text("x\n5\n")
    bad = keepwell("check", "letters")
    assert bad.code == 5
    assert [line.split("/")[-1].split(" ")[0] for line in bad.out.splitlines()[:2]] == ["a.csv", "b.csv"]
    assert "c.csv has moved to" in bad.out
    assert "e.csv is new" in bad.out
    assert bad.err == "keepwell: 3 of 3 files have moved, changed or vanished.\n"
    report = keepwell("check", "--json")
    assert report.code == 5
    (one,) = report.json
    assert (one["dataset"], one["files"], one["whole"]) == ("letters", 3, False)
    assert [noticed["happened"] for noticed in one["noticed"]] == ["changed", "vanished", "moved", "new"]


def test_receive_and_settle(keepwell: Run) -> None:
    assert keepwell("apply", "charter.yaml", group="charter").code == 0
    assert keepwell("receive", "stands").out == "Nothing new is waiting.\n"
    week(0)
    week(1, units=-5)
    week(2, units=-6)
    got = keepwell("receive", "stands")
    assert "0.csv: 2 rows let in, 0 corrections." in got.out
    assert "1.csv: in quarantine as arr_" in got.out
    assert "columns.units.min: 1 rows have a units below 0; the extreme is -5." in got.out
    assert "sales@1 is dsv_" in got.out
    listed = keepwell("arrivals", "sales", "--state", "quarantined", "--json").json
    assert [one["seq"] for one in listed] == [3, 2]
    assert "2.csv" in keepwell("arrivals").out
    shown = keepwell("show", listed[1]["id"])
    assert "quarantined, came" in shown.out
    assert "columns.units.min" in shown.out
    rows = keepwell("show", listed[1]["id"], "--json").json["rows_that_failed"]
    assert [(row["stand"], row["units"], row["reason"]) for row in rows] == [("a", -5, "columns.units.min")]
    assert keepwell("release", listed[1]["id"], "--reason", "returns").out.startswith(
        f"{listed[1]['id']} is released in"
    )
    rejected = keepwell("reject", listed[0]["id"], "--reason", "a mistake", "--json").json
    assert (rejected["state"], rejected["version"]) == ("rejected", None)
    again = keepwell("reject", listed[0]["id"], "--reason", "a mistake")
    assert (again.code, again.err) == (5, f"keepwell: The arrival {listed[0]['id']} is rejected already.\n")
    assert keepwell("check").code == 0
    assert "read: 1.csv" in keepwell("show", "sales").out
    week(3)
    assert keepwell("receive", "stands", "in/3.csv", "--json").json["version"]["rows"] == 6
    diff = keepwell("diff", "sales").out
    assert "rows: 2 added, 0 removed, 0 changed, 4 same" in diff


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("show", "nothing here"), 3, "no dataset version 'nothing here'"),
        (("show", "../../etc/passwd"), 3, "no dataset version"),
        (("show", "arr_x"), 2, "should look like arr_"),
        (("list", "nothing"), 3, "no dataset version"),
        (("diff", "nothing"), 3, "no dataset version"),
        (("check", "nothing"), 3, "no dataset version"),
        (("add", "../x", "charter.yaml"), 2, "cannot be a dataset"),
        (("add", "a\x1b[2J", "charter.yaml"), 2, "cannot be a dataset"),
        (("add", "x1", "nothing.csv"), 3, "cannot be read"),
        (("add", "x1", "*.nothing"), 3, "No file matches"),
        (("add", "x1", "charter.yaml"), 2, "no known format"),
        (("add", "x1", "bad.csv"), 2, "bad.csv:2: The line has 1 fields, the header has 2"),
        (("add", "x1", "out.csv"), 2, "leads out of the folder"),
        (("add", "x1", "in", "--format", "pickle"), 2, "Invalid value"),
        (("add", "x1"), 2, "Missing argument"),
        (("receive", "nothing"), 3, "nothing"),
        (("release", "arr_00000000000000000000000000", "--reason", "x"), 3, "no arrival"),
        (("release", "in/0.csv", "--reason", "x"), 2, "should look like"),
        (("release", "arr_00000000000000000000000000"), 2, "--reason"),
        (("arrivals", "--limit", "0"), 2, "Invalid value"),
        (("arrivals", "--state", "lost"), 2, "Invalid value"),
    ],
)
def test_bad_input_is_one_sentence(keepwell: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    Path("bad.csv").write_text("a,b\n1\n")
    Path("out.csv").symlink_to("/etc/hostname")
    done = keepwell(*arguments)
    assert done.code == code
    assert words in done.err
    assert done.out == ""
    assert "\x1b" not in done.err
    assert keepwell("list", "--json").json == []


def test_a_first_version_has_nothing_before_it(keepwell: Run) -> None:
    Path("a.csv").write_text("x\n1\n")
    keepwell("add", "one", "a.csv")
    done = keepwell("diff", "one")
    assert (done.code, done.err) == (2, "keepwell: one@1 is the first version; name the other one.\n")


def test_names_of_files_cannot_write_on_the_terminal(keepwell: Run) -> None:
    keepwell("apply", "charter.yaml", group="charter")
    Path("in/\x1b[2Jx.csv").write_text("stand,week,units\na,2026-01-05,-5\n")
    for arguments in (("receive", "stands"), ("arrivals",), ("check",)):
        done = keepwell(*arguments)
        assert "\x1b" not in done.out + done.err
