"""Pipelines declared in YAML.

The text is read within the same bounds as a charter (`charter.tree`): size, depth, number of values, aliases, no tags.
Reading imports and runs nothing; functions are found when the pipeline runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from keepwell.charter.findings import Finding, errors
from keepwell.charter.shape import convert, shape_findings
from keepwell.charter.tree import Node, parse_tree
from keepwell.core.errors import InvalidInput
from keepwell.core.spans import parse_span
from keepwell.pipelines.graph import plan
from keepwell.pipelines.model import Command, Pipeline, Reference, Step
from keepwell.pipelines.values import check_format


class StepSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step in YAML; see `pipelines.model.Step` and `Command` for what the fields mean.

    Attributes:
        run: a function, `file.py:name` or `module:name`.
        command: a program and its arguments; either this or `run`.
        inputs: argument to `step`, `step.output`, `param:NAME`, `value:NAME` or `file:PATH`.
        constants: argument to a value.
        outputs: names, or for a command name to file.
        files: what a command needs beside it.
        formats: input of a command to file format.
        set: environment variables set for a command.
        passes: environment variables handed on to a command.
        map_over: the argument that is worked on in chunks.
        chunk: items in a chunk.
        timeout: span such as `10m`.
        retries: how often a failed step is tried again.
        cache: whether earlier results are taken.
        uses: further functions whose code counts.
    """

    run: str | None = None
    command: tuple[str, ...] | None = None
    inputs: dict[str, str] = {}
    constants: dict[str, Any] = {}
    outputs: tuple[str, ...] | dict[str, str] = ()
    files: tuple[str, ...] = ()
    formats: dict[str, str] = {}
    set: dict[str, str] = {}
    passes: tuple[str, ...] = ()
    map_over: str | None = None
    chunk: int = 1
    timeout: str | None = None
    retries: int = 0
    cache: bool = True
    uses: tuple[str, ...] = ()


class PipelineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pipeline in YAML: its name, its parameters with their defaults, its steps by name."""

    pipeline: str
    params: dict[str, Any] = {}
    steps: dict[str, StepSpec]


def read_pipeline(text: str | bytes, folder: Path | None = None, name: str = "pipeline.yaml") -> Pipeline:
    """Return the pipeline that a YAML text declares, its graph checked.

    Args:
        text: the declaration.
        folder: where its files and functions lie.
        name: what the text is called in messages.

    Raises:
        InvalidInput: something is wrong; the message says the first thing, `where` is `name:line`.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput("It is not UTF-8 text.", where=name) from error
    tree, findings = parse_tree(text)
    if tree is None or errors(findings):
        raise _refusal(findings, name)
    cleaned, shape = shape_findings(tree, PipelineSpec, "")
    if errors(shape):
        raise _refusal(shape, name)
    spec = convert(cleaned, PipelineSpec)
    pipeline = Pipeline(spec.pipeline, _steps(spec, tree, name), spec.params, folder)
    try:
        plan(pipeline, _values(spec))
    except InvalidInput as error:
        line = _line(tree, error.where)
        raise type(error)(_named(error), where=name if line is None else f"{name}:{line}") from error
    return pipeline


def schema() -> dict[str, Any]:
    """Return the JSON Schema of pipelines in YAML."""
    return msgspec.json.schema(PipelineSpec)


def _steps(spec: PipelineSpec, tree: Node, name: str) -> tuple[Step, ...]:
    found = []
    for key, one in spec.steps.items():
        try:
            found.append(_step(key, one))
        except InvalidInput as error:
            raise InvalidInput(f"The step {key!r}: {error.message}", where=f"{name}:{_line(tree, key)}") from error
    return tuple(found)


def _step(name: str, one: StepSpec) -> Step:
    if (one.run is None) == (one.command is None):
        raise InvalidInput("Write either `run: file.py:function` or `command: [program, argument]`.")
    does: Command | Reference
    if one.command is not None:
        if not isinstance(one.outputs, dict) or not one.outputs:
            raise InvalidInput("A command names its outputs and their files, like `outputs: {model: model.json}`.")
        formats = {key: check_format(value, f"formats.{key}") for key, value in one.formats.items()}
        does = Command(one.command, one.files, one.outputs, formats, one.set, one.passes)
    else:
        if isinstance(one.outputs, dict):
            raise InvalidInput("A function's outputs are a list of names, like `outputs: [model, scores]`.")
        if one.files or one.formats or one.set or one.passes:
            raise InvalidInput("`files`, `formats`, `set` and `passes` are for commands.")
        does = Reference(one.run or "")
    return Step(
        name=name,
        does=does,
        inputs=one.inputs,
        constants=one.constants,
        outputs=tuple(one.outputs),
        map_over=one.map_over,
        chunk=one.chunk,
        timeout=None if one.timeout is None else parse_span(one.timeout).total_seconds(),
        retries=one.retries,
        cache=one.cache,
        uses=one.uses,
    )


def _values(spec: PipelineSpec) -> set[str]:
    """Return the values that the steps say they receive: which there are is known when the pipeline runs."""
    texts = [text for one in spec.steps.values() for text in one.inputs.values()]
    return {text.removeprefix("value:") for text in texts if text.startswith("value:")}


def _refusal(findings: list[Finding], name: str) -> InvalidInput:
    first = errors(findings)[0]
    clause = f"{first.clause}: " if first.clause else ""
    more = f" ({len(findings) - 1} more.)" if len(findings) > 1 else ""
    return InvalidInput(
        f"{clause}{first.wrong} {first.right}{more}", where=name if first.line is None else f"{name}:{first.line}"
    )


def _named(error: InvalidInput) -> str:
    return f"The step {error.where!r}: {error.message}" if error.where else error.message


def _line(tree: Node, step: str | None) -> int | None:
    steps = tree.value.get("steps") if isinstance(tree.value, dict) else None
    return steps.key_lines.get(step) if steps is not None and step is not None else None
