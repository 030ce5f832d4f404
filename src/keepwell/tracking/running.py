"""Use cases of a run's life: start, end, rename, delete, restore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso_ms, to_ms
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.core.events import Event
from keepwell.core.ids import check_id
from keepwell.core.points import batch_of
from keepwell.core.secrets import hide_credentials
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.tracking import artifacts, experiments, experiments_store, points_store, rules, store
from keepwell.tracking.amending import active_run, run_state
from keepwell.tracking.content import digest_of
from keepwell.tracking.machine import machine_of
from keepwell.tracking.model import DEFAULT, Code, Input, Run, Status
from keepwell.tracking.reading import run
from keepwell.tracking.store import NAME_TAG, PARENT_TAG, State

_NO_CODE = Code()


def start_run(
    tx: Transaction,
    call: Call,
    *,
    name: str,
    kind: str = "train",
    params: Mapping[str, Any] | None = None,
    inputs: Sequence[Input] = (),
    code: Code = _NO_CODE,
    parent: str | None = None,
    model: str | None = None,
    tags: Mapping[str, str] | None = None,
    environment: str | None = None,
    machine: Mapping[str, Any] | None = None,
    experiment: int | None = None,
    started_at: datetime | None = None,
    user: str | None = None,
    run_id: str | None = None,
    status: Status = "running",
) -> Run:
    """Record that a run starts; the ledger gets `run.started`.

    Args:
        tx: a write transaction.
        call: who, when, and under which key: the same key again returns the same run.
        name: what the run is called.
        kind: what sort of work it is, such as `train`.
        params: JSON values; what looks like a secret is stored masked.
        inputs: what the run reads.
        code: from `code_version`.
        parent: id of the run it is a part of; the tag `mlflow.parentRunId` says the same.
        model: the model it works for.
        tags: free labels.
        environment: digest from `environment_of`.
        machine: from `machine_of`, which is also the default.
        experiment: number of the experiment; without one that of the model's name when it has a model, else `Default`.
        started_at: when it started; now, by default.
        user: who runs it, as the client says.
        run_id: its id, when the caller made one (`run_...`); a run that is there already is a conflict.
        status: running, or scheduled.

    Raises:
        InvalidInput: a name, a parameter or a tag cannot be used.
        NotFound: there is no such parent or experiment.
        Conflict: the experiment is deleted (`not_active`), or a run has the id (`exists`).
    """
    accepted_tags = rules.accept_tags(tags or {})
    accepted_tags.pop(NAME_TAG, None)
    accepted = rules.accept_params(params or {})
    texts = rules.texts_of(accepted)
    started = rules.check_ms(call.now if started_at is None else started_at)
    if status not in ("running", "scheduled"):
        raise InvalidInput("A run starts as running or scheduled.", where="status")
    new = Run(
        id=call.ids.new("run") if run_id is None else check_id(run_id, "run"),
        name=rules.check_run_name(name),
        kind=rules.check_kind(kind),
        status=status,
        model=model,
        parent=parent,
        params=accepted,
        metrics={},
        tags=accepted_tags,
        inputs=rules.accept_inputs(inputs),
        artifacts={},
        code=code,
        environment=environment,
        machine=dict(machine_of() if machine is None else machine),
        actor=call.actor,
        started_at=iso_ms(started),
        finished_at=None,
        error=None,
        experiment=DEFAULT if experiment is None else experiment,
        user=None if user is None else hide_credentials(user),
    )
    request = ["start_run", new.name, new.kind, model, parent, new.params, new.tags]
    return once(tx, call, request, lambda: _start(tx, call, new, texts, experiment, given_id=run_id is not None), Run)


def _start(
    tx: Transaction, call: Call, new: Run, texts: Mapping[str, tuple[str, bool]], experiment: int | None, *,
    given_id: bool,
) -> Run:  # fmt: skip
    if given_id and store.number(tx, new.id) is not None:
        raise Conflict(f"There is a run {new.id} already.", code="exists")
    new = _in_experiment(tx, call, _with_parent(tx, new), experiment)
    store.add(tx, new, texts)
    failpoints.reach("tracking.started")
    body = {
        "name": new.name,
        "kind": new.kind,
        "model": new.model,
        "parent": new.parent,
        "experiment": new.experiment,
        "commit": new.code.commit,
        "environment": new.environment,
        "inputs": [{"kind": i.kind, "name": i.name, "id": i.id, "digest": i.digest} for i in new.inputs],
    }
    append(tx, call, Event("run.started", f"run:{new.id}", body))
    return new


def _with_parent(tx: Transaction, new: Run) -> Run:
    """Return the run with its parent, which its tag may name; a parent that is not ours stays a tag."""
    tagged = new.tags.get(PARENT_TAG)
    if new.parent is not None:
        run_state(tx, new.parent, lock=False)
    elif tagged is not None and store.number(tx, tagged) is not None:
        new = _replaced(new, parent=tagged)
    if tagged is not None and tagged == new.parent:
        new = _replaced(new, tags={name: value for name, value in new.tags.items() if name != PARENT_TAG})
    return new


def _in_experiment(tx: Transaction, call: Call, new: Run, experiment: int | None) -> Run:
    if experiment is None and new.model is not None:
        there = experiments.experiment_by_name(tx, new.model)
        if there is None:
            return _replaced(new, experiment=experiments.create_experiment(tx, call, new.model).id)
        if there.lifecycle == "active":
            return _replaced(new, experiment=there.id)
    if new.experiment == DEFAULT:
        experiments_store.ensure_default(tx, to_ms(call.now))
    experiments.active_experiment(tx, new.experiment)
    return new


def finish_run(
    tx: Transaction,
    call: Call,
    run_id: str,
    status: Status,
    metrics: Mapping[str, float | None] | None = None,
    artifacts: Mapping[str, str] | None = None,
    error: str | None = None,
    finished_at: datetime | None = None,
) -> Run:
    """End a run with its final metrics and artifacts; the ledger gets `run.finished` with a digest of its content.

    A metric that is NaN, infinite or None is kept as a mark (`NaN`, `Infinity`, `-Infinity`, `unknown`), which is text
    and compares with no number.

    Raises:
        NotFound: there is no such run.
        Conflict: it has ended already.
        InvalidInput: a metric is no number, an artifact no digest, or the status none to end with.
    """
    found = rules.accept_metrics(metrics or {})
    made = rules.accept_artifacts(artifacts or {})

    def effect() -> Run:
        state = run_state(tx, run_id)
        rules.check_finish(run_id, state.status, status)
        _write_final(tx, call, state, metrics or {}, made)
        after = run_state(tx, run_id, lock=False)
        return _end(tx, call, after, status, call.now if finished_at is None else finished_at, error)

    return once(tx, call, ["finish_run", run_id, status, found, made], effect, Run)


def _write_final(
    tx: Transaction, call: Call, state: State, metrics: Mapping[str, float | None], made: Mapping[str, str]
) -> None:
    now = to_ms(call.now)
    known = batch_of((name, float(value), 0, now) for name, value in metrics.items() if value is not None)
    if len(known):
        newest = rules.newest(known)
        there = {name: step for name, step, *_ in points_store.latest(tx, state.no)}
        if any(there.get(name, 0) > 0 for name in newest):  # a final value comes after the steps that were logged
            known = batch_of((name, value, max(there.get(name, 0), step), at) for name, value, step, at in known)
            newest = rules.newest(known)
        points_store.append(tx, state, known)
        points_store.advance(tx, state, newest)
    points_store.mark_unknown(tx, state, [name for name, value in metrics.items() if value is None])
    for path, digest in made.items():
        artifacts.write(tx, state.id, rules.accept_path(path), digest, None, now)


def _end(
    tx: Transaction, call: Call, state: State, status: Status, at: datetime | int, error: str | None = None
) -> Run:
    points_store.compact(tx, state)
    finished = rules.check_ms(at)
    error = None if error is None else hide_credentials(error)
    store.end(tx, state.no, status, finished, error)
    failpoints.reach("tracking.finished")
    ended = run(tx, state.id)
    append(tx, call, Event("run.finished", f"run:{state.id}", {"status": status, **digest_of(tx, state, ended)},
                           note=error))  # fmt: skip
    return ended


def update_run(
    tx: Transaction,
    call: Call,
    run_id: str,
    status: Status | None = None,
    finished_at: datetime | None = None,
    name: str | None = None,
) -> Run:
    """Change a run's status, end or name, as MLflow's clients do: any status may follow any other.

    The ledger gets `run.finished` when it ends, `run.resumed` when one that had ended goes on, `run.amended` when one
    that has ended is changed, `run.renamed` for a name.

    Raises:
        NotFound: there is no such run.
        Conflict: it is deleted; code `not_active`.
        InvalidInput: the status or the name cannot be used.
    """
    state = active_run(tx, run_id)
    name = None if name is None else rules.check_run_name(name)
    if name is not None and name != state.name:
        store.set_fields(tx, state.no, name=name)
        append(tx, call, Event("run.renamed", f"run:{run_id}", {"from": state.name, "to": name}))
    if status is not None:
        rules.check_status(status)
    if status in ("finished", "failed", "interrupted") and not state.ended:
        return _end(tx, call, state, status, call.now if finished_at is None else finished_at)
    if (status is not None and status != state.status) or finished_at is not None:
        _change_end(tx, call, state, status, finished_at)
    return run(tx, run_id)


def _change_end(tx: Transaction, call: Call, state: State, status: Status | None, finished_at: datetime | None) -> None:
    values: dict[str, object] = {} if status is None else {"status": status}
    if finished_at is not None:
        values["finished"] = rules.check_ms(finished_at)
    store.set_fields(tx, state.no, **values)
    if state.ended:
        kind = "run.resumed" if status in ("running", "scheduled") else "run.amended"
        append(tx, call, Event(kind, f"run:{state.id}", {"status": status or state.status, **digest_of(tx, state)}))


def delete_run(tx: Transaction, call: Call, run_id: str) -> None:
    """Delete a run, to be restored or freed later; the ledger gets `run.deleted`. One that is deleted stays so.

    Raises:
        NotFound: there is no such run.
    """
    state = run_state(tx, run_id)
    if not state.gone:
        store.set_fields(tx, state.no, gone=1, deleted=to_ms(call.now))
        append(tx, call, Event("run.deleted", f"run:{run_id}"))


def restore_run(tx: Transaction, call: Call, run_id: str) -> None:
    """Restore a deleted run; the ledger gets `run.restored`.

    Raises:
        NotFound: there is no such run.
        Conflict: its experiment is deleted; code `not_active`.
    """
    state = run_state(tx, run_id)
    if state.gone:
        experiments.active_experiment(tx, state.experiment)
        store.set_fields(tx, state.no, gone=0, deleted=None)
        append(tx, call, Event("run.restored", f"run:{run_id}"))


def _replaced(value: Run, **fields: object) -> Run:
    return msgspec.structs.replace(value, **fields)
