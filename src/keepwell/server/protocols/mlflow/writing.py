"""Our values as MLflow's JSON: milliseconds, whole numbers as numbers, NaN as a word, what is unset left away."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from keepwell.core.clock import from_iso, to_ms
from keepwell.models.registry_model import RegisteredModel, RegisteredVersion
from keepwell.tracking.model import (
    Artifact,
    Experiment,
    Input,
    Latest,
    LoggedModel,
    ModelMetric,
    Run,
    Status,
)
from keepwell.tracking.rules import text_of

STATUSES: dict[Status, str] = {"running": "RUNNING", "scheduled": "SCHEDULED", "finished": "FINISHED",
                               "failed": "FAILED", "interrupted": "KILLED"}  # fmt: skip
STATUS_WORDS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
OUR_STATUS: dict[str, Status] = {theirs: ours for ours, theirs in STATUSES.items()}
MODEL_STATUSES = {"pending": "LOGGED_MODEL_PENDING", "ready": "LOGGED_MODEL_READY",
                  "failed": "LOGGED_MODEL_UPLOAD_FAILED"}  # fmt: skip
VERSION_STATUSES = {"ready": "READY", "pending": "PENDING_REGISTRATION", "failed": "FAILED_REGISTRATION"}
RUN_NAME, USER, PARENT = "mlflow.runName", "mlflow.user", "mlflow.parentRunId"
LARGEST = sys.float_info.max

Json = dict[str, Any]


def millis(moment: str | datetime) -> int:
    """Return a moment in milliseconds since 1970."""
    return to_ms(from_iso(moment) if isinstance(moment, str) else moment)


def number(value: object) -> object:
    """Return a metric's value as MLflow's server gives it back: infinities are the largest doubles."""
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return value if -LARGEST <= value <= LARGEST else math.copysign(LARGEST, value)
    if isinstance(value, str):
        return {"Infinity": LARGEST, "-Infinity": -LARGEST}.get(value, "NaN")
    return value


def pairs(values: Mapping[str, str]) -> list[Json]:
    """Return texts by name as a list of keys and values."""
    return [{"key": key, "value": value} for key, value in values.items()]


def filled(**fields: Any) -> Json:
    """Return the fields that are not None and not empty lists."""
    return {name: value for name, value in fields.items() if value is not None and value != []}


def artifact_uri(experiment: int, run_id: str) -> str:
    """Return where clients find the artifacts of a run: with this server."""
    return f"mlflow-artifacts:/{experiment}/{run_id}/artifacts"


def model_uri(experiment: int, model_id: str) -> str:
    """Return where clients find the artifacts of a logged model."""
    return f"mlflow-artifacts:/{experiment}/models/{model_id}/artifacts"


def experiment_json(found: Experiment) -> Json:
    """Return an experiment."""
    return filled(
        experiment_id=str(found.id),
        name=found.name,
        artifact_location=f"mlflow-artifacts:/{found.id}",
        lifecycle_stage=found.lifecycle,
        last_update_time=millis(found.updated_at),
        creation_time=millis(found.created_at),
        tags=pairs(found.tags),
    )


def run_info(found: Run) -> Json:
    """Return what a run is, without its data."""
    return filled(
        run_uuid=found.id,
        experiment_id=str(found.experiment),
        run_name=found.name,
        user_id=found.user or "",
        status=STATUSES[found.status],
        start_time=millis(found.started_at),
        end_time=None if found.finished_at is None else millis(found.finished_at),
        artifact_uri=artifact_uri(found.experiment, found.id),
        lifecycle_stage=found.lifecycle,
        run_id=found.id,
    )


def run_json(found: Run, latest: Iterable[Latest]) -> Json:
    """Return a run with its data, inputs and outputs."""
    tags = dict(found.tags)
    tags.setdefault(RUN_NAME, found.name)
    if found.parent is not None:
        tags.setdefault(PARENT, found.parent)
    told: Json = {
        "info": run_info(found),
        "data": filled(
            metrics=[latest_json(one) for one in latest],
            params=[{"key": name, "value": text_of(value)[0]} for name, value in found.params.items()],
            tags=pairs(tags),
        ),
        "inputs": filled(
            dataset_inputs=[dataset_input(one) for one in found.inputs if one.kind == "dataset"],
            model_inputs=[{"model_id": one.id or one.name} for one in found.inputs if one.kind == "model"],
        ),
    }
    if found.outputs:
        told["outputs"] = {"model_outputs": [{"model_id": one.model, "step": one.step} for one in found.outputs]}
    return told


def latest_json(one: Latest) -> Json:
    """Return the latest value of a metric."""
    return {"key": one.name, "value": number(one.value), "timestamp": one.at, "step": one.step}


def dataset_input(one: Input) -> Json:
    """Return a dataset that a run read."""
    dataset = filled(
        name=one.name, digest=one.digest or "", source_type=one.source_type or "keepwell", source=one.source or "{}",
        schema=one.schema, profile=one.profile,
    )  # fmt: skip
    return filled(tags=pairs(one.tags), dataset=dataset)


def file_json(one: Artifact, path: str) -> Json:
    """Return an artifact of a listing."""
    return filled(path=path, is_dir=one.is_dir, file_size=None if one.is_dir else one.size)


def logged_model_json(found: LoggedModel, registrations: Sequence[RegisteredVersion] = ()) -> Json:
    """Return a logged model."""
    return {
        "info": filled(
            model_id=found.id,
            experiment_id=str(found.experiment),
            name=found.name,
            creation_timestamp_ms=millis(found.created_at),
            last_updated_timestamp_ms=millis(found.updated_at),
            artifact_uri=model_uri(found.experiment, found.id),
            status=MODEL_STATUSES[found.status],
            model_type=found.model_type,
            source_run_id=found.run,
            tags=pairs(found.tags),
            registrations=[{"name": one.model, "version": str(one.number)} for one in registrations],
        ),
        "data": filled(params=pairs(found.params), metrics=[model_metric(one, found.id) for one in found.metrics]),
    }


def model_metric(one: ModelMetric, model_id: str) -> Json:
    """Return a metric of a logged model."""
    return filled(
        key=one.name, value=number(one.value), timestamp=one.at, step=one.step, dataset_name=one.dataset_name,
        dataset_digest=one.dataset_digest, model_id=model_id, run_id=one.run,
    )  # fmt: skip


def version_json(found: RegisteredVersion) -> Json:
    """Return a version of a registered model."""
    return filled(
        name=found.model,
        version=str(found.number),
        creation_timestamp=millis(found.created_at),
        last_updated_timestamp=millis(found.updated_at),
        current_stage=found.stage,
        description=found.description or "",
        source=found.source or "",
        run_id=found.run_id or "",
        status=VERSION_STATUSES[found.status],
        status_message=found.status_message,
        tags=pairs(found.tags),
        run_link=found.run_link or "",
        aliases=list(found.aliases),
        model_id=found.logged_model,
    )


def registered_json(found: RegisteredModel) -> Json:
    """Return a registered model with its latest versions."""
    return filled(
        name=found.name,
        creation_timestamp=millis(found.created_at),
        last_updated_timestamp=millis(found.updated_at),
        description=found.description or "",
        latest_versions=[version_json(one) for one in found.latest],
        tags=pairs(found.tags),
        aliases=[{"alias": alias, "version": str(version)} for alias, version in found.aliases.items()],
    )
