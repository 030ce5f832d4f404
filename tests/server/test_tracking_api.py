"""The native routes of experiments and runs."""

from __future__ import annotations

from typing import Any

import pytest

from keepwell.core.points import batch_of, pack, unpack
from keepwell.server.api.tracking import POINTS
from keepwell.tracking import wire


def put(served: Any, path: str, data: bytes) -> Any:
    return served.ask("PUT", path, content=data, headers={"content-type": "application/octet-stream"})


def test_a_run_is_recorded_in_one_call_and_found(served: Any) -> None:
    body = {
        "name": "by hand", "experiment": "curl", "params": {"depth": 4, "api_key": "canary"}, "tags": {"team": "a"},
        "metrics": [{"name": "loss", "value": 0.5}, {"name": "loss", "value": "NaN", "step": 1, "at": 5}],
        "status": "finished",
    }  # fmt: skip
    run = served.post("/api/runs", json=body)
    assert run.status_code == 201, run.text
    made = run.json()
    assert made["params"] == {"depth": 4, "api_key": "(hidden)"} and made["status"] == "finished"
    wanted = {"experiments": ["curl"], "filter": "params.depth = '4'", "order_by": ["attributes.start_time DESC"]}
    found = served.post("/api/runs/search", json=wanted).json()["items"]
    assert [r["id"] for r in found] == [made["id"]]
    assert served.post("/api/runs/search", json={"experiments": ["nowhere"]}).status_code == 404
    assert served.post("/api/runs/search", json={"filter": "metrics.loss <"}).status_code == 400
    latest = served.get(f"/api/runs/{made['id']}/metrics").json()
    assert [(m["name"], m["value"], m["step"]) for m in latest] == [("loss", "NaN", 1)]


def test_a_run_of_a_given_id_is_made_once(served: Any) -> None:
    run = served.kit.ids.new("run")
    first = served.post("/api/runs", json={"name": "x", "id": run})
    assert first.status_code == 201 and first.json()["id"] == run and first.json()["status"] == "running"
    key = {"idempotency-key": "k1"}
    other = [served.post("/api/runs", json={"name": "y"}, headers=key).json()["id"] for _ in range(2)]
    assert other[0] == other[1]


def test_points_come_and_go_packed(served: Any) -> None:
    run = served.post("/api/runs", json={"name": "x"}).json()["id"]
    batch = pack(batch_of(("loss", n / 7, n, n) for n in range(5_000)))
    for _ in range(2):
        told = served.ask("POST", f"/api/runs/{run}/points", content=batch, headers={"content-type": POINTS})
        assert told.json() == {"points": 5_000}
    answer = served.get(f"/api/runs/{run}/history?name=loss")
    found = unpack(answer.content)
    assert answer.headers["content-type"] == POINTS
    assert list(found.steps) == list(range(5_000)) and found.values[7] == 1.0
    few = unpack(served.get(f"/api/runs/{run}/history?name=loss&most=100").content)
    assert 50 <= len(few.steps) <= 100 and few.steps[0] == 0 and few.steps[-1] == 4_999
    assert len(unpack(served.get(f"/api/runs/{run}/history?name=other").content)) == 0
    for noise in (b"", b"noise", batch[:-1], batch + b"x"):
        told = served.ask("POST", f"/api/runs/{run}/points", content=noise, headers={"content-type": POINTS})
        assert told.status_code == 400, noise[:10]
    told = served.ask("POST", f"/api/runs/{run}/points", content=batch, headers={"content-type": "application/json"})
    assert told.status_code == 400 or told.status_code == 415


def test_artifacts_are_stored_listed_and_saved(served: Any) -> None:
    run = served.post("/api/runs", json={"name": "x"}).json()["id"]
    data = b"<script>alert(1)</script>" * 10_000
    for _ in range(2):
        told = put(served, f"/api/runs/{run}/artifacts/deep/page%20one.html", data)
        assert told.status_code == 200 and told.json()["size"] == len(data), told.text
    assert [(a["path"], a["is_dir"]) for a in served.get(f"/api/runs/{run}/artifacts").json()] == [("deep", True)]
    (inside,) = served.get(f"/api/runs/{run}/artifacts?folder=deep").json()
    assert inside["path"] == "deep/page one.html" and inside["size"] == len(data)
    got = served.get(f"/api/runs/{run}/artifacts/deep/page%20one.html")
    assert got.content == data and got.headers["content-disposition"].startswith("attachment")
    assert got.headers["x-content-type-options"] == "nosniff" and "sandbox" in got.headers["content-security-policy"]
    assert served.get(f"/api/runs/{run}/artifacts/deep/none").status_code == 404


