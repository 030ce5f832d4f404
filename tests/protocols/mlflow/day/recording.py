"""What a notebook does all day: experiments, runs, params, metrics, tags, datasets."""

from __future__ import annotations

import math
import time

import mlflow
import numpy as np
import pandas as pd
from common import client, refused, seen
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, RunTag, ViewType


def check_experiment_is_made_once() -> None:
    first = mlflow.set_experiment("day")
    assert mlflow.set_experiment("day").experiment_id == first.experiment_id
    seen["exp"] = first.experiment_id


def check_default_experiment_is_zero() -> None:
    found = client.get_experiment("0")
    assert found.name == "Default" and found.lifecycle_stage == "active"


def check_experiment_has_what_it_was_made_with() -> None:
    made = client.create_experiment("tagged", tags={"team": "retail", "mlflow.note.content": "line\nline"})
    found = client.get_experiment(made)
    assert found.tags == {"team": "retail", "mlflow.note.content": "line\nline"}
    assert found.artifact_location == f"mlflow-artifacts:/{made}"
    assert abs(found.creation_time / 1000 - time.time()) < 60 and found.last_update_time >= found.creation_time
    seen["tagged"] = made


def check_experiment_by_name() -> None:
    assert client.get_experiment_by_name("tagged").experiment_id == seen["tagged"]
    assert client.get_experiment_by_name("not there") is None


def check_experiment_is_renamed() -> None:
    client.rename_experiment(seen["tagged"], "renamed")
    assert client.get_experiment(seen["tagged"]).name == "renamed"


def check_experiment_tags_change() -> None:
    client.set_experiment_tag(seen["tagged"], "team", "fresh")
    client.set_experiment_tag(seen["tagged"], "more", "x")
    client.delete_experiment_tag(seen["tagged"], "more")
    assert client.get_experiment(seen["tagged"]).tags["team"] == "fresh"
    assert "more" not in client.get_experiment(seen["tagged"]).tags


def check_experiment_is_deleted_with_its_runs_and_restored() -> None:
    made = client.create_experiment("passing")
    run = client.create_run(made).info.run_id
    client.delete_experiment(made)
    assert client.get_experiment(made).lifecycle_stage == "deleted"
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert "passing" not in [e.name for e in client.search_experiments()]
    assert "passing" in [e.name for e in client.search_experiments(view_type=ViewType.DELETED_ONLY)]
    client.restore_experiment(made)
    assert client.get_run(run).info.lifecycle_stage == "active"


def check_names_of_deleted_experiments_stay_taken() -> None:
    made = client.create_experiment("gone")
    client.delete_experiment(made)
    refused("RESOURCE_ALREADY_EXISTS", "Experiment(name=gone) already exists", client.create_experiment, "gone")
    refused("INVALID_PARAMETER_VALUE", "Cannot set a deleted experiment", mlflow.set_experiment, "gone")


def check_run_by_context() -> None:
    with mlflow.start_run(run_name="first", tags={"stage": "try"}, description="what it is for") as run:
        mlflow.log_param("depth", 3)
        mlflow.log_params({"rate": 0.1, "kind": "gbm", "none": None, "list": [1, 2]})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.set_tags({"a": 1, "b": True})
    seen["first"] = run.info.run_id
    found = client.get_run(run.info.run_id)
    assert found.info.status == "FINISHED" and found.info.end_time >= found.info.start_time
    assert found.data.params == {"depth": "3", "rate": "0.1", "kind": "gbm", "none": "None", "list": "[1, 2]"}
    assert found.data.metrics == {"loss": 0.5}
    assert found.data.tags["stage"] == "try" and found.data.tags["a"] == "1" and found.data.tags["b"] == "True"
    assert found.data.tags["mlflow.note.content"] == "what it is for"
    assert found.info.run_name == "first" == found.data.tags["mlflow.runName"]


