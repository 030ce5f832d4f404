"""Which code is installed, which belongs to Python, and which is the project's own; versions of what is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import site
import sys
import sysconfig
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal

Origin = Literal["python", "installed", "own"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@lru_cache(maxsize=1)
def _folders() -> tuple[tuple[str, ...], tuple[str, ...]]:
    paths = sysconfig.get_paths()
    installed = {paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()}
    python = {paths["stdlib"], paths["platstdlib"]}
    return tuple(_slashed(p) for p in installed), tuple(_slashed(p) for p in python)


def _slashed(path: str) -> str:
    return str(Path(path).resolve()) + "/"


@lru_cache(maxsize=8192)
def origin_of_file(file: str) -> tuple[Origin, str]:
    """Return whose code a file is, and for an installed one its top-level module."""
    if file.startswith("<frozen"):
        return "python", ""
    if file.startswith("<"):
        return "own", ""
    path = str(Path(file).resolve())
    installed, python = _folders()
    for folder in installed:
        if path.startswith(folder):
            return "installed", path[len(folder) :].partition("/")[0].partition(".")[0]
    if any(path.startswith(folder) for folder in python):
        return "python", ""
    return "own", ""


@lru_cache(maxsize=4096)
def origin_of_module(name: str) -> Origin | None:
    """Return whose code a module is, by its top-level name; None when there is no such module. Imports nothing."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == "builtins":
        return "python"
    if top == "__main__" or top.startswith("_keepwell_file_"):
        return "own"
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            return "own" if top in sys.modules else None
        places = [spec.origin] if spec.origin and spec.has_location else list(spec.submodule_search_locations or ())
        file = places[0] if places else None
    return "own" if file is None else origin_of_file(file)[0]


@lru_cache(maxsize=1024)
def version_of(top: str) -> tuple[str, str]:
    """Return the distribution of an installed top-level module and its version; `unknown` where it says none."""
    try:
        return top, importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        pass
    names = _distributions().get(top)
    if names:
        return names[0], importlib.metadata.version(names[0])
    stated = getattr(sys.modules.get(top), "__version__", None)
    return top, stated if isinstance(stated, str) else "unknown"


@lru_cache(maxsize=1)
def _distributions() -> dict[str, list[str]]:
    return {top: sorted(set(names)) for top, names in importlib.metadata.packages_distributions().items()}


def with_requirements(tops: Iterable[str]) -> dict[str, str]:
    """Return distribution to version for installed top-level modules and everything they require."""
    found: dict[str, str] = {}
    waiting = [version_of(top) for top in tops]
    while waiting:
        name, version = waiting.pop()
        key = _key(name)
        if key not in found:
            found[key] = version
            waiting += _requirements(key)
    return dict(sorted(found.items()))


@lru_cache(maxsize=1024)
def _requirements(name: str) -> tuple[tuple[str, str], ...]:
    """Return what a distribution requires without extras, as far as it is installed."""
    try:
        wanted = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return ()
    found = []
    for text in wanted:
        match = _NAME.match(text)
        if match is None or "extra ==" in text:
            continue
        try:
            found.append((match[0], importlib.metadata.version(match[0])))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
