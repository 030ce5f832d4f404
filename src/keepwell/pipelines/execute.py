"""Run one task: read its inputs, call the function or the command, store what it made as bytes."""

from __future__ import annotations

import sys
import time
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from keepwell.core.errors import InvalidInput, KeepwellError
from keepwell.pipelines import commands
from keepwell.pipelines.tasks import Outcome, Task
from keepwell.pipelines.values import Payload, as_kind, decode, encode


def execute(task: Task, function: Callable[..., Any] | None) -> Outcome:
    """Run a task to its end. What the task's code raises or returns wrongly becomes the outcome's error.

    What it prints is not collected here; for a command, it is.
    """
    started = time.perf_counter()
    log = b""
    outputs: dict[str, Payload] = {}
    error: str | None = None
    try:
        if task.program is not None:
            outputs, log, error = commands.run(task)
        else:
            assert function is not None  # noqa: S101  (a task is a command or a function)
            outputs = _call(task, function)
    except KeepwellError as refusal:
        error = refusal.message
    except (Exception, SystemExit) as failure:  # noqa: BLE001  (foreign code: what it raises fails its step only)
        error = _describe(failure)
        traceback.print_exception(failure, file=sys.stderr)
    seconds = time.perf_counter() - started
    if error is None and task.timeout is not None and seconds > task.timeout:
        error, outputs = too_long(task.timeout), {}
    return Outcome(id=task.id, outputs=outputs, log=log, error=error, seconds=seconds)


def too_long(timeout: float) -> str:
    """Return the sentence about a step that ran out of time."""
    return f"It took longer than the {timeout:g} s it may take (timeout)."


def _call(task: Task, function: Callable[..., Any]) -> dict[str, Payload]:
    hints = hints_of(function)
    arguments: dict[str, Any] = {}
    for name, value in task.constants.items():
        with _about(name):
            arguments[name] = as_kind(value, hints.get(name))
    for name, payload in task.inputs.items():
        with _about(name):
            arguments[name] = decode(payload, hints.get(name))
    result = function(**arguments)
    if len(task.outputs) == 1 and not (isinstance(result, dict) and _is_mapping_of(result, task.outputs)):
        result = {task.outputs[0]: result}
    elif isinstance(result, tuple) and len(result) == len(task.outputs):
        result = dict(zip(task.outputs, result, strict=True))
    if not isinstance(result, Mapping) or set(result) != set(task.outputs):
        raise InvalidInput(
            f"It must return a mapping with {', '.join(task.outputs)}, or a tuple in that order; "
            f"it returned a {type(result).__name__}."
        )
    made: dict[str, Payload] = {}
    for name in task.outputs:
        kind, data = encode(result[name])
        made[name] = Payload(format=kind, data=data)
    return made


def _is_mapping_of(result: Mapping[object, object], outputs: tuple[str, ...]) -> bool:
    """Tell whether a mapping is the declared output by name, not the value itself."""
    return outputs != ("result",) and set(result) == set(outputs)


@contextmanager
def _about(name: str) -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"Its input {name!r} cannot be used. {error.message}") from error


@lru_cache(maxsize=4096)
def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of a function's arguments; none when its annotations cannot be resolved."""
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError, SyntaxError, ImportError):
        return {}


def _describe(failure: BaseException) -> str:
    """Return an exception as a sentence: what, and where in the step's own code."""
    frames = traceback.extract_tb(failure.__traceback__)
    own = [f for f in frames if "keepwell/pipelines" not in f.filename.replace("\\", "/")]
    place = f" ({own[-1].filename.rpartition('/')[2]} line {own[-1].lineno})" if own else ""
    text = " ".join(str(failure).split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    name = type(failure).__name__
    return f"{name}: {text[:400]}{place}" if text else f"{name}{place}"
