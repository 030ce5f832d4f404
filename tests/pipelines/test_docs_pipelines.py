"""What docs/pipelines.md shows works as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from keepwell.cli import cli
from keepwell.flows.kit import Kit
from keepwell.pipelines.declared import StepSpec, read_pipeline
from keepwell.pipelines.loading import load_function, load_pipeline

PAGE = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def block(language: str, number: int) -> str:
    return [text for kind, text in BLOCKS if kind == language][number]


def test_the_python_runs(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "levels.py").write_text(block("python", 0))
    (tmp_path / "run.py").write_text(block("python", 1))
    pipeline = load_pipeline(str(tmp_path / "levels.py"))
    run_it: Any = load_function("run.py:run_it", tmp_path)
    assert run_it(kit, pipeline) == ("finished", 7)


def test_the_yaml_is_read() -> None:
    assert [s.name for s in read_pipeline(block("yaml", 0)).steps] == ["words", "ordered", "count"]


def test_the_commands_and_options_exist() -> None:
    for line in re.findall(r"^    keepwell (.*)", PAGE, re.MULTILINE):
        words = line.partition("#")[0].split()
        shown = CliRunner().invoke(cli, [*words[:2], "--help"])
        assert shown.exit_code == 0, line
        for option in re.findall(r"--[a-z-]+", line):
            assert option in shown.output, (line, option)


def test_the_fields_that_are_named_exist() -> None:
    fields = set(StepSpec.__struct_fields__)
    assert {
        "timeout",
        "retries",
        "cache",
        "uses",
        "formats",
        "set",
        "passes",
        "map_over",
        "chunk",
        "constants",
    } <= fields
