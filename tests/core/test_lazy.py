"""The base starts and answers without polars; what reads tables says which extra it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import keepwell
from keepwell.core.errors import NotInstalled
from keepwell.core.lazy import LazyModule, pl

WITHOUT = """
import sys
class Away:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "polars":
            raise ModuleNotFoundError(f"No module named {name!r}", name="polars")
sys.meta_path.insert(0, Away())
"""
ALL = """
import importlib, pkgutil, keepwell
def failed(name):
    raise SystemExit(f"{name} cannot be imported")
for module in pkgutil.walk_packages(keepwell.__path__, "keepwell.", onerror=failed):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert "polars" not in sys.modules
"""
COMMAND = """
from keepwell.cli import main
sys.argv[0] = "keepwell"
main()
"""
SERVER = """
from keepwell.bootstrap import open_house
from keepwell.server.app import make_app
from keepwell.settings import read_settings
make_app(open_house(read_settings(sys.argv[1])), auth="token", host="127.0.0.1", port=8400)
assert "polars" not in sys.modules
"""


def ran(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


def test_every_module_can_be_imported_without_it() -> None:
    done = ran(WITHOUT + ALL)
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_work_without_it_and_say_what_is_missing(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("a,b\n1,2\n")
    home = ("--home", str(tmp_path / "home"))
    for words in (["runs", "list"], ["data", "list"], ["fsck", "--quick"]):
        done = ran(WITHOUT + COMMAND, *words, *home)
        assert done.returncode == 0, done.stderr
    done = ran(WITHOUT + COMMAND, "data", "add", "things", str(table), *home)
    assert done.returncode not in (0, 1) and "pip install 'keepwell[data]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_server_does_not_load_it_to_start(tmp_path: Path) -> None:
    done = ran("import sys\n" + SERVER, str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_asked_for_is_the_modules_own() -> None:
    import polars

    assert pl.DataFrame is polars.DataFrame and pl.__version__ == polars.__version__
    assert pl.exceptions.PolarsError is polars.exceptions.PolarsError
    with pytest.raises(AttributeError):
        _ = pl.nothing_of_the_kind  # type: ignore[attr-defined]


def test_one_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(NotInstalled, match="this extra"):
        _ = LazyModule("keepwell_no_such_module", "Needs this extra.").anything


def test_the_base_does_not_draw_it_in() -> None:
    text = (Path(keepwell.__file__).parents[2] / "pyproject.toml").read_text()
    base = text.split("\ndependencies = [")[1].split("\n]")[0]
    assert "polars" not in base and "numpy" in base
