"""Over a real server that wants a token: what is logged comes back, models too."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.client.test_models_logged import X, linear, pickled

import keepwell
from keepwell.cli import cli
from keepwell.client import facts, fluent, session
from keepwell.client.transports.web import Web
from keepwell.core.errors import Denied, KeepwellError, NotFound, Unauthenticated
from keepwell.settings import read_client_settings
from keepwell.testing.storm import _free_port


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a server, and a token."""
    folder, port = tmp_path_factory.mktemp("served"), _free_port()
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(p for p in sys.path if p)}
    words = [sys.executable, "-m", "keepwell"]
    made = subprocess.run(
        [*words, "token", "new", "sdk", "--home", str(folder)],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*words, "server", "--home", str(folder), "--port", str(port)], env=environment, stdout=log, stderr=log
        )
        yield f"http://127.0.0.1:{port}", made.stdout.strip()
        process.terminate()
        process.wait(30)


@pytest.fixture
def here(served: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process logs to that server until the test ends."""
    uri, token = served
    monkeypatch.setattr(facts, "code_folder", lambda: tmp_path)
    session.choose(read_client_settings(uri, None, {"KEEPWELL_HOME": str(tmp_path / "me"), "KEEPWELL_TOKEN": token}))
    until = time.monotonic() + 30
    while True:
        try:
            keepwell.search_runs()
            break
        except KeepwellError:
            assert time.monotonic() < until
            time.sleep(0.1)
    yield
    fluent._end_all()
    session.finish()


def test_a_run_comes_back_whole(here: None, tmp_path: Path) -> None:
    large = tmp_path / "large é.bin"
    large.write_bytes(bytes(range(256)) * 1_000)
    with keepwell.start_run("served", experiment="e", params={"depth": 4}, system_metrics=0.1) as run:
        for step in range(3_000):
            keepwell.log_metric("loss", step / 7)
        keepwell.log_artifact(large, "deep/er")
        keepwell.log_text("a", "note.txt")
        time.sleep(0.3)
    assert keepwell.flush(60)
    found = keepwell.get_run(run.id)
    assert found.status == "finished" and found.params == {"depth": 4} and found.user
    assert "system/system_memory_usage_megabytes" in found.metrics
    history = keepwell.metric_history(run.id, "loss")
    assert list(history.steps) == list(range(3_000)) and history.values[7] == 1.0
    place = keepwell.download_artifacts(run.id, dst_path=tmp_path / "out")
    assert (place / "deep/er/large é.bin").read_bytes() == large.read_bytes()
    assert (place / "note.txt").read_text() == "a"
    assert [r.id for r in keepwell.search_runs("metrics.loss > 400", experiments="e")] == [run.id]
    with pytest.raises(NotFound):
        keepwell.search_runs(experiments="nowhere")


def test_a_model_is_registered_and_loaded(here: None, tmp_path: Path) -> None:
    model = linear(many=20_000)
    x = np.ones((2, 20_000))
    with keepwell.start_run() as run:
        logged = keepwell.log_model(model, registered_model_name="sums", aliases=["best"])
        keepwell.log_metric("rmse", 0.5, model_id=logged.model_id)
    assert logged.version is not None and logged.version.number == 1
    assert logged.version.logged_model == logged.model_id and logged.version.run_id == run.id
    for uri in (
        logged.uri, f"runs:/{run.id}/model", "models:/sums/1", "models:/sums@best", "models:/sums/latest",
    ):  # fmt: skip
        with keepwell.load_model(uri) as loaded:
            assert np.allclose(loaded.predict(x), model.predict(x)), uri
    assert (keepwell.download_artifacts(run.id, "model", tmp_path / "out") / "MLmodel").is_file()
    for uri in ("models:/sums/7", "models:/m-" + "0" * 32, f"runs:/{run.id}/other"):
        with pytest.raises(NotFound):
            keepwell.load_model(uri)


def test_the_servers_policy_decides_and_its_ledger_tells(here: None, served: tuple[str, str], tmp_path: Path) -> None:
    web = Web(*served)
    with keepwell.start_run() as run:
        keepwell.log_artifacts(pickled(tmp_path / "unsafe"), "old")
    uri = f"runs:/{run.id}/old"
    keepwell.register_model(uri, "old")
    for environment in (None, "dev", "prod"):
        with pytest.raises(Denied, match="allow-pickle"):
            keepwell.load_model("models:/old/1", environment=environment)
    web.raw("POST", "/api/policies/dev", body={"reason": "an old model", "pickle": True})
    with keepwell.load_model("models:/old/1", environment="dev") as loaded:
        assert np.allclose(loaded.predict(X), X.sum(axis=1)) and loaded.where == "worker"
    told = web.ask("GET", "/api/ledger", kind=dict[str, Any], query={"kind": "model.unsafe_loaded"})["items"]
    assert [(e["body"]["environment"], e["body"]["model"]) for e in told] == [("dev", "old")]
    reader = web.ask("POST", "/api/tokens", kind=dict[str, Any], body={"name": "reader", "read_only": True})["token"]
    session.choose(replace(session.settings(), token=reader))
    with pytest.raises(Denied):
        keepwell.load_model("models:/old/1", environment="dev")
    assert len(web.ask("GET", "/api/ledger", kind=dict[str, Any], query={"kind": "model.unsafe_loaded"})["items"]) == 1
    web.close()


def test_the_command_line_asks_the_server(
    here: None, served: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with keepwell.start_run("from afar", experiment="commands") as one:
        keepwell.log_metric("loss", 0.5)
        keepwell.log_text("told", "notes.txt")
    assert keepwell.flush(30)
    monkeypatch.setenv("KEEPWELL_TRACKING_URI", served[0])
    monkeypatch.setenv("KEEPWELL_TOKEN", served[1])
    monkeypatch.setenv("KEEPWELL_HOME", str(tmp_path / "me"))

    def told(*words: str) -> str:
        return CliRunner().invoke(cli, ["runs", *words], catch_exceptions=False).stdout

    assert one.id in told("list") and one.id in told("list", "--experiment", "commands", "--status", "finished")
    assert "metric loss" in told("show", one.id)
    assert "1 file in" in told("download", one.id, str(tmp_path / "got"))
    assert (tmp_path / "got" / "notes.txt").read_text() == "told"
    told("delete", one.id)
    assert one.id not in told("list") and one.id in told("list", "--deleted")
    told("restore", one.id)
    assert one.id in told("list", "--kind", "train")
    with pytest.raises(NotFound):
        told("show", "run_" + "0" * 26)
    monkeypatch.delenv("KEEPWELL_TOKEN")
    with pytest.raises(Unauthenticated, match="KEEPWELL_TOKEN"):
        told("list")


def test_a_model_that_a_client_of_mlflow_logged_is_loaded(here: None, served: tuple[str, str]) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    pytest.importorskip("skops")
    x = np.arange(20.0).reshape(10, 2)
    with keepwell.start_run() as run:
        keepwell.log_model(linear.LinearRegression().fit(x, x.sum(axis=1)), input_example=x[:2])
    mine = keepwell.download_artifacts(run.id, "model")

    def ask(method: str, path: str, body: bytes, media: str) -> bytes:
        headers = {"authorization": f"Bearer {served[1]}", "content-type": media}
        request = urllib.request.Request(f"{served[0]}/api/2.0/{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    said = json.dumps({"experiment_id": "0", "name": "theirs", "source_run_id": run.id}).encode()
    told = json.loads(ask("POST", "mlflow/logged-models", said, "application/json"))["model"]["info"]
    for file in mine.rglob("*"):
        if file.is_file():
            path = f"{told['artifact_uri'].removeprefix('mlflow-artifacts:/')}/{file.relative_to(mine)}"
            ask("PUT", f"mlflow-artifacts/artifacts/{path}", file.read_bytes(), "application/octet-stream")
    ready = json.dumps({"status": "LOGGED_MODEL_READY"}).encode()
    ask("PATCH", f"mlflow/logged-models/{told['model_id']}", ready, "application/json")
    for uri in (f"runs:/{run.id}/theirs", f"models:/{told['model_id']}", f"runs:/{run.id}/model"):
        with keepwell.load_model(uri) as loaded:
            assert np.allclose(loaded.predict(x), x.sum(axis=1)), uri
    with pytest.raises(NotFound):
        keepwell.load_model(f"runs:/{run.id}/nothing")
