"""Use cases of pipelines: run one, resume one, look runs up, read what they made."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import canonical_json, digest_bytes
from keepwell.core.errors import Conflict, InvalidInput, KeepwellError, NotFound
from keepwell.core.events import Event
from keepwell.core.ids import check_id
from keepwell.db import Database, Transaction, read, write
from keepwell.ledger import append, once
from keepwell.pipelines import graph, store
from keepwell.pipelines.engine import Execution, Tools
from keepwell.pipelines.loading import resolved
from keepwell.pipelines.model import (
    RESULT,
    WHOLE,
    Command,
    Pipeline,
    PipelineRun,
    PlannedStep,
    Progress,
    Reference,
    RunState,
    Step,
    StepRun,
    StepState,
    Stored,
)
from keepwell.pipelines.prepare import Preparation
from keepwell.pipelines.record import Recorder
from keepwell.pipelines.shelf import Shelf, value_bytes
from keepwell.pipelines.tasks import Runner
from keepwell.pipelines.values import Payload, decode, encode, parts_of
from keepwell.pipelines.workplace import Workplace, is_alive

__all__ = [
    "Plan", "kept_values", "log_of", "mark_interrupted", "named_blobs", "output", "pipeline_run", "pipeline_runs",
    "plan_of", "run_pipeline", "step_counts", "steps", "value_bytes",
]  # fmt: skip

MOST = 10_000
"""How many records one listing returns at most."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The graph that a run ran: its steps in order, and the values it was handed."""

    steps: list[PlannedStep]
    values: dict[str, Stored]


