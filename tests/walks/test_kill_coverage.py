"""A module that changes governed state has failpoints between its steps, so that the kill loop can try them."""

from __future__ import annotations

import re
from pathlib import Path

import keepwell

APPENDS = re.compile(r"(?<![\w.])append\(\s*tx|ledger\.append\(")
ONE_STEP = {"server/denials.py", "server/run.py"}
"""These only tell the ledger something; there is no state beside the entry."""


def test_every_module_that_appends_has_failpoints():
    source = Path(keepwell.__file__).parent
    without = {
        file.relative_to(source).as_posix()
        for file in source.rglob("*.py")
        if "testing" not in file.parts
        and APPENDS.search(text := file.read_text(encoding="utf-8"))
        and "failpoints.reach(" not in text
    }
    assert without <= ONE_STEP
