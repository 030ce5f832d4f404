"""MLflow's own client loads what is saved here; what it saved is loaded here as the policy says."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from keepwell.core.errors import Denied, NotInstalled
from keepwell.models.flavors import Policy, describe, load, save
from keepwell.models.signatures import infer
from keepwell.models.signatures.specs import Column

ROOT = Path(__file__).resolve().parents[3]
BIKES = ["temp", "hum", "windspeed"]
SIDE = Path(__file__).parent / "mlflow_side.py"


@pytest.fixture(scope="module")
def rows(bikes: pl.DataFrame) -> pl.DataFrame:
    return bikes.select(BIKES).head(60)


def client(verb: str, folder: Path) -> Any:
    """Run MLflow's side in its environment and return what it told."""
    given = os.environ.get("KEEPWELL_MLFLOW_VENV")
    python = Path(given or ROOT / ".venv-mlflow") / "bin" / "python"
    if not python.exists():
        pytest.skip("MLflow's client is not installed; './run test' installs it")
    libraries = json.dumps([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    environment = {"PATH": os.defpath, "HOME": str(folder), "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true",
                   "PYTHONPATH": str(SIDE.parent)}  # fmt: skip
    ran = subprocess.run(
        [str(python), str(SIDE), verb, str(folder), libraries], env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    last = (ran.stderr.strip().splitlines() or [""])[-1]
    if ran.returncode and "No module named" in last:
        pytest.skip(f"MLflow's environment lacks a library, or is of another Python than this one: {last}")
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads((folder / "told.json").read_text())


def test_mlflows_client_loads_what_is_saved_here(rows: pl.DataFrame, tmp_path: Path) -> None:
    import xgboost

    x, y = rows.to_numpy(), rows["temp"].to_numpy() * 3 + rows["hum"].to_numpy()
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).eval()
    models: dict[str, tuple[Any, dict[str, Any]]] = {
        "ridge": (Ridge().fit(x, y), {"onnx_rows": rows}),
        "trees": (HistGradientBoostingRegressor(max_iter=3).fit(x, y), {}),
        "booster": (lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, y, feature_name=BIKES), 3), {}),
        "estimator": (lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(x, y), {}),
        "xgb": (xgboost.XGBRegressor(n_estimators=3, n_jobs=1).fit(x, y), {}),
        "program": (net, {"options": {"form": "pt2"}}),
    }
    answers = {}
    for name, (model, more) in models.items():
        save(model, tmp_path / name, signature=infer(rows, y), input_example=rows.head(2), **more)
        answers[name] = np.asarray(load(tmp_path / name).predict(rows), float).ravel()
    (tmp_path / "rows.json").write_text(json.dumps(rows.to_dict(as_series=False)))
    told = client("read", tmp_path)
    assert set(told) == set(models)
    for name, found in told.items():
        assert np.allclose(found["answer"], answers[name], rtol=1e-5), name
        assert found["inputs"] == [[column, "double"] for column in BIKES] and found["example"], name


def test_what_mlflows_client_saved_is_loaded_as_the_policy_says(rows: pl.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(rows.to_dict(as_series=False)))
    told = client("write", tmp_path)
    for name in ("skops", "lightgbm", "xgboost", "onnx"):
        loaded = load(tmp_path / name)
        assert loaded.signature is not None and loaded.where == "here"
        assert [c.name for c in loaded.signature.inputs or () if isinstance(c, Column)] == BIKES
        assert np.allclose(np.asarray(loaded.predict(rows)).ravel(), told[name], rtol=1e-4), name
        assert describe(tmp_path / name).verdict == "safe"
    for name in ("pickle", "torch", "pyfunc"):
        assert describe(tmp_path / name).verdict == "unsafe"
        with pytest.raises(Denied, match="allow-pickle"):
            load(tmp_path / name)
    for name in ("pickle", "torch"):
        with load(tmp_path / name, Policy(pickle=True)) as there:
            assert there.where == "worker"
            assert np.allclose(np.asarray(there.predict(rows)).ravel(), told[name], rtol=1e-4), name
    with pytest.raises(NotInstalled, match="mlflow is not installed"):
        load(tmp_path / "pyfunc", Policy(pickle=True))
