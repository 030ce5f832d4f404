"""What clients in R and Java send, and how answers look on the wire."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest

from keepwell import db
from keepwell.governance import identity

Wire = Any
"""What `conftest.py` gives."""
PREFIX = "/api/2.0/mlflow"


def test_get_with_query_parameters(wire: Wire) -> None:
    """Java's client sends GET with a query, R's too."""
    run = wire.made["run"]
    found = wire.get(f"/runs/get?run_id={run}&run_uuid={run}").json["run"]
    assert found["info"]["run_id"] == found["info"]["run_uuid"] == run
    assert wire.get("/experiments/get?experiment_id=0").json["experiment"]["name"] == "Default"
    assert wire.get("/experiments/get-by-name?experiment_name=Default").json["experiment"]["experiment_id"] == "0"
    assert wire.get("/experiments/search?max_results=5&view_type=ALL").json["experiments"]
    assert wire.get("/registered-models/get-latest-versions?name=reg&stages=None").json["model_versions"]
    assert (
        wire.get("/model-versions/search?filter=name%3D%27reg%27&order_by=name&order_by=version_number").status == 200
    )


def test_whole_numbers_as_texts_and_unknown_fields(wire: Wire) -> None:
    """Protobuf's JSON has 64-bit whole numbers as texts; newer clients know fields that we do not."""
    run = wire.made["run"]
    wire.good("/runs/log-metric", run_id=run, run_uuid=run, key="text", value="0.5", timestamp="1700000000000",
              step="9007199254740993", newer={"deep": [1]})  # fmt: skip
    (found,) = wire.get(f"/metrics/get-history?run_id={run}&metric_key=text").json["metrics"]
    assert found == {"key": "text", "value": 0.5, "timestamp": 1_700_000_000_000, "step": 9_007_199_254_740_993}
    wire.good("/runs/update", run_id=run, status=1, end_time="1700000000001")
    assert wire.get(f"/runs/get?run_id={run}").json["run"]["info"]["end_time"] == 1_700_000_000_001


def test_integers_beyond_what_they_can_be(wire: Wire) -> None:
    for step in (1 << 63, -(1 << 63) - 1, "9" * 30, "1.5", "", " 1", "0x10", True, [1], 1.5, 1e300):
        answer = wire.post("/runs/log-metric", run_id=wire.made["run"], key="far", value=1, timestamp=1, step=step)
        assert answer.status == 400 and answer.code == "INVALID_PARAMETER_VALUE", step
    wire.good("/runs/log-metric", run_id=wire.made["run"], key="edge", value=1, timestamp=1, step=(1 << 63) - 1)
    assert wire.get(f"/metrics/get-history?run_id={wire.made['run']}&metric_key=far").json == {}


def test_values_that_are_no_numbers_travel_as_words(wire: Wire) -> None:
    run = wire.run()
    for key, value in (("a", "NaN"), ("b", "Infinity"), ("c", "-Infinity")):
        wire.good("/runs/log-metric", run_id=run, key=key, value=value, timestamp=1)
    found = {m["key"]: m["value"] for m in wire.get(f"/runs/get?run_id={run}").json["run"]["data"]["metrics"]}
    assert found == {"a": "NaN", "b": 1.7976931348623157e308, "c": -1.7976931348623157e308}


def test_a_body_that_was_encoded_twice_is_read(wire: Wire) -> None:
    text = json.dumps(json.dumps({"run_id": wire.made["run"], "key": "twice", "value": "1"}))
    assert wire.post("/runs/set-tag", text.encode()).status == 200


def test_run_uuid_stands_for_run_id(wire: Wire) -> None:
    assert wire.post("/runs/set-tag", run_uuid=wire.made["run"], key="old", value="1").status == 200
    assert wire.get(f"/runs/get?run_uuid={wire.made['run']}").status == 200


def test_every_prefix_answers_the_same(wire: Wire) -> None:
    asked = f"/runs/get?run_id={wire.made['run']}"
    answers = {wire.ask("GET", prefix + asked).body for prefix in
               ("/api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/2.0/mlflow", "/ajax-api/3.0/mlflow")}  # fmt: skip
    assert len(answers) == 1


