"""Use cases that record what a run does: points, params, tags, inputs, outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keepwell.core.calls import Call
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.points import Batch
from keepwell.db import Transaction
from keepwell.tracking import inputs_store, models_store, points_store, rules, store
from keepwell.tracking.amending import active_run, amended
from keepwell.tracking.model import DatasetInput, Input, Point
from keepwell.tracking.store import NAME_TAG, PARENT_TAG, State

ModelPoint = tuple[str, str | None, str | None, Point]
"""A point of a logged model: the model's id, the dataset's name and digest, the point."""


def log_points(tx: Transaction, call: Call, run_id: str, batch: Batch) -> int:
    """Record metric points; return how many were given. A point that is there already is there once.

    Raises:
        NotFound: there is no such run.
        Conflict: the run is deleted; code `not_active`.
    """
    state = active_run(tx, run_id)
    if len(batch):
        _write_points(tx, state, batch)
        amended(tx, call, state, points=len(batch))
    return len(batch)


def log_batch(
    tx: Transaction,
    call: Call,
    run_id: str,
    batch: Batch | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    models: Sequence[ModelPoint] = (),
) -> None:
    """Record points, params and tags of a run, all or nothing.

    Args:
        tx: a write transaction.
        call: who and when.
        run_id: the run.
        batch: metric points.
        params: JSON values, each written once; the same again is fine.
        tags: texts; `mlflow.runName` renames the run.
        models: points of logged models that this run measured.

    Raises:
        InvalidInput: a name or value cannot be used; a param is there with another value (code `param_changed`).
        NotFound: there is no such run, or no such logged model.
        Conflict: the run is deleted; code `not_active`.
    """
    state = active_run(tx, run_id)
    new = _write_params(tx, state, rules.accept_param_texts(params or {}))
    if batch is not None and len(batch):
        _write_points(tx, state, batch)
    if models:
        rules.accept_model_points(models)
        _write_model_points(tx, state, models)
    _write_tags(tx, state, rules.accept_tags(tags or {}))
    changed = {"points": len(batch or ()), "params": new, "tags": len(tags or ())}
    if any(changed.values()):
        amended(tx, call, state, **changed)


def log_params(tx: Transaction, call: Call, run_id: str, params: Mapping[str, Any]) -> None:
    """Record params, each written once; see `log_batch`."""
    log_batch(tx, call, run_id, params=params)


def set_tags(tx: Transaction, call: Call, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags; see `log_batch`."""
    log_batch(tx, call, run_id, tags=tags)


def delete_tag(tx: Transaction, call: Call, run_id: str, name: str) -> None:
    """Delete a tag.

    Raises:
        NotFound: there is no such run or tag.
        Conflict: the run is deleted; code `not_active`.
    """
    state = active_run(tx, run_id)
    there = store.delete_tag(tx, state.no, name)
    if name == PARENT_TAG:
        there = store.clear_parent(tx, state.no) or there
    if not there:
        raise NotFound(f"No tag with name: {name} in run with id {run_id}", where="key")
    amended(tx, call, state, tags=1)


def log_inputs(
    tx: Transaction, call: Call, run_id: str, datasets: Sequence[DatasetInput] = (), models: Sequence[str] = ()
) -> None:
    """Record datasets and logged models that a run reads; one that it read already is not written again.

    Raises:
        InvalidInput: a dataset's name or digest cannot be used.
        NotFound: there is no such run.
        Conflict: the run is deleted; code `not_active`.
    """
    state = active_run(tx, run_id)
    known, position = inputs_store.there(tx, state.no)
    new: list[tuple[Input, int | None]] = []
    for one in rules.accept_datasets(datasets):
        if ("dataset", one.name, one.digest) not in known:
            number = inputs_store.dataset(tx, state.experiment, one)
            new.append((Input(kind="dataset", name=one.name, digest=one.digest, tags=dict(one.tags)), number))
    for model in dict.fromkeys(models):
        if ("model", model, None) not in known:
            new.append((Input(kind="model", name=model, id=model), None))
    store.add_inputs(tx, state.no, state.experiment, position, new)
    if new:
        amended(tx, call, state, inputs=len(new))


def log_outputs(tx: Transaction, call: Call, run_id: str, models: Sequence[tuple[str, int]]) -> None:
    """Record logged models (id, step) that a run made.

    Raises:
        NotFound: there is no such run.
        Conflict: the run is deleted; code `not_active`.
    """
    state = active_run(tx, run_id)
    new = inputs_store.add_outputs(tx, state.no, models)
    if new:
        amended(tx, call, state, outputs=new)


def _write_points(tx: Transaction, state: State, batch: Batch) -> None:
    newest = rules.newest(batch)
    if len(newest) > rules.LIMIT:
        raise InvalidInput(f"One call has at most {rules.LIMIT:,} metrics.", where="metrics")
    after = points_store.append(tx, state, batch)
    points_store.advance(tx, state, newest)
    if points_store.is_long(after):
        points_store.compact(tx, after)


def _write_params(tx: Transaction, state: State, texts: Mapping[str, tuple[str, bool]]) -> int:
    if not texts:
        return 0
    new = rules.changed_params(store.param_texts(tx, state.no), texts, state.id)
    store.add_params(tx, state.no, state.experiment, new)
    return len(new)


def _write_tags(tx: Transaction, state: State, tags: Mapping[str, str]) -> None:
    left = dict(tags)
    name = left.pop(NAME_TAG, None)
    if name is not None:
        store.set_fields(tx, state.no, name=rules.check_run_name(name))
    parent = left.get(PARENT_TAG)
    if parent is not None and parent != state.id and store.number(tx, parent) is not None:
        del left[PARENT_TAG]
        store.set_fields(tx, state.no, parent=parent)
    if left:
        store.set_tags(tx, state.no, state.experiment, left)


def _write_model_points(tx: Transaction, state: State, points: Sequence[ModelPoint]) -> None:
    for model in {model for model, *_ in points}:
        if models_store.gone(tx, model) is None:
            raise NotFound(f"Logged model with ID '{model}' not found.", where="model_id")
    models_store.add_metrics(tx, state.id, points)
