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
from keepwell.core.digests import canonical_json
from keepwell.core.errors import Conflict, InvalidInput, KeepwellError
from keepwell.core.events import Event
from keepwell.db import Database, Transaction, read, write
from keepwell.ledger import append, once
from keepwell.pipelines import graph, store
from keepwell.pipelines.engine import Execution, Tools
from keepwell.pipelines.loading import resolved
from keepwell.pipelines.lookup import (
    GONE,
    MOST,
    Plan,
    has_gone,
    log_of,
    output,
    pipeline_run,
    pipeline_runs,
    plan_of,
    step_counts,
    step_of,
    steps,
    stored_run,
)
from keepwell.pipelines.model import (
    Command,
    Pipeline,
    PipelineRun,
    PlannedStep,
    Progress,
    Reference,
    RunState,
    Step,
    Stored,
)
from keepwell.pipelines.prepare import Preparation
from keepwell.pipelines.record import Recorder
from keepwell.pipelines.shelf import Shelf, value_bytes
from keepwell.pipelines.tasks import Runner
from keepwell.pipelines.values import encode
from keepwell.pipelines.workplace import Workplace, is_alive, sweep

__all__ = [
    "MOST", "Plan", "has_gone", "log_of", "mark_interrupted", "output", "pipeline_run", "pipeline_runs", "plan_of",
    "run_pipeline", "step_counts", "step_of", "steps", "value_bytes",
]  # fmt: skip


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
        blobs: where values of more than 32 KiB go.
        call: who, when, and under which key: the same key again returns the finished run, or resumes it.
        pipeline: the graph.
        params: values for the pipeline's parameters; the others keep their defaults.
        runner: where steps run, see `pipelines.runners`. It is not closed.
        cache: whether results of earlier runs are taken. A resumed run always takes its own.
        progress: called with each step that ends, in this thread.
        resume: id of a run to go on with; its own parameters and values are used.
        values: further named values that steps may receive: anything a step may return, or `Stored`.
        home: where the run's folder is made; by default beside the database's file, or in a temporary folder.
        variables: environment variables that commands may ask for (`passes`); none by default.

    Raises:
        InvalidInput: the graph, a parameter or a step cannot be used; nothing was run.
        NotFound: there is no such run to resume, or a file is missing.
        Conflict: the run is running elsewhere, is finished, or is one of another pipeline or other parameters.
    """
    pipeline = resolved(pipeline)
    place = (home or (db.file.parent if db.file else Path(tempfile.mkdtemp(prefix="keepwell-")))) / "work"
    before = None if resume is None else _resumable(db, resume, pipeline, params)
    chosen = dict(before.params) if before is not None else _with_defaults(pipeline, params or {})
    given = {**({} if before is None else _values_before(db, blobs, before.id)), **(values or {})}
    nodes = graph.plan(pipeline, given)
    preparation = Preparation(chosen, pipeline.folder, variables or {}, remote=runner.remote)
    prepared = [preparation.of(node) for node in nodes]
    with Recorder(db) as recorder, ExitStack() as stack:
        shelf = Shelf(db, blobs, recorder)
        handed = {name: one if isinstance(one, Stored) else _put(shelf, name, one) for name, one in given.items()}
        plan = shelf.put(msgspec.json.encode(Plan(steps=[_planned(node) for node in nodes], values=handed)))
        recorder.flush()  # what a run's row names is stored before it
        new = before or _new_run(call, pipeline, chosen, plan, len(nodes))
        run, known, workplace = _claim(db, call, new, place, stack, resumed=before is not None)
        if run.state == "finished":
            return run
        recent = _recent(db, pipeline) if cache else store.Made({}, set())
        recorder.inline |= known.inline | recent.inline
        failpoints.reach("pipelines.started")
        tools = Tools(
            run_id=run.id,
            database=db,
            runner=runner,
            shelf=shelf,
            recorder=recorder,
            workplace=workplace,
            preparation=preparation,
            prepared=prepared,
            values=handed,
            known=known,
            recent=recent,
            cache=cache,
            now=call.now,
            progress=progress,
        )
        return _drive(db, call, msgspec.structs.replace(run, plan=plan, steps=len(nodes)), Execution(nodes, tools))


def _claim(
    db: Database, call: Call, new: PipelineRun, place: Path, stack: ExitStack, *, resumed: bool
) -> tuple[PipelineRun, store.Made, Workplace]:
    """Hold the run's folder and record that it runs; return what earlier attempts have made, too."""
    sweep(place)
    workplace = stack.enter_context(Workplace(place / new.id))
    if not resumed:
        first = _start(db, call, new, workplace)
        if first == new.id:
            return new, store.Made({}, set()), workplace
        workplace = stack.enter_context(Workplace(place / first))  # the call's key was used before: this is that run
        return *_go_on(db, call, first), workplace
    return *_go_on(db, call, new.id), workplace


