"""The values of model formats, and what every format offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

Verdict = Literal["safe", "code", "unsafe"]
"""What loading a folder may do: nothing but data; import code that it names; run code that it holds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model's own process may use.

    Attributes:
        memory: bytes of address space.
        cpu: seconds of processor time, of all its life.
        file: bytes of the largest file it may write.
        processes: processes and threads it may start.
        start: seconds until it must have loaded.
        seconds: seconds that a prediction may take.
    """

    memory: int = 8 << 30
    cpu: int = 3600
    file: int = 1 << 28
    processes: int = 64
    start: float = 120.0
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Unsafe:
    """A folder that can run code when it is loaded, and is about to be loaded because the policy allows it.

    Attributes:
        digest: of the file that holds the code.
        flavor: its format.
        path: the file, within the folder.
        reason: what it is, in words.
    """

    digest: str
    flavor: str
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """What a caller lets a folder do.

    Attributes:
        pickle: formats that run code when they are loaded may load, in a process of their own only.
        code: modules (and what is below them) that a model may name, and that are imported then; with `shop`, a model
            may name `shop.rules:price`. Nothing else that a folder names is imported.
        worker: load every format in a process of its own; a server does.
        limits: of that process.
        recorder: told of each unsafe load before it happens; when it raises, nothing is loaded.
    """

    pickle: bool = False
    code: tuple[str, ...] = ()
    worker: bool = False
    limits: Limits = field(default_factory=Limits)
    recorder: Callable[[Unsafe], None] | None = None


SAFE = Policy()
"""Refuses everything that could run code."""


class Start(msgspec.Struct, frozen=True):
    """The first message to a model's process.

    Attributes:
        path: where modules are looked for.
        readable: what may be read beside the system's own files.
        own: the folder that may be written.
        folder: the model's.
        flavor: its format.
        pickle: whether formats that run code may load.
        code: modules that the model may name.
        limits: of this process.
    """

    path: list[str]
    readable: list[str]
    own: str
    folder: str
    flavor: str
    pickle: bool
    code: list[str]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Context:
    """What a format is told when it saves.

    Attributes:
        folder: where its files go; it is there and empty.
        example: the input example, when one was given.
        code: what the caller says about code: the init arguments of a torch module, the folder of a function.
        options: options of the format.
    """

    folder: Path
    example: Any = None
    code: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """What a format wrote.

    Attributes:
        conf: the format's own part of the MLmodel file.
        data: the file or folder with the model, within the folder.
        loader: module by which MLflow's clients load it as `python_function`; None where they know none.
        packages: distributions without which it does not load; their installed versions are recorded.
        function: more of the `python_function` part.
        facts: findings kept with the model, such as a verdict on a conversion.
    """

    conf: Mapping[str, Any]
    data: str | None
    loader: str | None
    packages: tuple[str, ...]
    function: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a format's files are, by their content.

    Attributes:
        verdict: what loading them may do.
        path: the file that decides it.
        reason: in words.
        names: modules and functions that it names, where it names any.
    """

    verdict: Verdict
    path: str
    reason: str = ""
    names: tuple[str, ...] = ()


class Flavor(Protocol):
    """One model format. `testing.flavors.FlavorConformance` is what every one passes."""

    @property
    def name(self) -> str:
        """The key of its part of the MLmodel file."""

    @property
    def needs(self) -> tuple[tuple[str, str], ...]:
        """Modules that must be importable, each with what installs it."""

    def claims(self, model: object) -> bool:
        """Tell whether it saves models of this class; imports nothing."""

    def save(self, model: Any, context: Context) -> Written:
        """Write the model into the folder.

        Raises:
            InvalidInput: the model is not one that the format can hold.
        """

    def judge(self, folder: Path, conf: Mapping[str, Any]) -> Judged:
        """Say by content what loading the files may do; imports no library of the format.

        Raises:
            Damaged: the files are not whole, or not what the folder says they are.
        """

    def load(self, folder: Path, conf: Mapping[str, Any], policy: Policy) -> Any:
        """Return the model. Only called after `judge`, in a worker if the verdict was `unsafe`."""

    def predict(self, model: Any, data: Any, params: Mapping[str, Any]) -> Any:
        """Return the model's answer for data."""
