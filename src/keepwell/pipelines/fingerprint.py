"""Fingerprints: a digest of the code that a step really uses.

The walk starts at a function and follows what its compiled code refers to: globals and constants it reads, functions
and classes of the project's own modules and what those refer to in turn, closures, defaults, imports inside functions,
attributes of own modules. Python's own library counts by Python's version, installed packages by name and version.
Comments, docstrings, line numbers and the names of files do not count. What is reached only by a name made at run time
(`getattr(module, text)`) cannot be seen: declare it with `uses`.
"""

from __future__ import annotations

import enum
import importlib
import importlib.util
import platform
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keepwell.core.digests import digest_json, digest_parts
from keepwell.core.errors import InvalidInput
from keepwell.pipelines import objects
from keepwell.pipelines.bytecode import Import, shape_of
from keepwell.pipelines.execute import hints_of
from keepwell.pipelines.model import Command, Reference, Step
from keepwell.pipelines.packages import origin_of_file, origin_of_module, with_requirements

MOST_NODES = 50_000
"""Functions, classes and values that one fingerprint looks at, at most."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a function is made of.

    Attributes:
        code: digest of its code and everything of the project's own that it uses.
        packages: installed top-level modules it uses.
    """

    code: str
    packages: frozenset[str] = field(default_factory=frozenset)

    def environment(self) -> dict[str, object]:
        """Return what it runs in: Python, the processor's family, the packages it uses and their requirements."""
        return {
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
            "machine": platform.machine(),
            "optimize": sys.flags.optimize,
            "packages": with_requirements(sorted(self.packages)),
        }

    def environment_digest(self) -> str:
        """Return the digest of `environment`."""
        return digest_json(self.environment())


def code_digest(function: Callable[..., Any], uses: Iterable[object] = ()) -> str:
    """Return a digest that changes when the code the function really uses changes.

    Raises:
        InvalidInput: it uses a value whose content cannot be told, such as an open connection.
    """
    return fingerprint(function, uses).code


def fingerprint(function: Callable[..., Any], uses: Iterable[object] = (), *, strict: bool = True) -> Fingerprint:
    """Return the fingerprint of a function.

    Args:
        function: where the walk starts.
        uses: further functions, classes, modules or values that count.
        strict: refuse values whose content cannot be told; otherwise their type stands for them.

    Raises:
        InvalidInput: see `code_digest`.
    """
    walk = _Walk(strict)
    start = function.does if isinstance(function, Step) else function
    walk.start(start, hints_of(start) if isinstance(start, types.FunctionType) else {}, tuple(uses))
    return Fingerprint(digest_parts(walk.texts), frozenset(walk.packages))


