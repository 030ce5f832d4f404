"""A model is logged, registered and loaded again, by run, by number and by alias."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import keepwell
from keepwell.client import reading
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.flows.kit import Kit
from keepwell.tracking import service as tracking


def test_a_model_comes_back_as_it_was(home: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    pytest.importorskip("skops")
    x = np.arange(20.0).reshape(10, 2)
    model = linear.LinearRegression().fit(x, x.sum(axis=1))
    with keepwell.start_run():
        logged = keepwell.log_model(model, input_example=x[:2], registered_model_name="sums", aliases=["best"])
    assert logged.version is not None and logged.version.number == 1 and logged.signature is not None
    assert "model/MLmodel" in {f.path for f in _files(logged.run_id)}
    for uri in (logged.uri, "models:/sums/1", "models:/sums@best", "models:/sums/latest"):
        with keepwell.load_model(uri) as loaded:
            assert np.allclose(loaded.predict(x), x.sum(axis=1)), uri
    again = keepwell.register_model(logged.uri, "sums", tags={"why": "once more"})
    assert again.number == 2 and again.run_id == logged.run_id and again.tags == {"why": "once more"}


def test_a_model_that_another_client_logged_is_loaded_by_its_run_and_by_its_id(home: Path, kit: Kit) -> None:
    """Clients of MLflow keep a model beside its run, and spell `runs:/RUN/NAME` for it."""
    linear = pytest.importorskip("sklearn.linear_model")
    pytest.importorskip("skops")
    x = np.arange(20.0).reshape(10, 2)
    with keepwell.start_run() as run:
        keepwell.log_model(linear.LinearRegression().fit(x, x.sum(axis=1)), input_example=x[:2])
    assert keepwell.flush(30)
    with kit.write() as tx:
        logged = tracking.create_logged_model(tx, kit.call("person:ann"), 0, "theirs", run_id=run.id)
        for one in tracking.all_artifacts(tx, run.id, "model"):
            path = one.path.removeprefix("model/")
            tracking.put_artifact(tx, kit.call("person:ann"), logged.id, path, str(one.digest), one.size)
    for uri in (f"runs:/{run.id}/theirs", f"models:/{logged.id}", f"runs:/{run.id}/model"):
        with keepwell.load_model(uri) as loaded:
            assert np.allclose(loaded.predict(x), x.sum(axis=1)), uri
    assert keepwell.register_model(f"runs:/{run.id}/theirs", "sums").logged_model == logged.id
    for missing in (f"runs:/{run.id}/nothing", "models:/m-" + "0" * 32):
        with pytest.raises(NotFound):
            keepwell.load_model(missing)


def _files(run_id: str) -> list[object]:
    with reading._library() as library:
        return list(library.artifacts(run_id, "model"))


def test_what_is_not_stored_is_not_registered(home: Path) -> None:
    for source, error in (
        ("/etc", InvalidInput), ("https://example.org/m", InvalidInput), ("runs:/run_" + "0" * 26 + "/m", NotFound),
    ):  # fmt: skip
        with pytest.raises(error):
            keepwell.register_model(source, "stolen")
    with pytest.raises(NotFound):
        keepwell.load_model("models:/nothing/1")
