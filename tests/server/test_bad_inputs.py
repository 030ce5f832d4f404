"""Bad inputs on the native routes of runs, sources and the registry: refused in one sentence, nothing changed.

The letters and numbers are rows of the catalogue of bad inputs that the project's safety document describes; the rows
that every route shares (who may ask, other sites, spellings of a route, bodies, headers) are in `test_edge.py`, those
of MLflow's protocol beside its other tests.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from keepwell.core.points import batch_of, pack
from keepwell.flows.fsck import fsck
from keepwell.server.api.tracking import POINTS
from keepwell.tracking import wire

CANARY = "canary-77aa"
REGISTRY = "/api/registry/models"


@dataclass
class Place:
    """A house with a run that has a file, a registered version, and a canary beside the home."""

    served: Any
    run: str

    def refused(self, answer: Any, *statuses: int) -> None:
        assert answer.status_code in (statuses or (400, 404)), (answer.status_code, answer.text[:300])
        assert set(answer.json()) == {"error"} and CANARY not in answer.text and "root:" not in answer.text
        assert len(answer.json()["error"]["message"]) < 1_500 and "Traceback" not in answer.text

    def state(self) -> tuple[int, list[str]]:
        changes = [e for e in self.served.entries() if e.kind != "access.denied"]
        return len(changes), sorted(self.served.kit.blobs.digests())


@pytest.fixture
def place(served: Any) -> Place:
    run = served.post("/api/runs", json={"name": "x"}).json()["id"]
    for path in ("model/MLmodel", "note.txt"):
        told = served.ask("PUT", f"/api/runs/{run}/artifacts/{path}", content=b"flavors: {}",
                          headers={"content-type": "application/octet-stream"})  # fmt: skip
        assert told.status_code == 200, told.text
    assert served.post(REGISTRY, json={"name": "iris"}).status_code == 201
    assert served.post(f"{REGISTRY}/iris/versions", json={"source": f"runs:/{run}/model"}).status_code == 201
    for folder in (served.kit.home, served.kit.home.parent):
        (folder / "canary.txt").write_text(CANARY)
    return Place(served, run)


PATHS = ["../../canary.txt", "..%2f..%2fcanary.txt", "%2e%2e/%2e%2e/canary.txt", "%252e%252e%252fcanary.txt",
         "..%c0%afcanary.txt", "%2e%2e%5ccanary.txt", "/etc/hostname", "//etc/hostname", "C:/x",
         "model/../../canary.txt",
         "model/sub/../../../canary.txt", "note.txt%00../x", "a%0ab", "a%7fb", "a%5Cb", ".", "..", "a//b", "a/./b",
         ".git/config", ".env", ".audit", "canary.txt", "a%E2%80%AEb", "x" * 501]  # fmt: skip


def test_paths_of_files_lead_nowhere_else(place: Place) -> None:
    """A01, A03, A05, A07, A11, A15, C01: reading and listing, by path and by source."""
    before, run = place.state(), place.run
    roots = (f"/api/runs/{run}/artifacts/", f"{REGISTRY}/iris/versions/1/files/")
    for path in PATHS:
        if not {".", ".."} & set(path.split("/")):  # those the client here takes away: `test_server_process` sends them
            for root in roots:
                place.refused(place.served.get(root + path))
            place.refused(place.served.get(f"/api/sources/files/{path}?source=runs:/{run}/model"))
        listed = place.served.get(f"/api/runs/{run}/artifacts?folder={path}")
        assert listed.status_code in (400, 404) or listed.json() == [], (path, listed.text)
        place.refused(place.served.get(f"/api/sources/files?source=runs:/{run}/{path}"))
    assert place.state() == before
    assert place.served.get(roots[1] + "MLmodel").content == b"flavors: {}"  # what is good still is
    found = place.served.get(f"/api/sources/files?source=runs:/{run}/model").json()
    assert [one[0] for one in found] == ["MLmodel"]
    assert place.served.get(f"/api/sources/files/MLmodel?source=runs:/{run}/model").content == b"flavors: {}"


SOURCES = ["file:///etc/", "file://127.0.0.1:80/etc/", "http:///#/../../../../etc/", "http://x/%2e%2e/%2e%2e/etc",
           "file:etc", "file:", "FILE:///etc", " file:///etc", "fi\tle:///etc", "\r\nfile:///etc", "/etc", "../../x",
           "http://169.254.169.254/", "s3://other/x", "gs://x", "hdfs://x", "dbfs:/x", "mlflow-artifacts:/../../",
           "runs:/../../x", "models:/../x/1", "models:/iris/99", "models:/iris@none", "javascript:1",
           "mlflow-artifacts://evil/0/x/artifacts/m", "runs://evil/x/m", "", "x" * 2_001, "models:/m-none",
           "models:/m-00000000000000000000000000000000", "runs:/run_00000000000000000000000000/m"]  # fmt: skip


def test_sources_are_names_of_ours(place: Place) -> None:
    """B01, B03, B05, B07, B09, B11, B13, A13: to register from, and to read."""
    before = place.state()
    for source in SOURCES:
        place.refused(place.served.post(f"{REGISTRY}/iris/versions", json={"source": source}))
        place.refused(place.served.get(f"/api/sources/files?source={quote(source, safe='')}"))
        place.refused(place.served.get(f"/api/sources/files/passwd?source={quote(source, safe='')}"))
    place.refused(place.served.get("/api/sources/files?source=models:/iris/1"))
    place.refused(place.served.get("/api/sources/files"))
    assert place.state() == before


def test_deleting_needs_the_right_to_delete(place: Place) -> None:
    """C13: a token that only reads deletes nothing, on any of the routes that delete."""
    token = place.served.post("/api/tokens", json={"name": "reader", "read_only": True}).json()["token"]
    before = place.state()
    for path in (f"/api/runs/{place.run}", "/api/experiments/0", f"{REGISTRY}/iris", f"{REGISTRY}/iris/versions/1",
                 f"{REGISTRY}/iris/aliases/a", f"{REGISTRY}/iris/tags?name=a"):  # fmt: skip
        told = place.served.ask("DELETE", path, signed_in=False, headers={"authorization": f"Bearer {token}"})
        place.refused(told, 403)
    assert place.state() == before


def test_what_a_deleted_name_meant_does_not_come_back_with_the_name(place: Place) -> None:
    """D07: numbers, aliases and stages are the old model's; an experiment's name stays its own until it is freed."""
    served = place.served
    assert served.ask("PUT", f"{REGISTRY}/iris/aliases/best", json={"number": 1}).status_code == 200
    assert served.ask("DELETE", f"{REGISTRY}/iris").status_code == 200
    assert served.post(REGISTRY, json={"name": "iris"}).status_code == 201
    place.refused(served.get(f"{REGISTRY}/iris/aliases/best"), 404)
    place.refused(served.get(f"{REGISTRY}/iris/versions/1"), 404)
    again = served.post(f"{REGISTRY}/iris/versions", json={"source": f"runs:/{place.run}/model"}).json()
    assert again["number"] == 2 and again["aliases"] == [] and again["stage"] == "None"
    number = served.post("/api/experiments", json={"name": "old"}).json()["id"]
    assert served.ask("DELETE", f"/api/experiments/{number}").status_code == 200
    place.refused(served.post("/api/experiments", json={"name": "old"}), 409)
    assert fsck(served.kit) == []


def test_searches_run_nothing(place: Place) -> None:
    """I03, I01, J01: filters are a grammar of their own, bounded in length and in what they ask for."""
    started = time.monotonic()
    texts = ["().__class__.__base__ = 'x'", "__import__('os') = 'x'", "[x for x in range(9)]", "lambda: 1",
             "run_id = '' OR 1=1 --'", "metrics.m > 1; DROP TABLE runs", "(" * 19_000, "'" * 19_001,
             "metrics.m > 1 AND " * 1_000 + "metrics.m > 1", "{{7*7}}", "$(touch x)", "\x00"]  # fmt: skip
    for text in texts:
        place.refused(place.served.post("/api/runs/search", json={"filter": text}), 400)
        place.refused(place.served.get(f"/api/registry/versions?filter={quote(text)}"), 400, 413, 414, 431)
        place.refused(place.served.get(f"/api/experiments?filter={quote(text)}"), 400, 413, 414, 431)
    place.refused(
        place.served.post("/api/runs/search", json={"order_by": [f"metrics.m{n}" for n in range(1_000)]}), 400
    )
    place.refused(place.served.post("/api/runs/search", json={"experiments": list(range(10_000))}), 400)
    assert time.monotonic() - started < 20


def test_pages_and_numbers_that_are_none(place: Place) -> None:
    """J11, I09: sizes and places of pages, and numbers that no database holds."""
    for body in ({"limit": 10**9}, {"limit": 0}, {"limit": -1}, {"offset": 10**12}, {"offset": -1}, {"limit": "5"},
                 {"experiments": [10**30]}, {"experiments": [-1]}, {"experiments": [1.5]}):  # fmt: skip
        place.refused(place.served.post("/api/runs/search", json=body), 400, 404)
    for far in ("9" * 19, "9" * 30, "-1", "1.5", "0x1", "\u0661"):
        place.refused(place.served.get(f"/api/experiments/{quote(far)}"))
        place.refused(place.served.get(f"{REGISTRY}/iris/versions/{quote(far)}"))
        place.refused(place.served.ask("PUT", f"{REGISTRY}/iris/aliases/far", json={"number": far}), 400)
    place.refused(place.served.ask("PUT", f"{REGISTRY}/iris/aliases/far", json={"number": 10**25}), 400, 404)
    for text in (f"start_time > {10**25}", "end_time < 1e999", "start_time = 0.5"):
        assert place.served.post("/api/runs/search", json={"filter": text}).status_code == 200, text
    for at in (10**18, -(10**18), 10**30):
        place.refused(place.served.post("/api/runs", json={"name": "y", "started_at": at}), 400)


NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"9223372036854775808", b"1.5", b'"x"', b"null", b"true", b"[]"]


def test_numbers_that_are_none_in_json(place: Place) -> None:
    """I09: a step is 64 bits, a value is a double or a word; a name twice in one object is refused."""
    before = place.state()
    for number in NUMBERS:
        raw = b'{"name": "y", "metrics": [{"name": "m", "value": 1, "step": ' + number + b"}]}"
        place.refused(place.served.post("/api/runs", content=raw, headers={"content-type": "application/json"}), 400)
    for raw in (b'{"name": "y", "name": "z"}', b'{"name": "\\ud800"}', b'{"name": "a\\u0000b"}',
                b'{"name": "y", "x": 1}', b'{"name": "y", "metrics": [{"name": "m", "value": NaN}]}',
                b'{"name": ' + b"[" * 100_000):  # fmt: skip
        told = place.served.post("/api/runs", content=raw, headers={"content-type": "application/json"})
        place.refused(told, 400, 413)
    assert place.state() == before


def test_metrics_at_the_edge_of_what_they_can_be(place: Place) -> None:
    """I11: NaN and infinities, huge and double steps, far moments: kept as they are, and in no comparison."""
    rows = [("m", float("nan"), 0, 1), ("m", float("inf"), (1 << 63) - 1, 1), ("m", -0.0, -(1 << 63), 1),
            ("m", 1.0, 5, (1 << 62)), ("m", 1.0, 5, (1 << 62)), ("n", float("nan"), 0, 0)]  # fmt: skip
    sent = place.served.ask("POST", f"/api/runs/{place.run}/points", content=pack(batch_of(rows)),
                            headers={"content-type": POINTS})  # fmt: skip
    assert sent.status_code == 200, sent.text
    for text in ("metrics.n > 0", "metrics.n <= 0", "metrics.n = 0", "metrics.n < 1e308"):
        assert place.served.post("/api/runs/search", json={"filter": text}).json()["items"] == [], text
    latest = {one["name"]: one["value"] for one in place.served.get(f"/api/runs/{place.run}/metrics").json()}
    assert latest == {"m": "Infinity", "n": "NaN"}
    assert place.served.get(f"/api/runs/{place.run}/history?name=m").status_code == 200
    assert fsck(place.served.kit) == []


def test_batches_of_the_sdk_that_mean_harm(place: Place) -> None:
    """A13, C11, L05, J01: what an operation names is a run or a file's name, and nothing that is opened."""
    before = place.state()
    run, other = place.run, place.served.kit.ids.new("run")

    def send(*ops: wire.Op) -> Any:
        batch = wire.Batch(place.served.kit.ids.new("ses"), list(enumerate(ops, start=1)))
        return place.served.ask("POST", "/api/log", content=wire.pack(batch), headers={"content-type": wire.MEDIA})

    harmful: list[wire.Op] = [
        wire.Put(run=run, path="../../canary.txt", data=b"x"), wire.Put(run=run, path="/tmp/probe", data=b"x"),
        wire.Put(run="../../x", path="a", data=b"x"), wire.Log(run="../../x", tags={"a": "b"}),
        wire.Start(run="not an id", name="x"), wire.Log(run=run, tags={"a\x00": "b"}), wire.Log(run=run, points=b"no"),
        wire.Finish(run=run, status="promoted"), wire.Finish(run=other),
    ]  # fmt: skip
    for op in harmful:
        told = send(op)
        assert told.status_code == 200 and len(told.json()["refused"]) == 1, (op, told.text)
        assert CANARY not in told.text
    assert place.state()[0] == before[0]
    many = [(n, wire.Log(run=run, tags={"a": "b"})) for n in range(1, 10_002)]
    data = wire.pack(wire.Batch(place.served.kit.ids.new("ses"), many))
    place.refused(place.served.ask("POST", "/api/log", content=data, headers={"content-type": wire.MEDIA}), 400)
    for session in ("../../x", "ses_", "", "x" * 2_000):
        data = wire.pack(wire.Batch(session, []))
        place.refused(place.served.ask("POST", "/api/log", content=data, headers={"content-type": wire.MEDIA}), 400)


def test_names_forge_no_log(place: Place) -> None:
    """I07: what a name holds is not a line of its own in the log."""
    for name in ("a\n2026 INFO admin approved", "a\x1b[2J"):
        place.refused(place.served.post("/api/experiments", json={"name": name}), 400)
        place.refused(place.served.get(f"{REGISTRY}/{quote(name)}"))
    lines = place.served.log.getvalue().splitlines()
    assert all(line.isascii() and isinstance(json.loads(line), dict) for line in lines)
    assert place.served.token not in place.served.log.getvalue()