class _Walk:
    """Numbers every object it meets and writes, in the order of the numbers, what each is made of."""

    def __init__(self, strict: bool) -> None:
        self.texts: list[str] = []
        self.packages: set[str] = set()
        self._strict = strict
        self._numbers: dict[tuple[int, int], int] = {}
        self._kept: list[object] = []
        self._waiting: deque[tuple[object, Mapping[str, Any] | None, bool]] = deque()

    def start(self, function: object, hints: Mapping[str, Any], uses: tuple[object, ...]) -> None:
        """Walk to the end."""
        self.texts.append(self.token(function))
        self.texts += [f"{name}={self.token(kind, strict=False)}" for name, kind in sorted(hints.items())]
        self.texts += [self.token(one) for one in uses]
        while self._waiting:
            node, names, strict = self._waiting.popleft()
            self._write(node, names, strict)

    def token(self, value: object, names: Mapping[str, Any] | None = None, *, strict: bool | None = None) -> str:
        """Return the text that stands for a value: itself when it is plain, else the number it is written under."""
        plain = objects.plain(value)
        if plain is not None:
            return plain
        if isinstance(value, types.ModuleType):
            return self._module(value.__name__)
        if isinstance(value, type) and (origin := origin_of_module(value.__module__)) != "own":
            return self._foreign(value.__module__, value.__qualname__, origin == "installed")
        key = (id(value), id(names) if isinstance(value, types.CodeType) else 0)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            if number > MOST_NODES:
                raise InvalidInput("It refers to more values than can be told apart; pass large ones as inputs.")
            self._kept += (value, names)
            self._waiting.append((value, names, self._strict if strict is None else strict and self._strict))
        return f"#{number}"

    def _write(self, node: object, names: Mapping[str, Any] | None, strict: bool) -> None:
        match node:
            case types.CodeType():
                self._code(node, names or {})
            case types.FunctionType():
                self._function(node)
            case type():
                self._class(node)
            case Step():
                self._step(node)
            case _:
                self._object(node, strict)

    def _function(self, function: types.FunctionType) -> None:
        origin, top = origin_of_file(function.__code__.co_filename)
        if origin == "own":
            self.texts.append("function " + self.token(function.__code__, function.__globals__))
        else:
            self.texts.append(self._foreign(top or function.__module__, function.__qualname__, origin == "installed"))
        for value in function.__defaults__ or ():
            self.texts.append("default " + self.token(value))
        for name, value in sorted((function.__kwdefaults__ or {}).items()):
            self.texts.append(f"default {name} " + self.token(value))
        for cell in function.__closure__ or ():
            try:
                self.texts.append("closure " + self.token(cell.cell_contents))
            except ValueError:
                self.texts.append("closure empty")

    def _code(self, code: types.CodeType, names: Mapping[str, Any]) -> None:
        shape = shape_of(code)
        self.texts.append("code")
        self.texts += shape.texts
        self.texts += [self.token(constant, names) for constant in shape.constants]
        for used in shape.globals:
            self.texts.append(f"reads {used.name} " + self._global(used.name, used.attributes, names))
        for one in shape.imports:
            self.texts.append("imports " + self._import(one, names))

    def _global(self, name: str, attributes: tuple[str, ...], names: Mapping[str, Any]) -> str:
        if name not in names:
            return "builtin" if name in vars(importlib.import_module("builtins")) else "missing"
        value, rest = names[name], attributes
        while isinstance(value, types.ModuleType) and origin_of_module(value.__name__) == "own" and rest:
            if not hasattr(value, rest[0]):
                return "missing " + rest[0]
            value, rest = getattr(value, rest[0]), rest[1:]
        return self.token(value)

    def _import(self, one: Import, names: Mapping[str, Any]) -> str:
        try:
            home = importlib.util.resolve_name("." * one.level + one.module, names.get("__package__") or None)
        except ImportError:
            return "missing " + one.module
        if not one.names or origin_of_module(home) != "own":
            return self._module(home)
        module = self._own_module(home)
        if module is None:
            return "missing " + home
        found = []
        for name in one.names:
            if name == "*":
                found.append(self._whole(module))
            elif hasattr(module, name):
                found.append(f"{name} " + self.token(getattr(module, name)))
            else:
                found.append(self._module(f"{home}.{name}"))
        return " ".join(found)

    def _module(self, name: str) -> str:
        """Return what stands for a whole module; an own one is written in full."""
        origin = origin_of_module(name)
        if origin == "own":
            module = self._own_module(name)
            return "missing " + name if module is None else self._whole(module)
        return "missing " + name if origin is None else self._foreign(name, "", origin == "installed")

    def _own_module(self, name: str) -> types.ModuleType | None:
        if name in sys.modules:
            return sys.modules[name]
        try:
            return importlib.import_module(name)
        except ImportError:
            return None
        except Exception as error:
            raise InvalidInput(f"The module {name!r} that it imports cannot be loaded: {error}.") from error

    def _whole(self, module: types.ModuleType) -> str:
        key = (id(module), 0)
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers)
            self._kept.append(module)
            for name, value in sorted(vars(module).items()):
                if not (name.startswith("__") and name.endswith("__")):
                    self.texts.append(f"holds {name} " + self.token(value, strict=False))
        return f"#{self._numbers[key]}"

    def _class(self, kind: type) -> None:
        self.texts.append("class " + " ".join(self.token(base, strict=False) for base in kind.__bases__))
        self.texts.append("made by " + self.token(type(kind), strict=False))
        if issubclass(kind, enum.Enum):
            self.texts += [f"member {name} " + self.token(one.value) for name, one in kind.__members__.items()]
        for name, value in objects.members(kind):
            self.texts.append(f"has {name} " + self.token(value, strict=False))

    def _step(self, one: Step) -> None:
        if isinstance(one.does, Command | Reference):
            self.texts.append(f"step {one.does!r}")
        else:
            self.texts.append("step " + self.token(one.does))

    def _object(self, value: object, strict: bool) -> None:
        told = objects.told(value)
        if told is None:
            if strict:
                raise InvalidInput(
                    f"It uses a {type(value).__module__}.{type(value).__qualname__} whose content cannot be told from "
                    "outside, so what was made with it cannot be reused: make it inside the function, pass its content "
                    "as an input, or declare cache=False."
                )
            told = objects.Told("type only")
        self.texts.append(f"{told.text} " + self.token(type(value), strict=False))
        for name, part in told.parts:
            self.texts.append(f"{name} " + self.token(part, strict=strict))

    def _foreign(self, module: str, name: str, installed: bool) -> str:
        if installed:
            self.packages.add(module.partition(".")[0])
        return f"{module.partition('.')[0]}:{name}"
