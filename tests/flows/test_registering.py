"""Versions are registered from what is stored here, and from nothing else."""

from __future__ import annotations

import http.server
import threading

import pytest

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.flows import gc, registering
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.flows.registry import by_alias, delete_alias, delete_model, rename_model, set_alias, transition_stage
from keepwell.models import registry
from keepwell.models import service as models
from keepwell.tracking import service as tracking

ANN = "person:ann"


@pytest.fixture
def run(kit: Kit) -> str:
    """A finished run with a folder of a model, and a model's name."""
    with kit.write() as tx:
        call = kit.call(ANN)
        made = tracking.start_run(tx, call, name="fit").id
        for path, data in (
            ("model/MLmodel", b"flavors: {}"),
            ("model/data/weights.bin", b"w" * 100),
            ("log.txt", b"l"),
        ):
            tracking.put_artifact(tx, call, made, path, kit.blobs.put(data), len(data))
        registry.create_model(tx, call, "iris")
    return made


def register(kit: Kit, source: str, **more: object) -> registry.RegisteredVersion:
    with kit.write() as tx:
        return registering.register_from(tx, kit, kit.call(ANN), "iris", source, **more)


def paths(kit: Kit, version: object) -> list[tuple[str, int]]:
    return [(file.path, file.size) for file in registering.files_of(kit, version)]


def test_a_folder_of_a_run_is_registered_with_its_files_and_where_they_come_from(kit, run):
    version = register(kit, f"runs:/{run}/model", description="d", tags={"a": "b"}, aliases=["best"])
    assert paths(kit, version) == [("MLmodel", 11), ("data/weights.bin", 100)]
    assert (version.number, version.run_id, version.files, version.aliases) == (1, run, 2, ["best"])
    assert paths(kit, register(kit, f"mlflow-artifacts:/0/{run}/artifacts/model", run_id=run)) == paths(kit, version)
    assert paths(kit, register(kit, f"runs:/{run}")) == [
        ("log.txt", 1), ("model/MLmodel", 11), ("model/data/weights.bin", 100),
    ]  # fmt: skip
    assert paths(kit, register(kit, f"runs:/{run}/log.txt")) == [("log.txt", 1)]
    assert fsck(kit) == []


def test_a_version_keeps_its_files_when_the_run_changes_or_goes(kit, run, clock):
    version = register(kit, f"runs:/{run}/model")
    with kit.write() as tx:
        tracking.delete_artifacts(tx, kit.call(ANN), run)
    assert len(paths(kit, version)) == 2
    assert gc.run(kit, ANN).blobs == 0
    assert fsck(kit) == []


def test_a_version_is_registered_from_another(kit, run):
    first = register(kit, f"runs:/{run}/model", aliases=["best"])
    for source in ("models:/iris/1", "models:/iris@best", "models:/iris/latest", "models:/iris/None"):
        copied = register(kit, source)
        assert (copied.manifest, copied.run_id, copied.files) == (first.manifest, run, 2)
        assert copied.source == source
    assert fsck(kit) == []


def test_a_logged_model_is_registered_by_its_id_and_by_the_name_under_its_run(kit, run):
    with kit.write() as tx:
        call = kit.call(ANN)
        logged = tracking.create_logged_model(tx, call, 0, "forest", run_id=run)
        tracking.put_artifact(tx, call, logged.id, "MLmodel", kit.blobs.put(b"forest"), 6)
    for source in (f"models:/{logged.id}", f"mlflow-artifacts:/0/models/{logged.id}/artifacts", f"runs:/{run}/forest"):
        version = register(kit, source)
        assert (paths(kit, version), version.logged_model, version.run_id) == ([("MLmodel", 6)], logged.id, run)


def test_what_has_no_files_is_refused_unless_asked_for(kit, run):
    with pytest.raises(InvalidInput) as told:
        register(kit, f"runs:/{run}/nothing")
    assert told.value.code == "no_files"
    assert register(kit, f"runs:/{run}/nothing", empty=True).files == 0
    assert fsck(kit) == []


def test_what_is_not_there_or_not_meant_is_refused(kit, run):
    for source, more in (
        ("runs:/run_01m8caxh34s4m4xybqbpzd219c/model", {}),
        ("models:/iris/9", {}),
        ("models:/rose/1", {}),
        ("models:/iris@best", {}),
        ("models:/iris/latest", {}),
        ("models:/m-" + "0" * 32, {}),
    ):
        with pytest.raises(NotFound):
            register(kit, source, **more)
    with kit.write() as tx:
        call = kit.call(ANN)
        other = tracking.start_run(tx, call, name="other").id
        stray = tracking.create_logged_model(tx, call, 0, "stray", run_id=other).id
    register(kit, f"runs:/{run}/model")
    for source, more in (
        (f"runs:/{run}/model", {"run_id": "run_other"}),
        (f"runs:/{run}/model", {"run_id": other}),
        (f"runs:/{run}/model", {"logged_model": "m-none"}),
        (f"runs:/{run}/model", {"logged_model": "m-" + "0" * 32}),
        (f"mlflow-artifacts:/0/{run}/artifacts/model", {"logged_model": stray}),
        ("models:/iris/1", {"run_id": other}),
        ("models:/iris/1", {"logged_model": stray}),
        (f"models:/{stray}", {"logged_model": "m-" + "0" * 32}),
    ):
        with pytest.raises(InvalidInput, match="must identify the resource that contains the source") as told:
            register(kit, source, **more)
        assert told.value.code == "invalid_source"
    with pytest.raises(InvalidInput):
        register(kit, "models:/iris/Retired")
    with kit.write() as tx:
        tracking.delete_run(tx, kit.call(ANN), run)
    with pytest.raises(Conflict):
        register(kit, f"runs:/{run}/model")
    with kit.write() as tx, pytest.raises(NotFound):
        registering.register_from(tx, kit, kit.call(ANN), "rose", f"runs:/{run}/model")


