"""What is not good, and what is not offered: MLflow's codes and words, and no harm."""

from __future__ import annotations

import math
import time

import mlflow
from common import client, refused, seen
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException, RestException


def run() -> str:
    if "refusing" not in seen:
        seen["refusing"] = client.create_run(seen["exp"]).info.run_id
    return str(seen["refusing"])


def rest(method: str, **fields: object) -> object:
    """Send what the client itself would refuse before it is sent."""
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    endpoint = f"/api/2.0/mlflow/{method}"
    answer = http_request(client._tracking_client.store.get_host_creds(), endpoint, "POST", json=fields)
    return verify_rest_response(answer, endpoint).json()


def check_metric_names() -> None:
    for name, says in (("a$b", "Names may only contain alphanumerics"), ("../a", "would resolve to '../a'"),
                       ("a//b", "would resolve to 'a/b'"), ("/a", "must not resolve to other names"),
                       (".", "would resolve to '.'"), ("m" * 251, "exceeds the maximum length of 250")):  # fmt: skip
        refused("INVALID_PARAMETER_VALUE", says, rest, "runs/log-metric", run_id=run(), key=name, value=1, timestamp=1)


def check_metric_values_and_times() -> None:
    def log(**more: object) -> object:
        return rest("runs/log-metric", **({"run_id": run(), "key": "m", "value": 1, "timestamp": 1} | more))

    refused("INVALID_PARAMETER_VALUE", "Invalid value \"x\" for parameter 'value'", log, value="x")
    refused("INVALID_PARAMETER_VALUE", "Timestamp must be a nonnegative long", log, timestamp=-1)
    refused("INVALID_PARAMETER_VALUE", "Invalid value", log, step="one")
    refused("INVALID_PARAMETER_VALUE", "Missing value for required parameter 'value'", log, value=None)
    refused("INVALID_PARAMETER_VALUE", "Missing value for required parameter 'key'", log, key="")


def check_tag_and_param_names() -> None:
    for method in ("runs/set-tag", "runs/log-parameter"):
        refused("INVALID_PARAMETER_VALUE", "Names may only contain", rest, method, run_id=run(), key="a?b", value="1")
        refused("INVALID_PARAMETER_VALUE", "Missing value for required parameter 'key'", rest, method, run_id=run())
        refused("INVALID_PARAMETER_VALUE", "250", rest, method, run_id=run(), key="k" * 251, value="1")


def check_batches_that_are_too_large() -> None:
    many = [{"key": f"k{n}", "value": "1"} for n in range(101)]
    points = [{"key": "m", "value": n, "timestamp": n, "step": n} for n in range(1_001)]
    says = "A batch logging request can contain at most 100 params. Got 101 params."
    refused("INVALID_PARAMETER_VALUE", says, rest, "runs/log-batch", run_id=run(), params=many)
    refused("INVALID_PARAMETER_VALUE", "at most 100 tags", rest, "runs/log-batch", run_id=run(), tags=many)
    refused("INVALID_PARAMETER_VALUE", "at most 1000 metrics", rest, "runs/log-batch", run_id=run(), metrics=points)
    refused("INVALID_PARAMETER_VALUE", "metrics, params, and tags", rest, "runs/log-batch", run_id=run(),
            metrics=points[:950], params=many[:60])  # fmt: skip


def check_batch_is_all_or_nothing() -> None:
    made = client.create_run(seen["exp"]).info.run_id
    client.log_param(made, "p", "1")
    refused("INVALID_PARAMETER_VALUE", "Changing param values", client.log_batch, made,
            metrics=[Metric("m", 1, 1, 1)], params=[Param("p", "2")], tags=[RunTag("t", "1")])  # fmt: skip
    found = client.get_run(made).data
    assert found.metrics == {} and "t" not in found.tags


def check_double_params_in_a_batch() -> None:
    says = "Duplicate parameter keys have been submitted: ['p']"
    refused("INVALID_PARAMETER_VALUE", says, rest, "runs/log-batch", run_id=run(),
            params=[{"key": "p", "value": "1"}, {"key": "p", "value": "2"}])  # fmt: skip


def check_parts_of_a_batch_that_are_missing() -> None:
    says = "Missing value for required parameter 'metrics[1].timestamp'"
    refused("INVALID_PARAMETER_VALUE", says, rest, "runs/log-batch", run_id=run(),
            metrics=[{"key": "a", "value": 1, "timestamp": 1}, {"key": "a", "value": 1}])  # fmt: skip
    says = "for parameter 'params[0].key' supplied"
    refused("INVALID_PARAMETER_VALUE", says, rest, "runs/log-batch", run_id=run(), params=[{"key": "a/../b"}])


def check_experiments_that_are_none() -> None:
    refused("RESOURCE_DOES_NOT_EXIST", "No Experiment with id=98765 exists", client.get_experiment, "98765")
    refused("RESOURCE_DOES_NOT_EXIST", "No Experiment with id=98765 exists", client.create_run, "98765")
    refused("RESOURCE_DOES_NOT_EXIST", "No Experiment with id=98765 exists", client.delete_experiment, "98765")
    refused("INVALID_PARAMETER_VALUE", "500", client.create_experiment, "x" * 501)


def check_deleted_experiment_takes_no_runs() -> None:
    gone = client.get_experiment_by_name("gone").experiment_id
    says = f"The experiment {gone} must be in the 'active' state. Current state is deleted."
    refused("INVALID_PARAMETER_VALUE", says, client.create_run, gone)


def check_run_name_given_twice() -> None:
    says = "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values"
    refused("INVALID_PARAMETER_VALUE", says, client.create_run, seen["exp"], run_name="a",
            tags={"mlflow.runName": "b"})  # fmt: skip


def check_places_for_artifacts_are_not_chosen() -> None:
    for place in ("file:///etc", "s3://bucket/x", "/tmp/x"):
        try:
            client.create_experiment(f"place {place}", artifact_location=place)
        except MlflowException as error:
            assert error.error_code == "INVALID_PARAMETER_VALUE"
        else:
            raise AssertionError(place)


def not_offered(call: object, *args: object, **named: object) -> None:
    started = time.monotonic()
    try:
        call(*args, **named)  # type: ignore[operator]
    except RestException as error:
        assert error.error_code == "NOT_IMPLEMENTED" and "not supported" in error.message, error
    else:
        raise AssertionError("offered")
    assert time.monotonic() - started < 5


def check_prompts_are_not_offered() -> None:
    not_offered(mlflow.genai.register_prompt if hasattr(mlflow, "genai") else client.register_prompt, "p", "hi {{x}}")


def check_traces_are_not_offered() -> None:
    not_offered(client.search_traces, [seen["exp"]])
    not_offered(client.get_trace, "tr-123")


def check_webhooks_are_not_offered() -> None:
    not_offered(client.list_webhooks)


def check_a_call_that_is_none() -> None:
    refused("ENDPOINT_NOT_FOUND", "There is no such call", rest, "runs/fly", run_id=run())


def check_nan_stays_out_of_gates() -> None:
    made = client.create_run(seen["exp"]).info.run_id
    client.log_metric(made, "loss", math.nan)
    assert client.search_runs([seen["exp"]], f"metrics.loss <= 1 AND run_id = '{made}'") == []
