"""Logged models: what a run made, before it is registered under a name."""

from __future__ import annotations

from typing import Any

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.server.protocols.mlflow import checks, paging
from keepwell.server.protocols.mlflow.calls import call
from keepwell.server.protocols.mlflow.errors import API_DOCS, invalid, missing
from keepwell.server.protocols.mlflow.fields import Field, Given, need, typed
from keepwell.server.protocols.mlflow.naming import name_of
from keepwell.server.protocols.mlflow.writing import MODEL_STATUSES, file_json, logged_model_json, model_uri
from keepwell.server.routing import Ask
from keepwell.tracking import service as tracking
from keepwell.tracking.model import ModelStatus

Asked = Ask[None, Any]

STATUS_WORDS = {1: "LOGGED_MODEL_PENDING", 2: "LOGGED_MODEL_READY", 3: "LOGGED_MODEL_UPLOAD_FAILED"}
OUR_STATUS: dict[str, ModelStatus] = {"LOGGED_MODEL_PENDING": "pending", "LOGGED_MODEL_READY": "ready",
                                      "LOGGED_MODEL_UPLOAD_FAILED": "failed"}  # fmt: skip
MOST = 50
MOST_ORDERS, MOST_DATASETS = 10, 100
_BAD = ("/", ":", ".", "%", '"', "'")


def create(ask: Asked, given: Given) -> object:
    """Make a logged model, pending until it is finalized."""
    name = given.get("name")
    if name and any(sign in name for sign in _BAD):
        raise invalid(
            f"Invalid model name ({name[:300]!r}) provided. Model name must be a non-empty string and cannot contain "
            f"the following characters: {_BAD}"
        )
    made = ask.call()
    with ask.write() as tx:
        found = tracking.create_logged_model(
            tx,
            made,
            checks.read_experiment_id(given["experiment_id"]),
            name or name_of(made.ids.new("run")),
            given.get("model_type") or None,
            given.get("source_run_id") or None,
            _params(given),
            dict(checks.read_pairs(given.get("tags", ()), "tags")),
        )
    return {"model": logged_model_json(found)}


def get(ask: Asked, given: Given) -> object:
    """Return a logged model."""
    with ask.read() as tx:
        found = tracking.logged_model(tx, given["model_id"], deleted=given.get("allow_deleted", False))
    return {"model": logged_model_json(found)}


def finalize(ask: Asked, given: Given) -> object:
    """Say that a logged model is ready, or failed."""
    if given["status"] not in MODEL_STATUSES.values():
        raise invalid(f"Invalid value for parameter 'status' supplied.{API_DOCS}")
    with ask.write() as tx:
        found = tracking.finalize_logged_model(tx, ask.call(), given["model_id"], OUR_STATUS[given["status"]])
    return {"model": logged_model_json(found)}


def delete(ask: Asked, given: Given) -> None:
    """Delete a logged model."""
    with ask.write() as tx:
        tracking.delete_logged_model(tx, ask.call(), given["model_id"])


def log_params(ask: Asked, given: Given) -> None:
    """Write params of a logged model."""
    with ask.write() as tx:
        tracking.log_logged_model_params(tx, ask.call(), given["model_id"], _params(given))


def set_tags(ask: Asked, given: Given) -> None:
    """Set tags of a logged model."""
    tags = dict(checks.read_pairs(given.get("tags", ()), "tags"))
    with ask.write() as tx:
        tracking.set_logged_model_tags(tx, ask.call(), given["model_id"], tags)


def delete_tag(ask: Asked, given: Given) -> None:
    """Delete a tag of a logged model."""
    with ask.write() as tx:
        tracking.delete_logged_model_tag(tx, ask.call(), given["model_id"], given["tag_key"])


