"""The registry: models, versions, loading by number, alias and stage."""

from __future__ import annotations

import mlflow
from common import client, refused, seen
from logged import MODEL
from sklearn.linear_model import LogisticRegression
from training import SAFE, X, Y


def check_model_is_registered_while_it_is_logged() -> None:
    mlflow.set_experiment("registry")
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(
            MODEL, name="m", registered_model_name="demand", input_example=X.head(2), **SAFE
        )
    assert str(info.registered_model_version) == "1"
    found = client.get_model_version("demand", "1")
    assert found.run_id == run.info.run_id and found.status == "READY" and found.current_stage == "None"
    assert found.source.startswith("models:/m-")


def check_model_is_registered_from_a_run() -> None:
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(LogisticRegression(C=0.1).fit(X, Y), name="m", **SAFE)
    found = mlflow.register_model(f"runs:/{run.info.run_id}/m", "demand", tags={"k": "v"})
    assert str(found.version) == "2" and found.tags == {"k": "v"} and found.run_id == run.info.run_id
    seen["second"] = run.info.run_id


def check_model_is_registered_from_a_logged_model() -> None:
    found = mlflow.register_model(f"models:/{seen['clf']}", "demand")
    assert str(found.version) == "3" and found.run_id == seen["clf_run"]


def check_model_loads_by_version() -> None:
    loaded = mlflow.sklearn.load_model("models:/demand/2")
    assert loaded.C == 0.1
    assert mlflow.pyfunc.load_model("models:/demand/1").predict(X).shape == (80,)
    assert mlflow.pyfunc.load_model("models:/demand/latest").predict(X).shape == (80,)


def check_alias_names_a_version() -> None:
    client.set_registered_model_alias("demand", "champ", "1")
    assert str(client.get_model_version_by_alias("demand", "champ").version) == "1"
    client.set_registered_model_alias("demand", "champ", "2")
    client.set_registered_model_alias("demand", "other", 2)
    found = client.get_model_version("demand", "2")
    assert sorted(found.aliases) == ["champ", "other"] and client.get_model_version("demand", "1").aliases == []
    assert client.get_registered_model("demand").aliases == {"champ": "2", "other": "2"}


def check_model_loads_by_alias() -> None:
    assert mlflow.sklearn.load_model("models:/demand@champ").C == 0.1


def check_alias_is_deleted() -> None:
    client.delete_registered_model_alias("demand", "other")
    client.delete_registered_model_alias("demand", "other")
    refused("INVALID_PARAMETER_VALUE", "Registered model alias other not found.",
            client.get_model_version_by_alias, "demand", "other")  # fmt: skip


def check_alias_latest_is_the_newest() -> None:
    assert str(client.get_model_version_by_alias("demand", "latest").version) == "3"


def check_alias_names_that_are_none() -> None:
    def set_alias(name: str) -> None:
        client.set_registered_model_alias("demand", name, "1")

    refused("INVALID_PARAMETER_VALUE", "Version alias name 'v1' is reserved.", set_alias, "v1")
    refused("INVALID_PARAMETER_VALUE", "'latest' alias name (case insensitive) is reserved.", set_alias, "Latest")
    refused("INVALID_PARAMETER_VALUE", "Names may only contain alphanumerics", set_alias, "a b")
    refused("INVALID_PARAMETER_VALUE", "cannot be empty", set_alias, "")


def check_stages() -> None:
    moved = client.transition_model_version_stage("demand", "1", "Staging")
    assert moved.current_stage == "Staging"
    client.transition_model_version_stage("demand", "2", "production")
    client.transition_model_version_stage("demand", "3", "Production", archive_existing_versions=True)
    assert client.get_model_version("demand", "2").current_stage == "Archived"
    assert client.get_model_version("demand", "3").current_stage == "Production"
    says = "Invalid Model Version stage: Foo. Value must be one of None, Staging, Production, Archived."
    refused("INVALID_PARAMETER_VALUE", says, client.transition_model_version_stage, "demand", "1", "Foo")  # fmt: skip


def check_latest_versions() -> None:
    found = {v.current_stage: str(v.version) for v in client.get_latest_versions("demand")}
    assert found == {"Staging": "1", "Production": "3", "Archived": "2"}
    assert [str(v.version) for v in client.get_latest_versions("demand", ["Production"])] == ["3"]
    assert client.get_latest_versions("demand", ["None"]) == []