@pytest.mark.parametrize("path", ["..%2Fx", "%2e%2e/x", "/x", "a%5Cb", "a//b", "con", "a%00b", "DEEP/x%0A"])
def test_a_path_that_leads_elsewhere_is_refused(served: Any, path: str) -> None:
    """C01."""
    run = served.post("/api/runs", json={"name": "x"}).json()["id"]
    told = put(served, f"/api/runs/{run}/artifacts/{path}", b"probe")
    kept = [a["path"] for a in served.get(f"/api/runs/{run}/artifacts").json()]
    assert told.status_code in (400, 404) or kept == ["con"], (path, told.text)
    assert not any(f.read_bytes() == b"probe" for f in served.kit.home.parent.rglob("probe*") if f.is_file())


def logged(served: Any, name: str = "net") -> tuple[str, str]:
    """Record a run with a logged model, as the SDK does; return their ids."""
    run, model = served.kit.ids.new("run"), "m-" + served.kit.ids.new("model")[-26:].encode().hex()[:32]
    ops: list[wire.Op] = [wire.Start(run=run, name="r"), wire.Model(run=run, model=model, name=name)]
    batch = wire.pack(wire.Batch(served.kit.ids.new("ses"), list(enumerate(ops))))
    told = served.ask("POST", "/api/log", content=batch, headers={"content-type": wire.MEDIA})
    assert told.json() == {"upto": 1, "refused": []}, told.text
    return run, model


def test_files_of_a_logged_model_are_stored_listed_and_saved(served: Any) -> None:
    run, model = logged(served)
    at, data = f"/api/logged-models/{model}", b"weights" * 100_000
    for _ in range(2):
        told = put(served, f"{at}/artifacts/deep/net%20one.bin", data)
        assert told.status_code == 200 and told.json()["size"] == len(data), told.text
    assert [(a["path"], a["is_dir"]) for a in served.get(f"{at}/artifacts").json()] == [("deep", True)]
    assert [a["path"] for a in served.get(f"{at}/artifacts?folder=deep").json()] == ["deep/net one.bin"]
    got = served.get(f"{at}/artifacts/deep/net%20one.bin")
    assert got.content == data and got.headers["content-disposition"].startswith("attachment")
    assert served.get(at).json()["status"] == "pending" and served.get(at).json()["run"] == run
    assert [m["id"] for m in served.get(f"/api/runs/{run}/models").json()] == [model]
    assert [m["id"] for m in served.get(f"/api/runs/{run}/models?name=net").json()] == [model]
    assert served.get(f"/api/runs/{run}/models?name=it%27s").json() == []
    assert served.get(f"/api/runs/{run}/artifacts").json() == []
    for path in (f"{at}/artifacts/deep/none", "/api/logged-models/m-0", "/api/logged-models/m-0/artifacts",
                 f"/api/logged-models/{run}/artifacts", "/api/runs/run_none/models"):  # fmt: skip
        assert served.get(path).status_code in (400, 404), path
    for path in ("/api/logged-models/m-0/artifacts/a", f"{at}/artifacts/deep", f"{at}/artifacts/..%2Fx"):
        assert put(served, path, b"probe").status_code in (400, 404, 409), path
    token = served.post("/api/tokens", json={"name": "reader", "read_only": True}).json()["token"]
    reader = {"authorization": f"Bearer {token}"}
    told = served.ask("PUT", f"{at}/artifacts/a", content=b"x", headers=reader, signed_in=False)
    assert told.status_code == 403
    assert [a["path"] for a in served.get(f"{at}/artifacts").json()] == ["deep"]


def test_the_end_of_a_lane_of_uploads_is_its_sessions(served: Any) -> None:
    run, session = served.kit.ids.new("run"), served.kit.ids.new("ses")

    def log(name: str, *ops: tuple[int, wire.Op]) -> Any:
        body = wire.pack(wire.Batch(name, list(ops)))
        return served.ask("POST", "/api/log", content=body, headers={"content-type": wire.MEDIA})

    log(session, (1, wire.Start(run=run, name="r")), (9, wire.Log(run=run, tags={"a": "b"})))
    resume, finish = wire.Start(run=run, resume=True), wire.Finish(run=run)
    for _ in range(2):
        assert log(f"{session}-up", (5, finish), (6, resume)).json()["refused"] == []
    assert served.get(f"/api/runs/{run}").json()["tags"]["keepwell.session"] == session
    assert log(f"{session}-end", (1, wire.Finish(run=run, status="interrupted", orphan=True))).status_code == 200
    assert served.get(f"/api/runs/{run}").json()["status"] == "interrupted"
    assert log("ses_nonsense-up", (5, finish)).status_code == 400


