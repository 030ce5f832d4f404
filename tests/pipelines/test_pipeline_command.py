"""`keepwell pipeline`: what it prints, its exit codes, its sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keepwell.cli import cli
from keepwell.core.errors import InvalidInput, KeepwellError
from keepwell.pipelines.params import read_params

YAML = """
pipeline: words
params: {text: "b a c", least: 2, strict: true}
steps:
  words: {run: "steps.py:words", inputs: {text: "param:text"}}
  sorted:
    command: [sort, -o, "{outputs.rows}", --, "{inputs.rows}"]
    inputs: {rows: words}
    outputs: {rows: rows.txt}
  count: {run: "steps.py:count", inputs: {rows: sorted, least: "param:least"}}
"""
STEPS = """
def words(text: str) -> str:
    print("splitting", text)
    return "\\n".join(text.split()) + "\\n"

def count(rows: str, least: int) -> int:
    lines = rows.split()
    if len(lines) < least:
        raise ValueError("too few words\\x1b[2J")
    return len(lines)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "words.yaml").write_text(YAML)
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def keepwell(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["pipeline", *arguments, "--home", str(folder / "home")], catch_exceptions=True)


def run(folder: Path, *arguments: str) -> Result:
    return keepwell(folder, "run", str(folder / "words.yaml"), "--workers", "0", *arguments)


def test_run_list_show(folder: Path) -> None:
    assert "No pipeline has run yet" in keepwell(folder, "list").output
    first = run(folder)
    assert first.exit_code == 0 and "words finished in" in first.stdout and "3 done" in first.stdout
    again = run(folder, "--json")
    found = json.loads(again.stdout)
    assert found["state"] == "finished" and found["counts"] == {"cached": 3}
    assert json.loads(run(folder, "--json", "--no-cache").stdout)["counts"] == {"done": 3}
    changed = json.loads(run(folder, "--json", "--param", "least=3").stdout)
    assert changed["counts"] == {"cached": 2, "done": 1} and changed["params"]["least"] == 3
    listed = json.loads(keepwell(folder, "list", "--json").stdout)
    assert len(listed) == 4 and {r["pipeline"] for r in listed} == {"words"}
    assert found["id"] in keepwell(folder, "list", "--pipeline", "words").stdout
    assert json.loads(keepwell(folder, "list", "--json", "--state", "failed").stdout) == []
    shown = json.loads(keepwell(folder, "show", found["id"], "--json").stdout)
    assert [s["name"] for s in shown["plan"]["steps"]] == ["words", "sorted", "count"]
    assert [s["state"] for s in shown["steps"]] == ["cached"] * 3 and shown["run"]["id"] == found["id"]
    assert "sorted" in keepwell(folder, "show", found["id"]).stdout
    assert keepwell(folder, "show", found["id"], "--log", "words").stdout == "splitting b a c\n"


def test_a_failure_is_said_and_has_a_status(folder: Path) -> None:
    result = run(folder, "--param", "least=9")
    assert result.exit_code == 1
    assert "words failed" in result.stdout and "ValueError: too few words?[2J" in result.stdout
    assert "failed: count: ValueError" in result.stderr and "\x1b" not in result.output
    run_id = json.loads(keepwell(folder, "list", "--json").stdout)[0]["id"]
    assert "Traceback" in keepwell(folder, "show", run_id, "--log", "count").stdout
    (folder / "steps.py").write_text(STEPS.replace("len(lines) < least", "False"))
    mended = run(folder, "--resume", run_id, "--json")
    assert mended.exit_code == 0 and json.loads(mended.stdout)["attempts"] == 2


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["run", "gone.yaml"], "no file"),
        (["run", "{folder}/steps.py"], "declares no pipeline"),
        (["run", "{folder}/words.yaml", "--param", "least"], "write name=value"),
        (["run", "{folder}/words.yaml", "--param", "lest=1"], "Did you mean 'least'"),
        (["run", "{folder}/words.yaml", "--param", "least=many"], "is a whole number"),
        (["run", "{folder}/words.yaml", "--resume", "prn_x"], "not the id of a pipeline run"),
        (["show", "prn_00000000000000000000000000"], "no pipeline run"),
        (["show", "../../etc"], "not the id of a pipeline run"),
        (["list", "--before", "x"], "not the id of a pipeline run"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], pattern: str, folder: Path) -> None:
    result = keepwell(folder, *(a.replace("{folder}", str(folder)) for a in arguments))
    assert isinstance(result.exception, KeepwellError), result.output
    assert pattern in str(result.exception) and "\n" not in str(result.exception)


def test_a_file_that_fails_when_loaded(folder: Path) -> None:
    (folder / "broken.py").write_text("raise RuntimeError('no')")
    result = keepwell(folder, "run", str(folder / "broken.py"))
    assert isinstance(result.exception, InvalidInput) and "RuntimeError: no" in str(result.exception)
    (folder / "steps.py").write_text("def other(): pass")
    result = run(folder)
    assert isinstance(result.exception, KeepwellError)
    assert str(result.exception).startswith("words: 'steps.py:words': there is no 'words' there")


def test_several_pipelines_in_a_file(folder: Path) -> None:
    text = "from keepwell.pipelines import Pipeline, step\none = step(lambda: 1)\n"
    text += "a = Pipeline('a', (one.__class__('x', one.does),))\nb = Pipeline('b', (one.__class__('x', one.does),))\n"
    (folder / "two.py").write_text(text)
    assert "declares a, b: name one as two.py:NAME" in str(keepwell(folder, "run", str(folder / "two.py")).exception)
    found = keepwell(folder, "run", f"{folder / 'two.py'}:b", "--workers", "0", "--json")
    assert json.loads(found.stdout)["pipeline"] == "b"
    assert "no pipeline 'c'" in str(keepwell(folder, "run", f"{folder / 'two.py'}:c").exception)


def test_the_schema_is_printed(folder: Path) -> None:
    assert "steps" in CliRunner().invoke(cli, ["pipeline", "schema"]).stdout


def test_parameters_from_the_command_line() -> None:
    defaults = {"s": "x", "i": 1, "f": 0.5, "b": True, "l": [1], "n": None, "m": {}}
    given = ["s=1", "i=-3", "f=2", "b=false", 'l=["a"]', "n=free text=x", 'm={"a": 1}']
    assert read_params(given, defaults) == {
        "s": "1", "i": -3, "f": 2.0, "b": False, "l": ["a"], "n": "free text=x", "m": {"a": 1}
    }  # fmt: skip
    for bad in ("i=true", "i=1.5", "f=NaN", "f=true", "b=1", "b=yes", "l=1", "m=[]", "i=", "f=1e999"):
        with pytest.raises(InvalidInput, match="parameter"):
            read_params([bad], defaults)
    with pytest.raises(InvalidInput, match="given twice"):
        read_params(["i=1", "i=2"], defaults)