def test_media_types(wire: Wire) -> None:
    body = json.dumps({"run_id": wire.made["run"], "key": "media", "value": "1"}).encode()
    for media in ("application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"):
        assert wire.ask("POST", f"{PREFIX}/runs/set-tag", body, {"content-type": media}).status == 200, media
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "<b>x</b>"):
        answer = wire.ask("POST", f"{PREFIX}/runs/set-tag", body, {"content-type": media})
        assert answer.status == 400 and answer.code == "INVALID_PARAMETER_VALUE"
        assert "Content-Type must be one of ['application/json']" in answer.json["message"]
        assert "<b>" not in answer.body.decode()


def test_a_start_is_kept_as_it_is_given(wire: Wire) -> None:
    for given in (0, "0", 5, None):
        made = wire.good("/runs/create", experiment_id="0", start_time=given)["run"]["info"]
        assert made["start_time"] == int(given) if given is not None else made["start_time"] > 10**12


def test_what_is_empty_is_left_away(wire: Wire) -> None:
    run = wire.run()
    found = wire.get(f"/runs/get?run_id={run}").json["run"]
    assert found["inputs"] == {} and "metrics" not in found["data"] and "end_time" not in found["info"]
    assert wire.post("/runs/search", experiment_ids=["0"], filter="tags.none = 'x'").json == {}
    assert wire.get("/registered-models/search?filter=name%3D%27none%27").json == {}
    assert wire.get(f"/metrics/get-history?run_id={run}&metric_key=none").json == {}


def test_server_info_version_and_health(wire: Wire) -> None:
    info = wire.ask("GET", "/api/3.0/mlflow/server-info").json
    assert info["store_type"] == "SqlStore" and info["multipart_uploads_enabled"] is True
    assert wire.ask("GET", "/version").body.decode().count(".") == 2
    assert wire.ask("GET", "/health", signed_in=False).json["status"] == "ok"


def test_history_bulk(wire: Wire) -> None:
    runs = [wire.run() for _ in range(2)]
    for run in runs:
        wire.good("/runs/log-batch", run_id=run, metrics=[
            {"key": "h", "value": n, "timestamp": n, "step": n} for n in range(20)])  # fmt: skip
    query = "&".join(f"run_id={run}" for run in runs)
    found = wire.get(f"/metrics/get-history-bulk?{query}&metric_key=h&max_results=30").json["metrics"]
    assert len(found) == 30 and {m["run_id"] for m in found} == set(runs)
    for asked, says in (("metric_key=h", "at least one run_id"), (query, "must specify a metric_key"),
                        ("&".join(["run_id=x"] * 101) + "&metric_key=h", "more than 100 run_ids")):  # fmt: skip
        answer = wire.get(f"/metrics/get-history-bulk?{asked}")
        assert answer.code == "INVALID_PARAMETER_VALUE" and says in answer.json["message"]


def test_history_interval(wire: Wire) -> None:
    run = wire.run()
    points = [{"key": "h", "value": n, "timestamp": n, "step": n} for n in range(500)]
    wire.good("/runs/log-batch", run_id=run, metrics=points)
    path = f"/metrics/get-history-bulk-interval?run_ids={run}&metric_key=h"
    found = [m["step"] for m in wire.get(f"{path}&start_step=100&end_step=200&max_results=5").json["metrics"]]
    assert found[0] == 100 and found[-1] == 200 and len(found) <= 7
    for more in ("&start_step=5", "&start_step=9&end_step=5", "&max_results=0", "&max_results=2501"):
        assert wire.get(path + more).code == "INVALID_PARAMETER_VALUE", more


def test_logged_model_of_mlflow_2(wire: Wire) -> None:
    run = wire.run()
    model = {"artifact_path": "m", "flavors": {"sklearn": {}}, "utc_time_created": "now", "run_id": run}
    wire.good("/runs/log-model", run_id=run, model_json=json.dumps(model))
    wire.good("/runs/log-model", run_id=run, model_json=json.dumps({**model, "artifact_path": "n"}))
    tags = {t["key"]: t["value"] for t in wire.get(f"/runs/get?run_id={run}").json["run"]["data"]["tags"]}
    assert [m["artifact_path"] for m in json.loads(tags["mlflow.log-model.history"])] == ["m", "n"]
    for bad in ("{", "[]", json.dumps({"run_id": run})):
        assert wire.post("/runs/log-model", run_id=run, model_json=bad).code == "INVALID_PARAMETER_VALUE"


