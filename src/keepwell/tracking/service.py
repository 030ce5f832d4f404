"""Use cases of tracking: start and finish a run, look runs up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.core.ids import check_id
from keepwell.core.names import check_name
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.tracking import rules, store
from keepwell.tracking.code import code_version
from keepwell.tracking.machine import environment_of, machine_of
from keepwell.tracking.model import Code, Input, Run, Status

__all__ = ["code_version", "environment_of", "finish_run", "machine_of", "readers", "run", "runs", "start_run"]

MOST = 10_000
"""How many runs one listing returns at most."""


def start_run(
    tx: Transaction,
    call: Call,
    *,
    name: str,
    kind: str,
    params: Mapping[str, Any],
    inputs: Sequence[Input],
    code: Code,
    parent: str | None = None,
    model: str | None = None,
    tags: Mapping[str, str] | None = None,
    environment: str | None = None,
    machine: Mapping[str, Any] | None = None,
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
        parent: id of the run it is a part of.
        model: the model it works for.
        tags: free labels.
        environment: digest from `environment_of`.
        machine: from `machine_of`, which is also the default.

    Raises:
        InvalidInput: a name, a parameter or a tag cannot be used.
        NotFound: there is no such parent.
    """
    new = Run(
        id=call.ids.new("run"),
        name=check_name(name, "name of the run"),
        kind=rules.check_kind(kind),
        status="running",
        model=model,
        parent=parent,
        params=rules.accept_params(params),
        metrics={},
        tags=rules.accept_tags(tags or {}),
        inputs=rules.accept_inputs(inputs),
        artifacts={},
        code=code,
        environment=environment,
        machine=dict(machine_of() if machine is None else machine),
        actor=call.actor,
        started_at=iso(call.now),
        finished_at=None,
        error=None,
    )
    request = ["start_run", new.name, new.kind, model, parent, new.params, new.tags]
    return once(tx, call, request, lambda: _start(tx, call, new), Run)


def _start(tx: Transaction, call: Call, new: Run) -> Run:
    if new.parent is not None:
        run(tx, new.parent)
    store.add(tx, new)
    failpoints.reach("tracking.started")
    body = {
        "name": new.name,
        "kind": new.kind,
        "model": new.model,
        "parent": new.parent,
        "commit": new.code.commit,
        "environment": new.environment,
        "inputs": [{"kind": i.kind, "name": i.name, "id": i.id, "digest": i.digest} for i in new.inputs],
    }
    append(tx, call, Event("run.started", f"run:{new.id}", body))
    return new


def finish_run(
    tx: Transaction,
    call: Call,
    run_id: str,
    status: Status,
    metrics: Mapping[str, float | None] | None = None,
    artifacts: Mapping[str, str] | None = None,
    error: str | None = None,
) -> Run:
    """End a run with its final metrics and artifacts; the ledger gets `run.finished`.

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
        rules.check_finish(run(tx, run_id), status)
        store.finish(tx, run_id, status, iso(call.now), error, found, made)
        failpoints.reach("tracking.finished")
        body = {"status": status, "metrics": found, "artifacts": made}
        append(tx, call, Event("run.finished", f"run:{run_id}", body, note=error))
        return run(tx, run_id)

    return once(tx, call, ["finish_run", run_id, status, found, made], effect, Run)


def run(tx: Transaction, run_id: str) -> Run:
    """Return a run.

    Raises:
        NotFound: there is no such run.
    """
    found = store.get(tx, check_id(run_id, "run"))
    if found is None:
        raise NotFound(f"There is no run {run_id}; see `keepwell runs list`.")
    return found


def runs(
    tx: Transaction,
    *,
    model: str | None = None,
    kind: str | None = None,
    status: str | None = None,
    parent: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[Run]:
    """Return runs, newest first; `before` is the last id of the page before.

    Raises:
        InvalidInput: the limit is not from 1 to 10,000, or `before` is not the id of a run.
    """
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"A listing has 1 to {MOST:,} runs.", where="limit")
    if before is not None:
        check_id(before, "run")
    return store.find(tx, model=model, kind=kind, status=status, parent=parent, before=before, limit=limit)


def readers(tx: Transaction, *, input_id: str | None = None, digest: str | None = None, limit: int = 50) -> list[str]:
    """Return the ids of the runs that read an input, by its id or by its digest, newest first."""
    return store.with_input(tx, input_id=input_id, digest=digest, limit=limit)
