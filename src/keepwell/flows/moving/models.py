"""Carries logged models, after the runs that made and measured them."""

from __future__ import annotations

import math

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import LATEST_MS
from keepwell.core.digests import digest_json
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.db import Transaction
from keepwell.flows.moving import names
from keepwell.flows.moving.context import ORIGIN, Carrying, put_files, store_files
from keepwell.flows.moving.source import Experiment, Model, Place
from keepwell.tracking import foreign
from keepwell.tracking import service as tracking
from keepwell.tracking.foreign import Known
from keepwell.tracking.model import ModelStatus, Point

KIND = "logged_model"
_STATUS: dict[str, ModelStatus] = {"PENDING": "pending", "READY": "ready", "FAILED": "failed"}
_VERSIONS_TAG = "mlflow.modelVersions"


def carry_models(carrying: Carrying, experiment: Experiment, number: int) -> None:
    """Carry the logged models of an experiment; they keep their ids."""
    for model in carrying.source.models(experiment):
        try:
            _carry(carrying, model, number)
        except (InvalidInput, NotFound, Conflict) as error:
            carrying.notes("logged model", model.id, error.message)
        carrying.tell(f"logged models of {names.label(experiment.name, 60)}")


def _carry(carrying: Carrying, model: Model, number: int) -> None:
    stamp = _stamp(model)
    with carrying.kit.read() as tx:
        known = foreign.known(tx, ORIGIN, KIND, [model.id]).get(model.id)
        runs = foreign.known(tx, ORIGIN, "run", [one.run for one in model.metrics] + [model.run or ""])
        files = {one.path: one.size for one in tracking.all_artifacts(tx, model.id)} if known else {}
        if known is not None and tracking.logged_model(tx, model.id, deleted=True).lifecycle == "deleted":
            return
    if known is not None and known.stamp == stamp and not carrying.recheck:
        return
    kept = store_files(carrying, Place("model", model.id, model.uri, model.experiment), files)
    with carrying.kit.write() as tx:
        call = carrying.call()
        params, refused = names.run_labels(model.params)
        tags, more = names.run_labels({k: v for k, v in model.tags.items() if k != _VERSIONS_TAG})
        for name in (*refused, *more):
            carrying.notes("param or tag", f"{model.id}/{name}", "Its name or text is too long, or unreadable.")
        if known is None:
            run = runs.get(model.run or "")
            tracking.create_logged_model(
                tx, call, number, model.name, model.model_type, run.ours if run else None, params, tags, model.id
            )
        else:
            tracking.log_logged_model_params(tx, call, model.id, params)
            tracking.set_logged_model_tags(tx, call, model.id, tags)
        _measure(carrying, tx, call, model, {there: one.ours for there, one in runs.items()})
        put_files(carrying, tx, call, model.id, kept)
        status = _STATUS.get(model.status, "pending")
        if status != tracking.logged_model(tx, model.id).status:
            tracking.finalize_logged_model(tx, call, model.id, status)
        if model.lifecycle == "deleted":
            tracking.delete_logged_model(tx, call, model.id)
        foreign.remember(tx, call, ORIGIN, KIND, Known(model.id, model.id, stamp))
    failpoints.reach("moving.model_written")
    carrying.counts.logged_models += known is None


def _measure(carrying: Carrying, tx: Transaction, call: Call, model: Model, runs: dict[str, str]) -> None:
    """Write what runs measured of a model."""
    by_run: dict[str, list[tuple[str, str | None, str | None, Point]]] = {}
    for one in model.metrics:
        if one.run not in runs:
            carrying.notes("metric", f"{model.id}/{one.name}", f"The run {one.run} that measured it is not here.")
        elif 0 <= one.at <= LATEST_MS:
            point = Point(one.name, one.value, one.step, one.at)
            by_run.setdefault(runs[one.run], []).append((model.id, one.dataset_name, one.dataset_digest, point))
    for run, points in by_run.items():
        if tracking.run(tx, run).lifecycle == "deleted":
            carrying.notes("metrics", f"{model.id}", f"The run {run} that measured it is deleted.")
            continue
        tracking.log_batch(tx, call, run, models=points)


def _stamp(model: Model) -> str:
    metrics = sorted(
        [one.run, one.name, "nan" if math.isnan(one.value) else repr(one.value), one.step, one.at, one.dataset_name]
        for one in model.metrics
    )
    tags = {name: text for name, text in model.tags.items() if name != _VERSIONS_TAG}
    return digest_json([model.name, model.status, model.model_type, model.run, model.lifecycle, dict(model.params),
                        tags, [[*map(str, one)] for one in metrics]])  # fmt: skip