def test_an_upload_in_parts(wire: Wire) -> None:
    run, files = wire.run(), "/api/2.0/mlflow-artifacts"
    media = {"content-type": "application/json"}

    def call(what: str, **fields: Any) -> Any:
        return wire.ask("POST", f"{files}/mpu/{what}/0/{run}/artifacts/big", json.dumps(fields).encode(), media)

    begun = call("create", path="/home/ada/x y.bin", num_parts=3).json
    assert [c["part_number"] for c in begun["credentials"]] == [1, 2, 3]
    tags = []
    for one in begun["credentials"]:
        target = one["url"].partition(":8400")[2]
        part = wire.ask("PUT", target, b"%d" % one["part_number"] * 1000, one["headers"], signed_in=False)
        assert part.status == 200, part.body
        tags.append({"part_number": one["part_number"], "etag": part.headers["etag"], "url": one["url"]})
    upload = begun["upload_id"]
    for bad in (tags[:2], [*tags, tags[0]], [{**tags[0], "etag": "x"}, *tags[1:]], [{**tags[0], "part_number": 2}]):
        answer = call("complete", path="x y.bin", upload_id=upload, parts=bad)
        assert answer.status in (400, 409) and answer.code
    assert call("complete", path="other.bin", upload_id=upload, parts=tags).status == 400
    assert call("complete", path="x y.bin", upload_id=upload + "A", parts=tags).status == 404
    assert call("complete", path="x y.bin", upload_id=upload, parts=list(reversed(tags))).json == {}
    got = wire.ask("GET", f"{files}/artifacts/0/{run}/artifacts/big/x%20y.bin")
    assert got.body == b"1" * 1000 + b"2" * 1000 + b"3" * 1000
    assert call("abort", path="x y.bin", upload_id=upload).status == 200
    number = {"x-keepwell-upload": upload, "authorization": f"Bearer {wire.token}"}
    assert wire.ask("PUT", f"{files}/mpu/parts/4", b"x", number).status == 400
    assert wire.ask("PUT", f"{files}/mpu/parts/1", b"x").status == 404


def test_credentials_of_parts_are_kept_nowhere(wire: Wire) -> None:
    """Clients send parts with the headers that they are told, their own credential among them: it is not stored."""
    run = wire.run()
    asked = {"content-type": "application/json", "idempotency-key": "parts"}
    body = json.dumps({"path": "a", "num_parts": 1}).encode()
    begun = wire.ask("POST", f"/api/2.0/mlflow-artifacts/mpu/create/0/{run}/artifacts", body, asked).json
    assert begun["credentials"][0]["headers"]["Authorization"] == f"Bearer {wire.token}"
    files = [file for file in (wire.kit.home).glob("keepwell.db*") if file.is_file()]
    assert files and not any(wire.token.encode() in file.read_bytes() for file in files)


def test_an_upload_belongs_to_who_began_it(wire: Wire, new_wire: Wire, tmp_path: Path) -> None:
    other = new_wire(tmp_path)
    run = other.run()
    asked = json.dumps({"path": "a", "num_parts": 1}).encode()
    begun = other.ask("POST", f"/api/2.0/mlflow-artifacts/mpu/create/0/{run}/artifacts", asked,
                      {"content-type": "application/json"}).json  # fmt: skip
    foreign = {"x-keepwell-upload": begun["upload_id"]}
    assert wire.ask("PUT", "/api/2.0/mlflow-artifacts/mpu/parts/1", b"x", foreign).status == 404


def test_ranges_of_files(wire: Wire) -> None:
    path = f"/api/2.0/mlflow-artifacts/artifacts/0/{wire.made['run']}/artifacts/model/MLmodel"
    answer = wire.ask("GET", path, headers={"range": "bytes=0-6"})
    assert answer.status == 206 and answer.body == b"flavors"
    assert wire.ask("HEAD", path).headers["content-length"] == "11"


