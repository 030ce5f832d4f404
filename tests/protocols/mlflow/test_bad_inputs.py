"""Bad inputs on every route of the protocol: one error of the right status, nothing changed, never 5xx.

The letters and numbers are rows of the catalogue of bad inputs that the project's safety document describes.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from keepwell.server.protocols.mlflow import ROUTES

Wire = Any
"""What `conftest.py` gives."""
PREFIX = "/api/2.0/mlflow"

FILES = "/api/2.0/mlflow-artifacts"
CANARY = "canary-77aa"
OFFERED = [route for route in ROUTES if "{path...}" not in route.path or "mlflow-artifacts" in route.path]
CALLS = [route for route in OFFERED if route.path.startswith(PREFIX + "/") and not route.upload]


def address(wire: Wire, path: str) -> str:
    fill = {"{model_id}": wire.made["model"], "{tag_key}": "none", "{number}": "1",
            "{path...}": f"0/{wire.made['run']}/artifacts/none"}  # fmt: skip
    for name, value in fill.items():
        path = path.replace(name, value)
    return path


def refused(answer: Any, *statuses: int) -> None:
    assert answer.status in (statuses or range(400, 500)), (answer.status, answer.body[:500])
    assert answer.code
    assert CANARY not in answer.body.decode("utf-8", "replace")


# ------------------------------------------------------------------------------------------ F: who may ask


def test_without_credentials_every_route_is_closed(wire: Wire) -> None:
    """F01."""
    for route in ROUTES:
        if route.path.startswith(("/ajax-api", "/api/3.0")) and "server-info" not in route.path:
            continue  # the same calls under other prefixes: the walk over all routes of the server has them
        answer = wire.ask(route.method, address(wire, route.path), signed_in=False)
        assert answer.status == 401 and answer.code == "UNAUTHENTICATED", route


@pytest.mark.parametrize(
    "header", ["Bearer x' OR 1=1 --", "Basic !!!", "Basic YTpi", "Bearer eyJhbGciOiJub25lIn0.e30."]
)
def test_bad_credentials(wire: Wire, header: str) -> None:
    """F21, I01."""
    before = wire.state()
    refused(wire.ask("GET", f"{PREFIX}/experiments/get?experiment_id=0", headers={"authorization": header}), 401)
    refused(wire.ask("POST", f"{PREFIX}/runs/create", b"{}", {"authorization": header}), 401)
    assert wire.state() == before


def test_a_token_in_the_query_is_no_token(wire: Wire) -> None:
    """F21."""
    refused(wire.ask("GET", f"{PREFIX}/experiments/get?experiment_id=0&token={wire.token}", signed_in=False), 401)


@pytest.mark.parametrize(
    "path",
    ["/API/2.0/mlflow/runs/get", "/api//2.0/mlflow/runs/get", "/api/2.0/mlflow/runs/get/", "/api/2.0/mlflow/./runs/get",
     "/api/2.0/mlflow/runs/get;a=b", "/api/2.0/mlflow/runs%2fget", "/api/2.0/mlflow/runs/../runs/get"],
)  # fmt: skip
def test_a_route_has_one_spelling(wire: Wire, path: str) -> None:
    """F15."""
    answer = wire.ask("GET", f"{path}?run_id={wire.made['run']}")
    assert answer.status in (400, 404) and CANARY not in answer.body.decode()


def test_methods_are_not_overridden(wire: Wire) -> None:
    """F15, K05."""
    before = wire.state()
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
        answer = wire.ask(method, f"{PREFIX}/runs/get?run_id={wire.made['run']}")
        assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD"
    answer = wire.ask(
        "GET", f"{PREFIX}/runs/get?run_id={wire.made['run']}", headers={"x-http-method-override": "DELETE"}
    )
    assert answer.status == 200 and wire.state() == before


def test_another_sites_page_changes_nothing(wire: Wire) -> None:
    """G01, G03."""
    before = wire.state()
    for origin in ("http://evil", "null", "http://localhost.evil", "http://127.0.0.1.evil", "http://127.0.0.1:9"):
        asked = {"content-type": "application/json", "origin": origin}
        refused(wire.ask("POST", f"{PREFIX}/runs/create", b'{"experiment_id": "0"}', asked), 403)
        path = f"{FILES}/artifacts/0/{wire.made['run']}/artifacts/evil.txt"
        refused(wire.ask("PUT", path, b"x", {"origin": origin}), 403)
    assert wire.state() == before


# ------------------------------------------------------------------------------------------ A, C: paths of artifacts

PATHS = ["../../canary.txt", "%2e%2e/%2e%2e/canary.txt", "..%2f..%2fcanary.txt", "%252e%252e%252fcanary.txt",
         "..%c0%afcanary.txt", "%2e%2e%5ccanary.txt", "/etc/hostname", "//etc/hostname", "C:/x", "a/../../canary.txt",
         "ok%00../../x", "a%0ab", "a%7f", "a\\b", ".", "..", "a//b", "a/./b", "a/%20/b",
         "a%E2%80%AEb", "x" * 501]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_of_files_lead_nowhere_else(wire: Wire, path: str) -> None:
    """A01 to A15, C01."""
    before, held = wire.state(), list(wire.kit.blobs.digests())
    root = f"{FILES}/artifacts/0/{wire.made['run']}/artifacts/"
    for method in ("GET", "PUT", "DELETE"):
        answer = wire.ask(method, root + path, b"probe" if method == "PUT" else b"")
        if method == "DELETE" and answer.status == 200:
            assert answer.body == b"{}"  # a name that can be, and is not there
            continue
        refused(answer)
    folders = f"/logged-models/{wire.made['model']}/artifacts/directories?artifact_directory_path={path}"
    for query in (f"/artifacts/list?run_id={wire.made['run']}&path={path}", folders):
        answer = wire.get(query)
        assert answer.status in (200, 400, 404) and CANARY not in answer.body.decode()
        assert answer.status != 200 or "files" not in answer.json
    assert wire.ask("GET", f"{FILES}/artifacts?path=0/{wire.made['run']}/artifacts/{path}").status in (200, 400, 404)
    assert wire.state() == before and list(wire.kit.blobs.digests()) == held


@pytest.mark.parametrize(
    "place", ["../x", "0", "0/none/artifacts/a", "x/y/artifacts/a", "0/run_00000000000000000000000000/artifacts/a",
              "0/models/m-none/artifacts/a", "0/models/../artifacts/a", "registered-models/reg/1/MLmodel", "a", "0/x"]
)  # fmt: skip
def test_files_have_an_owner(wire: Wire, place: str) -> None:
    """A13, C11: nothing is written where nobody owns it, and not into a registered version."""
    held = list(wire.kit.blobs.digests())
    refused(wire.ask("PUT", f"{FILES}/artifacts/{place}", b"probe"))
    assert list(wire.kit.blobs.digests()) == held


def test_hidden_files_are_not_there(wire: Wire) -> None:
    """A11."""
    for name in (".git/config", ".env", ".audit"):
        refused(wire.ask("GET", f"{FILES}/artifacts/0/{wire.made['run']}/artifacts/{name}"), 404)


def test_files_are_saved_and_never_shown(wire: Wire) -> None:
    """G05, G07, G11."""
    for name in ("a.html", "a.svg", "a.xml", "a.pdf", "a.ipynb"):
        path = f"{FILES}/artifacts/0/{wire.made['run']}/artifacts/shown/{name}"
        assert wire.ask("PUT", path, b"<script>alert(1)</script>", {"content-type": "text/html"}).status == 200
        got = wire.ask("GET", path)
        assert got.headers["content-disposition"].startswith("attachment")
        assert got.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in got.headers["content-security-policy"]
        assert "html" not in got.headers["content-type"]
    for route in CALLS[:40]:
        asked = {"content-type": "<b>x</b>"}
        answer = wire.ask(route.method, address(wire, route.path), b"{}" if route.method != "GET" else b"", asked)
        assert answer.headers["content-type"] == "application/json" and b"<b>" not in answer.body


def test_names_that_clash_are_one_file(wire: Wire) -> None:
    """C15: of two names that are one on some disk, the second is refused."""
    root = f"{FILES}/artifacts/0/{wire.made['run']}/artifacts/clash"
    for first, second in (("Model.bin", "model.bin"), ("%C3%89.txt", "%C3%A9.txt"), ("dir/a", "dir"), ("f", "f/g")):
        assert wire.ask("PUT", f"{root}/{first}", b"1").status == 200
        refused(wire.ask("PUT", f"{root}/{second}", b"2"), 409)
        assert wire.ask("GET", f"{root}/{first}").body == b"1"
    refused(wire.ask("PUT", f"{root}/e%CC%81.txt", b"3"), 400, 409)  # one letter and its accent apart


def test_many_ranges_are_the_whole(wire: Wire) -> None:
    """J03."""
    path = f"{FILES}/artifacts/0/{wire.made['run']}/artifacts/model/MLmodel"
    answer = wire.ask("GET", path, headers={"range": "bytes=" + ",".join(["0-1"] * 2_000)})
    assert answer.status == 200 and answer.body == b"flavors: {}"


# ------------------------------------------------------------------------------------------ B: sources and locations

SOURCES = ["file:///etc/", "file://127.0.0.1:80/etc/", "http:///#/../../../../etc/", "http://x/%2e%2e/%2e%2e/etc",
           "file:etc", "file:", "FILE:///etc", " file:///etc", "fi\tle:///etc", "http://169.254.169.254/", "/etc",
           "\r\nfile:///etc", "s3://other/x", "gs://x", "hdfs://x", "dbfs:/x", "mlflow-artifacts:/../../", "../../x",
           "runs:/../../x", "runs:/none/model", "models:/none/1", "models:/m-none", "models:/reg/99",
           "models:/reg@none",
           "ftp://x", "javascript:1", "mlflow-artifacts://evil/0/x/artifacts/m", "runs://evil/x/m",
           "x" * 5_000]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_sources_of_versions_are_ours(wire: Wire, source: str) -> None:
    """B01 to B13."""
    before = wire.state()
    refused(wire.post("/model-versions/create", name="reg", source=source))
    refused(wire.post("/model-versions/create", name="reg", source=source, run_id=wire.made["run"]))
    if not source.startswith("mlflow-artifacts:"):
        refused(wire.post("/experiments/create", name="at a place", artifact_location=source), 400)
    assert wire.state() == before


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "a:b", "..", ".", "", " ", "con", "a\u202eb", "e\u0301",
                                  "a\x00b", "mod%65l", "x" * 300, "a\nb", "null", "-1", "a;b", "a?b",
                                  "a#b"])  # fmt: skip
def test_names_of_models_that_are_none(wire: Wire, name: str) -> None:
    """B15, D01, D05, I05: refused, or (a plain word) made and the same when asked for."""
    answer = wire.post("/registered-models/create", name=name)
    if answer.status == 200:
        assert name.isascii() and name.isprintable()
        assert wire.get(f"/registered-models/get?name={name}").json["registered_model"]["name"] == name
    else:
        refused(answer, 400)


# ------------------------------------------------------------------------------------------ D: names and identity


def test_of_many_at_once_one_makes_the_name(new_wire: Wire, tmp_path: Path) -> None:
    """D03."""
    house = new_wire(tmp_path)
    answers: list[int] = []

    def make(path: str) -> None:
        answers.append(house.post(path, name="one").status)

    for path in ("/experiments/create", "/registered-models/create"):
        answers.clear()
        threads = [threading.Thread(target=make, args=(path,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [200, *[400] * 11], path


def test_names_that_differ_in_spelling_only_are_one(wire: Wire) -> None:
    """D01."""
    assert wire.post("/registered-models/create", name="Spelled").status == 200
    refused(wire.post("/registered-models/create", name="spelled"), 400)


# ------------------------------------------------------------------------------------------ I: injection, numbers

JSONS = [b"{", b"[]", b"1", b"null", b'"x"', b"nul", b"\xff\xfe", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e400}',
         b'{"a": "\\ud800"}', b'{"run_id": "a", "run_id": "b"}', b"[" * 100_000, b'{"a":' * 50_000, b'{"a": 01}',
         b"{'a': 1}", b"{} {}", b'{"a": "\x01"}', b"\x00"]  # fmt: skip


@pytest.mark.parametrize("raw", JSONS, ids=lambda raw: repr(raw[:18]))
def test_what_is_no_json_is_refused_everywhere(wire: Wire, raw: bytes) -> None:
    """I09, J07."""
    before = wire.state()
    for route in CALLS:
        if route.method in ("POST", "PATCH"):
            answer = wire.ask(route.method, address(wire, route.path), raw, {"content-type": "application/json"})
            assert 400 <= answer.status < 500, (route.path, answer.status, answer.body[:300])
            assert answer.code in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
    assert wire.state() == before


VALUES: list[Any] = [None, "", 0, -1, True, 1.5, 1 << 70, [], {}, [[]], [None], [{}], {"a": {}}, "\x00", "' OR 1=1 --",
                     "{{7*7}}", "().__class__", "\u202e", "x" * 70_000, "$(touch x)"]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:18])
def test_any_value_in_any_field_gives_an_answer(wire: Wire, value: Any) -> None:
    """I03, I05, I09: each field of each call in turn; what is refused is so in one sentence, and nothing fails."""
    good = {"run_id": wire.made["run"], "experiment_id": "0", "name": "reg", "key": "fuzz", "value": "1",
            "version": "1",            "timestamp": 1, "model_id": wire.made["model"], "experiment_ids": ["0"],
            "max_results": 3, "alias": "fuzz",
            "metric_key": "m", "run_ids": [wire.made["run"]], "stage": "None", "status": 2,
            "source": f"runs:/{wire.made['run']}/model", "new_name": "reg", "experiment_name": "Default"}  # fmt: skip
    for route in CALLS:
        if route.path.endswith(("/delete", "/rename", "/create", "/restore")) or route.method == "DELETE":
            continue
        fields = [field.name for field in getattr(route.handler, "args", [None, ()])[1]]
        for name in fields:
            asked = {field: good[field] for field in fields if field in good} | {name: value}
            if route.method == "GET":
                text = json.dumps(value) if not isinstance(value, str) else value
                query = "&".join(f"{k}={v if isinstance(v, str | int) else json.dumps(v)}" for k, v in asked.items()
                                 if k != name)  # fmt: skip
                hexed = "".join(f"%{byte:02x}" for byte in text[:900].encode())
                query = query.replace(" ", "%20").replace('"', "%22")
                answer = wire.ask("GET", f"{address(wire, route.path)}?{query}&{name}={hexed}")
            else:
                body = json.dumps(asked).encode()
                answer = wire.ask(route.method, address(wire, route.path), body, {"content-type": "application/json"})
            assert answer.status < 500, (route.path, name, value, answer.body[:400])
            assert answer.status == 200 or answer.code, (route.path, name)


def test_a_secret_in_a_param_is_hidden(wire: Wire) -> None:
    """L05: what looks like a secret is not kept as it is."""
    run = wire.run()
    wire.good("/runs/log-parameter", run_id=run, key="api_key", value="sk-123456")
    wire.good("/runs/set-tag", run_id=run, key="mlflow.source.git.repoURL", value="https://user:tok@host/x.git")
    text = wire.get(f"/runs/get?run_id={run}").body.decode()
    assert "sk-123456" not in text and "user:tok" not in text


def test_no_secret_is_stored_whatever_it_is_written_on(new_wire: Any, tmp_path: Path) -> None:
    """L05, L01: tags, params, names, links, descriptions and datasets; and not in the ledger, which keeps for ever."""
    house, at, word = new_wire(tmp_path), "https://ann:canary-99zz@host/x", {"key": "api_key", "value": "canary-99zz"}
    url = {"key": "url", "value": at}
    made = house.good("/runs/create", experiment_id="0", run_name=f"at {at}", user_id=at, tags=[word, url])
    run = made["run"]["info"]["run_id"]
    data = {"name": at, "digest": "1", "source_type": "http", "source": json.dumps({"url": at}), "schema": at,
            "profile": at}  # fmt: skip
    for path, fields in (
        ("/experiments/create", {"name": "e", "tags": [word, url]}),
        ("/experiments/set-experiment-tag", {"experiment_id": "0", **word}),
        ("/runs/log-batch", {"run_id": run, "params": [word, url], "tags": [word]}),
        ("/runs/set-tag", {"run_id": run, "key": "mlflow.runName", "value": f"now {at}"}),
        ("/runs/log-inputs", {"run_id": run, "datasets": [{"dataset": data, "tags": [word]}]}),
        ("/runs/update", {"run_id": run, "run_name": f"again {at}", "status": "FINISHED"}),
        ("/logged-models", {"experiment_id": "0", "name": "lm", "params": [word, url], "tags": [word]}),
        ("/registered-models/create", {"name": "m", "description": f"see {at}", "tags": [word, url]}),
        ("/registered-models/set-tag", {"name": "m", **word}),
        ("/model-versions/create", {"name": "m", "source": f"runs:/{run}/m", "run_id": run, "run_link": at,
                                    "description": at, "tags": [word, url]}),
        ("/model-versions/set-tag", {"name": "m", "version": "1", **word}),
    ):  # fmt: skip
        assert "canary-99zz" not in json.dumps(house.good(path, **fields)), path
    for path in ("/registered-models/update", "/model-versions/update"):
        body = json.dumps({"name": "m", "version": "1", "description": at}).encode()
        assert house.ask("PATCH", PREFIX + path, body, {"content-type": "application/json"}).status == 200
    refused(house.post("/experiments/create", name=at), 400)
    for file in (tmp_path / "home").rglob("*"):
        assert not file.is_file() or b"canary-99zz" not in file.read_bytes(), file
    assert "canary-99zz" not in house.log.getvalue()


def test_texts_of_users_forge_no_log(wire: Wire) -> None:
    """I07."""
    wire.ask("GET", f"{PREFIX}/runs/get?run_id=%0a2026 INFO admin%1b[2J".replace(" ", "%20"))
    assert all(line.startswith("{") and line.isascii() for line in wire.log.getvalue().splitlines())


def test_nan_passes_no_filter(wire: Wire) -> None:
    """I11."""
    run = wire.run()
    wire.good("/runs/log-metric", run_id=run, key="gate", value="NaN", timestamp=1)
    for text in ("metrics.gate > 0", "metrics.gate <= 1", "metrics.gate = 0"):
        assert wire.post("/runs/search", experiment_ids=["0"], filter=text).json == {}, text


# ------------------------------------------------------------------------------------------ J: exhaustion


def test_pages_that_are_none(wire: Wire) -> None:
    """J11."""
    import base64

    def token(offset: object) -> str:
        return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()

    for bad in (10**12, -1, "x", None, [], {}):
        for path, more in (("/runs/search", {"experiment_ids": ["0"]}), ("/experiments/search", {"max_results": 1})):
            refused(wire.post(path, page_token=token(bad), **more), 400)
    refused(wire.post("/runs/search", experiment_ids=["0"], max_results=10**9), 400)
    refused(wire.get("/registered-models/search?max_results=1000000000"), 400)
    refused(wire.get("/model-versions/search?max_results=-5"), 400)


def test_the_largest_pages_are_given(wire: Wire) -> None:
    """J11: what clients may ask for at most is answered, one more is not."""
    assert wire.post("/runs/search", experiment_ids=["0"], max_results=50_000).status == 200
    assert wire.post("/experiments/search", max_results=50_000).status == 200
    assert wire.get("/registered-models/search?max_results=1000").status == 200
    assert wire.get("/model-versions/search?max_results=200000").status == 200
    assert wire.post("/logged-models/search", experiment_ids=["0"], max_results=50).status == 200
    refused(wire.post("/runs/search", experiment_ids=["0"], max_results=50_001), 400)


@pytest.mark.parametrize("far", ["9" * 19, "9" * 20, "-" + "9" * 20, "9" * 40, "9" * 5_000])
def test_numbers_that_no_database_holds(wire: Wire, far: str) -> None:
    """I09: beyond 64 bits, where a number is looked up and where one is compared with."""
    refused(wire.get(f"/experiments/get?experiment_id={far}"), 404)
    refused(wire.post("/experiments/delete", experiment_id=far), 404)
    refused(wire.post("/runs/create", experiment_id=far), 404)
    assert wire.post("/runs/search", experiment_ids=[far]).status in (200, 404)
    refused(wire.get(f"/model-versions/get?name=reg&version={far}"), 404)
    refused(wire.post("/registered-models/alias", name="reg", alias="far", version=far), 404)
    for text in (f"start_time > {far}", f"end_time = {far}", f"metrics.m > {far}", f"created < {far}.5"):
        assert wire.post("/runs/search", experiment_ids=["0"], filter=text).status == 200, text
    assert wire.post("/experiments/search", max_results=5, filter=f"creation_time > {far}").status == 200
    assert wire.get(f"/model-versions/search?filter=version_number%20%3D%20{far}").json == {}
    for text in (f"creation_timestamp > {far}", f"experiment_id = '{far}'", "experiment_id IN ('\u00b2', '')"):
        assert wire.post("/logged-models/search", experiment_ids=["0"], filter=text).status == 200, text
    assert wire.post("/experiments/search", max_results=5, filter=f"experiment_id = '{far}'").status in (200, 400)


def test_large_bodies_are_refused(wire: Wire) -> None:
    """J09: by what they say, and by what they are."""
    long = b'{"run_id": "' + b"x" * (3 << 20) + b'"}'
    refused(wire.ask("POST", f"{PREFIX}/runs/set-tag", long, {"content-type": "application/json"}), 413)
    refused(wire.ask("POST", f"{PREFIX}/runs/log-batch", long * 2, {"content-type": "application/json"}), 413)


def test_long_filters_are_answered_quickly(wire: Wire) -> None:
    """I03: a search is bounded."""
    started = time.monotonic()
    texts = ["metrics.m > 1 AND " * 5_000 + "metrics.m > 1", "(" * 50_000, "'" * 100_001, "a" * 90_000, "`" * 50_001]
    for text in texts:
        answer = wire.post("/runs/search", experiment_ids=["0"], filter=text)
        assert answer.status < 500, answer.body[:200]
    assert time.monotonic() - started < 20


def test_many_experiments_and_orders(wire: Wire) -> None:
    """J01."""
    many = [str(n) for n in range(10_000)]
    assert wire.post("/runs/search", experiment_ids=many).status in (200, 400)
    orders = [f"metrics.m{n}" for n in range(1_000)]
    assert wire.post("/runs/search", experiment_ids=["0"], order_by=orders).status in (200, 400)


def test_the_log_holds_no_failure_at_the_end(wire: Wire) -> None:
    assert "request.failed" not in wire.log.getvalue(), wire.log.getvalue()[:2_000]
    assert wire.token not in wire.log.getvalue()
