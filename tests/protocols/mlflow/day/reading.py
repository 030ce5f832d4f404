"""Histories, pages and listings."""

from __future__ import annotations

import mlflow
from common import client, refused, seen
from mlflow.entities import Metric, ViewType


def check_history_in_pages() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    client.log_batch(run, metrics=[Metric("m", float(n), n, n) for n in range(950)])
    store = client._tracking_client.store
    pages, token = [], None
    while True:
        page = store.get_metric_history(run, "m", max_results=400, page_token=token)
        pages.append([m.step for m in page])
        token = page.token
        if not token:
            break
    assert [len(p) for p in pages] == [400, 400, 150] and [step for page in pages for step in page] == list(range(950))
    seen["long"] = run


def check_history_whole() -> None:
    found = client.get_metric_history(seen["long"], "m")
    assert len(found) == 950 and found[-1].value == 949.0 and found[-1].timestamp == 949


def check_history_of_a_metric_that_is_not_there() -> None:
    assert client.get_metric_history(seen["long"], "other") == []


def check_history_is_ordered_by_time() -> None:
    run = client.create_run(seen["exp"]).info.run_id
    points = [(3, 5), (1, 9), (2, 1)]
    for at, step in points:
        client.log_metric(run, "m", 1.0, timestamp=at, step=step)
    assert [m.timestamp for m in client.get_metric_history(run, "m")] == [1, 2, 3]


def check_sampled_history() -> None:
    store = client._tracking_client.store
    from mlflow.utils.rest_utils import http_request

    answer = http_request(
        store.get_host_creds(), "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", "GET",
        params={"run_ids": [seen["long"], seen["batch"]], "metric_key": "m", "max_results": 10},
    ).json()["metrics"]  # fmt: skip
    steps = [m["step"] for m in answer if m["run_id"] == seen["long"]]
    assert len(steps) <= 12 and steps[0] == 0 and steps[-1] == 949 and steps == sorted(steps)


def check_experiments_in_pages() -> None:
    made = {client.create_experiment(f"page {n}") for n in range(7)}
    found, token, count = set(), None, 0
    while True:
        page = client.search_experiments(max_results=3, filter_string="name LIKE 'page %'", page_token=token)
        found |= {e.experiment_id for e in page}
        count += 1
        token = page.token
        if not token:
            break
    assert found == made and count == 3


def check_experiments_by_filter_and_order() -> None:
    found = client.search_experiments(filter_string="name ILIKE 'PAGE%'", order_by=["name DESC"])
    assert [e.name for e in found] == [f"page {n}" for n in reversed(range(7))]
    found = client.search_experiments(filter_string="tags.team = 'fresh'")
    assert [e.name for e in found] == ["renamed"]
    found = client.search_experiments(filter_string="tags.team != 'fresh' AND name LIKE 'page 1%'")
    assert found == []
    everything = client.search_experiments(view_type=ViewType.ALL)
    assert {"Default", "gone", "page 3"} <= {e.name for e in everything}


def check_experiments_by_time() -> None:
    when = client.get_experiment_by_name("page 3").creation_time
    found = client.search_experiments(filter_string=f"creation_time >= {when} AND name LIKE 'page%'")
    assert {"page 3", "page 6"} <= {e.name for e in found}


def check_datasets_of_an_experiment() -> None:
    from mlflow.utils.rest_utils import http_request

    answer = http_request(
        client._tracking_client.store.get_host_creds(), "/ajax-api/2.0/mlflow/experiments/search-datasets", "POST",
        json={"experiment_ids": [seen["exp"]]},
    ).json()["dataset_summaries"]  # fmt: skip
    assert {"sales", "d"} <= {d["name"] for d in answer}
    assert {d.get("context") for d in answer} >= {"training"}


def check_run_that_is_not_there() -> None:
    refused("RESOURCE_DOES_NOT_EXIST", "Run with id=nope not found", client.get_run, "nope")
    gone = "run_00000000000000000000000000"
    refused("RESOURCE_DOES_NOT_EXIST", f"Run with id={gone} not found", client.log_metric, gone, "m", 1)


def check_active_run_and_last_run() -> None:
    with mlflow.start_run() as run:
        assert mlflow.active_run().info.run_id == run.info.run_id
    assert mlflow.last_active_run().info.run_id == run.info.run_id