def test_credentials_as_mlflows_clients_send_them(wire: Wire) -> None:
    target = f"{PREFIX}/experiments/get?experiment_id=0"

    def asked(user: str, password: str) -> int:
        word = base64.b64encode(f"{user}:{password}".encode()).decode()
        return int(wire.ask("GET", target, headers={"authorization": f"Basic {word}"}).status)

    assert asked("ada", wire.token) == asked("token", wire.token) == 200
    for user, password in (("bob", wire.token), ("", wire.token), ("ada", ""), ("ada", "password1234")):
        assert asked(user, password) == 401
    refused = wire.ask("GET", target, signed_in=False)
    assert refused.status == 401 and refused.code == "UNAUTHENTICATED"


def test_without_sign_in_clients_need_none(new_wire: Wire, tmp_path: Path) -> None:
    free = new_wire(tmp_path, auth="none")
    assert free.ask("GET", f"{PREFIX}/experiments/get?experiment_id=0", signed_in=False).status == 200
    body = json.dumps({"experiment_id": "0"}).encode()
    asked = {"content-type": "application/json"}
    assert free.ask("POST", f"{PREFIX}/runs/create", body, asked, signed_in=False).status == 200
    foreign = free.ask("POST", f"{PREFIX}/runs/create", body, asked | {"origin": "http://evil"}, signed_in=False)
    assert foreign.status == 403 and foreign.code == "PERMISSION_DENIED"


def test_a_reader_reads_and_changes_nothing(wire: Wire) -> None:
    with db.write(wire.kit.db) as tx:
        call = wire.kit.call("person:ada")
        reader = identity.new_token(tx, call, "person:ada", "reader", read_only=True).secret
    signed = {"authorization": f"Bearer {reader}", "content-type": "application/json"}
    search = json.dumps({"experiment_ids": ["0"]}).encode()
    assert wire.ask("POST", f"{PREFIX}/runs/search", search, signed).status == 200
    before = wire.state()
    for method, path in (("POST", "/runs/create"), ("POST", "/runs/delete"), ("DELETE", "/registered-models/delete"),
                         ("PATCH", f"/logged-models/{wire.made['model']}")):  # fmt: skip
        answer = wire.ask(method, PREFIX + path, b"{}", signed)
        assert answer.status == 403 and answer.code == "PERMISSION_DENIED", path
    assert wire.state() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/3.0/mlflow/traces"), ("GET", "/api/2.0/mlflow/traces"), ("POST", "/v1/traces"),
     ("GET", "/api/2.0/mlflow/webhooks"), ("POST", "/graphql"), ("GET", "/ajax-api/3.0/mlflow/scorers/list"),
     ("POST", "/api/3.0/mlflow/datasets/create"), ("GET", "/ajax-api/2.0/mlflow/gateway-proxy"),
     ("POST", "/api/3.0/mlflow/gateway/endpoints/create"), ("GET", "/api/2.0/mlflow-artifacts/presigned/0/x"),
     ("POST", "/api/2.0/mlflow/artifacts/presigned-upload-url"), ("POST", "/api/3.0/mlflow/traces/search")],
)  # fmt: skip
def test_what_is_not_offered_says_so(wire: Wire, method: str, path: str) -> None:
    answer = wire.ask(
        method, path, b"\x0a\x00" if method == "POST" else b"", {"content-type": "application/x-protobuf"}
    )
    assert answer.status == 501 and answer.code == "NOT_IMPLEMENTED" and "not supported" in answer.json["message"]


def test_a_prompt_is_not_made(wire: Wire) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    answer = wire.post("/registered-models/create", name="prompt", tags=tags)
    assert answer.status == 501 and answer.code == "NOT_IMPLEMENTED"
    assert wire.get("/registered-models/get?name=prompt").status == 404


def test_a_double_is_written_as_it_is(wire: Wire) -> None:
    run = wire.run()
    for value in (0.1, 1e-300, 123456789.125, -2.5, 5):
        wire.good("/runs/log-metric", run_id=run, key="d", value=value, timestamp=1, step=1)
        found = wire.get(f"/metrics/get-history?run_id={run}&metric_key=d").json["metrics"]
        assert any(m["value"] == value and math.copysign(1, m["value"]) == math.copysign(1, value) for m in found)
