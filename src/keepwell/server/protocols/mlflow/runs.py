"""Runs: make, change, search, and what is logged to them but for files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from keepwell.core.clock import LATEST_MS, from_ms
from keepwell.core.errors import InvalidInput
from keepwell.db import Transaction
from keepwell.server.protocols.mlflow import checks, paging
from keepwell.server.protocols.mlflow.calls import call
from keepwell.server.protocols.mlflow.errors import API_DOCS, invalid
from keepwell.server.protocols.mlflow.experiments import VIEW_WORDS, VIEWS
from keepwell.server.protocols.mlflow.fields import Field, Given, need, typed
from keepwell.server.protocols.mlflow.naming import name_of
from keepwell.server.protocols.mlflow.writing import (
    OUR_STATUS,
    RUN_NAME,
    STATUS_WORDS,
    USER,
    run_info,
    run_json,
)
from keepwell.server.routing import Ask
from keepwell.tracking import service as tracking
from keepwell.tracking.model import DatasetInput

Asked = Ask[None, Any]

LONGEST_NAME = 250
_LOGGED_MODELS = "mlflow.log-model.history"


def create(ask: Asked, given: Given) -> object:
    """Start a run."""
    tags = dict(checks.read_tag(key, value) for key, value in checks.read_pairs(given.get("tags", ()), "tags"))
    name, tagged = given.get("run_name"), tags.get(RUN_NAME)
    if name and tagged and name != tagged:
        raise invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{name}', mlflow.runName='{tagged}')."
        )
    started = given.get("start_time")
    made = ask.call()
    run_id = made.ids.new("run")
    with ask.write() as tx:
        run = tracking.start_run(
            tx,
            made,
            name=_name(name or tagged or name_of(run_id)),
            kind="run",
            tags=tags,
            experiment=checks.read_experiment_id(given.get("experiment_id") or "0"),
            started_at=None if started is None else _moment("start_time", started),
            user=given.get("user_id") or tags.get(USER, ""),
            run_id=run_id,
            machine={},
        )
    return {"run": run_json(run, ())}


def update(ask: Asked, given: Given) -> object:
    """Change a run's status, end or name."""
    ended, status = given.get("end_time"), given.get("status")
    with ask.write() as tx:
        run = tracking.update_run(
            tx,
            ask.call(),
            given["run_id"],
            status=OUR_STATUS[status] if status else None,
            finished_at=None if ended is None else _moment("end_time", ended),
            name=_name(given["run_name"]) if given.get("run_name") else None,
        )
    return {"run_info": run_info(run)}


def delete(ask: Asked, given: Given) -> None:
    """Delete a run."""
    with ask.write() as tx:
        tracking.delete_run(tx, ask.call(), given["run_id"])


def restore(ask: Asked, given: Given) -> None:
    """Restore a run."""
    with ask.write() as tx:
        tracking.restore_run(tx, ask.call(), given["run_id"])


def get(ask: Asked, given: Given) -> object:
    """Return a run with its latest metrics."""
    with ask.read() as tx:
        run = tracking.run(tx, given["run_id"])
        latest = tracking.latest(tx, run.id)
    return {"run": run_json(run, latest)}


def search(ask: Asked, given: Given) -> object:
    """Return runs that a filter describes."""
    most = checks.check_results(given.get("max_results", 1_000))
    offset = paging.read_token(given.get("page_token"))
    numbers = [checks.read_experiment_id(one) for one in given.get("experiment_ids", ())]
    with ask.read() as tx:
        found = tracking.search_runs(
            tx,
            numbers,
            given.get("filter", ""),
            view=VIEWS[given.get("run_view_type", "ACTIVE_ONLY")],
            order_by=given.get("order_by", ()),
            limit=most + 1,
            offset=offset,
        )
        latest = tracking.latest_of(tx, [run.id for run in found[:most]])
    told: list[Any] = [run_json(run, latest[run.id]) for run in found[:most]]
    return paging.page("runs", told + found[most:], most, offset)


def log_param(ask: Asked, given: Given) -> None:
    """Log a parameter."""
    key, value = checks.read_param(given["key"], given.get("value", ""))

    def work(tx: Transaction) -> None:
        try:
            tracking.log_params(tx, ask.call(), given["run_id"], {key: value})
        except InvalidInput as error:
            if error.code != "param_changed":
                raise
            before = tracking.run(tx, given["run_id"]).params.get(key)
            raise invalid(
                f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                f"value='{before}' for run ID='{given['run_id']}'. Attempted logging new value '{value}'."
            ) from None

    ask.log(work)


def set_tag(ask: Asked, given: Given) -> None:
    """Set a tag of a run."""
    key, value = checks.read_tag(given["key"], given.get("value", ""))
    ask.log(lambda tx: tracking.set_tags(tx, ask.call(), given["run_id"], {key: value}))


def delete_tag(ask: Asked, given: Given) -> None:
    """Delete a tag of a run."""
    ask.log(lambda tx: tracking.delete_tag(tx, ask.call(), given["run_id"], given["key"]))


