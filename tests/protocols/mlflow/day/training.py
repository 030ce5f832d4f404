"""Autologging."""

from __future__ import annotations

import lightgbm
import mlflow
import numpy as np
import pandas as pd
from common import client, seen
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(1)
X = pd.DataFrame(rng.random((80, 3)), columns=["a", "b", "c"])
Y = (X.a + X.b > 1).astype(int)
Z = X.a * 2 + X.b
SAFE = {"serialization_format": "skops"}


def check_autolog_of_everything_is_quiet() -> None:
    mlflow.set_experiment("training")
    mlflow.autolog(log_models=False, silent=True)
    try:
        with mlflow.start_run() as run:
            Ridge().fit(X, Z)
    finally:
        mlflow.autolog(disable=True, silent=True)
    assert "training_r2_score" in client.get_run(run.info.run_id).data.metrics


def check_autolog_of_scikit_learn() -> None:
    mlflow.sklearn.autolog(log_models=True, log_input_examples=True)
    try:
        with mlflow.start_run() as run:
            LogisticRegression(C=0.5).fit(X, Y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    found = client.get_run(run.info.run_id)
    assert found.data.params["C"] == "0.5" and "training_accuracy_score" in found.data.metrics
    assert found.data.tags["estimator_name"] == "LogisticRegression"
    assert len(found.outputs.model_outputs) == 1 and len(found.inputs.dataset_inputs) == 1
    seen["auto"] = run.info.run_id


def check_autolog_makes_a_run_of_its_own() -> None:
    mlflow.sklearn.autolog(log_models=False)
    try:
        Ridge(alpha=2).fit(X, Z)
    finally:
        mlflow.sklearn.autolog(disable=True)
    run = mlflow.last_active_run()
    assert run.data.params["alpha"] == "2" and run.info.status == "FINISHED"


def check_autolog_of_a_search() -> None:
    mlflow.sklearn.autolog(log_models=False, max_tuning_runs=3)
    try:
        with mlflow.start_run() as run:
            GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [1, 2, 3]}, cv=2).fit(X, Z)
    finally:
        mlflow.sklearn.autolog(disable=True)
    children = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{run.info.run_id}'",
                                  output_format="list")  # fmt: skip
    assert len(children) == 3 and all("mean_test_score" in c.data.metrics for c in children)
    assert "best_ridge__alpha" in client.get_run(run.info.run_id).data.params


def check_autolog_of_lightgbm() -> None:
    mlflow.lightgbm.autolog(log_models=True)
    try:
        with mlflow.start_run() as run:
            data = lightgbm.Dataset(X, Y)
            params = {"objective": "binary", "num_leaves": 4, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
            lightgbm.train(params, data, 12, valid_sets=[data], valid_names=["train"])
    finally:
        mlflow.lightgbm.autolog(disable=True)
    found = client.get_run(run.info.run_id)
    assert found.data.params["num_leaves"] == "4"
    assert len(client.get_metric_history(run.info.run_id, "train-binary_logloss")) == 12
    assert any("feature_importance" in f.path for f in client.list_artifacts(run.info.run_id))
    seen["boosted"] = found.outputs.model_outputs[0].model_id


def check_boosted_model_predicts() -> None:
    model = mlflow.lightgbm.load_model(f"models:/{seen['boosted']}")
    assert model.predict(X).shape == (80,)
    scored = mlflow.pyfunc.load_model(f"models:/{seen['boosted']}").predict(X)
    assert np.allclose(scored, model.predict(X))


def check_system_metrics_do_no_harm() -> None:
    with mlflow.start_run(log_system_metrics=False) as run:
        mlflow.log_metric("system/cpu_utilization_percentage", 12.5)
    assert client.get_run(run.info.run_id).data.metrics == {"system/cpu_utilization_percentage": 12.5}


def check_traces_fail_quietly() -> None:
    """Tracing is not offered: what a traced function returns is what it returns, at once, and no run is disturbed."""

    @mlflow.trace
    def double(x: int) -> int:
        return 2 * x

    with mlflow.start_run() as run:
        assert double(2) == 4
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
