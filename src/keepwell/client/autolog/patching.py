"""How functions of other libraries are wrapped, and put back."""

from __future__ import annotations

import contextlib
import functools
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from keepwell.client import session

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Chosen:
    """How a library is recorded."""

    log_models: bool = False
    every: int = 1


@dataclass(frozen=True, slots=True)
class _Patch:
    owner: Any
    name: str
    original: Any
    """What stood in the owner's own attributes; `_MISSING` when it was inherited."""


chosen: dict[str, Chosen] = {}
undo: dict[str, list[Callable[[], None]]] = {}
"""What else is to be done to be rid of a library's wrappers."""
_patches: dict[str, list[_Patch]] = {}
_said: set[str] = set()


class _Inside(threading.local):
    depth = 0


inside = _Inside()
"""How deep this thread is in wrapped functions: a library that calls itself is recorded once."""


def replace(library: str, owner: Any, name: str, make: Callable[[Any], Callable[..., Any]]) -> None:
    """Put a wrapper, which `make` makes of the original, in the place of an attribute of a class or module."""
    own = vars(owner).get(name, _MISSING)
    original = getattr(owner, name)
    wrapper = functools.wraps(original)(make(original))
    wrapper.__keepwell__ = True  # type: ignore[attr-defined]
    _patches.setdefault(library, []).append(_Patch(owner, name, own))
    setattr(owner, name, wrapper)


def put(library: str, owner: Any, name: str, value: Any) -> None:
    """Put a value in the place of an attribute of a class or module, until the library is restored."""
    _patches.setdefault(library, []).append(_Patch(owner, name, vars(owner).get(name, _MISSING)))
    setattr(owner, name, value)


def restore(library: str) -> None:
    """Put a library's own functions back; where somebody has wrapped ours since, ours stays and only calls on."""
    for patch in reversed(_patches.pop(library, [])):
        current = vars(patch.owner).get(patch.name)
        if not getattr(getattr(current, "__func__", current), "__keepwell__", False):
            continue
        if patch.original is _MISSING:
            delattr(patch.owner, patch.name)
        else:
            setattr(patch.owner, patch.name, patch.original)
    for done in undo.pop(library, []):
        done()
    chosen.pop(library, None)


def active(library: str) -> Chosen | None:
    """Return how a library is recorded now; None while it is not, or inside another recorded call."""
    return None if inside.depth else chosen.get(library)


@contextlib.contextmanager
def nested() -> Iterator[None]:
    """Mark that this thread is in a recorded call."""
    inside.depth += 1
    try:
        yield
    finally:
        inside.depth -= 1


@contextlib.contextmanager
def quietly(what: str) -> Iterator[None]:
    """Let nothing of ours reach the training; each sort of failure is told once."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (a training must never fail because it is recorded)
        sort = f"{what}: {type(error).__name__}"
        if sort not in _said:
            _said.add(sort)
            session.tell(f"{what} did not record something: {type(error).__name__}: {error}")


class _Finder(importlib.abc.MetaPathFinder):
    """Notices when a library is imported, and lets the next finder import it."""

    def __init__(self) -> None:
        self.waiting: dict[str, Callable[[], None]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the module as the others do, and run what waits for it after it was loaded."""
        if fullname not in self.waiting:
            return None
        then = self.waiting.pop(fullname)
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, then)  # type: ignore[assignment]
                return spec
        self.waiting[fullname] = then
        return None


class _Loader:
    """Another loader, and what comes after it."""

    def __init__(self, loader: Any, then: Callable[[], None]) -> None:
        self._loader = loader
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Make the module as the loader does."""
        found: ModuleType | None = self._loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        """Load the module, and then do what waits for it."""
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then()


_finder = _Finder()


def on_import(module: str, then: Callable[[], None]) -> None:
    """Call something right after a module was imported for the first time."""
    _finder.waiting[module] = then
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget_import(module: str) -> None:
    """Wait for a module no longer."""
    _finder.waiting.pop(module, None)
    if not _finder.waiting and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
