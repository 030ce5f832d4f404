"""The graph of a pipeline: what each argument receives, what waits for what, and what is wrong with it. Pure."""

from __future__ import annotations

import heapq
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from keepwell.charter.findings import listed, nearest, shown
from keepwell.core.digests import canonical_json
from keepwell.core.errors import InvalidInput, TooLarge
from keepwell.core.names import check_name
from keepwell.core.secrets import hide_credentials, names_secret
from keepwell.pipelines.model import Command, Pipeline, Reference, Step

MOST_STEPS = 10_000
"""Steps a pipeline has at most. A fleet is a step mapped over its segments, not a step a segment."""
MOST_RETRIES = 10
MOST_SECONDS = 30 * 86_400
PLACEHOLDER = re.compile(r"\{(inputs|outputs|params)\.([A-Za-z_][A-Za-z0-9_]{0,99})\}")


@dataclass(frozen=True, slots=True)
class FromStep:
    """An output of another step, by that step's position."""

    position: int
    output: str


@dataclass(frozen=True, slots=True)
class FromParam:
    """A parameter of the run."""

    name: str


@dataclass(frozen=True, slots=True)
class FromValue:
    """A value handed to the run beside its parameters."""

    name: str


@dataclass(frozen=True, slots=True)
class FromFile:
    """A file in the pipeline's folder."""

    path: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A JSON value written in the declaration."""

    value: object


Source = FromStep | FromParam | FromValue | FromFile | Constant


@dataclass(frozen=True, slots=True)
class Node:
    """A step in its place.

    Attributes:
        position: its place in an order in which every step comes after what it waits for.
        step: as declared.
        sources: argument to what it receives.
        after: positions of the steps it waits for.
    """

    position: int
    step: Step
    sources: Mapping[str, Source]
    after: tuple[int, ...]


def plan(pipeline: Pipeline, values: Iterable[str] = ()) -> tuple[Node, ...]:
    """Return the pipeline's steps in an order in which they can run.

    Args:
        pipeline: the declaration.
        values: names of the values that are handed to the run.

    Raises:
        InvalidInput: a name is used twice, an input is not known, steps wait for one another in a circle, or a number
            is out of its bounds. The sentence names the step.
        TooLarge: there are more than 10,000 steps.
    """
    check_name(pipeline.name, "name of the pipeline")
    if len(pipeline.steps) > MOST_STEPS:
        raise TooLarge(
            f"A pipeline has at most {MOST_STEPS:,} steps, this one has {len(pipeline.steps):,}: "
            "map one step over a list instead (map_over)."
        )
    if not pipeline.steps:
        raise InvalidInput(f"The pipeline {pipeline.name!r} has no steps.")
    check_params(pipeline.params)
    places: dict[str, int] = {}
    for index, one in enumerate(pipeline.steps):
        _check_step(one)
        if places.setdefault(one.name, index) != index:
            raise InvalidInput(f"Two steps are called {shown(one.name)}; rename one.", where=one.name)
    wiring = _Wiring(pipeline, places, frozenset(values))
    sources = [wiring.sources_of(one) for one in pipeline.steps]
    after = [sorted({s.position for s in found.values() if isinstance(s, FromStep)}) for found in sources]
    order = _order(after, [one.name for one in pipeline.steps])
    place_of = {index: position for position, index in enumerate(order)}
    return tuple(
        Node(
            position,
            pipeline.steps[index],
            {name: _moved(source, place_of) for name, source in sources[index].items()},
            tuple(sorted(place_of[i] for i in after[index])),
        )
        for position, index in enumerate(order)
    )


def check_params(params: Mapping[str, object]) -> None:
    """Refuse parameters that cannot be recorded, or must not be.

    Raises:
        InvalidInput: a value is no JSON, a name says that it is a secret, or an address holds credentials.
    """
    recorded = canonical_json(dict(params)).decode()
    named = next((name for name, value in params.items() if names_secret(name) and value not in (None, "")), None)
    if named is not None or hide_credentials(recorded) != recorded:
        what = (
            "A parameter holds an address with credentials" if named is None else f"{shown(named)} is a secret's name"
        )
        raise InvalidInput(
            f"{what}, and parameters are recorded: hand secrets to a command with `passes`, or read them in the step.",
            where="params",
        )


def feeds(nodes: Sequence[Node]) -> list[list[int]]:
    """Return for each position the positions that wait for it."""
    found: list[list[int]] = [[] for _ in nodes]
    for node in nodes:
        for before in node.after:
            found[before].append(node.position)
    return found


@lru_cache(maxsize=4096)
def arguments_of(function: Callable[..., Any]) -> tuple[tuple[str, bool], ...]:
    """Return the names a function takes, and whether each must be given.

    Raises:
        InvalidInput: it takes unnamed arguments (`*rows`, or positional-only ones).
    """
    found: list[tuple[str, bool]] = []
    for name, one in inspect.signature(function).parameters.items():
        if one.kind in (one.VAR_POSITIONAL, one.POSITIONAL_ONLY):
            raise InvalidInput(f"The function takes {one}, but a step's arguments are given by name.")
        if one.kind is not one.VAR_KEYWORD:
            found.append((name, one.default is one.empty))
    return tuple(found)


class _Wiring:
    """Finds what each argument receives."""

    def __init__(self, pipeline: Pipeline, places: Mapping[str, int], values: frozenset[str]) -> None:
        self._pipeline = pipeline
        self._places = places
        self._values = values

    def sources_of(self, one: Step) -> dict[str, Source]:
        found: dict[str, Source] = {name: Constant(value) for name, value in one.constants.items()}
        for name, text in one.inputs.items():
            found[name] = self._explicit(one, name, text)
        for name, required in self._wants(one):
            if name not in found:
                source = self._by_own_name(name, one)
                if source is not None:
                    found[name] = source
                elif required:
                    raise self._unknown(one, name, name)
        if one.map_over is not None and one.map_over not in found:
            raise InvalidInput(f"It is mapped over {shown(one.map_over)}, which it does not receive.", where=one.name)
        return found

    def _wants(self, one: Step) -> Sequence[tuple[str, bool]]:
        if isinstance(one.does, Reference):
            return ()
        if isinstance(one.does, Command):
            for name in (*one.inputs, *one.constants):
                if not _VARIABLE.fullmatch(name):
                    raise InvalidInput(
                        f"Its input {shown(name)} must be a word of letters, digits and '_'.", where=one.name
                    )
            texts = (*one.does.argv, *one.does.outputs.values())
            return [(name, True) for text in texts for room, name in PLACEHOLDER.findall(text) if room != "outputs"]
        try:
            wants = arguments_of(one.does)
        except InvalidInput as error:
            raise InvalidInput(error.message, where=one.name) from error
        named = {name for name, _ in wants}
        takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(one.does).parameters.values())
        for name in (*one.inputs, *one.constants):
            if name not in named and not takes_any:
                raise InvalidInput(
                    f"Its function has no argument {shown(name)}. {nearest(name, named)}", where=one.name
                )
        return wants

    def _by_own_name(self, name: str, one: Step) -> Source | None:
        if name in self._values:
            return FromValue(name)
        if name in self._places and name != one.name:
            return self._output(one, name, self._places[name], None)
        return FromParam(name) if name in self._pipeline.params else None

    def _explicit(self, one: Step, name: str, text: object) -> Source:
        if not isinstance(text, str):
            raise InvalidInput(f"What {shown(name)} receives must be text, such as the name of a step.", where=one.name)
        kind, colon, rest = text.partition(":")
        if colon and kind == "param":
            return FromParam(rest) if rest in self._pipeline.params else self._refuse(one, name, text)
        if colon and kind == "value":
            return FromValue(rest) if rest in self._values else self._refuse(one, name, text)
        if colon and kind == "file":
            return FromFile(inside(rest, one.name))
        if text in self._places:
            return self._output(one, name, self._places[text], None)
        before, dot, output = text.rpartition(".")
        if dot and before in self._places:
            return self._output(one, name, self._places[before], output)
        return self._refuse(one, name, text)

    def _output(self, one: Step, name: str, place: int, output: str | None) -> FromStep:
        other = self._pipeline.steps[place]
        if other.name == one.name:
            raise InvalidInput(
                f"Its input {shown(name)} is its own output: a step cannot wait for itself.", where=one.name
            )
        names = other.output_names
        if output is None and len(names) > 1:
            raise InvalidInput(
                f"Its input {shown(name)} must name one of the outputs of {shown(other.name)}: {listed(names)}.",
                where=one.name,
            )
        if output is not None and output not in names:
            raise InvalidInput(
                f"The step {shown(other.name)} has no output {shown(output)}. {nearest(output, names)}", where=one.name
            )
        return FromStep(place, output or names[0])

    def _refuse(self, one: Step, name: str, text: str) -> Source:
        raise self._unknown(one, name, text)

    def _unknown(self, one: Step, name: str, text: str) -> InvalidInput:
        known = [*self._places, *(f"param:{p}" for p in self._pipeline.params), *(f"value:{v}" for v in self._values)]
        what = f"Its input {shown(name)}" if name == text else f"Its input {shown(name)} ({shown(text)})"
        near = nearest(text, known[:2_000]) if len(known) <= 20 else ""
        return InvalidInput(f"{what} is no step, parameter or value of the pipeline. {near}".strip(), where=one.name)


def inside(path: str, where: str) -> str:
    """Return a relative path that stays in its folder.

    Raises:
        InvalidInput: it is empty, absolute, climbs out with `..`, or holds a control character.
    """
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or not path.isprintable():
        raise InvalidInput(f"{shown(path)} is no path inside the folder: write it relative, without '..'.", where=where)
    return str(pure)


def _check_step(one: Step) -> None:
    check_name(one.name, "name of a step")
    if isinstance(one.retries, bool) or not 0 <= one.retries <= MOST_RETRIES:
        raise InvalidInput(f"It can be tried again 0 to {MOST_RETRIES} times (retries).", where=one.name)
    if isinstance(one.chunk, bool) or not 1 <= one.chunk <= 1_000_000:
        raise InvalidInput("A chunk has 1 to 1,000,000 items.", where=one.name)
    if one.timeout is not None and not 0 < one.timeout <= MOST_SECONDS:
        raise InvalidInput("Its timeout must be more than 0 seconds and at most 30 days.", where=one.name)
    if len(set(one.output_names)) != len(one.output_names):
        raise InvalidInput("Two of its outputs have one name.", where=one.name)
    for output in one.output_names:
        check_name(output, "name of an output")
    try:
        canonical_json(dict(one.constants))
    except InvalidInput as error:
        raise InvalidInput(error.message, where=one.name) from error
    if isinstance(one.does, Command):
        check_command(one.does, one.name)


def check_command(command: Command, where: str) -> None:
    """Refuse a command that could not run, or in which a value could become code.

    Raises:
        InvalidInput: it has no program; a placeholder is the program, is unknown, or stands in text that a program
            reads as code (after `-c` or `-e`); a file lies outside the folder.
    """
    if not command.argv or not all(isinstance(a, str) and "\0" not in a for a in command.argv) or not command.argv[0]:
        raise InvalidInput("A command is a list of texts: the program and its arguments.", where=where)
    if PLACEHOLDER.search(command.argv[0]):
        raise InvalidInput("The program itself cannot be a placeholder.", where=where)
    for before, argument in zip(command.argv, command.argv[1:], strict=False):
        holes = PLACEHOLDER.findall(argument)
        if not holes:
            continue
        if len(holes) > 1 or before in _READS_CODE or not _AROUND.fullmatch(PLACEHOLDER.sub("", argument)):
            raise InvalidInput(
                f"The argument {shown(argument)} mixes a placeholder with other text: pass the value as an argument of "
                "its own, or as --name={params.name}.",
                where=where,
            )
        room, name = holes[0]
        if room == "outputs" and name not in command.outputs:
            raise InvalidInput(f"It has no output {shown(name)}. {nearest(name, command.outputs)}", where=where)
    for path in (*command.outputs.values(), *command.files):
        inside(path, where)
    for name in (*command.variables, *command.passes):
        if not _VARIABLE.fullmatch(name):
            raise InvalidInput(f"{shown(name)} cannot be the name of an environment variable.", where=where)


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_READS_CODE = frozenset(
    {"-c", "-e", "-E", "-p", "-r", "/c", "/C", "--eval", "--exec", "--print", "-Command", "-command"}
)
_AROUND = re.compile(r"(-{1,2}[A-Za-z0-9][A-Za-z0-9_.-]*=|[A-Za-z0-9_.-]+=)?")


def _moved(source: Source, place_of: Mapping[int, int]) -> Source:
    return FromStep(place_of[source.position], source.output) if isinstance(source, FromStep) else source


def _order(after: Sequence[Sequence[int]], names: Sequence[str]) -> list[int]:
    """Return the indexes in an order that respects `after`, as near to the declared one as that allows."""
    waits = [len(before) for before in after]
    then: list[list[int]] = [[] for _ in after]
    for index, before in enumerate(after):
        for b in before:
            then[b].append(index)
    ready = [index for index, count in enumerate(waits) if count == 0]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for follower in then[index]:
            waits[follower] -= 1
            if waits[follower] == 0:
                heapq.heappush(ready, follower)
    if len(order) < len(after):
        raise InvalidInput(f"Steps wait for one another in a circle: {_circle(after, set(order), names)}.")
    return order


def _circle(after: Sequence[Sequence[int]], done: set[int], names: Sequence[str]) -> str:
    """Return one circle among the steps that could not be ordered, as `a -> b -> a`."""
    seen: dict[int, int] = {}
    path: list[int] = []
    at = next(index for index in range(len(after)) if index not in done)
    while at not in seen:
        seen[at] = len(path)
        path.append(at)
        at = next(b for b in after[at] if b not in done)
    circle = [*path[seen[at] :], at][::-1]
    shortened = circle if len(circle) <= 9 else [*circle[:7], circle[-1]]
    words = [names[i] for i in shortened]
    if len(circle) > 9:
        words.insert(7, f"({len(circle) - 8} more)")
    return " -> ".join(words)
