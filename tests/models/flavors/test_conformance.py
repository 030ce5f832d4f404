"""Every format keeps every promise, on real rows."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from keepwell.settings import default_variable
from keepwell.testing.flavors import FlavorConformance, Sample

BIKES = ["season", "workingday", "weathersit", "temp", "hum", "windspeed"]


@pytest.fixture(scope="session")
def x(bikes: pl.DataFrame) -> pl.DataFrame:
    return bikes.select(BIKES)


@pytest.fixture(scope="session")
def y(bikes: pl.DataFrame) -> Any:
    return bikes["cnt"].to_numpy().astype(float)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module with the tests' own code, importable by name here and in workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    sys.modules.pop("shop", None)
    import shop

    yield shop
    sys.modules.pop("shop", None)


class TestSklearnPipeline(FlavorConformance):
    @pytest.fixture
    def sample(self, people: pl.DataFrame) -> Sample:
        columns = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["workclass", "education"]),
            (StandardScaler(), ["age", "hours-per-week"]),
        )
        rows = people.drop("income")
        model = make_pipeline(columns, LogisticRegression(max_iter=300)).fit(rows, people["income"].to_numpy())
        return Sample("sklearn", model, rows, model.predict(rows), "model.skops")


class TestSklearnForest(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame, y: Any) -> Sample:
        model = RandomForestRegressor(4, max_depth=5, random_state=np.random.RandomState(1)).fit(x, y)
        return Sample("sklearn", model, x, model.predict(x), "model.skops")


class TestSklearnHistogramTrees(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame, y: Any) -> Sample:
        model = HistGradientBoostingRegressor(max_iter=4, categorical_features=[0]).fit(x.to_numpy(), y)
        return Sample("sklearn", model, x.to_numpy(), model.predict(x.to_numpy()), "model.skops")


class TestLightGBMBooster(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame, y: Any) -> Sample:
        data = lightgbm.Dataset(x.to_numpy(), y, feature_name=BIKES)
        model = lightgbm.train({"verbose": -1, "num_threads": 1}, data, 8)
        return Sample("lightgbm", model, x, model.predict(x.to_numpy()), "model.lgb")


class TestLightGBMEstimator(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame, y: Any) -> Sample:
        model = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1, n_jobs=1).fit(x.to_numpy(), y > 4500)
        return Sample("lightgbm", model, x.to_numpy(), model.predict(x.to_numpy()), "model.skops")


class TestXGBoostBooster(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame, y: Any) -> Sample:
        xgboost = pytest.importorskip("xgboost")
        rows = xgboost.DMatrix(x.to_numpy(), y, feature_names=BIKES)
        model = xgboost.train({"nthread": 1}, rows, 5)
        return Sample("xgboost", model, x, model.predict(rows), "model.ubj")


class TestXGBoostEstimator(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame, y: Any) -> Sample:
        xgboost = pytest.importorskip("xgboost")
        model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(x.to_numpy(), (y > 4500).astype(int))
        saving = {"options": {"model_format": "json"}}
        return Sample("xgboost", model, x, model.predict(x.to_numpy()), "model.json", saving=saving)


class TestTorchWeights(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame, shop: Any) -> Sample:
        torch.manual_seed(1)
        model = shop.Net(hidden=5).eval()
        with torch.no_grad():
            answer = model(torch.from_numpy(x.to_numpy().astype(np.float32))).numpy()
        saving = {"code": {"hidden": 5}}
        return Sample("pytorch", model, x, answer, "model.safetensors", ("shop",), saving, 1e-5)


class TestTorchProgram(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame) -> Sample:
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).eval()
        with torch.no_grad():
            answer = model(torch.from_numpy(x.to_numpy().astype(np.float32))).numpy()
        saving = {"options": {"form": "pt2"}, "input_example": x.head(3)}
        return Sample("pytorch", model, x, answer, "data/model.pt2", (), saving, 1e-5)


class TestOnnx(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame, y: Any) -> Sample:
        import onnx
        import skl2onnx
        from sklearn.linear_model import Ridge

        model = Ridge().fit(x.to_numpy(), y)
        converted = skl2onnx.to_onnx(model, x.to_numpy().astype(np.float32))
        assert isinstance(converted, onnx.ModelProto)
        return Sample("onnx", converted, x, model.predict(x.to_numpy()), "model.onnx", tolerance=1e-4)


class TestFunction(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame, shop: Any) -> Sample:
        return Sample("keepwell_function", shop.price, x, shop.price(x), "function_source.py", ("shop",))


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # Keras on torch
class TestKeras(FlavorConformance):
    @pytest.fixture
    def sample(self, x: pl.DataFrame) -> Sample:
        default_variable("KERAS_BACKEND", "torch")  # as a person sets it who has no TensorFlow
        import keras

        model = keras.Sequential(
            [keras.layers.Input((6,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)]
        )
        answer = keras.ops.convert_to_numpy(model(x.to_numpy().astype("float32")))
        return Sample("tensorflow", model, x, answer, "data/model.keras", tolerance=1e-5)
