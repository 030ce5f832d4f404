"""The digest of code changes with the code a function really uses, and with nothing else."""

from __future__ import annotations

import functools
import importlib
import logging
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from keepwell.core.errors import InvalidInput
from keepwell.pipelines import Step, step
from keepwell.pipelines.fingerprint import code_digest, fingerprint
from keepwell.pipelines.loading import load_function

MAIN = """
import math
import fp_helper
from fp_package import tools

FACTOR = 3
TABLE = {"a": [1, 2], "b": {"c": 4}}

def go(x, *, power=2):
    return fp_helper.first(x) ** power * FACTOR + TABLE["a"][0] + tools.shape(x) + math.pi
"""
HELPER = """
LIMIT = 10

class Clip:
    low = 0
    def __init__(self, high): self.high = high
    def __call__(self, x): return max(self.low, min(x, self.high))

def first(x): return second(x) + 1
def second(x): return Clip(LIMIT)(x)
def unrelated(x): return x
"""
TOOLS = """
from .inner import scale as rescale
def shape(x):
    from . import lazy
    return rescale(x) + lazy.late(x)
"""
INNER = "def scale(x): return x * 2\ndef other(x): return 0\n"
LAZY = "def late(x): return x + 5\ndef never(x): return x\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fp_package").mkdir()
    write(tmp_path)
    yield tmp_path
    forget()


def write(folder: Path, **changed: str) -> None:
    texts = {"fp_main": MAIN, "fp_helper": HELPER, "fp_package/__init__": "", "fp_package/tools": TOOLS,
             "fp_package/inner": INNER, "fp_package/lazy": LAZY}  # fmt: skip
    for name, text in {**texts, **{k.replace("__", "/", 1): v for k, v in changed.items()}}.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))


def forget() -> None:
    for name in [n for n in sys.modules if n.startswith(("fp_", "_keepwell_file_fp"))]:
        del sys.modules[name]
    importlib.invalidate_caches()


def digest(folder: Path, **changed: str) -> str:
    write(folder, **changed)
    forget()
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        return code_digest(load_function("fp_main.py:go", folder))
    finally:
        sys.dont_write_bytecode = before


CHANGES = {
    "its own code": {"fp_main": MAIN.replace("** power", "* power")},
    "a constant it reads": {"fp_main": MAIN.replace("FACTOR = 3", "FACTOR = 4")},
    "a table it reads": {"fp_main": MAIN.replace('"c": 4', '"c": 5')},
    "a default": {"fp_main": MAIN.replace("power=2", "power=3")},
    "a helper two calls away": {"fp_helper": HELPER.replace("(x) + 1", "(x) + 2")},
    "a method three calls away": {"fp_helper": HELPER.replace("max(self.low", "max(1 + self.low")},
    "a class attribute": {"fp_helper": HELPER.replace("low = 0", "low = 1")},
    "a constant of a helper": {"fp_helper": HELPER.replace("LIMIT = 10", "LIMIT = 11")},
    "a function imported under another name": {"fp_package__inner": INNER.replace("x * 2", "x * 3")},
    "a function of a module imported inside a function": {"fp_package__lazy": LAZY.replace("x + 5", "x + 6")},
}
KEEPS = {
    "an unrelated function of its module": {"fp_main": MAIN + "\ndef other(): return 1\n"},
    "an unrelated function of a helper's module": {"fp_helper": HELPER.replace("return x\n", "return 2 * x\n")},
    "an unrelated function beside an imported one": {"fp_package__inner": INNER.replace("return 0", "return 1")},
    "comments, blank lines and docstrings": {
        "fp_main": "# a comment\n\n\n" + MAIN.replace("power=2):", "power=2):\n    '''What it does.'''\n    # how\n"),
        "fp_helper": "'''A docstring.'''\n# more\n" + HELPER.replace("class Clip:", "class Clip:\n    '''Clips.'''\n"),
    },
    "an unused import": {"fp_main": "import json\nimport fp_package.inner\n" + MAIN},
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_changes_with(what: str, project: Path) -> None:
    assert digest(project) != digest(project, **CHANGES[what])


@pytest.mark.parametrize("what", KEEPS)
def test_it_keeps_with(what: str, project: Path) -> None:
    assert digest(project) == digest(project, **KEEPS[what])


def test_it_is_the_same_in_another_process_and_place(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    write(project, fp_main=MAIN + "\nNAMES = frozenset({'x', 'y', 'z'})\n")
    (project / "fp_main.py").write_text((project / "fp_main.py").read_text().replace("math.pi", "len(NAMES)"))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "fp_package").mkdir()
    for file in project.rglob("fp_*.py"):
        (elsewhere / file.relative_to(project)).write_text(file.read_text())
    for file in (project / "fp_package").glob("*.py"):
        (elsewhere / "fp_package" / file.name).write_text(file.read_text())
    script = (
        "import sys\nfrom pathlib import Path\nfrom keepwell.pipelines.fingerprint import code_digest\n"
        "from keepwell.pipelines.loading import load_function\n"
        "sys.stdout.write(code_digest(load_function('fp_main.py:go', Path(sys.argv[1]))))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-B", "-c", script, str(folder)],
            capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed},
        ).stdout
        for folder, seed in ((project, "1"), (elsewhere, "2"))
    }  # fmt: skip
    assert len(found) == 1


