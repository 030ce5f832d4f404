"""A model is logged, registered and loaded again, by run, by number and by alias."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keepwell
from keepwell.client.transports.home import Home
from keepwell.core.errors import Denied, InvalidInput, NotFound, Unavailable
from keepwell.flows.kit import Kit
from keepwell.flows.record import record
from keepwell.governance.policies import change_policy
from keepwell.ledger.service import entries
from keepwell.models.flavors import SAFE
from keepwell.tracking import service, wire

X = np.arange(20.0).reshape(10, 2)


def linear(many: int = 2) -> Any:
    """Return a model that adds up its two columns, or one of many columns."""
    models = pytest.importorskip("sklearn.linear_model")
    pytest.importorskip("skops")
    x = X if many == 2 else np.random.default_rng(7).random((3, many))
    return models.LinearRegression().fit(x, x.sum(axis=1))


def pickled(folder: Path) -> Path:
    """Write a model as an old client did."""
    folder.mkdir()
    conf = "flavors:\n  sklearn:\n    pickled_model: model.pkl\n    serialization_format: pickle\n"
    (folder / "MLmodel").write_text(conf)
    (folder / "model.pkl").write_bytes(pickle.dumps(linear()))
    return folder


def test_a_model_comes_back_as_it_was(home: Path, kit: Kit) -> None:
    model = linear()
    with keepwell.start_run(params={"depth": 4}) as run:
        logged = keepwell.log_model(
            model, "sums", input_example=X[:2], registered_model_name="sums", aliases=["best"],
            model_type="regressor", params={"rate": 0.1}, tags={"team": "a"}, step=3,
        )  # fmt: skip
        keepwell.log_metric("rmse", 0.25, step=7, model_id=logged.model_id)
        keepwell.log_metrics({"mae": 0.5}, model_id=logged.model_id)
    assert logged.version is not None and logged.version.number == 1 and logged.signature is not None
    assert logged.version.logged_model == logged.model_id and logged.version.run_id == run.id
    for uri in (
        logged.uri, f"runs:/{run.id}/sums", "models:/sums/1", "models:/sums@best", "models:/sums/latest"
    ):  # fmt: skip
        with keepwell.load_model(uri) as loaded:
            assert repr(loaded).startswith("<sklearn model of ") and " at 0x" not in repr(loaded)
            assert np.allclose(loaded.predict(X), X.sum(axis=1)), uri
    again = keepwell.register_model(f"runs:/{run.id}/sums", "sums", tags={"why": "once more"})
    assert again.number == 2 and again.run_id == run.id and again.tags == {"why": "once more"}
    assert again.logged_model == logged.model_id
    with kit.read() as tx:
        found, made = service.logged_model(tx, logged.model_id), service.run(tx, run.id)
        files = [one.path for one in service.all_artifacts(tx, logged.model_id)]
    assert (found.name, found.status, found.run, found.model_type) == ("sums", "ready", run.id, "regressor")
    assert found.params == {"depth": "4", "rate": "0.1"} and found.tags == {"team": "a"}
    assert {(m.name, m.value, m.step, m.run) for m in found.metrics} == {
        ("rmse", 0.25, 7, run.id), ("mae", 0.5, 0, run.id)
    }  # fmt: skip
    assert [(one.model, one.step) for one in made.outputs] == [(logged.model_id, 3)]
    assert made.metrics == {"rmse": 0.25, "mae": 0.5} and made.artifacts.keys() <= {"code/changes.patch"}
    assert "MLmodel" in files
    place = keepwell.download_artifacts(run.id, "sums", home / "out")
    assert (place / "MLmodel").is_file() and place == home / "out" / "sums"
    assert keepwell.download_artifacts(run.id, "sums/MLmodel", home / "one").read_text().startswith("artifact_path")


def test_a_model_that_another_client_logged_is_loaded_by_its_run_and_by_its_id(home: Path, kit: Kit) -> None:
    """Clients of MLflow keep a model beside its run, and spell `runs:/RUN/NAME` for it; so do we for theirs."""
    with keepwell.start_run() as run:
        mine = keepwell.log_model(linear(), input_example=X[:2])
    assert keepwell.flush(30)
    with kit.write() as tx:
        call = kit.call("person:ann")
        theirs = service.create_logged_model(tx, call, 0, "theirs", run_id=run.id)
        for one in service.all_artifacts(tx, mine.model_id):
            service.put_artifact(tx, call, theirs.id, one.path, str(one.digest), one.size)
        service.finalize_logged_model(tx, call, theirs.id, "ready")
    for uri in (f"runs:/{run.id}/theirs", f"models:/{theirs.id}", f"runs:/{run.id}/model"):
        with keepwell.load_model(uri) as loaded:
            assert np.allclose(loaded.predict(X), X.sum(axis=1)), uri
    assert keepwell.register_model(f"runs:/{run.id}/theirs", "sums").logged_model == theirs.id
    with pytest.raises(NotFound):
        keepwell.load_model(f"runs:/{run.id}/nothing")


def test_a_large_model_is_ready_once_its_files_are_stored(
    home: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, gate, model = Home.upload, threading.Event(), linear(many=20_000)
    monkeypatch.setattr(Home, "upload", lambda *given: gate.wait(30) and upload(*given))
    with keepwell.start_run() as run:
        logged = keepwell.log_model(model)
    try:
        assert not keepwell.flush(1.5)
        with kit.read() as tx:
            assert service.logged_model(tx, logged.model_id).status == "pending"
            assert service.run(tx, run.id).status == "running"
    finally:
        gate.set()
    with keepwell.load_model(logged.uri) as loaded:
        assert np.allclose(loaded.predict(np.ones((1, 20_000))), model.predict(np.ones((1, 20_000))))
    with kit.read() as tx:
        assert service.logged_model(tx, logged.model_id).status == "ready"
        assert service.run(tx, run.id).status == "finished"


def test_a_model_whose_files_are_not_all_stored_is_failed_and_not_loaded(home: Path, kit: Kit) -> None:
    session = kit.ids.new("ses")
    run, model = kit.ids.new("run"), "m-" + "0" * 32
    ops: list[wire.Op] = [
        wire.Start(run=run, name="r"), wire.Model(run=run, model=model, name="m"),
        wire.Put(run=run, path="MLmodel", data=b"{}", model=model), wire.Ready(run=run, model=model, files=2),
    ]  # fmt: skip
    for _ in range(2):
        assert record(kit, kit.call("person:ann"), wire.Batch(session, list(enumerate(ops)))).refused == []
    with kit.read() as tx:
        assert service.logged_model(tx, model).status == "failed"
        assert len(service.run(tx, run).outputs) == 1
    with pytest.raises(Unavailable, match="not all stored"):
        keepwell.load_model(f"models:/{model}")


def test_the_environment_decides_what_may_run_and_the_ledger_tells(home: Path, kit: Kit) -> None:
    with keepwell.start_run() as run:
        keepwell.log_artifacts(pickled(home.parent / "unsafe"), "model")
    keepwell.register_model(f"runs:/{run.id}/model", "old")
    uri = "models:/old/1"
    for given in ({}, {"environment": "prod"}, {"environment": "dev"}):
        with pytest.raises(Denied, match="allow-pickle"):
            keepwell.load_model(uri, **given)
    with kit.write() as tx:
        change_policy(tx, kit.call("person:ann"), "dev", reason="an old model", pickle=True)
    with keepwell.load_model(uri, environment="dev") as loaded:
        assert np.allclose(loaded.predict(X), X.sum(axis=1)) and loaded.where == "worker"
    with pytest.raises(Denied):
        keepwell.load_model(uri, environment="prod")
    with pytest.raises(Denied):
        keepwell.load_model(uri)
    with pytest.raises(InvalidInput):
        keepwell.load_model(uri, environment="dev", policy=SAFE)
    with pytest.raises(InvalidInput):
        keepwell.load_model(uri, environment="../x")
    with kit.read() as tx:
        told = [entry.body for entry in entries(tx, kind="model.unsafe_loaded")]
    assert [(b["environment"], b["model"], b["flavor"]) for b in told] == [("dev", "old", "sklearn")]


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a.b", "a%b", "it's", 'a"b', "x" * 251, "a\nb"])
def test_a_name_that_no_client_could_name_is_refused(home: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        keepwell.log_model(linear(), name)


def test_points_of_a_model_that_is_none_are_refused(home: Path) -> None:
    with keepwell.start_run(), pytest.raises(InvalidInput):
        keepwell.log_metric("m", 1, model_id="m-1")


def test_what_is_not_stored_is_not_registered(home: Path) -> None:
    for source, error in (
        ("/etc", InvalidInput), ("https://example.org/m", InvalidInput), ("runs:/run_" + "0" * 26 + "/m", NotFound),
    ):  # fmt: skip
        with pytest.raises(error):
            keepwell.register_model(source, "stolen")
    for uri in ("models:/nothing/1", "models:/m-" + "0" * 32, "runs:/run_" + "0" * 26 + "/model"):
        with pytest.raises(NotFound):
            keepwell.load_model(uri)

    with pytest.raises(NotFound):
        keepwell.load_model("models:/nothing/1")


def test_a_name_that_is_no_address_is_told_how_to_write_one(home: Path) -> None:
    with pytest.raises(NotFound, match=r"models:/NAME@alias"):
        keepwell.load_model("churn")
