"""The search grammar over runs, as MLflow documents it."""

from __future__ import annotations

import mlflow
from common import client, names, refused, seen
from mlflow.entities import ViewType


def find(text: str = "", **options: object) -> list[str]:
    return names(client.search_runs([seen["zoo"]], text, **options))


def finds(text: str, *wanted: str) -> None:
    found = find(text)
    assert sorted(found) == sorted(wanted), (text, found)


def check_the_zoo_is_built() -> None:
    seen["zoo"] = client.create_experiment("zoo")
    rows = [
        ("ant", 0.1, 10, {"kind": "a", "rate": "0.1"}, {"env": "dev"}, "FINISHED", 1_000),
        ("bee", 0.2, 20, {"kind": "b", "rate": "0.2"}, {"env": "test"}, "FINISHED", 2_000),
        ("cat", 0.3, None, {"kind": "a"}, {"env": "prod", "my tag": "yes"}, "FAILED", 3_000),
        ("dog", float("nan"), 40, {"kind": "B"}, {}, "RUNNING", 4_000),
        ("eel", float("inf"), 50, {"rate": "100%"}, {"env": "dev_1", "a.b": "dot"}, "KILLED", 5_000),
    ]
    for name, loss, acc, params, tags, status, started in rows:
        run = client.create_run(seen["zoo"], start_time=started, tags={**tags, "mlflow.user": "ada"}, run_name=name)
        client.log_metric(run.info.run_id, "loss", loss)
        if acc is not None:
            client.log_metric(run.info.run_id, "acc score", acc)
        for key, value in params.items():
            client.log_param(run.info.run_id, key, value)
        if status != "RUNNING":
            client.set_terminated(run.info.run_id, status, end_time=started + 500)
        seen[name] = run.info.run_id


def check_newest_first() -> None:
    assert find() == ["eel", "dog", "cat", "bee", "ant"]


def check_metric_comparisons() -> None:
    finds("metrics.loss < 0.25", "ant", "bee")
    finds("metrics.loss <= 0.2", "ant", "bee")
    finds("metrics.loss = 0.3", "cat")
    finds("metrics.loss != 0.3", "ant", "bee", "dog", "eel")
    finds("metric.loss >= 0.2", "bee", "cat", "eel")
    finds("metrics.loss > 1e300", "eel")


def check_nan_is_in_no_comparison() -> None:
    for text in ("metrics.loss > 0", "metrics.loss <= 0", "metrics.loss = 0"):
        assert "dog" not in find(text), text


def check_quoted_keys() -> None:
    finds("metrics.`acc score` > 15", "bee", "dog", "eel")
    finds('metrics."acc score" > 35', "dog", "eel")
    finds("tags.`my tag` = 'yes'", "cat")
    finds("tags.a.b = 'dot'", "eel")


def check_params() -> None:
    finds("params.kind = 'a'", "ant", "cat")
    finds("params.kind != 'a'", "bee", "dog")
    finds('parameters.rate = "0.1"', "ant")
    finds("param.kind ILIKE 'b'", "bee", "dog")
    finds("params.kind LIKE 'b'", "bee")


def check_like_and_its_signs() -> None:
    finds("tags.env LIKE 'dev%'", "ant", "eel")
    finds("tags.env LIKE 'dev_1'", "eel")
    finds("params.rate LIKE '%.%'", "ant", "bee")
    finds("attributes.run_name LIKE '%e%'", "bee", "eel")
    finds("run_name ILIKE 'C_T'", "cat")


def check_and() -> None:
    finds("params.kind = 'a' AND metrics.loss < 0.2", "ant")
    finds("params.kind = 'a' and tags.env = 'prod' and metrics.loss > 0", "cat")
    finds("params.kind = 'a' AND params.kind = 'b'")


def check_status() -> None:
    finds("status = 'FINISHED'", "ant", "bee")
    finds("attributes.status != 'FINISHED'", "cat", "dog", "eel")
    finds("attr.status = 'RUNNING'", "dog")
    finds("status LIKE 'K%'", "eel")


def check_times() -> None:
    finds("attributes.start_time > 3000", "dog", "eel")
    finds("start_time <= 2000", "ant", "bee")
    finds("created = 3000", "cat")
    finds("end_time < 3000", "ant", "bee")


def check_run_id() -> None:
    finds(f"run_id = '{seen['bee']}'", "bee")
    finds(f"attributes.run_id IN ('{seen['bee']}', '{seen['cat']}')", "bee", "cat")
    finds(f"run_id NOT IN ('{seen['bee']}','{seen['cat']}')", "ant", "dog", "eel")
    finds(f"run_id LIKE '%{seen['ant'][2:-2]}%'", "ant")