def _drive(db: Database, call: Call, run: PipelineRun, execution: Execution) -> PipelineRun:
    """Run, and record how it ended, whatever happens."""
    try:
        execution.run()
    except KeepwellError as error:
        execution.interrupt()
        _finish(db, call, run, execution, "failed", str(error))
        raise
    except BaseException:
        execution.interrupt()
        _finish(db, call, run, execution, "interrupted", "It was interrupted; resume it to go on.")
        raise
    failed = execution.failures[0] if execution.failures else None
    return _finish(db, call, run, execution, "failed" if failed else "finished", failed)


def mark_interrupted(tx: Transaction, call: Call) -> list[str]:
    """Store every run whose process is gone as interrupted, with an event each; return their ids."""
    found = store.find_runs(tx, pipeline=None, states=["running"], before=None, limit=MOST)
    gone = [run for run, place in found if not is_alive(place)]
    for run in gone:
        store.interrupt_steps(tx, run.id)
        store.change_run(
            tx, run.id, state="interrupted", finished_at=iso(call.now), error=GONE, counts=_counted(tx, run.id)
        )
        failpoints.reach("pipelines.marked")
        append(tx, call, Event("pipeline.run_interrupted", f"pipeline_run:{run.id}", {"pipeline": run.pipeline}))
    return [run.id for run in gone]


_SEVERAL = 4


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
        run = stored_run(tx, run_id)[0]
        if run.state == "finished":
            return run, store.Made({}, set())
        store.interrupt_steps(tx, run.id)
        store.change_run(tx, run.id, state="running", attempts=run.attempts + 1, finished_at=None, error=None)
        failpoints.reach("pipelines.resumed")
        body = {"pipeline": run.pipeline, "attempt": run.attempts + 1}
        append(tx, call, Event("pipeline.run_resumed", f"pipeline_run:{run.id}", body))
        return stored_run(tx, run.id)[0], store.made_in(tx, run.id)


def _recent(db: Database, pipeline: Pipeline) -> store.Made:
    """Return what the pipeline's last finished run has made; not worth a query for a graph of a few steps."""
    if len(pipeline.steps) >= _SEVERAL:
        with read(db) as tx:
            last = store.last_finished(tx, pipeline.name)
            if last is not None:
                return store.made_in(tx, last, chunks=False)
    return store.Made({}, set())


def _finish(
    db: Database, call: Call, run: PipelineRun, execution: Execution, state: RunState, error: str | None
) -> PipelineRun:
    execution.flush()
    with write(db) as tx:
        if run.attempts > 1:
            store.drop_steps(tx, run.id, execution.is_of_this_graph)
        counts = _counted(tx, run.id)
        store.change_run(
            tx,
            run.id,
            state=state,
            plan=run.plan,
            steps=run.steps,
            counts=counts,
            seconds=run.seconds + execution.seconds(),
            finished_at=execution.moment(),
            error=error,
        )
        failpoints.reach("pipelines.finished")
        body = {"pipeline": run.pipeline, "state": state, "counts": counts, "record": execution.digest()}
        append(tx, call, Event("pipeline.run_finished", f"pipeline_run:{run.id}", body, note=error))
        return stored_run(tx, run.id)[0]


def _counted(tx: Transaction, run_id: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for _, state, number, _ in store.summary(tx, run_id):
        counts[state] += number
    return dict(sorted(counts.items()))


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
    graph.check_params(chosen)
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


def _values_before(db: Database, blobs: Blobs, run_id: str) -> dict[str, Stored]:
    with read(db) as tx:
        return plan_of(tx, blobs, run_id).values
