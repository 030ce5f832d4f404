"""Declare steps in Python: the decorator `step`, and `command` for programs in any language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from keepwell.core.spans import parse_span
from keepwell.pipelines.model import Command, Reference, Step

Function = Callable[..., Any]


@overload
def step(function: Function) -> Step: ...
@overload
def step(
    function: None = None,
    *,
    name: str | None = None,
    inputs: Mapping[str, str] | None = None,
    constants: Mapping[str, object] | None = None,
    outputs: Sequence[str] = (),
    map_over: str | None = None,
    chunk: int = 1,
    timeout: str | float | None = None,
    retries: int = 0,
    cache: bool = True,
    uses: Sequence[object] = (),
) -> Callable[[Function], Step]: ...
def step(function: Function | None = None, **declared: Any) -> Step | Callable[[Function], Step]:
    """Make a function a step of a pipeline.

    The step can still be called like the function. Its arguments receive what `inputs` and `constants` say, else the
    step, parameter or value of their own name. `timeout` is seconds or a span such as `10m`; the rest as in `Step`.
    """
    if function is not None:
        return _step(function)
    return lambda decorated: _step(decorated, **declared)


def _step(
    function: Function | Reference | Command,
    *,
    name: str | None = None,
    inputs: Mapping[str, str] | None = None,
    constants: Mapping[str, object] | None = None,
    outputs: Sequence[str] = (),
    map_over: str | None = None,
    chunk: int = 1,
    timeout: str | float | None = None,
    retries: int = 0,
    cache: bool = True,
    uses: Sequence[object] = (),
) -> Step:
    return Step(
        name=name or str(getattr(function, "__name__", "step")),
        does=function,
        inputs=dict(inputs or {}),
        constants=dict(constants or {}),
        outputs=tuple(outputs),
        map_over=map_over,
        chunk=chunk,
        timeout=parse_span(timeout).total_seconds() if isinstance(timeout, str) else timeout,
        retries=retries,
        cache=cache,
        uses=tuple(uses),
    )


def command(
    name: str,
    argv: Sequence[str],
    *,
    outputs: Mapping[str, str],
    inputs: Mapping[str, str] | None = None,
    files: Sequence[str] = (),
    formats: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    passes: Sequence[str] = (),
    **declared: Any,
) -> Step:
    """Make a program a step: it runs in a fresh folder with its inputs as files and leaves its outputs as files.

    Args:
        name: the step's name.
        argv: program and arguments; see `Command` for placeholders.
        outputs: output name to file name, such as `{"model": "model.json"}`.
        inputs: name to what it receives, as for a function.
        files: scripts and data beside the pipeline's file that the program needs; they count as its code.
        formats: input name to file format.
        variables: environment variables to set.
        passes: environment variables to hand on.
        declared: `constants`, `map_over`, `chunk`, `timeout`, `retries`, `cache`, as for `step`.
    """
    program = Command(
        argv=tuple(argv),
        files=tuple(files),
        outputs=dict(outputs),
        formats=dict(formats or {}),
        variables=dict(variables or {}),
        passes=tuple(passes),
    )
    return replace(_step(program, name=name, inputs=inputs, **declared), outputs=tuple(outputs))


def renamed(original: Step, name: str, **inputs: str) -> Step:
    """Return the same step under another name with some inputs taken from elsewhere: a step used twice."""
    return replace(original, name=name, inputs={**original.inputs, **inputs})