def check_run_name() -> None:
    finds("run_name = 'ant'", "ant")
    finds("attributes.`run name` = 'ant'", "ant")
    finds("tags.mlflow.runName = 'dog'", "dog")
    finds("attributes.run_name != 'ant'", "bee", "cat", "dog", "eel")


def check_user() -> None:
    finds("attributes.user_id = 'ada'", *find())


def check_artifact_uri() -> None:
    found = client.get_run(seen["ant"]).info.artifact_uri
    finds(f"artifact_uri = '{found}'", "ant")


def check_null_tags_and_params() -> None:
    finds("tags.env IS NULL", "dog")
    finds("tags.env IS NOT NULL", "ant", "bee", "cat", "eel")
    finds("params.rate IS NOT NULL AND params.kind IS NULL", "eel")


def check_datasets() -> None:
    runs = client.search_runs([seen["exp"]], "dataset.name = 'sales'")
    assert [r.info.run_id for r in runs] == [seen["data_run"]]
    runs = client.search_runs([seen["exp"]], "datasets.context = 'training' AND dataset.name LIKE 'sal%'")
    assert [r.info.run_id for r in runs] == [seen["data_run"]]
    assert client.search_runs([seen["exp"]], "dataset.digest = 'none'") == []


def check_quotes_in_values() -> None:
    run = client.create_run(seen["zoo"], tags={"q": "it's"}, run_name="quoted", start_time=10)
    assert find('tags.q = "it\'s"') == ["quoted"]
    client.delete_run(run.info.run_id)


def check_views() -> None:
    run = client.create_run(seen["zoo"], run_name="zzz", start_time=6_000).info.run_id
    client.delete_run(run)
    assert find(run_view_type=ViewType.DELETED_ONLY)[0] == "zzz"
    assert "zzz" in find(run_view_type=ViewType.ALL) and "zzz" not in find()


def check_order_by_metric() -> None:
    assert find(order_by=["metrics.loss ASC"]) == ["ant", "bee", "cat", "eel", "dog"]
    assert find(order_by=["metrics.loss DESC"]) == ["eel", "cat", "bee", "ant", "dog"]
    assert find(order_by=["metrics.`acc score` DESC"])[-1] == "cat"


def check_order_by_param_and_tag() -> None:
    assert find("params.kind IS NOT NULL", order_by=["params.kind", "start_time"])[-2:] in (
        ["bee", "dog"],
        ["cat", "bee"],
    )
    assert find(order_by=["tags.env DESC"])[0] == "bee"
    assert find(order_by=["tags.env ASC"])[-1] == "dog"


def check_order_by_attribute() -> None:
    assert find(order_by=["start_time"]) == ["ant", "bee", "cat", "dog", "eel"]
    assert find(order_by=["attributes.run_name DESC"])[0] == "eel"
    assert find(order_by=["attribute.end_time DESC"])[-1] == "dog"
    assert find(order_by=["status ASC", "start_time DESC"])[0] == "cat"


def check_pages() -> None:
    found, token, sizes = [], None, []
    while True:
        page = client.search_runs([seen["zoo"]], "metrics.loss > 0", order_by=["start_time"], max_results=3,
                                  page_token=token)  # fmt: skip
        found += names(page)
        sizes.append(len(page))
        token = page.token
        if not token:
            break
    assert found == ["ant", "bee", "cat", "eel"] and sizes == [3, 1]


def check_search_runs_as_a_table() -> None:
    table = mlflow.search_runs([seen["zoo"]], "metrics.loss < 1", order_by=["metrics.loss DESC"])
    assert list(table["metrics.loss"]) == [0.3, 0.2, 0.1]
    assert list(table["params.kind"]) == ["a", "b", "a"]
    assert {"tags.env", "run_id", "start_time", "status"} <= set(table.columns)


def check_search_by_experiment_names() -> None:
    found = mlflow.search_runs(experiment_names=["zoo", "not there"], output_format="list")
    assert len(found) == 5


def check_search_everything() -> None:
    found = mlflow.search_runs(search_all_experiments=True, output_format="list", max_results=1_000)
    assert {seen["ant"], seen["first"]} <= {r.info.run_id for r in found}


def check_experiments_that_are_not_there() -> None:
    assert client.search_runs(["99999"]) == []
    assert client.search_runs([]) == []
    refused("INVALID_PARAMETER_VALUE", "Invalid experiment ID 'abc'", client.search_runs, ["abc"])
