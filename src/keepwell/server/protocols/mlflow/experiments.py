"""Experiments."""

from __future__ import annotations

from typing import Any

from keepwell.server.protocols.mlflow import checks, paging
from keepwell.server.protocols.mlflow.calls import call
from keepwell.server.protocols.mlflow.errors import invalid, missing
from keepwell.server.protocols.mlflow.fields import Field, Given, need
from keepwell.server.protocols.mlflow.writing import experiment_json
from keepwell.server.routing import Ask
from keepwell.tracking import service as tracking
from keepwell.tracking.model import View

Asked = Ask[None, Any]

VIEWS: dict[str, View] = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all"}
VIEW_WORDS = {1: "ACTIVE_ONLY", 2: "DELETED_ONLY", 3: "ALL"}
MOST_DATASET_EXPERIMENTS = 20


def create(ask: Asked, given: Given) -> object:
    """Make an experiment."""
    checks.check_experiment_name(given["name"])
    tags = checks.read_pairs(given.get("tags", ()), "tags")
    for key, value in tags:
        checks.check_experiment_tag(key, value)
    _refuse_place(given.get("artifact_location"))
    with ask.write() as tx:
        made = tracking.create_experiment(tx, ask.call(), given["name"], dict(tags))
    return {"experiment_id": str(made.id)}


def get(ask: Asked, given: Given) -> object:
    """Return an experiment."""
    with ask.read() as tx:
        found = tracking.experiment(tx, checks.read_experiment_id(given["experiment_id"]))
    return {"experiment": experiment_json(found)}


def get_by_name(ask: Asked, given: Given) -> object:
    """Return the experiment of a name, a deleted one too."""
    with ask.read() as tx:
        found = tracking.experiment_by_name(tx, given["experiment_name"])
    if found is None:
        raise missing(f"Could not find experiment with name '{given['experiment_name']}'")
    return {"experiment": experiment_json(found)}


def search(ask: Asked, given: Given) -> object:
    """Return experiments that a filter describes."""
    most = checks.check_results(given.get("max_results", 0))
    offset = paging.read_token(given.get("page_token"))
    with ask.read() as tx:
        found = tracking.search_experiments(
            tx,
            given.get("filter", ""),
            order_by=given.get("order_by", ()),
            view=VIEWS[given.get("view_type", "ACTIVE_ONLY")],
            limit=most + 1,
            offset=offset,
        )
    return paging.page("experiments", [experiment_json(one) for one in found], most, offset)


def update(ask: Asked, given: Given) -> None:
    """Rename an experiment."""
    checks.check_experiment_name(given["new_name"])
    with ask.write() as tx:
        number = checks.read_experiment_id(given["experiment_id"])
        tracking.update_experiment(tx, ask.call(), number, given["new_name"])


def delete(ask: Asked, given: Given) -> None:
    """Delete an experiment, with its runs."""
    with ask.write() as tx:
        tracking.delete_experiment(tx, ask.call(), checks.read_experiment_id(given["experiment_id"]))


def restore(ask: Asked, given: Given) -> None:
    """Restore an experiment, with its runs."""
    with ask.write() as tx:
        tracking.restore_experiment(tx, ask.call(), checks.read_experiment_id(given["experiment_id"]))


def set_tag(ask: Asked, given: Given) -> None:
    """Set a tag of an experiment."""
    key, value = given["key"], given.get("value", "")
    checks.check_experiment_tag(key, value)
    with ask.write() as tx:
        tracking.set_experiment_tag(tx, ask.call(), checks.read_experiment_id(given["experiment_id"]), key, value)


def delete_tag(ask: Asked, given: Given) -> None:
    """Delete a tag of an experiment."""
    with ask.write() as tx:
        tracking.delete_experiment_tag(tx, ask.call(), checks.read_experiment_id(given["experiment_id"]), given["key"])


def search_datasets(ask: Asked, given: Given) -> object:
    """Return the datasets that runs of experiments read."""
    asked = given.get("experiment_ids", ())
    if not asked:
        raise invalid("SearchDatasets request must specify at least one experiment_id.")
    if len(asked) > MOST_DATASET_EXPERIMENTS:
        raise invalid(
            f"SearchDatasets request cannot specify more than {MOST_DATASET_EXPERIMENTS} experiment_ids. "
            f"Received {len(asked)} experiment_ids."
        )
    numbers = [checks.read_experiment_id(one) for one in asked]
    with ask.read() as tx:
        found = tracking.search_datasets(tx, numbers)
    told = [
        {"experiment_id": str(one.experiment), "name": one.name, "digest": one.digest or ""}
        | ({"context": one.context} if one.context is not None else {})
        for one in found
    ]
    return {"dataset_summaries": told} if told else {}


def _refuse_place(location: str | None) -> None:
    """Refuse a place for artifacts: they lie with this server, and nothing opens a place that a client names."""
    if location and not location.startswith("mlflow-artifacts:"):
        raise invalid(
            f"Invalid artifact_location: '{location[:300]}'. Artifacts are kept by this server; leave "
            "artifact_location away."
        )


_ID = need("experiment_id")
_SEARCH = (
    Field("view_type", words=VIEW_WORDS), Field("max_results", "int"), Field("order_by", "texts"), Field("filter"),
    Field("page_token"),
)  # fmt: skip
ROUTES = (
    *call("POST", "/experiments/create", "runs.write", create, "Make an experiment.",
          (need("name"), Field("artifact_location"), Field("tags", "items"))),
    *call("GET", "/experiments/get", "runs.read", get, "Return an experiment.", (_ID,)),
    *call("GET", "/experiments/get-by-name", "runs.read", get_by_name, "Return the experiment of a name.",
          (need("experiment_name"),)),
    *call("GET", "/experiments/search", "runs.read", search, "Search experiments.", _SEARCH),
    *call("POST", "/experiments/search", "runs.read", search, "Search experiments.", _SEARCH),
    *call("POST", "/experiments/update", "runs.write", update, "Rename an experiment.", (_ID, need("new_name"))),
    *call("POST", "/experiments/delete", "runs.delete", delete, "Delete an experiment.", (_ID,)),
    *call("POST", "/experiments/restore", "runs.delete", restore, "Restore an experiment.", (_ID,)),
    *call("POST", "/experiments/set-experiment-tag", "runs.write", set_tag, "Set a tag of an experiment.",
          (_ID, need("key"), Field("value"))),
    *call("POST", "/experiments/delete-experiment-tag", "runs.write", delete_tag, "Delete a tag of an experiment.",
          (_ID, need("key"))),
    *call("POST", "/experiments/search-datasets", "runs.read", search_datasets, "Search datasets that runs read.",
          (Field("experiment_ids", "texts"),)),
)  # fmt: skip
