"""Metrics: log one, log a batch, and their histories."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from keepwell.core.points import Batch, batch_of
from keepwell.db import Transaction
from keepwell.server.protocols.mlflow import checks, paging
from keepwell.server.protocols.mlflow.calls import call, check_known
from keepwell.server.protocols.mlflow.errors import invalid
from keepwell.server.protocols.mlflow.fields import Field, Given, need, typed
from keepwell.server.protocols.mlflow.writing import number
from keepwell.server.routing import Ask
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Point, Series

Asked = Ask[None, Any]
Row = tuple[str, float, int, int]
ModelPoint = tuple[str, str | None, str | None, Point]

MOST_HISTORY = 25_000
MOST_BULK_RUNS = 100
MOST_A_RUN = 2_500
_OF_MODELS = ("model_id", "dataset_name", "dataset_digest")


def log_metric(ask: Asked, given: Given) -> None:
    """Log one value of a metric."""
    key, value, at, step = given["key"], given["value"], given["timestamp"], given.get("step", 0)
    checks.check_metric(key, value, at, step)
    row = (key, value, step, at)
    models = [_model_point(given, row)] if given.get("model_id") else []
    _log(ask, given["run_id"], batch_of((row,)), {}, {}, models)


def log_batch(ask: Asked, given: Given) -> None:
    """Log metrics, params and tags of a run, all or nothing."""
    items = given.get("metrics", ())
    metrics = checks.read_metrics(items)
    params = [
        checks.read_param(key, value, f"params[{place}]")
        for place, (key, value) in enumerate(checks.read_pairs(given.get("params", ()), "params"))
    ]
    tags = [
        checks.read_tag(key, value, f"tags[{place}]")
        for place, (key, value) in enumerate(checks.read_pairs(given.get("tags", ()), "tags"))
    ]
    checks.check_batch(len(metrics), len(params), len(tags))
    checks.check_unique(params)
    models = [_model_point(item, row) for item, row in zip(items, metrics, strict=True) if "model_id" in item]
    _log(ask, given["run_id"], _batch(metrics), dict(params), dict(tags), models)


def _log(
    ask: Asked, run_id: str, batch: Batch | None, params: dict[str, str], tags: dict[str, str], models: list[ModelPoint]
) -> None:
    def work(tx: Transaction) -> None:
        tracking.log_batch(tx, ask.call(), run_id, batch, params, tags, models=models)

    if models:  # what they are points of is shared by runs
        with ask.write() as tx:
            work(tx)
    else:
        ask.log(work)


def get_history(ask: Asked, given: Given) -> object:
    """Return the values of a metric of a run."""
    most = given.get("max_results")
    if most is not None and most <= 0:
        raise invalid(f"Invalid value {most} for parameter 'max_results' supplied. It must be a positive integer.")
    offset = paging.read_token(given.get("page_token"))
    key = given["metric_key"]
    with ask.read() as tx:
        series = tracking.history(tx, given["run_id"], key)
    end = len(series) if most is None else min(len(series), offset + most)
    told: dict[str, Any] = {"metrics": _values(key, series, offset, end)} if offset < end else {}
    if end < len(series):
        told["next_page_token"] = paging.make_token(end)
    return told


def get_bulk(ask: Asked, given: Given) -> object:
    """Return the values of a metric of several runs, one after another."""
    asked = ask.body.get("run_id") or []
    run_ids = typed(Field("run_id", "texts"), [asked] if isinstance(asked, str) else asked)
    if not run_ids:
        raise invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(run_ids) > MOST_BULK_RUNS:
        raise invalid(
            f"GetMetricHistoryBulk request cannot specify more than {MOST_BULK_RUNS} run_ids. "
            f"Received {len(run_ids)} run_ids."
        )
    key = given.get("metric_key")
    if key is None:
        raise invalid("GetMetricHistoryBulk request must specify a metric_key.")
    left = min(given.get("max_results", MOST_HISTORY), MOST_HISTORY)
    if left < 1:
        raise invalid(f"Invalid value {left} for parameter 'max_results' supplied. It must be a positive integer")
    told: list[Any] = []
    with ask.read() as tx:
        for run_id in sorted(set(run_ids)):
            check_known(run_id)
            if left > len(told):
                series = tracking.history(tx, run_id, key)
                told += _values(key, series, 0, min(len(series), left - len(told)), run_id)
    return {"metrics": told}


def get_interval(ask: Asked, given: Given) -> object:
    """Return values of a metric of several runs, evenly chosen over a range of steps."""
    start, end = given.get("start_step"), given.get("end_step")
    if (start is None) != (end is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    if start is not None and end is not None and start > end:
        raise invalid(f"end_step must be greater than start_step. Found start_step={start} and end_step={end}.")
    key, run_ids = given["metric_key"], given["run_ids"]
    for run_id in run_ids:
        check_known(run_id)
    with ask.read() as tx:
        found = tracking.histories(
            tx, run_ids, key, max_points=given.get("max_results", MOST_A_RUN), start_step=start, end_step=end
        )
    told: list[Any] = []
    for run_id in run_ids:
        if run_id in found:
            told += _values(key, found[run_id], 0, len(found[run_id]), run_id)
    return {"metrics": told} if told else {}


def _batch(rows: list[Row]) -> Batch | None:
    return batch_of(rows) if rows else None


def _model_point(given: Given, row: Row) -> ModelPoint:
    model, name, digest = (given.get(field) for field in _OF_MODELS)
    for field, value in zip(_OF_MODELS, (model, name, digest), strict=True):
        if value is not None:
            typed(Field(field), value)
    key, value, step, at = row
    return str(model), name or None, digest or None, Point(key, value, step, at)


def _values(key: str, series: Series, start: int, end: int, run_id: str | None = None) -> list[Any]:
    columns = (series.values[start:end].tolist(), series.ats[start:end].tolist(), series.steps[start:end].tolist())
    more = {} if run_id is None else {"run_id": run_id}
    return [
        {"key": key, "value": value, "timestamp": at, "step": step, **more}
        for value, at, step in zip(_numbers(columns[0]), *columns[1:], strict=True)
    ]


def _numbers(values: list[float]) -> Iterable[object]:
    """Return values as they are written; almost always they are finite already."""
    if all(map(math.isfinite, values)):
        return values
    return [number(value) for value in values]


def _few(run_ids: list[str]) -> str | None:
    if len(run_ids) <= MOST_BULK_RUNS:
        return None
    return (
        f"GetMetricHistoryBulkInterval request must specify at most {MOST_BULK_RUNS} run_ids. "
        f"Received {len(run_ids)} run_ids."
    )


def _within(most: int) -> str | None:
    return None if 1 <= most <= MOST_A_RUN else f"max_results must be between 1 and {MOST_A_RUN}."


_RUN = need("run_id")
_INTERVAL = (
    need("run_ids", "texts", _few), need("metric_key"), Field("start_step", "int"), Field("end_step", "int"),
    Field("max_results", "int32", check=_within),
)  # fmt: skip
ROUTES = (
    *call("POST", "/runs/log-metric", "runs.write", log_metric, "Log a value of a metric.",
          (_RUN, need("key"), need("value", "float"), need("timestamp", "int"), Field("step", "int"),
           Field("model_id"), Field("dataset_name"), Field("dataset_digest"))),
    *call("POST", "/runs/log-batch", "runs.write", log_batch, "Log metrics, params and tags.",
          (need("run_id", check=checks.check_run_id), Field("metrics", "items"), Field("params", "items"),
           Field("tags", "items")), max_body=4 << 20),
    *call("GET", "/metrics/get-history", "runs.read", get_history, "Return the values of a metric.",
          (_RUN, need("metric_key"), Field("page_token"), Field("max_results", "int32"))),
    *call("GET", "/metrics/get-history-bulk", "runs.read", get_bulk, "Return the values of a metric of runs.",
          (Field("metric_key"), Field("max_results", "int32"))),
    *call("GET", "/metrics/get-history-bulk-interval", "runs.read", get_interval,
          "Return values of a metric of runs, evenly chosen.", _INTERVAL),
)  # fmt: skip