def check_run_has_context_tags() -> None:
    tags = client.get_run(seen["first"]).data.tags
    assert tags["mlflow.source.type"] == "LOCAL" and "mlflow.user" in tags and "mlflow.source.name" in tags


def check_run_without_a_name_gets_one() -> None:
    with mlflow.start_run() as run:
        pass
    name = client.get_run(run.info.run_id).info.run_name
    assert len(name.split("-")) == 3


def check_failed_run() -> None:
    try:
        with mlflow.start_run() as run:
            raise ValueError("broken")
    except ValueError:
        pass
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def check_killed_run() -> None:
    run = client.create_run(seen["exp"])
    client.set_terminated(run.info.run_id, status="KILLED", end_time=1_700_000_000_000)
    found = client.get_run(run.info.run_id).info
    assert found.status == "KILLED" and found.end_time == 1_700_000_000_000


def check_run_starts_when_the_client_says() -> None:
    run = client.create_run(seen["exp"], start_time=1_600_000_000_123, tags={"mlflow.user": "ada"}, run_name="old")
    found = client.get_run(run.info.run_id).info
    assert found.start_time == 1_600_000_000_123 and found.run_name == "old" and found.end_time is None
    assert found.status == "RUNNING"


def check_run_goes_on() -> None:
    with mlflow.start_run(run_id=seen["first"]):
        mlflow.log_metric("loss", 0.4, step=2)
    found = client.get_run(seen["first"])
    assert found.data.metrics["loss"] == 0.4 and found.info.status == "FINISHED"


def check_run_status_goes_back() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    for status in ("FINISHED", "RUNNING", "SCHEDULED", "FAILED"):
        client.update_run(run, status=status)
        assert client.get_run(run).info.status == status


def check_run_is_renamed() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    client.update_run(run, name="by update")
    assert client.get_run(run).data.tags["mlflow.runName"] == "by update"
    client.set_tag(run, "mlflow.runName", "by tag")
    assert client.get_run(run).info.run_name == "by tag"


def check_nested_runs() -> None:
    with mlflow.start_run(run_name="parent") as parent:
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("m", 1)
        with mlflow.start_run(run_name="child 2", nested=True):
            pass
    assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert client.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id
    text = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    found = mlflow.search_runs([seen["exp"]], text, output_format="list")
    assert sorted(r.info.run_name for r in found) == ["child", "child 2"]


