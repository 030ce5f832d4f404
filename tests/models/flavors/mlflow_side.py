"""Run by MLflow's own client: `read FOLDER` loads what was saved here; `write FOLDER` saves models of its own."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path += json.loads(sys.argv[3])  # libraries of models, where this environment has none of its own
warnings.simplefilter("ignore")

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402


def read(folder: Path) -> None:
    rows = pd.DataFrame(json.loads((folder / "rows.json").read_text()))
    told: dict[str, Any] = {}
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        model = mlflow.pyfunc.load_model(str(place))
        told[place.name] = {
            "answer": np.asarray(model.predict(rows), dtype=float).ravel().tolist(),
            "inputs": [[column.name, column.type.name] for column in model.metadata.get_input_schema()],
            "example": model.input_example is not None,
        }
    (folder / "told.json").write_text(json.dumps(told))


def write(folder: Path) -> None:
    import lightgbm
    import mlflow.lightgbm
    import mlflow.onnx
    import mlflow.pytorch
    import mlflow.sklearn
    import mlflow.xgboost
    import skl2onnx
    import torch
    import xgboost
    from mlflow.models import infer_signature
    from sklearn.linear_model import Ridge

    rows = pd.DataFrame(json.loads((folder / "rows.json").read_text()))
    y = rows["temp"] * 3 + rows["hum"]
    x = rows.to_numpy()
    ridge = Ridge().fit(rows, y)
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, y, feature_name=list(rows)), 3)
    boosted = xgboost.train({}, xgboost.DMatrix(x, y, feature_names=list(rows)), 3)
    net = torch.nn.Linear(x.shape[1], 1)

    class Doubled(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input["temp"].to_numpy() * 2

    common = {"signature": infer_signature(rows, y.to_numpy()), "pip_requirements": []}
    mlflow.sklearn.save_model(ridge, folder / "skops", serialization_format="skops", input_example=rows[:2], **common)
    mlflow.sklearn.save_model(ridge, folder / "pickle", serialization_format="pickle", **common)
    mlflow.lightgbm.save_model(booster, folder / "lightgbm", **common)
    mlflow.xgboost.save_model(boosted, folder / "xgboost", **common)
    mlflow.onnx.save_model(skl2onnx.to_onnx(ridge, x.astype("float32")), folder / "onnx", **common)
    mlflow.pytorch.save_model(net, folder / "torch", serialization_format="pickle", **common)
    mlflow.pyfunc.save_model(folder / "pyfunc", python_model=Doubled(), **common)
    with torch.no_grad():
        answers = {
            "skops": ridge.predict(rows), "pickle": ridge.predict(rows), "lightgbm": booster.predict(x),
            "xgboost": boosted.predict(xgboost.DMatrix(x, feature_names=list(rows))), "onnx": ridge.predict(rows),
            "torch": net(torch.from_numpy(x.astype("float32"))).numpy().ravel(), "pyfunc": rows["temp"].to_numpy() * 2,
        }  # fmt: skip
    told = {name: np.asarray(answer, dtype=float).tolist() for name, answer in answers.items()}
    (folder / "told.json").write_text(json.dumps(told))


{"read": read, "write": write}[sys.argv[1]](Path(sys.argv[2]))
