"""Use cases of logged models: make, finish, find, change, delete."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import get_args

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso_ms, to_ms
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.core.paging import check_limit
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.tracking import experiments, models_store, rules
from keepwell.tracking.amending import run_state, writable
from keepwell.tracking.model import LoggedModel, ModelStatus


def create_logged_model(
    tx: Transaction,
    call: Call,
    experiment: int,
    name: str,
    model_type: str | None = None,
    run_id: str | None = None,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    model_id: str | None = None,
) -> LoggedModel:
    """Make a logged model, pending until `finalize_logged_model`; the ledger gets `logged_model.created`.

    Args:
        tx: a write transaction.
        call: who and when.
        experiment: number of the experiment.
        name: what it is called.
        model_type: a word of whoever logs it.
        run_id: the run that makes it.
        params: texts.
        tags: texts.
        model_id: its id, when the caller made one: `m-` and 32 hex digits.

    Raises:
        InvalidInput: a name or value cannot be used.
        NotFound: there is no such experiment.
        Conflict: the experiment is deleted; code `not_active`.
    """
    now = rules.check_ms(call.now)
    accepted, labels = _texts(params or {}), rules.accept_tags(tags or {})
    made_id = model_id or "m-" + hashlib.sha256(call.ids.new("model").encode()).hexdigest()[:32]
    new = LoggedModel(
        id=rules.check_logged_model_id(made_id),
        experiment=experiment,
        name=rules.check_model_name(name),
        model_type=model_type,
        status="pending",
        run=run_id,
        params=accepted,
        tags=labels,
        metrics=[],
        lifecycle="active",
        created_at=iso_ms(now),
        updated_at=iso_ms(now),
    )

    def effect() -> LoggedModel:
        experiments.active_experiment(tx, experiment)
        models_store.add(tx, new, now)
        body = {"experiment": experiment, "name": name, "run": run_id}
        failpoints.reach("tracking.model_changed")
        append(tx, call, Event("logged_model.created", f"logged_model:{new.id}", body))
        return new

    request = ["create_logged_model", experiment, name, model_type, run_id, accepted, labels]
    return once(tx, call, request, effect, LoggedModel)


def logged_model(tx: Transaction, model_id: str, *, deleted: bool = False) -> LoggedModel:
    """Return a logged model; one that is deleted only with `deleted`.

    Raises:
        NotFound: there is none.
    """
    found = models_store.get(tx, model_id)
    if found is None or (found.lifecycle == "deleted" and not deleted):
        raise NotFound(f"Logged model with ID '{model_id}' not found.", where="model_id")
    return found


def finalize_logged_model(tx: Transaction, call: Call, model_id: str, status: ModelStatus) -> LoggedModel:
    """Say that a model is ready, or failed; the ledger gets `logged_model.finalized`.

    Raises:
        InvalidInput: the status is none.
        NotFound: there is no such model.
        Conflict: it is deleted.
    """
    if status not in get_args(ModelStatus):
        raise InvalidInput("A logged model is pending, ready or failed.", where="status")
    writable(tx, _checked(model_id))
    models_store.set_fields(tx, model_id, status=status, updated=to_ms(call.now))
    failpoints.reach("tracking.model_changed")
    append(tx, call, Event("logged_model.finalized", f"logged_model:{model_id}", {"status": status}))
    return logged_model(tx, model_id)


def log_logged_model_params(tx: Transaction, call: Call, model_id: str, params: Mapping[str, str]) -> None:
    """Write params of a logged model, each once; the same again is fine.

    Raises:
        InvalidInput: a name or value cannot be used, or one is there with another value.
        NotFound: there is no such model.
        Conflict: it is deleted.
    """
    writable(tx, _checked(model_id))
    given = {name: (value, False) for name, value in _texts(params).items()}
    new = rules.changed_params(models_store.params_of(tx, model_id), given, model_id)
    models_store.add_params(tx, model_id, {name: text for name, (text, _) in new.items()})


def set_logged_model_tags(tx: Transaction, call: Call, model_id: str, tags: Mapping[str, str]) -> LoggedModel:
    """Set tags of a logged model.

    Raises:
        InvalidInput: a tag cannot be used.
        NotFound: there is no such model.
        Conflict: it is deleted.
    """
    writable(tx, _checked(model_id))
    models_store.set_tags(tx, model_id, rules.accept_tags(tags))
    return logged_model(tx, model_id)


def delete_logged_model_tag(tx: Transaction, call: Call, model_id: str, name: str) -> None:
    """Delete a tag of a logged model.

    Raises:
        NotFound: there is no such model or tag.
        Conflict: it is deleted.
    """
    writable(tx, _checked(model_id))
    if not models_store.delete_tag(tx, model_id, name):
        raise NotFound(f"No tag with key {name!r} found for model with ID {model_id!r}.", where="key")


def delete_logged_model(tx: Transaction, call: Call, model_id: str) -> None:
    """Delete a logged model, to be freed later; the ledger gets `logged_model.deleted`.

    Raises:
        NotFound: there is no such model.
    """
    logged_model(tx, model_id, deleted=True)
    models_store.set_fields(tx, model_id, gone=1, updated=to_ms(call.now))
    failpoints.reach("tracking.model_changed")
    append(tx, call, Event("logged_model.deleted", f"logged_model:{model_id}"))


def search_logged_models(
    tx: Transaction,
    experiments: Sequence[int],
    filter: str | None = "",
    order_by: Sequence[Mapping[str, object]] = (),
    datasets: Sequence[tuple[str, str | None]] = (),
    limit: int = 100,
    offset: int = 0,
) -> list[LoggedModel]:
    """Return active logged models, newest first unless ordered.

    Args:
        tx: a transaction.
        experiments: numbers of experiments.
        filter: by MLflow's grammar.
        order_by: each `field_name` (an attribute, or `metrics.<name>`), `ascending`, `dataset_name`, `dataset_digest`.
        datasets: name and, where given, digest: metrics count only where measured on one of them.
        limit: at most so many.
        offset: after so many.

    Raises:
        InvalidInput: the filter, the order or the limit cannot be used.
    """
    check_limit(limit)
    return models_store.find(tx, experiments, filter, order_by, datasets, limit, offset)


def run_of(tx: Transaction, model_id: str) -> str | None:
    """Return the id of the run that made a logged model, when it is one of ours."""
    run_id = logged_model(tx, model_id, deleted=True).run
    return run_state(tx, run_id, lock=False).id if run_id else None


def _texts(params: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, (text, _) in rules.accept_param_texts(params).items()}


def _checked(model_id: str) -> str:
    if not model_id.startswith("m-"):
        raise NotFound(f"Logged model with ID '{model_id}' not found.", where="model_id")
    return model_id
