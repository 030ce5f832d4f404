"""What a model may name of code: modules the policy allows, looked up by one function."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Denied, InvalidInput, NotFound
from keepwell.models.flavors.model import Policy

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")


def address(thing: Any) -> str:
    """Return `module:qualified.name` of a function or class that can be found by it.

    Raises:
        InvalidInput: it is of a script, of another function, or a lambda.
    """
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not module or not name or "<" in name:
        raise InvalidInput("Only a named function or class of a module can be kept; this has no name.", where="model")
    if module == "__main__":
        raise InvalidInput(f"{name} is defined in a script; put it in a module that can be imported.", where="model")
    if _find(module, name) is not thing:
        raise InvalidInput(f"{module}:{name} is not what was given; keep the thing that the name stands for.")
    return f"{module}:{name}"


def find(reference: object, policy: Policy, builtin: tuple[str, ...] = ()) -> Any:
    """Import what a model names, where the policy allows it.

    Args:
        reference: `module:qualified.name`.
        policy: whose `code` lists the modules that may be named.
        builtin: modules that may be named in any case.

    Raises:
        Denied: it may not.
        InvalidInput: it is no such reference.
        NotFound: there is no such thing.
    """
    text = check(reference)
    module, name = text.split(":")
    if not allowed(module, (*policy.code, *builtin)):
        raise Denied(
            f"This model names the code {text[:200]}, which is imported only where the policy says so: "
            f"pass code=({module.split('.')[0]!r},) if you trust it.",
            where="code",
        )
    try:
        return _find(module, name)
    except ImportError as error:
        raise NotFound(f"The module of {text[:200]} cannot be imported: {str(error)[:200]}.") from error
    except AttributeError:
        raise NotFound(f"There is no {name} in the module {module}.") from None


def check(reference: object) -> str:
    """Return a reference that has the right form.

    Raises:
        InvalidInput: it has not.
    """
    if not isinstance(reference, str) or len(reference) > 500 or not _NAME.match(reference):
        raise InvalidInput(f"{str(reference)[:80]!a} is not of the form module:name.", where="code")
    return reference


def allowed(module: str, modules: tuple[str, ...]) -> bool:
    """Tell whether a module is one of those, or below one."""
    return any(module == one or module.startswith(f"{one}.") for one in modules)


def source(thing: Callable[..., Any]) -> str:
    """Return the source of the module that a function or class is of; empty when there is none."""
    try:
        return inspect.getsource(sys.modules[thing.__module__])
    except (OSError, TypeError, KeyError):
        return ""


def digest(text: str) -> str:
    """Return the digest of a source."""
    return digest_bytes(text.encode())


def _find(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