def test_names_that_differ_in_case_only_do_not_stand_side_by_side(served: Any) -> None:
    """C15."""
    run = served.post("/api/runs", json={"name": "x"}).json()["id"]
    assert put(served, f"/api/runs/{run}/artifacts/Model.bin", b"1").status_code == 200
    assert put(served, f"/api/runs/{run}/artifacts/model.bin", b"2").status_code == 409


def test_experiments_live_and_go(served: Any) -> None:
    made = served.post("/api/experiments", json={"name": "trees", "tags": {"a": "b"}}).json()
    at = f"/api/experiments/{made['id']}"
    assert served.post("/api/experiments", json={"name": "trees"}).status_code == 409
    assert served.post(f"{at}/rename", json={"name": "forests"}).json()["name"] == "forests"
    run = served.post("/api/runs", json={"name": "x", "experiment": "forests"}).json()["id"]
    assert served.ask("DELETE", at).json()["lifecycle"] == "deleted"
    assert "forests" not in [e["name"] for e in served.get("/api/experiments").json()["items"]]
    assert served.get(f"/api/runs/{run}").json()["lifecycle"] == "deleted"
    assert served.post(f"{at}/restore").json()["lifecycle"] == "active"
    assert served.ask("DELETE", f"/api/runs/{run}").json()["lifecycle"] == "deleted"
    assert served.post(f"/api/runs/{run}/restore").json()["lifecycle"] == "active"
    names = []
    path = "/api/experiments?limit=1"
    while path:
        page = served.get(path).json()
        names += [e["name"] for e in page["items"]]
        path = f"/api/experiments?limit=1&cursor={page['next']}" if page["next"] else ""
    assert sorted(names) == ["Default", "forests"]


def test_who_may_only_read_records_nothing(served: Any) -> None:
    run = served.post("/api/runs", json={"name": "x"}).json()["id"]
    token = served.post("/api/tokens", json={"name": "reader", "read_only": True}).json()["token"]
    reader = {"authorization": f"Bearer {token}"}
    batch = wire.pack(wire.Batch(served.kit.ids.new("ses"), [(1, wire.Log(run=run, tags={"a": "b"}))]))
    for method, path, options in (
        ("POST", "/api/log", {"content": batch, "headers": {**reader, "content-type": wire.MEDIA}}),
        ("POST", "/api/runs", {"json": {"name": "y"}, "headers": reader}),
        ("PUT", f"/api/runs/{run}/artifacts/a", {"content": b"x", "headers": reader}),
        ("DELETE", f"/api/runs/{run}", {"headers": reader}),
        ("POST", "/api/experiments", {"json": {"name": "e"}, "headers": reader}),
    ):
        answer = served.ask(method, path, signed_in=False, **options)
        assert answer.status_code == 403, (method, path, answer.text)
    found = served.ask("POST", "/api/runs/search", json={}, headers=reader, signed_in=False)
    assert found.status_code == 200 and "a" not in found.json()["items"][0]["tags"]


def test_a_batch_is_stored_once_over_http(served: Any) -> None:
    session, run = served.kit.ids.new("ses"), served.kit.ids.new("run")
    points = pack(batch_of([("m", 1.0, 0, 5)]))
    ops: list[tuple[int, wire.Op]] = [
        (1, wire.Start(run=run, name="x")), (2, wire.Log(run=run, points=points)), (3, wire.Finish(run=run)),
    ]  # fmt: skip
    data = wire.pack(wire.Batch(session, ops))
    for _ in range(2):
        told = served.ask("POST", "/api/log", content=data, headers={"content-type": wire.MEDIA})
        assert told.json() == {"upto": 3, "refused": []}, told.text
    assert served.get(f"/api/runs/{run}").json()["metrics"] == {"m": 1.0}
    assert len([e for e in served.entries("run.finished") if e.subject == f"run:{run}"]) == 1
    for noise in (b"", b"\xc1", data[:-1], b"\x92" * 100_000):
        told = served.ask("POST", "/api/log", content=noise, headers={"content-type": wire.MEDIA})
        assert told.status_code == 400, told.text
