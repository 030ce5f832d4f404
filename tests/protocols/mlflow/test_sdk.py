"""What the SDK logged, MLflow's own, unmodified client sees and loads."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.protocols.mlflow.test_day import client_python, serving

import keepwell
from keepwell import db
from keepwell.bootstrap import open_house
from keepwell.client import facts, fluent, session
from keepwell.governance import identity
from keepwell.settings import read_client_settings, read_settings

CLIENT = """
import sys
import mlflow, numpy as np
from mlflow import MlflowClient

run, model, experiment = sys.argv[1:]
x = np.arange(20.0).reshape(10, 2)
client = MlflowClient()
for uri in (f"runs:/{run}/adds", f"models:/{model}", "models:/sums/1", "models:/sums@best"):
    assert np.allclose(mlflow.sklearn.load_model(uri).predict(x), x.sum(axis=1)), uri
    assert np.allclose(mlflow.pyfunc.load_model(uri).predict(x), x.sum(axis=1)), uri
logged = client.get_logged_model(model)
assert (logged.name, str(logged.status), logged.source_run_id) == ("adds", "READY", run), logged
assert logged.params == {"depth": "4", "rate": "0.1"} and logged.tags["team"] == "a", logged
assert [(m.key, m.value, m.run_id) for m in logged.metrics] == [("rmse", 0.25, run)], logged.metrics
place = mlflow.get_experiment_by_name(experiment).experiment_id
found = mlflow.search_logged_models([place], filter_string="metrics.rmse < 0.3", output_format="list")
assert [one.model_id for one in found] == [model], found
made = client.get_run(run)
assert [one.model_id for one in made.outputs.model_outputs] == [model], made.outputs
assert made.data.metrics == {"rmse": 0.25}
version = client.get_model_version("sums", "1")
assert (version.run_id, version.source) == (run, f"models:/{model}"), version
info = mlflow.models.get_model_info(f"models:/{model}")
assert info.model_id == model and info.run_id == run and info.signature is not None, info
listed = {one.path for one in mlflow.artifacts.list_artifacts(run_id=run, artifact_path="adds")}
assert "adds/MLmodel" in listed, listed
again = mlflow.register_model(f"runs:/{run}/adds", "sums")
assert int(again.version) == 2 and again.run_id == run, again
print("seen")
"""


def test_mlflows_client_sees_and_loads_what_the_sdk_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = client_python()
    linear = pytest.importorskip("sklearn.linear_model")
    pytest.importorskip("skops")
    x = np.arange(20.0).reshape(10, 2)
    kit = open_house(read_settings(str(tmp_path / "home"), {}))
    with db.write(kit.db) as tx:
        identity.ensure_owner(tx, kit.call("person:ada"))
        token = identity.new_token(tx, kit.call("person:ada"), "person:ada", "sdk").secret
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("KEEPWELL", "MLFLOW", "PYTHON"))}
    path = os.environ.get("PYTHONPATH", "")
    with serving(
        tmp_path / "home", {**clean, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "USER": "ada", "LOGNAME": "ada"}
    ) as address:
        monkeypatch.setattr(facts, "code_folder", lambda: tmp_path)
        told = {"KEEPWELL_HOME": str(tmp_path / "me"), "KEEPWELL_TOKEN": token}
        session.choose(read_client_settings(address, None, told))
        try:
            with keepwell.start_run("r", experiment="shared", params={"depth": 4}) as run:
                logged = keepwell.log_model(
                    linear.LinearRegression().fit(x, x.sum(axis=1)), "adds", input_example=x[:2],
                    registered_model_name="sums", aliases=["best"], params={"rate": 0.1}, tags={"team": "a"},
                )  # fmt: skip
                keepwell.log_metric("rmse", 0.25, model_id=logged.model_id)
            assert keepwell.flush(30)
        finally:
            fluent._end_all()
            session.finish()
        client = {**clean, "MLFLOW_TRACKING_URI": address, "MLFLOW_TRACKING_TOKEN": token,
                  "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}  # fmt: skip
        done = subprocess.run(
            [str(python), "-W", "ignore", "-c", CLIENT, run.id, logged.model_id, "shared"],
            env=client, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
    assert done.stdout.strip().endswith("seen"), done.stderr[-4_000:]
