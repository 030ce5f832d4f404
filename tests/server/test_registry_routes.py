"""The registry's routes: what they answer, what they refuse, and the feed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from keepwell.core.names import name_key
from keepwell.flows.fsck import fsck
from keepwell.governance import identity
from keepwell.models import registry
from keepwell.tracking import service as tracking

AT = "/api/registry/models"


@pytest.fixture
def source(served: Any) -> str:
    kit = served.kit
    with kit.write() as tx:
        call = kit.call("person:ada")
        run = tracking.start_run(tx, call, name="fit").id
        tracking.put_artifact(tx, call, run, "model/MLmodel", kit.blobs.put(b"flavors: {}"), 11)
        tracking.put_artifact(tx, call, run, "model/data/w.bin", kit.blobs.put(b"<script>"), 8)
    return f"runs:/{run}/model"


def send(served: Any, method: str, path: str, body: object = None, status: int = 200, **more: Any) -> Any:
    options = {} if body is None else {"json": body}
    answer = served.ask(method, path, **options, **more)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_model_and_its_versions_over_the_api(served: Any, source: str) -> None:
    made = send(served, "POST", AT, {"name": "iris", "description": "d", "tags": {"team": "x"}}, 201)
    assert made["name"] == "iris"
    assert send(served, "GET", "/api/models/iris")["environments"] == []
    body = {"source": source, "aliases": ["best"], "tags": {"a": "b"}}
    key = {"headers": {"idempotency-key": "k1"}}
    version = send(served, "POST", f"{AT}/iris/versions", body, 201, **key)
    assert send(served, "POST", f"{AT}/iris/versions", body, 201, **key) == version
    assert (version["number"], version["aliases"], version["files"]) == (1, ["best"], 2)
    assert send(served, "GET", f"{AT}/IRIS/aliases/best")["id"] == version["id"]
    assert send(served, "PUT", f"{AT}/iris/aliases/prod", {"number": 1})["aliases"] == ["best", "prod"]
    assert send(served, "DELETE", f"{AT}/iris/aliases/best") == {"was_there": True}
    assert send(served, "PUT", f"{AT}/iris/tags", {"tags": {"mlflow.user": "ann"}}) == {
        "team": "x",
        "mlflow.user": "ann",
    }
    assert send(served, "DELETE", f"{AT}/iris/tags?tag=mlflow.user") == {"was_there": True}
    assert send(served, "PUT", f"{AT}/iris/versions/1/tags", {"tags": {"a/b": "c"}}) == {"a": "b", "a/b": "c"}
    assert send(served, "DELETE", f"{AT}/iris/versions/1/tags?tag=a/b") == {"was_there": True}
    assert send(served, "PUT", f"{AT}/iris", {"description": None})["description"] is None
    assert send(served, "PUT", f"{AT}/iris/versions/1", {"description": "v"})["description"] == "v"
    assert send(served, "PUT", f"{AT}/iris/versions/1/stage", {"stage": "staging"})["stage"] == "Staging"
    assert [f[0] for f in send(served, "GET", f"{AT}/iris/versions/1/files")] == ["MLmodel", "data/w.bin"]
    assert {s[1] for s in send(served, "GET", f"{AT}/iris/timeline")} == {"best", "prod", "Staging"}
    assert send(served, "DELETE", f"{AT}/iris/versions/1") == {"versions": 1}
    send(served, "GET", f"{AT}/iris/versions/1", status=404)
    assert send(served, "POST", f"{AT}/iris/versions/1/restore", {})["aliases"] == []
    assert send(served, "POST", f"{AT}/iris/rename", {"name": "rose"})["name"] == "rose"
    assert send(served, "DELETE", f"{AT}/rose") == {"versions": 1}
    send(served, "GET", f"{AT}/rose", status=404)
    assert fsck(served.kit) == []


def test_a_file_of_a_version_is_saved_and_never_shown(served: Any, source: str) -> None:
    send(served, "POST", AT, {"name": "iris"}, 201)
    send(served, "POST", f"{AT}/iris/versions", {"source": source}, 201)
    answer = served.get(f"{AT}/iris/versions/1/files/data/w.bin")
    assert answer.content == b"<script>"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("../../keepwell.db", "data", "MLmodel/x", "%2e%2e/x", "nothing"):
        assert served.get(f"{AT}/iris/versions/1/files/{path}").status_code in (400, 404)


def test_searches_are_paged_to_their_end(served: Any, source: str) -> None:
    for name in ("a", "b", "c"):
        send(served, "POST", AT, {"name": f"model {name}"}, 201)
        send(served, "POST", f"{AT}/model%20{name}/versions", {"source": source}, 201)
    for path in (f"{AT}?order_by=name%20DESC&limit=2", "/api/registry/versions?order_by=name%20DESC&limit=2"):
        page = send(served, "GET", path)
        rest = send(served, "GET", f"{path}&cursor={page['next']}")
        names = [one.get("name") or one["model"] for one in [*page["items"], *rest["items"]]]
        assert names == ["model c", "model b", "model a"] and rest["next"] is None
    assert len(send(served, "GET", AT + "?filter=name%20LIKE%20%27%25a%27")["items"]) == 1
    for bad in ("filter=owner%3D1", "order_by=owner", "limit=1000000000", "cursor=forged", "filter=" + "x" * 20_000):
        assert served.get(f"{AT}?{bad}").status_code in (400, 414, 431)


@pytest.mark.parametrize(
    "bad",
    [
        "file:///etc/",
        "file://127.0.0.1:8400/etc/",
        "http:///#/../../../../etc/",
        "http://x/%2e%2e/%2e%2e/etc",
        "file:etc",
        "FILE:///etc",
        " file:///etc",
        "fi\tle:///etc",
        "s3://other/",
        "mlflow-artifacts:/../../",
        "runs:/../x",
        "../../x",
    ],
)
def test_group_b_no_source_is_a_place(served: Any, source: str, bad: str) -> None:
    send(served, "POST", AT, {"name": "iris"}, 201)
    before = len(served.entries())
    told = send(served, "POST", f"{AT}/iris/versions", {"source": bad, "run_id": source.split("/")[1]}, 400)
    assert "root:" not in str(told)
    assert len(served.entries()) == before
    assert send(served, "POST", f"{AT}/iris/versions", {"source": source}, 201)["number"] == 1


@pytest.mark.parametrize("name", ["", ".", "..", "null", "undefined", "-1", "0", "true", "latest", "../../x", "/tmp/x",
                                  "a/b", "mod%65l", "e\u0301", "a\0b"])  # fmt: skip
def test_group_d_names_that_mean_something_else_are_refused(served: Any, source: str, name: str) -> None:
    send(served, "POST", AT, {"name": name}, 400)
    send(served, "POST", AT, {"name": "iris"}, 201)
    if name:
        send(served, "POST", f"{AT}/iris/versions", {"source": source, "aliases": [name]}, 400)


def test_group_d_an_escaped_name_is_the_same_model_or_refused(served: Any) -> None:
    send(served, "POST", AT, {"name": "model"}, 201)
    assert served.get(f"{AT}/mod%65l").json()["name"] == "model"
    assert served.get(f"{AT}/mod%2565l").status_code in (400, 404)
    assert name_key("MODEL") == "model" and served.get(f"{AT}/MODEL").json()["name"] == "model"


def test_group_d_of_fifty_that_make_one_name_at_once_one_does(serve_kit: Any, kit: Any) -> None:
    """Ten threads on one house, five spellings each: exactly one model, every other is told it is there."""
    from keepwell.core.errors import Conflict

    outcomes: list[str] = []
    start = threading.Barrier(50)

    def make(number: int) -> None:
        start.wait()
        try:
            with kit.write() as tx:
                registry.create_model(tx, kit.call(f"person:p{number}"), ("iris", "Iris", "IRIS")[number % 3])
            outcomes.append("made")
        except Conflict as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=make, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["already_exists"] * 49 + ["made"]


def test_who_may_only_read_reads(served: Any, source: str) -> None:
    send(served, "POST", AT, {"name": "iris"}, 201)
    with served.kit.write() as tx:
        token = identity.new_token(tx, served.kit.call("person:ada"), "person:ada", "eyes", read_only=True).secret
    reading = {"headers": {"authorization": f"Bearer {token}"}}
    assert send(served, "GET", f"{AT}/iris", **reading)["name"] == "iris"
    for method, path, body in (
        ("POST", AT, {"name": "rose"}), ("PUT", f"{AT}/iris", {"description": "x"}), ("DELETE", f"{AT}/iris", None),
        ("POST", f"{AT}/iris/versions", {"source": source}), ("PUT", f"{AT}/iris/aliases/a", {"number": 1}),
    ):  # fmt: skip
        send(served, method, path, body, 403, **reading)
    send(served, "GET", f"{AT}/iris", status=401, signed_in=False)


def test_the_feed_waits_and_goes_on(served: Any) -> None:
    send(served, "POST", AT, {"name": "iris"}, 201)
    told = send(served, "GET", "/api/changes?subject=model:iris")
    assert [e["kind"] for e in told["items"]] == ["model.created"]
    timer = threading.Timer(0.2, lambda: send(served, "PUT", f"{AT}/iris", {"description": "d"}))
    timer.start()
    late = send(served, "GET", f"/api/changes?after={told['after']}&subject=model:iris&wait=8")
    timer.join()
    assert [e["kind"] for e in late["items"]] == ["model.described"]
    assert send(served, "GET", f"/api/changes?after={late['after']}&wait=0.1")["items"] == []
    for bad in ("after=-1", "after=x", "wait=1e9", "limit=0", "limit=100000"):
        assert served.get(f"/api/changes?{bad}").status_code == 400