def test_running_does_not_change_it() -> None:
    def loop(n: int) -> int:
        total = 0
        for i in range(n):
            total += i * OFFSET
        return total

    before = code_digest(loop)
    loop(100_000)  # the interpreter specializes the bytecode in place
    assert code_digest(loop) == before


OFFSET = 2


def test_closures_count() -> None:
    def made(k: int, label: list[str]) -> object:
        return lambda x: (x * k, label)

    assert code_digest(made(1, ["a"])) == code_digest(made(1, ["a"]))
    assert code_digest(made(1, ["a"])) != code_digest(made(2, ["a"]))
    assert code_digest(made(1, ["a"])) != code_digest(made(1, ["b"]))


def test_partials_methods_and_wrappers_count() -> None:
    def base(x: int, y: int) -> int:
        return x + y

    @functools.lru_cache
    def cached(x: int) -> int:
        return x + 1

    assert code_digest(functools.partial(base, 1)) != code_digest(functools.partial(base, 2))
    assert code_digest(lambda: cached(1)) == code_digest(lambda: cached(1))
    assert code_digest(Model(1).predict) != code_digest(Model(2).predict)
    assert code_digest(Model(1).predict) == code_digest(Model(1).predict)


@dataclass
class Model:
    slope: float

    def predict(self, x: float) -> float:
        return self.slope * x


class Fit(msgspec.Struct):
    slope: float


def test_values_of_many_kinds_are_told_apart() -> None:
    pairs: list[tuple[object, object]] = [
        (np.arange(3), np.arange(4)),
        (Model(1.0), Model(2.0)),
        (Fit(1.0), Fit(2.0)),
        (Path("a"), Path("b")),
        ({1, 2}, {1, 3}),
        (frozenset("ab"), frozenset("ac")),
        (1, True),
        (1, 1.0),
        ("1", b"1"),
        (None, ()),
        ([1, [2]], [[1], 2]),
        ({"a": 1}, {"b": 1}),
        (range(3), range(4)),
        (__import__("re").compile("a"), __import__("re").compile("b")),
    ]
    for left, right in pairs:
        assert code_digest(holding(left)) != code_digest(holding(right)), (left, right)
        assert code_digest(holding(left)) == code_digest(holding(left)), left


def holding(value: object) -> object:
    def function() -> object:
        return value

    return function


def test_a_recursive_value_comes_to_an_end() -> None:
    loop: list[object] = [1]
    loop.append(loop)
    assert code_digest(holding(loop)).startswith("sha256:")

    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    assert code_digest(even) == code_digest(even)


def test_what_cannot_be_told_is_refused_unless_nothing_is_cached() -> None:
    connection = sqlite3.connect(":memory:")
    try:
        with pytest.raises(InvalidInput, match=r"sqlite3\.Connection.*cache=False"):
            code_digest(holding(connection))
        assert fingerprint(holding(connection), strict=False).code.startswith("sha256:")
    finally:
        connection.close()


def test_loggers_and_locks_do_not_matter() -> None:
    one, two = (holding((logging.getLogger(n), threading.Lock())) for n in ("a", "b"))
    assert code_digest(one) == code_digest(two)


def test_installed_packages_count_by_name_and_version() -> None:
    def fit(x: list[float]) -> object:
        return np.mean(x)

    found = fingerprint(fit)
    assert found.packages == {"numpy"}
    described = found.environment()
    assert described["python"] == sys.version.partition(" ")[0]
    assert described["packages"] == {"numpy": np.__version__}


def test_an_import_inside_a_function_is_seen_without_being_made() -> None:
    def fit() -> object:
        import lightgbm
        import sklearn.linear_model

        return lightgbm, sklearn

    packages = fingerprint(fit).environment()["packages"]
    assert isinstance(packages, dict)
    assert {"lightgbm", "scikit-learn", "scipy", "numpy"} <= set(packages)


def test_a_step_counts_as_its_function() -> None:
    def plain(x: int) -> int:
        return x + OFFSET

    decorated = step(plain)
    assert isinstance(decorated, Step)
    assert code_digest(decorated) == code_digest(plain)


def test_uses_count() -> None:
    def plain(name: str) -> object:
        return globals()[name]

    assert code_digest(plain) != code_digest(plain, [holding(1)])
    assert code_digest(plain, [holding(1)]) != code_digest(plain, [holding(2)])


def test_types_of_arguments_count() -> None:
    class One(msgspec.Struct):
        a: int

    class Two(msgspec.Struct):
        a: int
        b: int = 0

    def made(kind: type) -> object:
        def function(fit: object) -> object:
            return fit

        function.__annotations__["fit"] = kind
        return function

    assert code_digest(made(One)) != code_digest(made(Two))