def check_model_loads_by_stage() -> None:
    assert mlflow.pyfunc.load_model("models:/demand/Production").predict(X).shape == (80,)


def check_model_is_made_described_and_tagged() -> None:
    made = client.create_registered_model("spare", tags={"a": "1"}, description="text")
    assert made.name == "spare" and made.description == "text" and made.tags == {"a": "1"}
    client.update_registered_model("spare", "other text")
    client.set_registered_model_tag("spare", "b", "2")
    client.delete_registered_model_tag("spare", "a")
    client.delete_registered_model_tag("spare", "never was")
    found = client.get_registered_model("spare")
    assert found.description == "other text" and found.tags == {"b": "2"}
    assert found.last_updated_timestamp >= found.creation_timestamp


def check_model_is_renamed() -> None:
    client.rename_registered_model("spare", "spared")
    assert client.get_registered_model("spared").tags == {"b": "2"}
    refused("RESOURCE_DOES_NOT_EXIST", "Registered Model with name=spare not found", client.get_registered_model,
            "spare")  # fmt: skip
    client.create_registered_model("taken")
    refused("RESOURCE_ALREADY_EXISTS", "Registered Model (name=taken) already exists", client.rename_registered_model,
            "spared", "taken")  # fmt: skip


def check_name_is_taken_once() -> None:
    refused("RESOURCE_ALREADY_EXISTS", "Registered Model (name=demand) already exists", client.create_registered_model,
            "demand")  # fmt: skip


def check_names_that_are_none() -> None:
    refused("INVALID_PARAMETER_VALUE", "Names cannot contain '/' or ':'", client.create_registered_model, "a/b")
    refused(
        "INVALID_PARAMETER_VALUE", "Missing value for required parameter 'name'", client.create_registered_model, ""
    )
    refused("INVALID_PARAMETER_VALUE", "would resolve to", client.create_registered_model, "..")


def check_models_are_searched() -> None:
    for n in range(5):
        client.create_registered_model(f"serial {n}", tags={"n": str(n), "odd": str(n % 2)})

    def search(text: str = "", **options: object) -> list[str]:
        return [m.name for m in client.search_registered_models(text, **options)]

    assert search("name = 'demand'") == ["demand"]
    assert search("name LIKE 'serial%'") == [f"serial {n}" for n in range(5)]
    assert search("name ILIKE 'SERIAL%'", order_by=["name DESC"])[0] == "serial 4"
    assert search("name LIKE 'serial%' AND tags.odd = '1'") == ["serial 1", "serial 3"]
    assert search("tags.odd = '0' and tags.n != '2'") == ["serial 0", "serial 4"]
    assert search("name LIKE 'serial%'", order_by=["last_updated_timestamp DESC"])[0] == "serial 4"
    assert search("name = 'none'") == []


def check_models_in_pages() -> None:
    found, token, sizes = [], None, []
    while True:
        page = client.search_registered_models("name LIKE 'serial%'", max_results=2, page_token=token)
        found += [m.name for m in page]
        sizes.append(len(page))
        token = page.token
        if not token:
            break
    assert found == [f"serial {n}" for n in range(5)] and sizes == [2, 2, 1]


def check_a_registered_model_tells_its_latest_versions() -> None:
    (found,) = client.search_registered_models("name = 'demand'")
    assert {(v.current_stage, str(v.version)) for v in found.latest_versions} == {
        ("Staging", "1"), ("Archived", "2"), ("Production", "3")}  # fmt: skip
    assert found.aliases == {"champ": "2"}


def check_searches_that_are_refused() -> None:
    refused("INVALID_PARAMETER_VALUE", "Invalid attribute key 'foo' specified", client.search_registered_models,
            "foo = 'x'")  # fmt: skip
    refused("INVALID_PARAMETER_VALUE", "", client.search_registered_models, "name > 'x'")
    refused("INVALID_PARAMETER_VALUE", "foo", client.search_registered_models, order_by=["foo"])
    refused("INVALID_PARAMETER_VALUE", "max_results", client.search_registered_models, max_results=1_001)
