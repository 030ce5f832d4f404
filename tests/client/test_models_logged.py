"""A model is logged, registered and loaded again, by run, by number and by alias."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import keepwell
from keepwell.client import reading
from keepwell.core.errors import InvalidInput, NotFound


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
