"""Logged models: log, find, load, evaluate."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
from common import client, refused, seen
from mlflow.entities import LoggedModelStatus, Metric
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from training import SAFE, X, Y

MODEL = LogisticRegression().fit(X, Y)


class Plus(mlflow.pyfunc.PythonModel):
    def predict(self, context: object, model_input: pd.DataFrame, params: dict | None = None) -> pd.Series:
        return model_input.sum(axis=1) + (params or {}).get("more", 0)


def check_model_is_logged_with_its_signature() -> None:
    mlflow.set_experiment("models")
    signature = infer_signature(X, MODEL.predict(X))
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(MODEL, name="clf", signature=signature, input_example=X.head(2), **SAFE)
        mlflow.log_metric("acc", 0.9, step=1)
    seen["clf"], seen["clf_run"] = info.model_id, run.info.run_id
    found = mlflow.get_logged_model(info.model_id)
    assert found.name == "clf" and found.status == LoggedModelStatus.READY and found.source_run_id == run.info.run_id
    assert info.signature == signature
    assert client.get_run(run.info.run_id).outputs.model_outputs[0].model_id == info.model_id


def check_model_loads_by_its_id() -> None:
    loaded = mlflow.sklearn.load_model(f"models:/{seen['clf']}")
    assert (loaded.predict(X) == MODEL.predict(X)).all()


def check_model_loads_by_its_run() -> None:
    loaded = mlflow.pyfunc.load_model(f"runs:/{seen['clf_run']}/clf")
    assert (loaded.predict(X) == MODEL.predict(X)).all()
    assert loaded.metadata.get_input_schema().input_names() == ["a", "b", "c"]


def check_model_files_are_listed() -> None:
    found = {f.path for f in client.list_logged_model_artifacts(seen["clf"])}
    assert {"MLmodel", "requirements.txt", "conda.yaml", "python_env.yaml"} <= found


def check_model_info() -> None:
    info = mlflow.models.get_model_info(f"models:/{seen['clf']}")
    assert "sklearn" in info.flavors and info.model_id == seen["clf"]


def check_signature_is_enforced() -> None:
    loaded = mlflow.pyfunc.load_model(f"models:/{seen['clf']}")
    try:
        loaded.predict(X[["a", "b"]])
    except mlflow.exceptions.MlflowException as error:
        assert "missing inputs" in error.message or "c" in error.message
    else:
        raise AssertionError("accepted")


def check_python_model() -> None:
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(name="plus", python_model=Plus(), input_example=X.head(2))
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    assert np.allclose(loaded.predict(X), X.sum(axis=1))


def check_model_by_artifact_path_of_old() -> None:
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(MODEL, artifact_path="old/path", **SAFE) if False else mlflow.sklearn.log_model(
            MODEL, "old_path", **SAFE
        )
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/old_path")
    assert loaded.coef_.shape == (1, 3)


def check_model_params_and_tags() -> None:
    model = mlflow.create_external_model(name="outside", params={"layers": "3"}, tags={"owner": "x"})
    mlflow.log_model_params({"more": 1}, model.model_id)
    mlflow.set_logged_model_tags(model.model_id, {"owner": "y", "t": "1"})
    mlflow.delete_logged_model_tag(model.model_id, "t")
    found = mlflow.get_logged_model(model.model_id)
    assert found.params == {"layers": "3", "more": "1"}
    assert found.tags["owner"] == "y" and "t" not in found.tags
    refused("RESOURCE_DOES_NOT_EXIST", "No tag with key 'none' found", mlflow.delete_logged_model_tag,
            model.model_id, "none")  # fmt: skip
    seen["outside"] = model.model_id


def check_model_is_initialized_and_finalized() -> None:
    model = mlflow.initialize_logged_model(name="staged", model_type="agent")
    assert model.status == LoggedModelStatus.PENDING and model.model_type == "agent"
    done = mlflow.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
    assert done.status == LoggedModelStatus.FAILED
    assert done.last_updated_timestamp >= done.creation_timestamp


def check_metrics_of_a_model_on_a_dataset() -> None:
    data = mlflow.data.from_pandas(X.assign(y=Y), name="holdout", targets="y")
    with mlflow.start_run() as run:
        mlflow.log_metric("auc", 0.8, dataset=data, model_id=seen["clf"])
        mlflow.log_metrics({"f1": 0.7, "auc2": 0.6}, dataset=data, model_id=seen["outside"])
        client.log_batch(run.info.run_id, metrics=[Metric("r2", 0.5, 1, 0, seen["clf"])])
    found = {m.key: m for m in mlflow.get_logged_model(seen["clf"]).metrics}
    assert found["auc"].value == 0.8 and found["auc"].dataset_name == "holdout"
    assert found["auc"].dataset_digest == data.digest and found["auc"].run_id == run.info.run_id
    assert found["r2"].value == 0.5


def check_models_are_searched() -> None:
    here = [mlflow.get_experiment_by_name("models").experiment_id]

    def search(**options: object) -> list[str]:
        return [m.name for m in client.search_logged_models(experiment_ids=here, **options)]

    assert search(filter_string="name = 'clf'") == ["clf"]
    assert search(filter_string="metrics.auc > 0.5") == ["clf"]
    assert search(filter_string="params.layers = '3'") == ["outside"]
    assert search(filter_string="tags.owner = 'y'") == ["outside"]
    assert search(filter_string="status = 'FAILED'") in (["staged"], [])
    assert search(filter_string=f"source_run_id = '{seen['clf_run']}'") == ["clf"]
    assert search(filter_string="name LIKE 'o%'", order_by=[{"field_name": "name"}]) == ["old_path", "outside"]
    found = search(order_by=[{"field_name": "metrics.auc", "ascending": False}])
    assert found[0] == "clf"
    assert search(filter_string="metrics.auc > 0.1", datasets=[{"dataset_name": "other"}]) == []
    assert search(filter_string="metrics.auc > 0.1", datasets=[{"dataset_name": "holdout"}]) == ["clf"]


def check_models_in_pages() -> None:
    here = [mlflow.get_experiment_by_name("models").experiment_id]
    found, token = [], None
    while True:
        page = client.search_logged_models(experiment_ids=here, max_results=2, page_token=token)
        assert len(page) <= 2
        found += [m.model_id for m in page]
        token = page.token
        if not token:
            break
    assert len(found) == len(set(found)) == 5
    first = client.search_logged_models(experiment_ids=here, max_results=2)
    refused("INVALID_PARAMETER_VALUE", "Filter string in the page token does not match", client.search_logged_models,
            experiment_ids=here, filter_string="name = 'x'", page_token=first.token)  # fmt: skip


def check_search_as_a_table() -> None:
    here = [mlflow.get_experiment_by_name("models").experiment_id]
    assert set(mlflow.search_logged_models(experiment_ids=here, output_format="pandas")["name"]) >= {"clf", "outside"}


def check_model_is_evaluated() -> None:
    with mlflow.start_run() as run:
        result = mlflow.models.evaluate(
            f"models:/{seen['clf']}", X.assign(y=Y), targets="y", model_type="classifier",
            evaluator_config={"log_model_explainability": False},
        )  # fmt: skip
    assert result.metrics["accuracy_score"] > 0.8
    assert "accuracy_score" in client.get_run(run.info.run_id).data.metrics
    assert client.list_artifacts(run.info.run_id)


def check_old_name_of_evaluate() -> None:
    with mlflow.start_run() as run:
        table = pd.DataFrame({"y": Y, "p": MODEL.predict(X)})
        mlflow.evaluate(data=table, targets="y", predictions="p", model_type="regressor",
                        evaluator_config={"log_model_explainability": False})  # fmt: skip
    assert "mean_squared_error" in client.get_run(run.info.run_id).data.metrics


def check_model_is_deleted() -> None:
    model = mlflow.create_external_model(name="short").model_id
    client.delete_logged_model(model)
    refused("RESOURCE_DOES_NOT_EXIST", f"Logged model with ID '{model}' not found.", client.get_logged_model, model)


def check_model_names_that_are_none() -> None:
    for name in ("a/b", "a:b", "a.b", 'a"b'):
        refused("INVALID_PARAMETER_VALUE", "Invalid model name", client.create_logged_model, "0", name=name)