def search(ask: Asked, given: Given) -> object:
    """Return logged models that a filter describes."""
    datasets = [_dataset(item) for item in given.get("datasets", ())]
    orders = [_order(item) for item in given.get("order_by", ())]
    if len(orders) > MOST_ORDERS or len(datasets) > MOST_DATASETS:
        raise invalid(f"A search has at most {MOST_ORDERS} order_by clauses and {MOST_DATASETS} datasets.")
    most = checks.check_results(given.get("max_results") or MOST)
    asked = {
        "experiment_ids": given["experiment_ids"],
        "filter_string": given.get("filter") or None,
        "order_by": orders or None,
    }
    offset = paging.read_bound_token(given.get("page_token"), asked)
    numbers = [checks.read_experiment_id(one) for one in given["experiment_ids"]]
    with ask.read() as tx:
        found = tracking.search_logged_models(
            tx, numbers, given.get("filter", ""), orders, datasets, limit=most + 1, offset=offset
        )
    told: dict[str, Any] = {"models": [logged_model_json(one) for one in found[:most]]} if found else {}
    if len(found) > most:
        told["next_page_token"] = paging.make_bound_token(offset + most, asked)
    return told


def directories(ask: Asked, given: Given) -> object:
    """Return what lies in a folder of a logged model."""
    folder = read_folder(given.get("artifact_directory_path", ""))
    with ask.read() as tx:
        model = tracking.logged_model(tx, given["model_id"])
        found = list_folder(tx, model.id, folder)
    told: dict[str, Any] = {"root_uri": model_uri(model.experiment, model.id)}
    return told | ({"files": [file_json(one, one.path) for one in found]} if found else {})


def read_folder(path: str) -> str:
    """Return the path of a folder without a slash at its end; one that starts with a slash is none."""
    if path.startswith("/"):
        raise invalid("Invalid path")
    return path.rstrip("/")


def list_folder(tx: Any, owner: str, folder: str) -> Any:
    """Return what lies in a folder, in MLflow's words where its path is none."""
    try:
        return tracking.artifacts(tx, owner, folder)
    except InvalidInput:
        raise invalid("Invalid path") from None
    except NotFound:
        raise missing(f"No such artifact: '{folder[:300]}'") from None


def _params(given: Given) -> dict[str, str]:
    return dict(checks.read_pairs(given.get("params", ()), "params"))


def _dataset(item: Given) -> tuple[str, str | None]:
    name, digest = item.get("dataset_name"), item.get("dataset_digest")
    if not name:
        raise invalid("`dataset_name` in the `datasets` clause must be specified.")
    return typed(Field("dataset_name"), name), typed(Field("dataset_digest"), digest) if digest else None


def _order(item: Given) -> dict[str, object]:
    found: dict[str, object] = {"field_name": typed(need("field_name"), item.get("field_name") or "")}
    ascending = item.get("ascending")
    found["ascending"] = True if ascending is None else typed(Field("ascending", "bool"), ascending)
    for name in ("dataset_name", "dataset_digest"):
        found[name] = typed(Field(name), item[name]) if item.get(name) else None
    return found


_ID = need("model_id")
_MODEL = "/logged-models/{model_id}"
ROUTES = (
    *call("POST", "/logged-models", "runs.write", create, "Make a logged model.",
          (need("experiment_id"), Field("name"), Field("model_type"), Field("source_run_id"),
           Field("params", "items"), Field("tags", "items"))),
    *call("GET", _MODEL, "runs.read", get, "Return a logged model.", (_ID, Field("allow_deleted", "bool"))),
    *call("PATCH", _MODEL, "runs.write", finalize, "Say that a logged model is ready or failed.",
          (_ID, Field("status", required=True, words=STATUS_WORDS))),
    *call("DELETE", _MODEL, "runs.delete", delete, "Delete a logged model.", (_ID,)),
    *call("POST", f"{_MODEL}/params", "runs.write", log_params, "Write params of a logged model.",
          (_ID, Field("params", "items"))),
    *call("PATCH", f"{_MODEL}/tags", "runs.write", set_tags, "Set tags of a logged model.",
          (_ID, Field("tags", "items"))),
    *call("DELETE", _MODEL + "/tags/{tag_key}", "runs.write", delete_tag, "Delete a tag of a logged model.",
          (_ID, need("tag_key"))),
    *call("POST", "/logged-models/search", "runs.read", search, "Search logged models.",
          (need("experiment_ids", "texts"), Field("filter"), Field("datasets", "items"),
           Field("max_results", "int32"), Field("order_by", "items"), Field("page_token"))),
    *call("GET", f"{_MODEL}/artifacts/directories", "runs.read", directories, "List files of a logged model.",
          (_ID, Field("artifact_directory_path"), Field("page_token"))),
)  # fmt: skip