def test_no_source_opens_a_path_or_an_address(kit, run, tmp_path):
    """Canary files stand where a path would lead, and a listener where an address would."""
    hits: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

    server = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    canary = tmp_path / "canary"
    canary.write_text("secret-of-the-disk")
    (kit.home / "canary").write_text("secret-of-the-home")
    at = f"127.0.0.1:{server.server_port}"
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for source in (
        f"file://{tmp_path}/", f"file://{at}{tmp_path}/", f"http://{at}/x", f"http:///#/..{canary}", "file:canary",
        f" file://{canary}", f"fi\tle://{canary}", f"runs:/{run}/../../../canary", f"mlflow-artifacts://{at}/0/{run}/artifacts",
        "mlflow-artifacts:/../../canary", f"mlflow-artifacts:/0/{run}/artifacts/../../../canary", str(canary), "canary",
        f"s3://{at}/x", f"models://{at}/iris/1", f"runs://{at}/{run}/model",
    ):  # fmt: skip
        for more in ({}, {"run_id": run}, {"empty": True}):
            with pytest.raises(InvalidInput) as told:
                register(kit, source, **more)
            assert "secret" not in str(told.value)
    server.shutdown()
    server.server_close()
    assert hits == []
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert register(kit, f"runs:/{run}/model").number == 1


CHARTER = """
charter: 1
model: iris
owner: {business: a, technical: b}
purpose: Flowers.
data: {dataset: flowers, source: "*.csv", time: day, target: petal}
release: {environments: [dev, prod]}
"""


def test_a_charter_decides_who_is_champion_and_keeps_the_name(kit, run):
    from keepwell.governance.charters import apply_charter

    first, second = register(kit, f"runs:/{run}/model"), register(kit, f"runs:/{run}/model")
    with kit.write() as tx:
        call = kit.call(ANN)
        apply_charter(tx, call, CHARTER, str(kit.home))
        for alias in ("champion", "Challenger"):
            with pytest.raises(Conflict, match="gates and approvals decide"):
                set_alias(tx, call, "IRIS", alias, 1)
            with pytest.raises(Conflict):
                delete_alias(tx, call, "iris", alias)
        for wrong in (
            lambda: transition_stage(tx, call, "iris", 1, "Production"),
            lambda: rename_model(tx, call, "iris", "rose"),
            lambda: delete_model(tx, call, "iris"),
            lambda: registering.register_from(tx, kit, call, "iris", f"runs:/{run}/model", aliases=["champion"]),
        ):
            with pytest.raises(Conflict) as told:
                wrong()
            assert told.value.code == "governed"
        with pytest.raises(NotFound):
            by_alias(tx, "iris", "champion")
        assert by_alias(tx, "iris", "challenger").number == 2
        set_alias(tx, call, "iris", "blue", 1)
        models.promote(tx, call, "iris", "dev", [second.id], "first look")
        with pytest.raises(NotFound):
            by_alias(tx, "iris", "champion")
        models.promote(tx, call, "iris", "prod", [first.id], "good")
        assert by_alias(tx, "iris", "Champion").number == 1
        assert by_alias(tx, "iris", "challenger").number == 2
        models.promote(tx, call, "iris", "prod", [second.id], "better")
        with pytest.raises(NotFound):
            by_alias(tx, "iris", "challenger")


def test_a_model_without_a_charter_sets_what_it_likes(kit, run):
    register(kit, f"runs:/{run}/model")
    with kit.write() as tx:
        call = kit.call(ANN)
        set_alias(tx, call, "iris", "champion", 1)
        assert by_alias(tx, "iris", "champion").number == 1
        assert delete_alias(tx, call, "iris", "champion")
        assert transition_stage(tx, call, "iris", 1, "Production").stage == "Production"
        rename_model(tx, call, "iris", "rose")
        delete_model(tx, call, "rose")


def test_a_fleet_is_not_registered_by_hand(kit, run):
    from keepwell.governance.charters import apply_charter

    with kit.write() as tx:
        apply_charter(tx, kit.call(ANN), CHARTER + "segments: [garden]\n", str(kit.home))
    with pytest.raises(Conflict) as told:
        register(kit, f"runs:/{run}/model")
    assert told.value.code == "has_segments"
