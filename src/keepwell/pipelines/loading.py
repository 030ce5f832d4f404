"""Find functions and pipelines by name or file. Importing runs their code: never called with what a client sent."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from keepwell.charter.findings import nearest, shown
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.pipelines.model import Pipeline, Reference, Step

_PREFIX = "_keepwell_file_"


def load_function(target: str, folder: Path | None = None) -> Callable[..., Any]:
    """Return the function that `module:name` or `file.py:name` names; a step is returned as its function.

    Raises:
        InvalidInput: the text is not of that form, or what it names is no function.
        NotFound: there is no such file, module or name.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise InvalidInput(f"{shown(target)} names no function: write file.py:name or module:name.")
    found = _named(_file_module(place, folder) if place.endswith(".py") else _module(place), name, target)
    function = found.does if isinstance(found, Step) else found
    if not callable(function):
        raise InvalidInput(f"{shown(target)} is a {type(found).__name__}, not a function.")
    return function


def load_pipeline(target: str) -> Pipeline:
    """Return the pipeline in `FILE` or `FILE:name`: a YAML file, or a Python file with a `Pipeline` value.

    Raises:
        InvalidInput: the file declares none, several (and no name was given), or one that cannot be read.
        NotFound: there is no such file or name.
    """
    text, _, name = target.rpartition(":") if ":" in target and not Path(target).exists() else (target, "", "")
    path = Path(text or target).expanduser()
    if not path.is_file():
        raise NotFound(f"There is no file {shown(str(path))}.")
    folder = path.resolve().parent
    if path.suffix.lower() in (".yaml", ".yml"):
        from keepwell.pipelines.declared import read_pipeline

        return read_pipeline(path.read_bytes(), folder=folder, name=path.name)
    module = _file_module(str(path.resolve()), None)
    found = {key: value for key, value in vars(module).items() if isinstance(value, Pipeline)}
    if name:
        if name not in found:
            raise NotFound(f"{path.name} declares no pipeline {shown(name)}. {nearest(name, found)}")
        return _at_home(found[name], folder)
    if len(found) != 1:
        known = f"declares {', '.join(found)}: name one as {path.name}:NAME" if found else "declares no pipeline"
        raise InvalidInput(f"It {known}.", where=path.name)
    return _at_home(next(iter(found.values())), folder)


def resolved(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline with functions in the place of references to them."""
    if not any(isinstance(one.does, Reference) for one in pipeline.steps):
        return pipeline
    return replace(pipeline, steps=tuple(_resolved_step(one, pipeline.folder) for one in pipeline.steps))


def address_of(function: Callable[..., Any]) -> str:
    """Return where another process finds a function: `module:name`, or `path.py:name` for one of a loose file.

    Raises:
        InvalidInput: it is nowhere to be found: defined inside another function, or typed into a console.
    """
    name, home = str(getattr(function, "__qualname__", "")), str(getattr(function, "__module__", ""))
    if not name or not home or "<" in name:
        raise InvalidInput(
            f"The function {shown(name or repr(function))} cannot be found by another process: define it at the top "
            "of a file, or use the runner in process."
        )
    module = sys.modules.get(home)
    file = getattr(module, "__file__", None)
    if home == "__main__" or home.startswith(_PREFIX) or not _importable(home, file):
        if not file:
            raise InvalidInput(
                f"The function {shown(name)} has no file: write it into one, or use the runner in process."
            )
        return f"{Path(file).resolve()}:{name}"
    return f"{home}:{name}"


def _importable(home: str, file: str | None) -> bool:
    """Tell whether a fresh process with the same search path imports this very file under this name."""
    if file is None:
        return home.partition(".")[0] in sys.builtin_module_names
    tail = Path(*home.split("."))
    places = {Path(file), Path(file).parent} if Path(file).stem == "__init__" else {Path(file).with_suffix("")}
    return any(Path(entry or ".").absolute() / tail in places for entry in sys.path)


def _resolved_step(one: Step, folder: Path | None) -> Step:
    if not isinstance(one.does, Reference):
        return one
    home = one.does.folder or folder
    try:
        uses = tuple(load_function(text, home) if isinstance(text, str) else text for text in one.uses)
        return replace(one, does=load_function(one.does.target, home), uses=uses)
    except (InvalidInput, NotFound) as error:
        raise type(error)(error.message, where=one.name) from error


def _at_home(pipeline: Pipeline, folder: Path) -> Pipeline:
    return pipeline if pipeline.folder is not None else replace(pipeline, folder=folder)


def _named(module: ModuleType, name: str, target: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [key for key in vars(module) if not key.startswith("_")]
            raise NotFound(f"{shown(target)}: there is no {shown(part)} there. {nearest(part, public)}")
        found = getattr(found, part)
    return found


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotFound(f"The module {shown(name)} cannot be imported: {error}.") from error


def _file_module(place: str, folder: Path | None) -> ModuleType:
    """Import a loose file. Its folder is put on the path, so that it can import its neighbours."""
    path = (folder / place if folder is not None else Path(place)).resolve()
    if not path.is_file():
        raise NotFound(f"There is no file {shown(place)}.")
    name = _PREFIX + path.stem + "_" + digest_bytes(str(path).encode() + b"\0" + path.read_bytes())[7:19]
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotFound(f"{shown(place)} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InvalidInput(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error
    return module