def check_run_is_deleted_and_restored() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    client.delete_run(run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    refused("INVALID_PARAMETER_VALUE", "must be in the 'active' state. Current state is deleted",
            client.log_metric, run, "m", 1)  # fmt: skip
    refused("INVALID_PARAMETER_VALUE", "must be in the 'active' state", client.set_tag, run, "t", "1")
    client.restore_run(run)
    client.log_metric(run, "m", 1)


def check_metric_at_the_same_step_is_replaced() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    client.log_metric(run, "m", 1.0, timestamp=1_000, step=5)
    client.log_metric(run, "m", 2.0, timestamp=2_000, step=5)
    client.log_metric(run, "m", 9.0, timestamp=3_000, step=4)
    found = client.get_run(run).data
    assert found.metrics["m"] == 2.0
    assert [(m.value, m.step) for m in client.get_metric_history(run, "m")] == [(1.0, 5), (2.0, 5), (9.0, 4)]


def check_same_point_twice_is_one() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    for _ in range(3):
        client.log_metric(run, "m", 1.5, timestamp=7, step=7)
    assert len(client.get_metric_history(run, "m")) == 1


def check_metric_values_that_are_no_numbers() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    client.log_metric(run, "nan", float("nan"))
    client.log_metric(run, "inf", float("inf"))
    client.log_metric(run, "ninf", float("-inf"))
    found = client.get_run(run).data.metrics
    assert math.isnan(found["nan"])
    assert found["inf"] == 1.7976931348623157e308 and found["ninf"] == -1.7976931348623157e308


def check_metric_negative_step_and_numpy() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    client.log_metric(run, "m", np.float32(0.25), step=-3)
    client.log_metric(run, "zero", 0, timestamp=0, step=0)
    assert client.get_metric_history(run, "m")[0].step == -3
    assert client.get_metric_history(run, "zero")[0].timestamp == 0


def check_log_batch() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    metrics = [Metric(f"m{n % 10}", n / 7, 1_000 + n, n) for n in range(1_000)]
    client.log_batch(run, metrics=metrics)
    client.log_batch(run, params=[Param(f"p{n}", str(n)) for n in range(100)])
    client.log_batch(run, tags=[RunTag(f"t{n}", "x") for n in range(100)])
    found = client.get_run(run).data
    assert len(found.metrics) == 10 and len(found.params) == 100 and found.metrics["m9"] == 999 / 7
    assert len(client.get_metric_history(run, "m3")) == 100
    seen["batch"] = run


def check_log_metrics_of_the_fluent_client() -> None:
    with mlflow.start_run() as run:
        mlflow.log_metrics({"a": 1, "b": 2.5}, step=3)
        mlflow.log_metric("c", 3, synchronous=False).wait()
        mlflow.log_params({"p": "1"}, synchronous=False).wait()
    assert client.get_run(run.info.run_id).data.metrics == {"a": 1.0, "b": 2.5, "c": 3.0}


def check_param_is_written_once() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    client.log_param(run, "p", "1")
    client.log_param(run, "p", "1")
    refused("INVALID_PARAMETER_VALUE", "Changing param values is not allowed", client.log_param, run, "p", "2")
    refused("INVALID_PARAMETER_VALUE", "Params were already logged", client.log_batch, run, params=[Param("p", "3")])
    assert client.get_run(run).data.params == {"p": "1"}


def check_long_values_are_cut() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    client.log_param(run, "p", "x" * 6_500)
    client.set_tag(run, "t", "y" * 8_500)
    found = client.get_run(run).data
    assert found.params["p"] == "x" * 6_000 and found.tags["t"] == "y" * 8_000


def check_tag_is_set_again_and_deleted() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    client.set_tag(run, "t", "1")
    client.set_tag(run, "t", "ü\n2")
    assert client.get_run(run).data.tags["t"] == "ü\n2"
    client.delete_tag(run, "t")
    assert "t" not in client.get_run(run).data.tags
    refused("RESOURCE_DOES_NOT_EXIST", f"No tag with name: t in run with id {run}", client.delete_tag, run, "t")


def check_dataset_is_an_input() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
    data = mlflow.data.from_pandas(frame, source="https://example.org/d.csv", name="sales", targets="y")
    with mlflow.start_run() as run:
        mlflow.log_input(data, context="training", tags={"week": "3"})
        mlflow.log_input(data, context="training")
    (found,) = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert found.dataset.name == "sales" and found.dataset.digest == data.digest
    assert {t.key: t.value for t in found.tags} == {"mlflow.data.context": "training", "week": "3"}
    assert '"num_rows": 2' in found.dataset.profile and "double" in found.dataset.schema
    seen["data_run"] = run.info.run_id


def check_datasets_and_models_as_inputs() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    model = client.create_logged_model(seen["exp"], name="given").model_id
    one = DatasetInput(Dataset("d", "1234", "local", "{}"), [InputTag("k", "v")])
    client.log_inputs(run, datasets=[one], models=[LoggedModelInput(model)])
    found = client.get_run(run).inputs
    assert [d.dataset.digest for d in found.dataset_inputs] == ["1234"]
    assert [m.model_id for m in found.model_inputs] == [model]


def check_source_of_a_dataset_is_read_back() -> None:
    (found,) = client.get_run(seen["data_run"]).inputs.dataset_inputs
    assert mlflow.data.get_source(found).to_dict()["url"] == "https://example.org/d.csv"