def log_inputs(ask: Asked, given: Given) -> None:
    """Log datasets and models that a run reads."""
    datasets = [_dataset(item) for item in given.get("datasets", ())]
    models = [_model_id(item) for item in given.get("models", ())]
    with ask.write() as tx:
        tracking.log_inputs(tx, ask.call(), given["run_id"], datasets, models)


def log_outputs(ask: Asked, given: Given) -> None:
    """Log models that a run makes."""
    models = [(_model_id(item), typed(Field("step", "int"), item.get("step") or 0)) for item in given["models"]]
    with ask.write() as tx:
        tracking.log_outputs(tx, ask.call(), given["run_id"], models)


def log_model(ask: Asked, given: Given) -> None:
    """Log what a client of MLflow 2 says of a model: one more entry of a tag."""
    try:
        model = json.loads(given["model_json"])
    except (ValueError, RecursionError):
        raise invalid(f"Malformed model info. \n {given['model_json'][:300]} \n is not a valid JSON.") from None
    needed = {"artifact_path", "flavors", "utc_time_created", "run_id"}
    absent = needed - set(model if isinstance(model, dict) else ())
    if absent:
        raise invalid(f"Model json is missing mandatory fields: {absent}")
    kept = {name: model[name] for name in (*sorted(needed), "model_uuid") if name in model}
    with ask.write() as tx:
        before = tracking.run(tx, given["run_id"]).tags.get(_LOGGED_MODELS, "[]")
        _, value = checks.read_tag(_LOGGED_MODELS, json.dumps([*_listed(before), kept]))
        tracking.set_tags(tx, ask.call(), given["run_id"], {_LOGGED_MODELS: value})


def _listed(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _name(name: str) -> str:
    return checks.check_length("run_name", name, LONGEST_NAME)


def _moment(what: str, milliseconds: int) -> Any:
    if not 0 <= milliseconds <= LATEST_MS:
        raise invalid(f"Invalid value {milliseconds} for parameter '{what}' supplied.{API_DOCS}")
    return from_ms(milliseconds)


def _model_id(item: Given) -> str:
    found = typed(need("model_id"), item.get("model_id") or "")
    if not found:
        raise invalid(f"Missing value for required parameter 'model_id'.{API_DOCS}")
    return str(found)


def _dataset(item: Given) -> DatasetInput:
    tags = checks.read_pairs(_objects(item.get("tags")), "tags")
    for key, value in tags:
        checks.check_length("key", key, 255)
        checks.check_length("value", value, 500)
    given = item.get("dataset")
    if not isinstance(given, dict):
        raise invalid("Dataset cannot be None")
    told = {name: typed(Field(name), given[name]) for name, _ in _DATASET if given.get(name) is not None}
    for name, most in _DATASET:
        if name in ("name", "digest") and not told.get(name):
            raise invalid(f"Dataset {name} cannot be None")
        checks.check_length(name, told.get(name, ""), most)
    return DatasetInput(**told, tags=dict(tags))


def _objects(value: object) -> Sequence[Given]:
    return typed(Field("tags", "items"), value) if value is not None else ()


_DATASET = (("name", 500), ("digest", 36), ("source_type", 500), ("source", 65_535), ("schema", 1_048_575),
            ("profile", 16_777_215))  # fmt: skip
_RUN = need("run_id")
ROUTES = (
    *call("POST", "/runs/create", "runs.write", create, "Start a run.",
          (Field("experiment_id"), Field("start_time", "int"), Field("run_name"), Field("user_id"),
           Field("tags", "items"))),
    *call("POST", "/runs/update", "runs.write", update, "Change a run.",
          (_RUN, Field("end_time", "int"), Field("status", words=STATUS_WORDS), Field("run_name"))),
    *call("POST", "/runs/delete", "runs.delete", delete, "Delete a run.", (_RUN,)),
    *call("POST", "/runs/restore", "runs.delete", restore, "Restore a run.", (_RUN,)),
    *call("GET", "/runs/get", "runs.read", get, "Return a run.", (_RUN,)),
    *call("POST", "/runs/search", "runs.read", search, "Search runs.",
          (Field("experiment_ids", "texts"), Field("filter"), checks.at_most(50_000), Field("order_by", "texts"),
           Field("run_view_type", words=VIEW_WORDS), Field("page_token"))),
    *call("POST", "/runs/log-parameter", "runs.write", log_param, "Log a parameter.",
          (_RUN, need("key"), Field("value"))),
    *call("POST", "/runs/set-tag", "runs.write", set_tag, "Set a tag of a run.", (_RUN, need("key"), Field("value"))),
    *call("POST", "/runs/delete-tag", "runs.write", delete_tag, "Delete a tag of a run.", (_RUN, need("key"))),
    *call("POST", "/runs/log-inputs", "runs.write", log_inputs, "Log what a run reads.",
          (need("run_id", check=checks.check_run_id), Field("datasets", "items"), Field("models", "items")),
          max_body=64 << 20),
    *call("POST", "/runs/outputs", "runs.write", log_outputs, "Log models that a run makes.",
          (_RUN, need("models", "items"))),
    *call("POST", "/runs/log-model", "runs.write", log_model, "Log what a client of MLflow 2 says of a model.",
          (_RUN, need("model_json"))),
)  # fmt: skip
