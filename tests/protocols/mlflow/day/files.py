"""Artifacts through the server."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import mlflow
import numpy as np
import pandas as pd
from common import client, seen
from matplotlib import pyplot
from mlflow.exceptions import MlflowException
from requests import HTTPError


def listed(run: str, path: str | None = None) -> list[tuple[str, bool, int | None]]:
    return [(f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run, path)]


def check_text_dict_and_files() -> None:
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.txt").write_text("hello")
        Path(folder, "sub").mkdir()
        Path(folder, "sub", "b c.bin").write_bytes(b"\0\xff" * 100)
        mlflow.log_text("text", "notes/n.txt")
        mlflow.log_dict({"k": [1, 2]}, "d.json")
        mlflow.log_dict({"k": 1}, "d.yaml")
        mlflow.log_artifact(Path(folder, "a.txt"))
        mlflow.log_artifact(Path(folder, "a.txt"), "deep/er")
        mlflow.log_artifacts(folder, "all")
    seen["files"] = run.info.run_id
    found = listed(run.info.run_id)
    assert [path for path, _, _ in found] == ["a.txt", "all", "d.json", "d.yaml", "deep", "notes"]
    assert found[0] == ("a.txt", False, 5) and found[1] == ("all", True, None) and found[4] == ("deep", True, None)


def check_listing_of_folders() -> None:
    assert listed(seen["files"], "all") == [("all/a.txt", False, 5), ("all/sub", True, None)]
    assert listed(seen["files"], "all/sub") == [("all/sub/b c.bin", False, 200)]
    assert listed(seen["files"], "all/a.txt") == [] and listed(seen["files"], "none") == []


def check_artifacts_are_loaded() -> None:
    uri = client.get_run(seen["files"]).info.artifact_uri
    assert mlflow.artifacts.load_text(f"{uri}/notes/n.txt") == "text"
    assert mlflow.artifacts.load_dict(f"{uri}/d.json") == {"k": [1, 2]}
    assert mlflow.artifacts.load_text(f"runs:/{seen['files']}/a.txt") == "hello"


def check_artifacts_are_downloaded() -> None:
    with tempfile.TemporaryDirectory() as folder:
        got = mlflow.artifacts.download_artifacts(run_id=seen["files"], artifact_path="all", dst_path=folder)
        assert Path(got, "sub", "b c.bin").read_bytes() == b"\0\xff" * 100
        got = client.download_artifacts(seen["files"], "", folder)
        assert Path(got, "deep", "er", "a.txt").read_text() == "hello"


def check_artifacts_by_mlflow_artifacts_uri() -> None:
    uri = client.get_run(seen["files"]).info.artifact_uri
    assert uri.startswith("mlflow-artifacts:/")
    found = mlflow.artifacts.list_artifacts(artifact_uri=f"{uri}/all")
    assert [f.path for f in found] == ["all/a.txt", "all/sub"] or [f.path for f in found] == ["a.txt", "sub"]


def check_artifact_is_written_again() -> None:
    client.log_text(seen["files"], "new text", "notes/n.txt")
    assert mlflow.artifacts.load_text(f"runs:/{seen['files']}/notes/n.txt") == "new text"


def check_names_with_signs() -> None:
    for name in ("ü ñ.txt", "a+b=c@d,(e).txt", "日本/語.txt", "under_score-.dot"):
        client.log_text(seen["files"], name, f"signs/{name}")
        assert mlflow.artifacts.load_text(f"runs:/{seen['files']}/signs/{name}") == name, name


def check_empty_file() -> None:
    client.log_text(seen["files"], "", "empty.txt")
    assert "empty.txt" in [path for path, _, _ in listed(seen["files"])]
    assert mlflow.artifacts.load_text(f"runs:/{seen['files']}/empty.txt") == ""


def check_figure_and_image() -> None:
    with mlflow.start_run() as run:
        figure, axes = pyplot.subplots()
        axes.plot([1, 2])
        mlflow.log_figure(figure, "plots/f.png")
        mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "i.png")
        mlflow.log_image(np.zeros((4, 4), dtype=np.uint8), key="dog", step=3)
    assert {p for p, _, _ in listed(run.info.run_id)} == {"plots", "i.png", "images"}
    images = [p for p, _, _ in listed(run.info.run_id, "images")]
    assert len(images) == 2 and all("dog" in p for p in images)


def check_table_grows() -> None:
    with mlflow.start_run() as run:
        mlflow.log_table({"q": ["a"], "n": [1]}, "t.json")
        mlflow.log_table(pd.DataFrame({"q": ["b"], "n": [2]}), "t.json")
    found = mlflow.load_table("t.json", run_ids=[run.info.run_id])
    assert list(found["q"]) == ["a", "b"]
    assert json.loads(client.get_run(run.info.run_id).data.tags["mlflow.loggedArtifacts"])[0]["path"] == "t.json"


def check_large_file_streams() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = os.urandom(1 << 20) * 24
        Path(folder, "large.bin").write_bytes(data)
        client.log_artifact(seen["files"], str(Path(folder, "large.bin")), "big")
        got = client.download_artifacts(seen["files"], "big/large.bin", folder + "/")
        assert Path(got).read_bytes() == data


def check_large_file_in_parts() -> None:
    from mlflow.environment_variables import (
        MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD,
        MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE,
        MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE,
    )

    MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE.set(1 << 20)
    MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE.set(5 << 20)
    try:
        for forced in (False, True):
            if forced:
                MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD.set(True)
            with tempfile.TemporaryDirectory() as folder:
                data = os.urandom((12 << 20) + 17)
                Path(folder, "parts.bin").write_bytes(data)
                client.log_artifact(seen["files"], str(Path(folder, "parts.bin")), f"mpu/{forced}")
                got = client.download_artifacts(seen["files"], f"mpu/{forced}/parts.bin", folder + "/")
                assert Path(got).read_bytes() == data
    finally:
        MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE.unset()
        MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE.unset()
        MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD.unset()


def check_artifacts_are_deleted() -> None:
    from mlflow.artifacts import list_artifacts
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(client.get_run(seen["files"]).info.artifact_uri)
    repository.delete_artifacts("a.txt")
    repository.delete_artifacts("signs")
    repository.delete_artifacts("never was")
    found = [f.path for f in list_artifacts(run_id=seen["files"])]
    assert "a.txt" not in found and "signs" not in found and "all" in found


def check_artifact_that_is_not_there() -> None:
    try:
        mlflow.artifacts.load_text(f"runs:/{seen['files']}/none.txt")
    except (OSError, MlflowException) as error:
        assert "none.txt" in str(error), error
    else:
        raise AssertionError("found")


def check_paths_that_lead_elsewhere() -> None:
    for call in (
        lambda: client.list_artifacts(seen["files"], "../x"),
        lambda: client.log_text(seen["files"], "x", "../../x.txt"),
        lambda: client.list_artifacts(seen["files"], "/etc"),
    ):
        try:
            call()
        except (HTTPError, MlflowException) as error:
            assert "Invalid" in str(error), error
        else:
            raise AssertionError("a path led elsewhere")


def check_names_that_differ_in_case() -> None:
    client.log_text(seen["files"], "1", "case/Model.bin")
    try:
        client.log_text(seen["files"], "2", "case/model.bin")
    except HTTPError as error:
        assert error.response.status_code == 409
    else:
        raise AssertionError("two names on one place")
