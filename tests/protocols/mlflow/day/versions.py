"""Versions: describe, tag, search, delete; what is registered stays what it was."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow
from common import client, refused, seen
from logged import MODEL
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from training import SAFE, X


def check_version_is_described() -> None:
    client.update_model_version("demand", "1", "first of all")
    found = client.get_model_version("demand", "1")
    assert found.description == "first of all" and found.last_updated_timestamp >= found.creation_timestamp


def check_version_tags() -> None:
    client.set_model_version_tag("demand", "1", "checked", "yes")
    client.set_model_version_tag("demand", "1", "checked", "no")
    client.set_model_version_tag("demand", version="2", key="other", value="1")
    assert client.get_model_version("demand", "1").tags["checked"] == "no"
    client.delete_model_version_tag("demand", "1", "checked")
    client.delete_model_version_tag("demand", "1", "never was")
    assert "checked" not in client.get_model_version("demand", "1").tags


def check_version_tags_by_stage() -> None:
    client.set_model_version_tag("demand", stage="Production", key="live", value="1")
    assert client.get_model_version("demand", "3").tags["live"] == "1"


def check_versions_are_searched() -> None:
    def search(text: str = "", **options: object) -> list[int]:
        return [int(v.version) for v in client.search_model_versions(text, **options)]

    assert sorted(search("name = 'demand'")) == [1, 2, 3]
    assert search("name = 'demand'", order_by=["version_number ASC"]) == [1, 2, 3]
    assert search("name = 'demand'", order_by=["version_number DESC"]) == [3, 2, 1]
    assert search(f"run_id = '{seen['second']}'") == [2]
    assert sorted(search(f"run_id IN ('{seen['second']}', '{seen['clf_run']}')")) == [2, 3]
    assert search("name = 'demand' AND version_number > 2") == [3]
    assert search("tags.k = 'v'") == [2]
    assert search("name LIKE 'dem%' AND tags.other = '1'") == [2]
    assert search("name = 'none'") == []


def check_versions_by_source() -> None:
    source = client.get_model_version("demand", "2").source
    found = client.search_model_versions(f"source_path = '{source}'")
    assert [int(v.version) for v in found] == [2]


def check_versions_in_pages() -> None:
    found, token = [], None
    while True:
        page = client.search_model_versions("name = 'demand'", max_results=2, order_by=["version_number ASC"],
                                            page_token=token)  # fmt: skip
        found += [int(v.version) for v in page]
        token = page.token
        if not token:
            break
    assert found == [1, 2, 3]


def check_version_searches_that_are_refused() -> None:
    refused("INVALID_PARAMETER_VALUE", "Invalid attribute key 'foo' specified", client.search_model_versions, "foo = 1")
    refused("INVALID_PARAMETER_VALUE", "", client.search_model_versions, "version_number = 'a'")
    refused("INVALID_PARAMETER_VALUE", "max_results", client.search_model_versions, max_results=0)


def check_files_of_a_version_are_listed_and_downloaded() -> None:
    uri = client.get_model_version_download_uri("demand", "1")
    names = {f.path for f in get_artifact_repository(uri).list_artifacts()}
    assert "MLmodel" in names
    with tempfile.TemporaryDirectory() as folder:
        got = mlflow.artifacts.download_artifacts("models:/demand/1", dst_path=folder)
        assert Path(got, "MLmodel").read_text().startswith("artifact_path") or Path(got, "MLmodel").is_file()


def check_version_stays_when_its_run_is_deleted() -> None:
    run = client.get_model_version("demand", "1").run_id
    client.delete_run(run)
    assert mlflow.sklearn.load_model("models:/demand/1").coef_.shape == (1, 3)
    client.restore_run(run)


def check_version_stays_when_its_files_are_overwritten() -> None:
    with mlflow.start_run() as run:
        mlflow.log_text("one", "model/weights.txt")
        mlflow.log_text("flavors: {}", "model/MLmodel")
    client.create_registered_model("frozen")
    client.create_model_version("frozen", f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.log_text(run.info.run_id, "two", "model/weights.txt")
    with tempfile.TemporaryDirectory() as folder:
        got = mlflow.artifacts.download_artifacts("models:/frozen/1", dst_path=folder)
        assert Path(got, "weights.txt").read_text() == "one"


def check_version_by_artifact_uri() -> None:
    uri = client.get_run(seen["files"]).info.artifact_uri
    client.create_registered_model("by uri")
    found = client.create_model_version("by uri", f"{uri}/all", run_id=seen["files"], description="d")
    assert found.source == f"{uri}/all" and found.description == "d" and str(found.version) == "1"


def check_version_of_a_version() -> None:
    client.create_registered_model("copied")
    found = client.copy_model_version("models:/demand/2", "copied")
    assert str(found.version) == "1" and found.run_id == seen["second"]
    assert mlflow.sklearn.load_model("models:/copied/1").C == 0.1


def check_numbers_are_not_given_again() -> None:
    client.create_registered_model("numbers")
    source = f"runs:/{seen['files']}/all"
    for _ in range(2):
        client.create_model_version("numbers", source, seen["files"])
    client.delete_model_version("numbers", "2")
    assert str(client.create_model_version("numbers", source, seen["files"]).version) == "3"
    refused("RESOURCE_DOES_NOT_EXIST", "Model Version (name=numbers, version=2) not found", client.get_model_version,
            "numbers", "2")  # fmt: skip


def check_deleting_a_version_frees_its_alias() -> None:
    client.set_registered_model_alias("numbers", "best", "3")
    client.delete_model_version("numbers", "3")
    refused("INVALID_PARAMETER_VALUE", "Registered model alias best not found", client.get_model_version_by_alias,
            "numbers", "best")  # fmt: skip


def check_model_is_deleted_with_its_versions() -> None:
    client.delete_registered_model("numbers")
    refused("RESOURCE_DOES_NOT_EXIST", "Registered Model with name=numbers not found", client.get_registered_model,
            "numbers")  # fmt: skip
    assert client.search_model_versions("name = 'numbers'") == []


def check_name_of_a_deleted_model_starts_behind_its_numbers() -> None:
    client.create_registered_model("numbers")
    found = client.create_model_version("numbers", f"runs:/{seen['files']}/all", seen["files"])
    assert int(found.version) > 3


def check_versions_that_are_not_there() -> None:
    refused("RESOURCE_DOES_NOT_EXIST", "Model Version (name=demand, version=99) not found", client.get_model_version,
            "demand", "99")  # fmt: skip
    refused("RESOURCE_DOES_NOT_EXIST", "Registered Model with name=none not found", client.create_model_version,
            "none", f"runs:/{seen['files']}/all", seen["files"])  # fmt: skip
    refused("RESOURCE_DOES_NOT_EXIST", "not found", client.set_registered_model_alias, "demand", "a", "99")


def check_sources_that_are_not_ours() -> None:
    for source in ("file:///etc", "/etc", "http://169.254.169.254/x", "s3://bucket/x", "file:etc", "dbfs:/x"):
        try:
            client.create_model_version("demand", source)
        except mlflow.exceptions.MlflowException as error:
            assert error.error_code == "INVALID_PARAMETER_VALUE", (source, error)
        else:
            raise AssertionError(source)


def check_model_is_registered_with_an_alias_and_loaded_whole() -> None:
    with mlflow.start_run():
        mlflow.sklearn.log_model(MODEL, name="again", registered_model_name="demand", **SAFE)
    newest = max(int(v.version) for v in client.search_model_versions("name = 'demand'"))
    client.set_registered_model_alias("demand", "newest", str(newest))
    loaded = mlflow.pyfunc.load_model("models:/demand@newest")
    assert (loaded.predict(X) == MODEL.predict(X)).all()
