"""Values of pipelines: steps and graphs as they are declared, runs and steps as they were recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

StepState = Literal["waiting", "running", "done", "cached", "failed", "skipped", "interrupted"]
RunState = Literal["running", "finished", "failed", "interrupted"]

RESULT = "result"
"""The name of a step's output when it declares none."""

WHOLE = -1
"""The part number of a step that is not mapped, and of a mapped step's combined outputs."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A function by where it is found: `module:name`, or `file.py:name` relative to a folder. Imported when it runs."""

    target: str
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A program in any language, with files in and out.

    Attributes:
        argv: the program and its arguments, a list, never a shell's line. An argument may hold one placeholder:
            `{inputs.NAME}` and `{outputs.NAME}` become paths in the step's own folder, `{params.NAME}` a value.
        files: paths or globs, relative to the pipeline's folder, that are placed in the step's folder: the code.
        outputs: output name to the file that the program leaves in its folder.
        formats: input name to the format its file is written in; by default what it is stored in.
        variables: environment variables set for the program.
        passes: names of environment variables handed on from outside.
    """

    argv: tuple[str, ...]
    files: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    passes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One step of a graph, as it is declared.

    Attributes:
        name: unique in its pipeline.
        does: a function, where to find one, or a command.
        inputs: argument to what it receives: `step`, `step.output`, `param:NAME`, `value:NAME` or `file:PATH`. An
            argument that is not named here receives the step, parameter or value of its own name, if there is one.
        constants: argument to a JSON value.
        outputs: names of what it returns (a mapping with them, or a tuple in their order); none: one value.
        map_over: the argument that is a list to be worked on in chunks; the function receives one chunk, a list.
        chunk: items in a chunk.
        timeout: seconds after which it fails.
        retries: how often it is tried again after a failure.
        cache: whether what it made before from the same code, parameters, inputs and environment is taken.
        uses: further functions, classes or modules (and for commands, files) whose code counts.
    """

    name: str
    does: Callable[..., Any] | Reference | Command
    inputs: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, object] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    map_over: str | None = None
    chunk: int = 1
    timeout: float | None = None
    retries: int = 0
    cache: bool = True
    uses: tuple[object, ...] = ()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the step's function, as if it were not a step: for tests and for other functions."""
        if isinstance(self.does, Command | Reference):
            raise TypeError(f"the step {self.name!r} is no Python function")
        return self.does(*arguments, **named)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of its outputs, at least one."""
        if isinstance(self.does, Command) and not self.outputs:
            return tuple(self.does.outputs) or (RESULT,)
        return self.outputs or (RESULT,)


@dataclass(frozen=True)
class Pipeline:
    """A graph of steps.

    Attributes:
        name: the name under which runs are kept.
        steps: in any order; their inputs make the graph.
        params: parameters and their defaults, JSON values.
        folder: where files and commands of the steps lie.
    """

    name: str
    steps: tuple[Step, ...]
    params: Mapping[str, object] = field(default_factory=dict)
    folder: Path | None = None


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A value in the store: the digest of its bytes and the format they are in (see `pipelines.values`)."""

    digest: str
    format: str


class StepRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of one step, or of one chunk of a mapped step.

    Attributes:
        run_id: the pipeline run.
        position: the step's place in the graph's order.
        part: number of the chunk, from 0; -1 for a step that is not mapped and for the combined outputs of one that is.
        name: the step's name.
        state: waiting, running, done, cached, failed, skipped or interrupted.
        key: digest of code, parameters, inputs and environment: the same key means the same outputs.
        code: digest of the code it really uses.
        params: digest of its parameters.
        environment: digest of Python and the packages it uses, with versions.
        inputs: argument to digest.
        outputs: name to digest.
        formats: name to the format the output is stored in.
        log: digest of what it wrote to stdout and stderr.
        error: why it failed, in a sentence.
        seconds: how long it took; for a cached one, how long it had taken.
        attempts: how often it was tried.
        source: for a cached one, the pipeline run that did the work.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC.
    """

    run_id: str
    position: int
    part: int
    name: str
    state: StepState
    key: str | None = None
    code: str | None = None
    params: str | None = None
    environment: str | None = None
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    formats: dict[str, str] = {}
    log: str | None = None
    error: str | None = None
    seconds: float = 0.0
    attempts: int = 0
    source: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step as the page of a run draws it: its place, what it waits for, what it is."""

    name: str
    kind: Literal["function", "command"]
    does: str
    after: tuple[int, ...]
    outputs: tuple[str, ...]
    map_over: str | None = None
    chunk: int | None = None


class PipelineRun(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded run of a pipeline.

    Attributes:
        id: `prn_...`; ids sort by the time they were made.
        pipeline: name of the pipeline.
        state: running, finished, failed or interrupted.
        params: the parameters it ran with.
        plan: digest of the graph it ran, see `pipelines.service.plan_of`.
        steps: how many steps the graph has.
        counts: state to how many step records are in it: a mapped step counts once a chunk.
        attempts: 1, and one more each time it was resumed.
        seconds: working time, all attempts together.
        actor: who started it.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC; None while it runs.
        error: the first failure, in a sentence.
    """

    id: str
    pipeline: str
    state: RunState
    params: dict[str, Any]
    plan: str
    steps: int
    counts: dict[str, int]
    attempts: int
    seconds: float
    actor: str
    started_at: str
    finished_at: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: what a terminal shows.

    Attributes:
        run_id: the run.
        counts: state to number of step records.
        known: step records known so far: chunks of a mapped step are known once its list is.
        running: names of what runs now.
        seconds: since the start of this attempt.
        failed: sentence of the newest failure, None when the newest change was none.
    """

    run_id: str
    counts: Mapping[str, int]
    known: int
    running: tuple[str, ...]
    seconds: float
    failed: str | None = None

    @property
    def settled(self) -> int:
        """How many step records have come to an end."""
        return sum(n for state, n in self.counts.items() if state not in ("waiting", "running"))