def run_pipeline(
    db: Database,
    blobs: Blobs,
    call: Call,
    pipeline: Pipeline,
    params: Mapping[str, object] | None = None,
    *,
    runner: Runner,
    cache: bool = True,
    progress: Callable[[Progress], None] | None = None,
    resume: str | None = None,
    values: Mapping[str, object] | None = None,
    home: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> PipelineRun:
    """Run a pipeline, or go on with a run that was interrupted or has failed.

    What is recorded is kept even if the process is killed; steps that were done are not done again. A step that fails
    does not stop what does not depend on it: the run is returned as failed, it is not raised.

    Args:
        db: the database; a run commits on its own, in batches.
        blobs: where values of more than 2 KiB go.
        call: who, when, and under which key: the same key again returns the finished run, or resumes it.
        pipeline: the graph.
        params: values for the pipeline's parameters; the others keep their defaults.
        runner: where steps run, see `pipelines.runners`. It is not closed.
        cache: whether results of earlier runs are taken. A resumed run always takes its own.
        progress: called with each step that ends, in this thread.
        resume: id of a run to go on with; its own parameters and values are used.
        values: further named values that steps may receive: anything a step may return, or `Stored`.
        home: where the run's folder is made; by default beside the database.
        variables: environment variables that commands may ask for (`passes`); none by default.

    Raises:
        InvalidInput: the graph, a parameter or a step cannot be used; nothing was run.
        NotFound: there is no such run to resume, or a file is missing.
        Conflict: the run is running elsewhere, is finished, or is one of another pipeline or other parameters.
    """
    pipeline = resolved(pipeline)
    place = (home or (db.file.parent if db.file else Path(tempfile.gettempdir()))) / "work"
    before = None if resume is None else _resumable(db, resume, pipeline, params)
    plan = None if before is None else _read_plan(db, blobs, before.plan)
    chosen = dict(before.params) if before is not None else _with_defaults(pipeline, params or {})
    given = {**(plan.values if plan else {}), **(values or {})}
    nodes = graph.plan(pipeline, given)
    preparation = Preparation(chosen, pipeline.folder, variables or {}, remote=runner.remote)
    with Recorder(db) as recorder, ExitStack() as stack:
        shelf = Shelf(db, blobs, recorder)
        handed = {name: one if isinstance(one, Stored) else _put(shelf, name, one) for name, one in given.items()}
        plan_bytes = msgspec.json.encode(Plan(steps=[_planned(node) for node in nodes], values=handed))
        run = before or _new_run(call, pipeline, chosen, digest_bytes(plan_bytes), len(nodes))
        workplace = stack.enter_context(Workplace(place / run.id))
        known = store.Made({}, set())
        if before is None:
            first = _start(db, call, run, workplace)
            if first != run.id:  # the call's key was used before: this is that run
                workplace = stack.enter_context(Workplace(place / first))
                run, known = _go_on(db, call, first)
        else:
            run, known = _go_on(db, call, run.id)
        if run.state == "finished":
            return run
        recorder.inline |= known.inline
        shelf.put(plan_bytes)
        recorder.flush()
        failpoints.reach("pipelines.started")
        tools = Tools(
            run.id, db, runner, shelf, recorder, workplace, preparation, handed, known, cache, call.now, progress
        )
        return _drive(db, call, run, Execution(nodes, tools), recorder)


def _drive(db: Database, call: Call, run: PipelineRun, execution: Execution, recorder: Recorder) -> PipelineRun:
    """Run, and record how it ended, whatever happens."""
    try:
        execution.prepare()
        execution.run()
    except KeepwellError as error:
        execution.interrupt()
        recorder.flush()
        _finish(db, call, run, execution, "failed", str(error))
        raise
    except BaseException:
        execution.interrupt()
        recorder.flush()
        _finish(db, call, run, execution, "interrupted", "It was interrupted; resume it to go on.")
        raise
    recorder.flush()
    failed = execution.failures[0] if execution.failures else None
    return _finish(db, call, run, execution, "failed" if failed else "finished", failed)


def pipeline_run(tx: Transaction, run_id: str) -> PipelineRun:
    """Return a run. One whose process is gone is returned as interrupted.

    Raises:
        NotFound: there is no such run.
    """
    return _seen(*_stored_run(tx, run_id))


def pipeline_runs(
    tx: Transaction,
    *,
    pipeline: str | None = None,
    state: RunState | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[PipelineRun]:
    """Return runs, newest first; `before` is the last id of the page before.

    Raises:
        InvalidInput: the limit is out of bounds, or `before` is not the id of a run.
    """
    _check_limit(limit)
    if before is not None:
        check_id(before, "prn")
    found = store.find_runs(tx, pipeline=pipeline, state=state, before=before, limit=limit)
    return [_seen(run, place) for run, place in found]


def steps(
    tx: Transaction,
    run_id: str,
    *,
    name: str | None = None,
    state: StepState | None = None,
    after: tuple[int, int] = (-1, WHOLE),
    limit: int = 1_000,
) -> list[StepRun]:
    """Return the step records of a run in the order of its graph; a mapped step is followed by its chunks.

    Raises:
        NotFound: there is no such run.
        InvalidInput: the limit is out of bounds.
    """
    _check_limit(limit)
    alive = pipeline_run(tx, run_id).state == "running"
    found = store.find_steps(tx, run_id, name=name, state=state, after=after, limit=limit)
    if alive:
        return found
    return [msgspec.structs.replace(s, state="interrupted") if s.state == "running" else s for s in found]


def step_counts(tx: Transaction, run_id: str) -> dict[int, dict[str, int]]:
    """Return for each position of a run's graph how many of its records are in which state."""
    found: dict[int, dict[str, int]] = {}
    for position, state, number, _ in store.summary(tx, run_id):
        found.setdefault(position, {})[state] = number
    return found


def plan_of(tx: Transaction, blobs: Blobs, run_id: str) -> Plan:
    """Return the graph that a run ran."""
    return msgspec.json.decode(value_bytes(tx, blobs, _stored_run(tx, run_id)[0].plan), type=Plan)


def output(tx: Transaction, blobs: Blobs, run_id: str, name: str, kind: Any = None) -> Any:
    """Return what a step made, as a value: `step`, or `step.output` for one of several.

    Raises:
        NotFound: the run has no such step, or it has made nothing (yet).
        InvalidInput: the value is not of the type asked for.
    """
    for step, wanted in ((name, None), (name.rpartition(".")[0], name.rpartition(".")[2])):
        for one in store.find_steps(tx, run_id, name=step, state=None, after=(-1, WHOLE), limit=1):
            chosen = wanted or (RESULT if RESULT in one.outputs else next(iter(one.outputs), RESULT))
            if one.part == WHOLE and chosen in one.outputs:
                return decode(_payload(tx, blobs, Stored(one.outputs[chosen], one.formats[chosen])), kind)
    raise NotFound(f"The run {run_id} has no output {name!r}; see `keepwell pipeline show {run_id}`.")


def log_of(tx: Transaction, blobs: Blobs, step: StepRun) -> str:
    """Return what a step wrote to stdout and stderr; empty when it wrote nothing."""
    return "" if step.log is None else value_bytes(tx, blobs, step.log).decode("utf-8", "replace")


def mark_interrupted(tx: Transaction, call: Call) -> list[str]:
    """Store every run whose process is gone as interrupted, with an event each; return their ids."""
    found = store.find_runs(tx, pipeline=None, state="running", before=None, limit=MOST)
    gone = [run for run, place in found if not is_alive(place)]
    for run in gone:
        store.interrupt_steps(tx, run.id)
        counts = Counter(dict.fromkeys(run.counts, 0))
        for _, state, number, _ in store.summary(tx, run.id):
            counts[state] += number
        store.change_run(tx, run.id, state="interrupted", finished_at=iso(call.now), error=_GONE, counts=dict(counts))
        failpoints.reach("pipelines.marked")
        append(tx, call, Event("pipeline.run_interrupted", f"pipeline_run:{run.id}", {"pipeline": run.pipeline}))
    return [run.id for run in gone]


kept_values = store.kept_values
named_blobs = store.named_blobs

_GONE = "Its process ended before it did; resume it to go on."


def _new_run(call: Call, pipeline: Pipeline, params: dict[str, Any], plan: str, number: int) -> PipelineRun:
    return PipelineRun(
        id=call.ids.new("prn"),
        pipeline=pipeline.name,
        state="running",
        params=params,
        plan=plan,
        steps=number,
        counts={},
        attempts=1,
        seconds=0.0,
        actor=call.actor,
        started_at=iso(call.now),
        finished_at=None,
        error=None,
    )


def _start(db: Database, call: Call, run: PipelineRun, workplace: Workplace) -> str:
    """Record a run; return its id, or the id of the run that this call's key has made before."""

    def effect() -> str:
        store.add_run(tx, run, str(workplace.folder))
        failpoints.reach("pipelines.run_added")
        body = {"pipeline": run.pipeline, "plan": run.plan, "steps": run.steps}
        append(tx, call, Event("pipeline.run_started", f"pipeline_run:{run.id}", body))
        return run.id

    with write(db) as tx:
        return once(tx, call, ["run_pipeline", run.pipeline, run.params], effect, str)


def _go_on(db: Database, call: Call, run_id: str) -> tuple[PipelineRun, store.Made]:
    """Record that a run is taken up again, unless it is finished; return it and what it has made so far."""
    with write(db) as tx:
        run = _stored_run(tx, run_id)[0]
        if run.state == "finished":
            return run, store.Made({}, set())
        store.interrupt_steps(tx, run.id)
        store.change_run(tx, run.id, state="running", attempts=run.attempts + 1, finished_at=None, error=None)
        failpoints.reach("pipelines.resumed")
        body = {"pipeline": run.pipeline, "attempt": run.attempts + 1}
        append(tx, call, Event("pipeline.run_resumed", f"pipeline_run:{run.id}", body))
        return _stored_run(tx, run.id)[0], store.made_in(tx, run.id)


def _finish(
    db: Database, call: Call, run: PipelineRun, execution: Execution, state: RunState, error: str | None
) -> PipelineRun:
    counts = dict(sorted(execution.counts.items()))
    seconds = run.seconds + execution.seconds()
    with write(db) as tx:
        store.change_run(
            tx, run.id, state=state, counts=counts, seconds=seconds, finished_at=execution.moment(), error=error
        )
        failpoints.reach("pipelines.finished")
        body = {"pipeline": run.pipeline, "state": state, "counts": counts, "record": execution.digest()}
        append(tx, call, Event("pipeline.run_finished", f"pipeline_run:{run.id}", body, note=error))
        return _stored_run(tx, run.id)[0]


def _resumable(db: Database, run_id: str, pipeline: Pipeline, params: Mapping[str, object] | None) -> PipelineRun:
    with read(db) as tx:
        run = pipeline_run(tx, run_id)
    if run.pipeline != pipeline.name:
        raise Conflict(f"The run {run_id} is one of the pipeline {run.pipeline!r}, not of {pipeline.name!r}.")
    if run.state == "finished":
        raise Conflict(f"The run {run_id} is finished; start a new one.")
    if run.state == "running":
        raise Conflict(f"The run {run_id} is running in another process; wait for it.")
    for name, value in (params or {}).items():
        if run.params.get(name) != value:
            raise Conflict(f"The run {run_id} has another value for {name!r}; start a new run to change it.")
    return run


def _with_defaults(pipeline: Pipeline, params: Mapping[str, object]) -> dict[str, Any]:
    for name in params:
        if name not in pipeline.params:
            known = ", ".join(pipeline.params) or "none"
            raise InvalidInput(f"The pipeline has no parameter {name!r}; it has {known}.", where="params")
    chosen = {**pipeline.params, **params}
    return dict(msgspec.json.decode(canonical_json(chosen)))


def _put(shelf: Shelf, name: str, value: object) -> Stored:
    try:
        kind, data = encode(value)
    except InvalidInput as error:
        raise InvalidInput(error.message, where=name) from error
    return Stored(shelf.put(data), kind)


def _planned(node: graph.Node) -> PlannedStep:
    step = node.step
    return PlannedStep(
        name=step.name,
        kind="command" if isinstance(step.does, Command) else "function",
        does=_words(step),
        after=node.after,
        outputs=step.output_names,
        map_over=step.map_over,
        chunk=step.chunk if step.map_over else None,
    )


def _words(step: Step) -> str:
    match step.does:
        case Command():
            return " ".join(step.does.argv)
        case Reference():
            return step.does.target
        case _:
            return str(getattr(step.does, "__qualname__", type(step.does).__qualname__))


def _read_plan(db: Database, blobs: Blobs, digest: str) -> Plan | None:
    """Return a run's plan; None when the run was killed before it was stored."""
    with read(db) as tx:
        try:
            return msgspec.json.decode(value_bytes(tx, blobs, digest), type=Plan)
        except NotFound:
            return None


def _stored_run(tx: Transaction, run_id: str) -> tuple[PipelineRun, str]:
    found = store.get_run(tx, check_id(run_id, "prn"))
    if found is None:
        raise NotFound(f"There is no pipeline run {run_id}; see `keepwell pipeline list`.")
    return found


def _seen(run: PipelineRun, place: str) -> PipelineRun:
    if run.state == "running" and not is_alive(place):
        return msgspec.structs.replace(run, state="interrupted", error=_GONE)
    return run


def _payload(tx: Transaction, blobs: Blobs, stored: Stored) -> Payload:
    if stored.format == "parts":
        parts = parts_of(value_bytes(tx, blobs, stored.digest))
        return Payload(format="parts", parts=[_payload(tx, blobs, part) for part in parts])
    if blobs.has(stored.digest):
        return Payload(format=stored.format, path=str(blobs.path(stored.digest)))
    return Payload(format=stored.format, data=value_bytes(tx, blobs, stored.digest))


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"A listing has 1 to {MOST:,} records.", where="limit")
