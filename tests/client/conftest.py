from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keepwell.bootstrap import open_house
from keepwell.client import facts, fluent, session
from keepwell.flows.kit import Kit
from keepwell.settings import read_client_settings, read_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder that this process logs to until the test ends, as a program that lies in a folder of its own."""
    folder, program = tmp_path / "home", tmp_path / "program"
    program.mkdir()
    (program / "train.py").write_text("import keepwell\n")
    monkeypatch.setattr(facts, "code_folder", lambda: program)
    session.choose(read_client_settings(str(folder), None, {"KEEPWELL_HOME": str(folder)}))
    fluent._experiment = None
    yield folder
    fluent._end_all()
    session.finish()


@pytest.fixture
def kit(home: Path) -> Kit:
    """The house of that folder, as another process sees it."""
    return open_house(read_settings(str(home), {}))
