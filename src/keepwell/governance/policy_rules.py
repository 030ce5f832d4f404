"""What an environment lets models do: values, and what may be said. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from keepwell.core.errors import Denied, InvalidInput

MAX_MODULES = 100
_MODULE = re.compile(r"[A-Za-z_]\w{0,99}(\.[A-Za-z_]\w{0,99}){0,20}\Z")
_NEVER = frozenset({
    "builtins", "code", "codeop", "ctypes", "importlib", "marshal", "os", "pathlib", "pickle", "posix", "pty", "runpy",
    "shutil", "socket", "subprocess", "sys", "threading", "types",
})  # fmt: skip
"""Modules whose functions are not models: allowing one would allow everything."""


@dataclass(frozen=True, slots=True)
class EnvironmentPolicy:
    """What one environment lets models do.

    Attributes:
        environment: its name.
        pickle: formats that run code when they are loaded may load, in a process of their own.
        code: modules that models may name, with all below them.
        number: 0 while nothing was said, then one more with each change.
        changed_at: when it was last changed; None while nothing was said.
        changed_by: by whom.
    """

    environment: str
    pickle: bool = False
    code: tuple[str, ...] = ()
    number: int = 0
    changed_at: datetime | None = None
    changed_by: str | None = None


def check_modules(modules: Sequence[str]) -> tuple[str, ...]:
    """Return modules sorted and without doubles.

    Raises:
        InvalidInput: one is no module's name, or one of the interpreter's own that could do anything.
    """
    chosen = tuple(sorted(set(modules)))
    if len(chosen) > MAX_MODULES:
        raise InvalidInput(f"At most {MAX_MODULES} modules can be allowed.", where="code")
    for module in chosen:
        if not isinstance(module, str) or not _MODULE.match(module):
            raise InvalidInput(f"{str(module)[:80]!a} is no name of a module, such as shop.models.", where="code")
        if module.split(".")[0] in _NEVER:
            raise InvalidInput(f"{module} can do anything: allow the module of your own model.", where="code")
    return chosen


def demand_pickle(policy: EnvironmentPolicy) -> None:
    """Let pass where the environment lets formats load that run code.

    Raises:
        Denied: it does not.
    """
    if not policy.pickle:
        raise Denied(
            f"The policy of {policy.environment} refuses models that run code when they are loaded; "
            f"save it in a safe format, or allow it: keepwell policy allow-pickle {policy.environment} --reason '...'.",
            code="unsafe_model",
            where="policy",
        )
