"""Autolog: trainings are recorded, fail only for reasons of their own, and are as they were when it is disabled."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keepwell
from keepwell.client import reading
from keepwell.client.autolog import patching, recording
from keepwell.tracking.model import Run

DRAW = np.random.default_rng(5)
X = DRAW.normal(size=(120, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    keepwell.autolog(disable=True)


def runs() -> list[Run]:
    assert keepwell.flush(30)
    return list(reading.search_runs(order_by=["attributes.start_time ASC"]))


def test_scikit_learn(home: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    preprocessing, pipeline = pytest.importorskip("sklearn.preprocessing"), pytest.importorskip("sklearn.pipeline")
    before = linear.LogisticRegression.fit
    keepwell.autolog("sklearn")
    preprocessing.StandardScaler().fit(X)
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), linear.LogisticRegression(C=0.5)).fit(X, Y)
    assert model.predict(X).shape == (120,)
    (run,) = runs()
    assert run.name == "Pipeline" and run.status == "finished" and run.tags["autolog"] == "sklearn"
    assert run.params["logisticregression__C"] == 0.5 and run.params["data_rows"] == 120
    assert 0.9 < float(run.metrics["training_accuracy_score"]) <= 1 and "training_roc_auc" in run.metrics
    with keepwell.start_run("mine") as mine:
        linear.LinearRegression().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="inconsistent numbers"):
        linear.LinearRegression().fit(X, Y[:5])
    found = {r.name: r for r in runs()}
    assert found["mine"].id == mine.id and found["mine"].metrics["training_r2_score"] == pytest.approx(1)
    assert found["LinearRegression"].status == "failed" and "inconsistent" in str(found["LinearRegression"].error)
    keepwell.autolog(disable=True)
    assert linear.LogisticRegression.fit is before and len(runs()) == 3


def test_a_search_over_parameters(home: Path) -> None:
    tree, selection = pytest.importorskip("sklearn.tree"), pytest.importorskip("sklearn.model_selection")
    keepwell.autolog("sklearn")
    selection.GridSearchCV(tree.DecisionTreeClassifier(random_state=1), {"max_depth": [1, 3]}, cv=3).fit(X, Y)
    (run,) = runs()
    assert run.params["best_max_depth"] in (1, 3) and float(run.metrics["best_cv_score"]) > 0.5
    assert set(run.artifacts) == {"cv_results.json"}


def test_what_fits_other_models_first_is_one_run(home: Path) -> None:
    """A stack can predict only when its last model is fitted; a pipeline that only transforms never can."""
    linear, ensemble = pytest.importorskip("sklearn.linear_model"), pytest.importorskip("sklearn.ensemble")
    preprocessing, pipeline = pytest.importorskip("sklearn.preprocessing"), pytest.importorskip("sklearn.pipeline")
    keepwell.autolog("sklearn")
    ensemble.StackingRegressor([("a", linear.Ridge()), ("b", linear.Ridge(2))]).fit(X, X[:, 0])
    pipeline.make_pipeline(preprocessing.StandardScaler(), preprocessing.MinMaxScaler()).fit(X)
    (run,) = runs()
    assert run.name == "StackingRegressor" and float(run.metrics["training_r2_score"]) > 0.9


def test_a_class_that_is_made_later_is_recorded_too(home: Path) -> None:
    base = pytest.importorskip("sklearn.base")
    keepwell.autolog("sklearn")

    class Mean(base.RegressorMixin, base.BaseEstimator):  # type: ignore[misc]
        def fit(self, X: Any, y: Any) -> Any:
            self.mean_ = float(np.mean(y))
            return self

        def predict(self, X: Any) -> Any:
            return np.full(len(X), self.mean_)

    Mean().fit(X, X[:, 0])
    (run,) = runs()
    assert run.name == "Mean" and "training_mean_absolute_error" in run.metrics


def test_lightgbm(home: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    before = lightgbm.train
    keepwell.autolog(["lightgbm", "sklearn"])
    data = lightgbm.Dataset(X, Y, free_raw_data=False)
    lightgbm.train({"objective": "binary", "verbose": -1}, data, 7, valid_sets=[data], valid_names=["train"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions have another word for eval_set
        lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y, eval_set=[(X, Y)], eval_metric="auc")
    first, second = runs()
    assert first.params["objective"] == "binary" and first.metrics["num_trees"] == 7.0
    history = reading.metric_history(first.id, "train-binary_logloss")
    assert list(history.steps) == list(range(7)) and history.values[-1] < history.values[0]
    assert any("auc" in name for name in second.metrics) and "feature_importance_gain.json" in second.artifacts
    keepwell.autolog(disable=True)
    assert lightgbm.train is before


def test_xgboost(home: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    keepwell.autolog("xgboost")
    data = xgboost.DMatrix(X, Y)
    xgboost.train({"objective": "binary:logistic"}, data, 6, evals=[(data, "train")], verbose_eval=False)
    xgboost.XGBClassifier(n_estimators=4).fit(X, Y, eval_set=[(X, Y)], verbose=False)
    first, second = runs()
    assert list(reading.metric_history(first.id, "train-logloss").steps) == list(range(6))
    assert first.params["num_boost_round"] == 6 and "validation_0-logloss" in second.metrics


def test_a_training_loop_of_pytorch(home: Path) -> None:
    torch = pytest.importorskip("torch")
    before = torch.Tensor.backward
    keepwell.autolog("torch", every_n_steps=2)
    torch.manual_seed(1)
    layer = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.25)
    told = []
    with keepwell.start_run() as run:
        for _ in range(6):
            optimizer.zero_grad()
            loss = layer(torch.tensor(X, dtype=torch.float32)).pow(2).mean()
            loss.backward()
            optimizer.step()
            told.append(loss.item())
            keepwell.log_metric("own", loss)
    (found,) = runs()
    history = reading.metric_history(run.id, "loss")
    assert list(history.steps) == [0, 2, 4] and list(history.values) == pytest.approx(told[::2])
    assert found.params["optimizer"] == "SGD" and found.metrics["lr"] == 0.25
    keepwell.autolog(disable=True)
    assert torch.Tensor.backward is before
    loss = layer(torch.zeros(1, 4)).sum()
    loss.backward()
    optimizer.step()
    assert len(runs()) == 1


def test_what_fails_in_recording_does_not_reach_the_training(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    keepwell.autolog("sklearn")
    monkeypatch.setattr(patching, "_said", set())
    monkeypatch.setattr(recording, "MOST_PARAM", "not a number")
    for _ in range(3):
        assert linear.LogisticRegression().fit(X, Y).score(X, Y) > 0.9
    assert sum("did not record" in r.getMessage() for r in caplog.records) == 1
    assert len(runs()) == 3
