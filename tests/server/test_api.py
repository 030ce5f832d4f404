"""The API over a small real house: every route answers what its description says, and bad input changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from keepwell import db
from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.flows.certify import Lineage, register_and_gate
from keepwell.flows.kit import Kit
from keepwell.flows.promote import promote_fleet
from keepwell.flows.receive import receive
from keepwell.flows.registering import register_from
from keepwell.governance.charters import apply_charter
from keepwell.loop import service as loop
from keepwell.loop.decide import decide
from keepwell.loop.model import unknown_state
from keepwell.models import registry
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import METRICS, Signal, Window
from keepwell.pipelines.model import Pipeline, Step
from keepwell.pipelines.runners import InProcess
from keepwell.pipelines.service import run_pipeline
from keepwell.server.app import all_routes, make_app
from keepwell.server.openapi import openapi
from keepwell.server.routing import Download, File, Html, SeeOther
from keepwell.serving import service as serving
from keepwell.serving.model import Scoring
from keepwell.settings import read_settings
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Code, Input

ADA, BOB = "person:ada", "person:bob"
CANARY = "canary-77d01c"
CHARTER = """\
charter: 1
model: weekly demand
data:
  dataset: shipments
  source: in/*.csv
  time: week
  target: units
  keys: [outlet]
  contract: {columns: {units: {min: 0, max: 1000}}}
segments: [outlet]
forecast: {candidates: [lasso], ensemble: []}
gates: ["wmape <= 0.5"]
"""


def write_weeks(folder: Path, name: str, start: int, weeks: int, factor: int = 1) -> None:
    rows = [
        f"{outlet},{date(2025, 1, 6) + timedelta(weeks=start + week)},{(20 + week % 5) * factor}"
        for week in range(weeks)
        for outlet in "ABC"
    ]
    (folder / name).write_text("outlet,week,units\n" + "\n".join(rows) + "\n")


def say() -> str:
    return "hello"


def shout(word: str) -> str:
    print("shouting", CANARY[:0])
    return word.upper()


def trained(segment: str, wmape: float) -> Any:
    measured = [
        SimpleNamespace(slice="all", subject=subject, metric="wmape", value=value, n=60)
        for subject, value in (("self", wmape), ("baseline", 0.4))
    ]
    artifact = f"artifact of {segment} {wmape}".encode()
    return SimpleNamespace(segment=segment, artifact=artifact, evidence=measured, facts={}, rows=60)


@pytest.fixture
def house(kit: Kit, serve_kit: Callable[..., Any], tmp_path: Path) -> Any:
    """A house of the test's own."""
    return furnish(serve_kit(kit), tmp_path)


@pytest.fixture(scope="module")
def still(serve_kit: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One house for all tests that change nothing in it."""
    folder = tmp_path_factory.mktemp("still")
    clock = SimulatedClock(datetime(2026, 1, 5, 6, tzinfo=UTC))
    kit = open_house(read_settings(str(folder / "home"), {}), clock=clock, ids=SeededIds(clock, 1))
    return furnish(serve_kit(kit), folder)


def watch(kit: Kit, version: str) -> None:
    """Record one signal of each state and three weeks of performance."""
    start, week = datetime(2025, 6, 2, tzinfo=UTC), timedelta(days=7)
    said: Any = (("outlet=A", "ok", 3.0), ("outlet=B", "bad", 90.0), ("outlet=C", "unknown", None))
    metrics = dict.fromkeys(METRICS) | {"wmape": 0.1}
    signals = [
        Signal(segment, "staleness", state, value, 60.0, 1, start, start + week, "It is.", "retrain.stale_after")
        for segment, state, value in said
    ]
    windows = [
        Window("outlet=A", version, start + n * week, start + (n + 1) * week, 3, True, 60.0, metrics, {}, metrics)
        for n in range(3)
    ]
    with db.write(kit.db) as tx:
        call = kit.call("loop:weekly demand")
        monitoring.record_signals(tx, call, "weekly demand", signals)
        monitoring.record_performance(tx, call, "weekly demand", windows)


def furnish(served: Any, tmp_path: Path) -> Any:
    """Put one of everything into a house; `ids` says how they are called."""
    kit = served.kit
    folder = tmp_path / "work"
    (folder / "in").mkdir(parents=True)
    (tmp_path / "canary.txt").write_text(CANARY)
    (kit.home / "canary.txt").write_text(CANARY)
    write_weeks(folder / "in", "a.csv", 0, 20)
    with db.write(kit.db) as tx:
        applied = apply_charter(tx, kit.call(BOB), CHARTER, str(folder))
    first = receive(kit, applied, BOB).version
    write_weeks(folder / "in", "b.csv", 20, 2)
    second = receive(kit, applied, BOB).version
    write_weeks(folder / "in", "c.csv", 22, 2, 100)
    arrival = receive(kit, applied, BOB).quarantined[0]
    assert first and second
    artifact = kit.blobs.put(b"<script>alert(1)</script>")
    with db.write(kit.db) as tx:
        run = tracking.start_run(
            tx, kit.call(BOB), name="train", kind="train", params={"alpha": 0.1}, model="weekly demand",
            inputs=[Input(kind="dataset", name="shipments", id=second.id, digest=second.digest)], code=Code(),
        )  # fmt: skip
        logged = tracking.create_logged_model(tx, kit.call(BOB), run.experiment, "net", run_id=run.id)
        tracking.put_artifact(tx, kit.call(BOB), logged.id, "report.html", artifact)
        tracking.finish_run(tx, kit.call(BOB), run.id, "finished", {"wmape": 0.1}, {"report.html": artifact})
    lineage = Lineage(run.id, second.id, None, None, datetime(2026, 1, 5, tzinfo=UTC), "2025-06-01")
    fleet = [trained("outlet=A", 0.1), trained("outlet=B", 0.2), trained("outlet=C", 0.9)]
    certified = register_and_gate(kit, applied, fleet, lineage, BOB)
    good = certified.that("passed")
    promote_fleet(kit, applied, "prod", good[:1], BOB, "first")
    with db.write(kit.db) as tx:
        scoring = serving.publish(
            tx, kit.call(BOB),
            Scoring(id="scr_" + "0" * 26, model="weekly demand", environment="prod",
                    slot=kit.clock.now(), origin="2025-06-01", at=kit.clock.now(),
                    input=second.id, output=second.id, part=arrival.part or "", rows=6,
                    answered={"champion": 6}, first="2025-06-08", last="2025-06-15"),
        )  # fmt: skip
    watch(kit, good[0])
    pipeline = Pipeline(
        "tiny", (Step("say", say, outputs=("word",)), Step("shout", shout, inputs={"word": "say.word"}))
    )
    ran = run_pipeline(kit.db, kit.blobs, kit.call(BOB), pipeline, runner=InProcess(), home=kit.home)
    state = unknown_state("weekly demand", applied.digest, sorted(certified.versions))
    with db.write(kit.db) as tx:
        decided = decide(applied.charter, state, kit.clock.now())
        tick = loop.record_tick(tx, kit.call("loop:weekly demand"), state, kit.clock.now(), decided)
    with db.write(kit.db) as tx:
        registry.create_model(tx, kit.call(BOB), "flowers")
        register_from(tx, kit, kit.call(BOB), "flowers", f"runs:/{run.id}", aliases=["best"])
    served.folder, served.applied = folder, applied
    served.ids = {
        "model": "weekly demand", "dataset": "shipments", "run": run.id, "path...": "report.html", "experiment": "0",
        "arrival": arrival.id, "incident": arrival.incident, "batch": certified.batch, "seq": "1",
        "scoring": scoring.id, "version": good[0], "dataset-version": second.id,
        "environment": "prod", "tick": tick.id, "pipeline-run": ran.id, "step": "shout", "alias": "best", "number": "1",
        "logged-model": logged.id,
    }  # fmt: skip
    served.versions = certified.versions
    return served


def address(path: str, ids: dict[str, str]) -> str:
    """Return a route's path with real ids in it."""
    if path.startswith("/api/dataset-versions/"):
        path = path.replace("{version}", ids["dataset-version"])
    if path.startswith("/api/registry/"):
        path = path.replace("{model}", "flowers")
    if path.startswith(("/api/logged-models/", "/logged-models/")):
        path = path.replace("{model}", ids["logged-model"])
    if path.startswith("/api/pipeline-runs/"):
        path = path.replace("{run}", ids["pipeline-run"])
    for name, value in ids.items():
        path = path.replace("{" + name + "}", value.replace(" ", "%20"))
    return path


def refused(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    told = dict(response.json()["error"])
    assert told["message"] and "\n" not in told["message"] and "Traceback" not in response.text
    assert CANARY not in response.text
    return told


# ------------------------------------------------------------------------------------------------------- descriptions


def test_every_route_is_in_the_published_description(served: Any) -> None:
    told = served.get("/api/openapi.json").json()
    assert told["openapi"] == "3.1.0"
    ours = [route for route in all_routes() if route.dialect is None]
    declared = {(route.path.replace("...}", "}"), route.method.lower()) for route in ours}
    assert {(path, method) for path, methods in told["paths"].items() for method in methods} == declared
    names = [operation["operationId"] for methods in told["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)
    text = json.dumps(told)
    refs = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
    assert refs <= set(told["components"]["schemas"])
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            given = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert given == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert operation["summary"].endswith(".")
            if method == "post" and path.startswith("/api"):
                assert "Idempotency-Key" in {p["name"] for p in operation["parameters"]}


def test_every_listing_answers_what_its_description_says(still: Any) -> None:
    described = openapi(all_routes())
    schemas = described["components"]["schemas"]  # type: ignore[index]
    seen = 0
    for route in all_routes():
        if route.method != "GET" or route.path in ("/sign-in", "/api/openapi.json") or route.dialect is not None:
            continue
        source = f"?source=runs:/{still.ids['run']}"
        more = {"/why": "?segment=outlet%3DA", "{run}/history": "?name=loss", "/api/sources/files": source,
                "/api/sources/files/{path...}": source}  # fmt: skip
        asked = next((query for end, query in more.items() if route.path.endswith(end)), "")
        answer = still.get(address(route.path, still.ids) + asked)
        assert answer.status_code == 200, (route.path, answer.text)
        assert CANARY not in answer.text
        if route.answer in (None, Html, File, Download, SeeOther):
            continue
        operation = described["paths"][route.path]["get"]  # type: ignore[index]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": {"schemas": schemas}})
        seen += 1
    assert seen > 40


def test_looking_changes_nothing(still: Any) -> None:
    """GET never mutates: after every one of them, every table holds what it held."""

    def content() -> dict[str, list[Any]]:
        with db.read(still.kit.db) as tx:
            names = tx.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
            return {name: tx.exec_driver_sql(f'SELECT * FROM "{name}"').all() for name in names}

    before = content()
    for route in all_routes():
        if route.method == "GET":
            for method in ("GET", "HEAD"):
                still.ask(method, address(route.path, still.ids))
    assert content() == before


def test_listings_are_paged_to_their_end(still: Any) -> None:
    model = "weekly%20demand"
    for path, items in (
        (f"/api/models/{model}/members", 3),
        (f"/api/models/{model}/versions", 3),
        (f"/api/models/{model}/members?worst=wmape", 3),
        ("/api/datasets/shipments/versions", 2),
        ("/api/datasets/shipments/arrivals", 3),
        (f"/api/models/{model}/signals", 3),
        (f"/api/models/{model}/signal-history", 3),
        (f"/api/models/{model}/performance", 3),
        (address("/api/pipeline-runs/{run}/steps", still.ids), 2),
        ("/api/tokens", None),
        ("/api/ledger", None),
    ):
        whole = still.get(path).json()["items"]
        assert items is None or len(whole) == items, path
        token, found = None, []
        for _ in range(200):
            both = "&" if "?" in path else "?"
            page = still.get(f"{path}{both}limit=1" + (f"&cursor={token}" if token else "")).json()
            found += page["items"]
            token = page["next"]
            if token is None:
                break
        assert found == whole, path


def test_an_artifact_is_saved_and_never_shown(still: Any) -> None:
    """G07, B: by the run and the name, never by a path or a digest."""
    answer = still.get(address("/api/runs/{run}/artifacts/report.html", still.ids))
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    for name in ("other", "canary.txt", "..%2Fcanary.txt"):
        assert still.get(address("/api/runs/{run}/artifacts/", still.ids) + name).status_code in (400, 404)
    bytes_of = still.get(address("/api/versions/{version}/artifact", still.ids))
    assert bytes_of.content == b"artifact of outlet=A 0.1"


# ------------------------------------------------------------------------------------------------------------- charter


def test_a_text_is_checked_and_explained_without_a_trace(still: Any) -> None:
    before = len(still.entries())
    good = still.post("/api/charters/check", json={"text": CHARTER}).json()
    assert good["ok"] and still.post("/api/charters/explain", json={"text": CHARTER}).json()
    bad = still.post("/api/charters/check", json={"text": CHARTER.replace("time: week", "tme: week")}).json()
    assert not bad["ok"] and any(f["line"] for f in bad["findings"])
    refused(still.post("/api/charters/explain", json={"text": "charter: 2"}), 400)
    bomb = "a: &a [x,x,x]\n" + "\n".join(
        f"{c}: &{c} [*{p},*{p},*{p},*{p},*{p},*{p},*{p}]" for p, c in zip("abcdefg", "bcdefgh", strict=True)
    )
    assert not still.post("/api/charters/check", json={"text": bomb}).json()["ok"]
    assert not still.post(
        "/api/charters/check", json={"text": "!!python/object/apply:os.system [touch /tmp/x]"}
    ).json()["ok"]
    assert len(still.entries()) == before


def test_a_changed_charter_keeps_its_files_and_replaces_what_was_seen(house: Any) -> None:
    """R1: which files are read is decided on the machine that holds them."""
    path = "/api/charters/weekly%20demand"
    digest = house.get(path).json()["facts"]["digest"]
    changed = CHARTER.replace("wmape <= 0.5", "wmape <= 0.3")
    before = len(house.entries("charter."))
    for text in (
        CHARTER.replace("in/*.csv", "/etc/*"),
        CHARTER.replace("in/*.csv", "../../*"),
        CHARTER.replace("{columns: {units: {min: 0, max: 1000}}}", "/etc/hostname"),
        CHARTER.replace("gates:", "pipeline: evil.py:run\ngates:"),
        CHARTER.replace("candidates: [lasso]", "candidates: [lasso, mine], own: {mine: 'evil.py:run'}"),
    ):
        assert house.post(path, json={"text": text, "replaces": digest}).status_code in (400, 403), text
    refused(house.post(path, json={"text": CHARTER.replace("weekly demand", "other"), "replaces": digest}), 400)
    refused(house.post(path, json={"text": changed, "replaces": "sha256:" + "0" * 64}), 409)
    refused(
        house.post("/api/charters/other", json={"text": changed.replace("weekly demand", "other"), "replaces": digest}),
        404,
    )
    assert len(house.entries("charter.")) == before
    answer = house.post(path, json={"text": changed, "replaces": digest}).json()
    assert answer["number"] == 2 and house.get(path).json()["text"] == changed
    again = house.post(path, json={"text": changed, "replaces": digest}).json()
    assert again["number"] == 2
    assert len(house.get(f"{path}/history").json()["items"]) == 2


# ------------------------------------------------------------------------------------------------------------ arrivals


@pytest.mark.parametrize("verdict", ["release", "reject"])
def test_a_quarantined_arrival_is_settled_once(house: Any, verdict: str) -> None:
    path = address("/api/arrivals/{arrival}", house.ids)
    rows = house.get(f"{path}/failed-rows?limit=2").json()
    assert rows["total"] == 6 and len(rows["rows"]) == 2 and rows["rows"][0]["reason"]
    for bad in (
        {},
        {"reason": ""},
        {"reason": "x" * 2001},
        {"reason": 1},
        {"reason": "\x1b[2J"},
        {"reason": "x", "state": "accepted"},
    ):
        refused(house.post(f"{path}/{verdict}", json=bad), 400)
    done = house.post(f"{path}/{verdict}", json={"reason": "looked at it"}, headers={"idempotency-key": "k"})
    assert done.json()["state"] == f"{verdict}{'d' if verdict == 'release' else 'ed'}"
    again = house.post(f"{path}/{verdict}", json={"reason": "looked at it"}, headers={"idempotency-key": "k"})
    assert again.json() == done.json() and again.headers["idempotent-replay"] == "true"
    refused(house.post(f"{path}/release", json={"reason": "again"}), 409)
    assert house.get(address("/api/incidents/{incident}", house.ids)).json()["state"] == "closed"
    assert house.entries("dataset.arrival_")[0].actor == ADA


def test_an_incident_closes_on_evidence(house: Any) -> None:
    path = address("/api/incidents/{incident}/close", house.ids)
    for bad in ({"reason": "x"}, {"reason": "x", "evidence": {}}, {"reason": "x", "evidence": {"a": None}},
                {"reason": "x", "evidence": {"a": {"b": 1}}}):  # fmt: skip
        refused(house.post(path, json=bad), 400)
    closed = house.post(path, json={"reason": "mended", "evidence": {"arrival": "arr_1"}}).json()
    assert closed["state"] == "closed" and closed["closed_by"] == ADA
    refused(house.post(path, json={"reason": "again", "evidence": {"a": 1}}), 409)


# ---------------------------------------------------------------------------------------------------------- promotions


def test_promoting_through_the_api_asks_the_gates(house: Any) -> None:
    path = "/api/models/weekly%20demand"
    ids = list(house.versions.values())
    held = house.post(f"{path}/refusals", json={"environment": "prod", "versions": ids[1:]}).json()
    assert [refusal["segment"] for refusal in held] == ["outlet=C"]
    said = {"environment": "prod", "versions": ids[1:], "reason": "weekly release"}
    done = house.post(f"{path}/promote", json=said, headers={"idempotency-key": "p"}).json()
    assert [c["segment"] for c in done["promoted"]] == ["outlet=B"]
    assert [r["segment"] for r in done["held"]] == ["outlet=C"]
    count = len(house.entries())
    assert house.post(f"{path}/promote", json=said, headers={"idempotency-key": "p"}).json() == done
    assert len(house.entries()) == count
    assert len(house.get(f"{path}/champions").json()["items"]) == 2
    back = house.post(
        f"{path}/roll-back", json={"environment": "prod", "segments": ["outlet=B"], "reason": "harm"}
    ).json()
    assert back["promoted"] == [] and back["held"][0]["segment"] == "outlet=B"
    judged = house.post(f"{path}/gate", json={"versions": ids}).json()
    assert {v["outcome"] for v in judged} == {"passed", "failed"}
    gone = house.post(f"{path}/state", json={"versions": [ids[2]], "state": "discarded", "reason": "worse"}).json()
    assert gone == {"changed": 1}
    assert house.post(f"{path}/ask-approval", json={"environment": "prod", "versions": ids[:1]}).json() == {
        "approval": None
    }
    refused(house.post(f"{path}/approve", json={"environment": "prod", "versions": ids[:1], "reason": "fine"}), 409)


def test_an_approval_through_the_api_is_not_the_authors(house: Any) -> None:
    """M03, F19: bound to the bytes and the charter; never by who made the version."""
    digest = house.get("/api/charters/weekly%20demand").json()["facts"]["digest"]
    text = CHARTER + "release: {approvals: {prod: [mlops]}}\n"
    assert house.post("/api/charters/weekly%20demand", json={"text": text, "replaces": digest}).status_code == 200
    path, version = "/api/models/weekly%20demand", house.versions["outlet=B"]
    said = {"environment": "prod", "versions": [version], "reason": "fine"}
    assert house.post(f"{path}/promote", json=said).json()["promoted"] == []
    assert house.post(f"{path}/ask-approval", json={"environment": "prod", "versions": [version]}).json()["approval"]
    assert house.get("/api/approvals?model=weekly%20demand").json()[0]["role"] == "mlops"
    given = house.post(f"{path}/approve", json=said).json()
    assert given[0]["state"] == "given" and given[0]["settled_by"] == ADA
    assert house.post(f"{path}/gate", json={"versions": [version]}).status_code == 200
    assert [c["segment"] for c in house.post(f"{path}/promote", json=said).json()["promoted"]] == ["outlet=B"]
    assert house.get(f"/api/versions/{version}/approvals").json()[0]["settled_by"] == ADA


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"environment": "prod", "versions": [], "reason": "x"},
        {"environment": "prod", "versions": "all", "reason": "x"},
        {"environment": "prod", "versions": ["../../x"], "reason": "x"},
        {"environment": "prod", "versions": ["ver_" + "0" * 26], "reason": "x"},
        {"environment": "production", "versions": ["ver_" + "0" * 26], "reason": "x"},
        {"environment": "prod", "versions": ["ver_" + "0" * 26] * 20_001, "reason": "x"},
        {"environment": "prod", "versions": [None], "reason": "x"},
        {"environment": "prod", "versions": ["x"], "reason": "x", "approved_at": "2020-01-01"},
        {"environment": "prod", "versions": ["x"], "reason": "x", "actor": "person:root"},
    ],
)
def test_promotions_that_cannot_be_meant_change_nothing(still: Any, body: Any) -> None:
    """J01, M07: a client says neither who it is nor when."""
    before = len(still.entries())
    assert still.post("/api/models/weekly%20demand/promote", json=body).status_code in (400, 404, 413)
    assert len(still.entries()) == before


# ---------------------------------------------------------------------------------------------------------------- loop


def test_a_tick_is_run_where_the_loop_runs(serve: Callable[..., Any], house: Any) -> None:
    path = "/api/models/weekly%20demand/tick"
    assert house.post(path).status_code == 501
    ran: list[tuple[str, str]] = []

    def tick(model: str, actor: str) -> dict[str, object]:
        ran.append((model, actor))
        return {"tick": "tick_1"}

    looping = type(house)(
        house.kit, make_app(house.kit, auth="token", host="127.0.0.1", port=8400, tick=tick), house.token
    )
    for _ in range(2):
        assert looping.post(path, headers={"idempotency-key": "t"}).json() == {"tick": "tick_1"}
    assert ran == [("weekly demand", ADA)]
    refused(looping.post("/api/models/nothing/tick"), 404)
    decided = house.get("/api/decisions?kind=hold").json()["items"]
    assert all(one["decision"]["kind"] == "hold" and one["decision"]["reason"] for one in decided)
    refused(house.get("/api/decisions?kind=dance"), 400)
    refused(house.get("/api/models/weekly%20demand/why?segment=outlet%3DZ"), 404)


def test_a_training_is_wished_for_and_the_wish_taken_back(house: Any) -> None:
    path = "/api/models/weekly%20demand/wishes"
    wanted = {"reason": "The shop was rebuilt.", "segments": []}
    made = house.post(path, json=wanted, headers={"idempotency-key": "w"}).json()
    assert house.post(path, json=wanted, headers={"idempotency-key": "w"}).json() == made
    assert (made["model"], made["actor"], made["segments"]) == ("weekly demand", ADA, [])
    assert house.get(path).json() == [made]
    taken = house.post(f"/api/wishes/{made['id']}/withdraw").json()
    assert taken["withdrawn_at"] is not None
    refused(house.post(f"/api/wishes/{made['id']}/withdraw"), 409)
    refused(house.post("/api/wishes/wish_01k7e2ezr0xw3q7ym5vp84ppc3/withdraw"), 404)
    refused(house.post(path, json={**wanted, "segments": ["outlet=Z"]}), 404)
    refused(house.post(path, json={"segments": []}), 400)
    refused(house.post("/api/models/nothing/wishes", json=wanted), 404)


# -------------------------------------------------------------------------------------------------------------- names


NAMES = [
    *("null", "undefined", "-1", "0", "true", "latest", "prod", "42", "a%2Fb", "%2e%2e", "C:", "con", "%20"),
    *("x" * 1_500, "mod%2565l", "a%00b", "caf%65%CC%81", "x'%20OR%201=1--", "%7B%7B7*7%7D%7D", "().__class__"),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_none(still: Any, name: str) -> None:
    """D01, D05, I01, I03: one sentence, nothing changed, nothing read."""
    before = [e for e in still.entries() if e.kind != "access.denied"]
    for route in all_routes():
        if "{" not in route.path or not route.path.startswith("/api") or route.dialect is not None:
            continue
        if "{experiment}" in route.path and name == "0":
            continue  # there is an experiment 0, from the beginning
        if route.path == "/api/policies/{environment}" and route.method == "GET" and name in ("prod", "x" * 200):
            continue  # every environment has a policy: what was never named refuses
        asked = "/".join(name if part.startswith("{") else part for part in route.path.split("/"))
        answer = still.ask(route.method, asked, json={} if route.body else None)
        assert 400 <= answer.status_code < 500, (asked, answer.text)
        assert "\n" not in answer.json()["error"]["message"] and CANARY not in answer.text
    assert [e for e in still.entries() if e.kind != "access.denied"] == before


@pytest.mark.parametrize(
    "query",
    ["q=().__class__.__base__", "q=__import__('os')", "q=%27%20OR%201=1--", "q=%25", "q=_", "q=" + "a" * 201,
     "limit=1000000000", "limit=-1", "cursor=forged", "offset=1", "state=open&state=closed", "sort=name", "q=%1b%5b2J",
     "worst=%27;DROP%20TABLE%20models", "order_by=1", "filter=name%20like%20%27%25%27"],
)  # fmt: skip
def test_searches_do_not_run_what_they_are_given(still: Any, query: str) -> None:
    """I01, I03, J11, F17."""
    for path in ("/api/models/weekly%20demand/members", "/api/incidents", "/api/ledger", "/api/runs"):
        answer = still.get(f"{path}?{query}")
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 200:
            assert len(answer.json()["items"]) <= 500
    assert len(still.get("/api/models/weekly%20demand/members").json()["items"]) == 3


@pytest.mark.parametrize(
    "extra", ["source", "path", "uri", "artifact_location", "url", "api_base", "created_at", "author"]
)
def test_no_call_takes_a_place_or_a_moment(still: Any, extra: str) -> None:
    """B, E, M07: ids, not paths; unknown fields are refused in every body."""
    before = len(still.entries())
    for route in all_routes():
        if route.body is None or route.form:
            continue
        answer = still.ask(route.method, address(route.path, still.ids), json={extra: "file:///etc/passwd"})
        assert answer.status_code == 400, (route.path, answer.text)
    assert len(still.entries()) == before


# ------------------------------------------------------------------------------------------------------- ledger, tokens


def test_the_ledger_is_searched_verified_and_signed(house: Any) -> None:
    assert house.get("/api/ledger?kind=charter.").json()["items"][0]["kind"] == "charter.applied"
    assert house.get("/api/ledger/verification").json()["ok"] is True
    signed = house.post("/api/ledger/checkpoint").json()
    assert signed["size"] <= house.get("/api/ledger/checkpoint").json()["entries"]
    checked = house.get("/api/ledger/verification").json()
    assert checked["ok"] and checked["signed"] == signed["size"]
    for bad in ("0", "-1", "x", "9" * 30, "1.5", "٣"):
        assert house.get(f"/api/ledger/{bad}").status_code in (400, 404)
    assert house.ask("DELETE", "/api/ledger/1").status_code == 405
    assert house.ask("PUT", "/api/ledger/1", json={}).status_code == 405


def test_tokens_are_made_shown_once_and_revoked(house: Any) -> None:
    made = house.post(
        "/api/tokens", json={"name": "ci", "read_only": True, "life": "30d"}, headers={"idempotency-key": "t"}
    )
    assert made.status_code == 201
    token, ident = made.json()["token"], made.json()["id"]
    refused(
        house.post(
            "/api/tokens", json={"name": "ci", "read_only": True, "life": "30d"}, headers={"idempotency-key": "t"}
        ),
        409,
    )
    with_it = {"authorization": f"Bearer {token}"}
    me = house.get("/api/me", headers=with_it).json()
    assert me["read_only"] and "models.promote" not in me["permissions"] and me["actor"] == ADA
    refused(house.post("/api/tokens", json={"name": "more"}, headers=with_it), 403)
    assert token not in house.get("/api/tokens").text
    assert house.post(f"/api/tokens/{ident}/revoke").json()["revoked_at"]
    assert house.get("/api/me", headers=with_it).status_code == 401
    for bad in (
        {"name": ""},
        {"name": "../x"},
        {"name": "ci", "life": "0d"},
        {"name": "ci", "life": "999999w"},
        {"name": "ci", "life": "-1d"},
    ):
        refused(house.post("/api/tokens", json=bad), 400)
    found = [f for f in house.kit.home.rglob("*") if f.is_file() and token.encode() in f.read_bytes()]
    assert not found


def test_answers_hold_no_secret(still: Any) -> None:
    """R22: seeded secrets are in no answer."""
    pages_key = (still.kit.home / "keys" / "pages.key").read_bytes()
    for route in all_routes():
        if route.method == "GET":
            body = still.get(address(route.path, still.ids)).content
            assert still.token.encode() not in body and pages_key not in body and pages_key.hex().encode() not in body


def test_a_policy_is_changed_with_a_reason_and_an_unsafe_load_is_recorded(served: Any) -> None:
    digest = "sha256:" + "ab" * 32
    load = {"digest": digest, "flavor": "sklearn", "model": "demand"}
    told = refused(served.ask("POST", "/api/policies/dev/unsafe-loads", json=load), 403)
    assert "allow-pickle" in told["message"]
    refused(served.ask("POST", "/api/policies/dev", json={"pickle": True}), 400)
    refused(served.ask("POST", "/api/policies/dev", json={"code": ["os"], "reason": "why not"}), 400)
    changed = served.ask("POST", "/api/policies/dev", json={"pickle": True, "reason": "an old model"})
    assert changed.status_code == 200 and changed.json()["pickle"] is True
    assert served.ask("POST", "/api/policies/dev/unsafe-loads", json=load).status_code == 200
    kinds = [entry.kind for entry in served.entries()]
    assert kinds.count("policy.changed") == 1 and kinds.count("model.unsafe_loaded") == 1
    assert served.get("/api/policies/prod").json()["pickle"] is False
