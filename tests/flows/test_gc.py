"""What is deleted is freed, what is referred to never is, and bytes that are put again survive."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest

from keepwell.core.errors import Damaged, InvalidInput, NotFound
from keepwell.core.manifests import File, write_manifest
from keepwell.flows import gc, registering
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.models import registry
from keepwell.tracking import service as tracking

ANN = "person:ann"
DAYS = timedelta(days=1)


def aged(kit: Kit, *digests: str, hours: float = 48) -> None:
    """Let bytes look as if they were put long ago."""
    moment = time.time() - hours * 3600
    for digest in digests or list(kit.blobs.digests()):
        place = kit.home / "blobs" / digest[7:9] / digest[9:]
        os.utime(place, (moment, moment))


def folder(kit: Kit, **files: bytes) -> registry.Origin:
    """Store a folder's files and their manifest."""
    stored = [File(name, kit.blobs.put(data), len(data)) for name, data in files.items()]
    manifest = write_manifest(stored)
    return registry.Origin(kit.blobs.put(manifest), len(manifest), files=len(stored))


def registered(kit: Kit, content: bytes, model: str = "iris") -> registry.Origin:
    origin = folder(kit, MLmodel=b"flavors: {}", weights=content)
    with kit.write() as tx:
        if not registry.search_models(tx, f"name = '{model}'"):
            registry.create_model(tx, kit.call(ANN), model)
        registry.create_version(tx, kit.call(ANN), model, origin, tags={"a": "b"}, description="words")
    return origin


def kinds(kit: Kit) -> list[str]:
    with kit.read() as tx:
        return [entry.kind for entry in entries(tx, kind="gc.", after=0)]


def test_the_plan_says_what_a_run_frees_and_changes_nothing(kit, clock):
    registered(kit, b"one" * 100), registered(kit, b"two" * 100)
    loose = kit.blobs.put(b"nobody's" * 1000)
    young = kit.blobs.put(b"somebody's")
    with kit.write() as tx:
        registry.delete_version(tx, kit.call(ANN), "iris", 1)
    clock.advance(31 * DAYS)
    aged(kit)
    aged(kit, young, hours=0)
    before = sorted(kit.blobs.digests())
    plan = gc.plan(kit)
    assert (plan.rows.versions, plan.rows.waiting, plan.blobs, plan.young) == (1, 0, 3, 1)
    assert plan.largest[0] == (loose, 8000)
    assert sorted(kit.blobs.digests()) == before
    assert kinds(kit) == []
    assert fsck(kit) == []
    freed = gc.run(kit, ANN)
    assert (freed.rows.versions, freed.blobs, freed.bytes, freed.spared) == (1, plan.blobs, plan.bytes, 0)
    assert kit.blobs.has(young) and not kit.blobs.has(loose)
    assert kinds(kit) == ["gc.expired", "gc.condemned", "gc.freed"]
    assert fsck(kit) == []
    again = gc.run(kit, ANN)
    assert (again.rows.versions, again.blobs) == (0, 0)


def test_what_two_versions_share_stays_for_the_one_that_is_left(kit, clock):
    one = registered(kit, b"same")
    registered(kit, b"same", "rose")
    with kit.write() as tx:
        registry.delete_model(tx, kit.call(ANN), "iris")
    clock.advance(31 * DAYS)
    aged(kit)
    freed = gc.run(kit, ANN)
    assert (freed.rows.versions, freed.blobs) == (1, 0)
    assert kit.blobs.has(one.manifest)
    assert fsck(kit) == []


def test_a_deleted_version_comes_back_within_the_retention_and_never_after(kit, clock):
    origin = registered(kit, b"one")
    with kit.write() as tx:
        registry.delete_version(tx, kit.call(ANN), "iris", 1)
    aged(kit)
    clock.advance(29 * DAYS)
    assert gc.run(kit, ANN).rows.waiting == 1
    assert kit.blobs.has(origin.manifest)
    clock.advance(2 * DAYS)
    aged(kit)
    gc.run(kit, ANN)
    assert not kit.blobs.has(origin.manifest)
    with kit.write() as tx, pytest.raises(NotFound, match="given back"):
        registry.restore_version(tx, kit.call(ANN), "iris", 1)
    registered(kit, b"two")
    with kit.read() as tx:
        assert [v.number for v in registry.search_versions(tx)] == [2]
    assert fsck(kit) == []


def test_a_fleet_is_freed_when_its_last_member_is_deleted(kit, clock, register_fleet):
    versions = register_fleet(("region=N", "region=S"))
    with kit.write() as tx:
        registry.delete_versions(tx, kit.call(ANN), [versions[0].id], "old")
    clock.advance(31 * DAYS)
    aged(kit)
    assert gc.run(kit, ANN).rows.versions == 0
    assert kit.blobs.has(versions[0].pack)
    with kit.write() as tx:
        registry.delete_versions(tx, kit.call(ANN), [versions[1].id], "old")
    clock.advance(31 * DAYS)
    aged(kit)
    assert gc.run(kit, ANN).rows.versions == 2
    assert not kit.blobs.has(versions[0].pack)
    assert fsck(kit) == []


@pytest.fixture
def register_fleet(kit: Kit):
    from keepwell.models import service as models

    def do(segments):
        pack, members = models.pack(kit.blobs, {s: s.encode() for s in segments})
        with kit.write() as tx:
            return models.register(
                tx, kit.call(ANN), "demand", members, pack=pack, run_id=None, dataset_version=None, code=None,
                environment=None, trained_at=kit.clock.now(), trained_until="", blobs=kit.blobs,
            )  # fmt: skip

    return do


@pytest.mark.parametrize("spans", [{"grace": timedelta(minutes=59)}, {"retention": timedelta(seconds=-1)}])
def test_spans_that_cannot_be_meant_are_refused(kit, spans):
    with pytest.raises(InvalidInput):
        gc.plan(kit, **spans)


def test_bytes_put_between_condemning_and_removing_survive(kit, monkeypatch):
    data = b"put again"
    digest = kit.blobs.put(data)
    aged(kit)
    plain = kit.blobs.free

    def late(digest: str, older_than: float) -> int | None:
        kit.blobs.put(data)
        return plain(digest, older_than)

    monkeypatch.setattr(type(kit.blobs), "free", lambda self, d, o: late(d, o))
    freed = gc.run(kit, ANN)
    assert (freed.blobs, freed.spared) == (0, 1)
    assert kit.blobs.get(digest) == data
    assert fsck(kit) == []


def test_bytes_that_are_kept_are_left_for_the_row_that_follows(kit):
    digest = kit.blobs.put(b"known by its digest only")
    aged(kit)
    kit.blobs.keep(digest)
    assert gc.run(kit, ANN).blobs == 0
    aged(kit)
    assert gc.run(kit, ANN).blobs == 1
    with pytest.raises(NotFound):
        kit.blobs.keep(digest)


def test_a_list_that_cannot_be_read_stops_it(kit):
    origin = registered(kit, b"one")
    loose = kit.blobs.put(b"loose")
    place = kit.home / "blobs" / origin.manifest[7:9] / origin.manifest[9:]
    place.chmod(0o600)
    place.write_bytes(b"[[")
    aged(kit)
    with pytest.raises(Damaged, match="nothing is freed"):
        gc.run(kit, ANN)
    assert kit.blobs.has(loose)


def test_lists_that_the_ledger_names_stay(kit, clock, register_fleet):
    register_fleet([f"n={n}" for n in range(30)])
    aged(kit)
    assert gc.run(kit, ANN).blobs == 0
    for n in range(40):
        kit.blobs.put(str(n).encode())
    aged(kit)
    assert gc.run(kit, ANN).blobs == 40
    aged(kit)
    assert gc.run(kit, ANN).blobs == 0, "the lists of what was freed are told by the ledger"


def test_puts_of_the_same_bytes_at_once_lose_nothing(kit):
    """A thread puts bytes again and again while they are freed again and again: whoever has put finds them."""
    data = b"contended"
    digest = kit.blobs.put(data)
    missed: list[int] = []
    ended = threading.Event()

    def putting() -> None:
        for n in range(300):
            kit.blobs.put(data)
            if not kit.blobs.has(digest):
                missed.append(n)
            aged_quietly(kit, digest)
        ended.set()

    def aged_quietly(kit: Kit, digest: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            aged(kit, digest)

    thread = threading.Thread(target=putting)
    thread.start()
    while not ended.is_set():
        with contextlib.suppress(NotFound):
            kit.blobs.free(digest, time.time() - 3600)
    thread.join()
    assert missed == []


def logged(kit: Kit, experiment: int = 0, content: bytes = b"model", parent: str | None = None) -> str:
    """A run with a metric, a param, a tag and a folder of files."""
    with kit.write() as tx:
        call = kit.call(ANN)
        run = tracking.start_run(tx, call, name="fit", experiment=experiment, params={"a": 1}, tags={"t": "x"},
                                 parent=parent).id  # fmt: skip
        tracking.put_artifact(tx, call, run, "model/MLmodel", kit.blobs.put(content), len(content))
        tracking.finish_run(tx, call, run, "finished", {"loss": 0.5}, {"log.txt": kit.blobs.put(b"log of " + content)})
    return run


def test_a_deleted_run_is_freed_with_all_it_has(kit, clock):
    run = logged(kit)
    child = logged(kit, content=b"child", parent=run)
    with kit.write() as tx:
        tracking.delete_run(tx, kit.call(ANN), run)
    clock.advance(31 * DAYS)
    aged(kit)
    plan, freed = gc.plan(kit), gc.run(kit, ANN)
    assert (plan.rows, plan.blobs) == (freed.rows, freed.blobs)
    assert (freed.rows.runs, freed.blobs) == (1, 2)
    with kit.read() as tx:
        with pytest.raises(NotFound):
            tracking.run(tx, run)
        left = tracking.run(tx, child)
    assert (left.parent, left.metrics, set(left.artifacts)) == (None, {"loss": 0.5}, {"log.txt", "model/MLmodel"})
    assert fsck(kit) == []


def test_a_deleted_run_stays_as_long_as_a_version_comes_from_it(kit, clock):
    run = logged(kit)
    with kit.write() as tx:
        registry.create_model(tx, kit.call(ANN), "iris")
        registering.register_from(tx, kit, kit.call(ANN), "iris", f"runs:/{run}/model")
        tracking.delete_run(tx, kit.call(ANN), run)
    clock.advance(31 * DAYS)
    aged(kit)
    freed = gc.run(kit, ANN)
    assert (freed.rows.runs, freed.rows.waiting, freed.blobs) == (0, 1, 0)
    with kit.write() as tx:
        registry.delete_version(tx, kit.call(ANN), "iris", 1)
    clock.advance(31 * DAYS)
    aged(kit)
    freed = gc.run(kit, ANN)
    assert (freed.rows.versions, freed.rows.runs, freed.blobs) == (1, 1, 3)
    assert fsck(kit) == []


def test_a_deleted_experiment_and_its_models_are_freed_and_its_number_is_not_given_again(kit, clock):
    with kit.write() as tx:
        number = tracking.create_experiment(tx, kit.call(ANN), "trials", {"a": "b"}).id
    run = logged(kit, number)
    with kit.write() as tx:
        call = kit.call(ANN)
        model = tracking.create_logged_model(tx, call, number, "forest", run_id=run, params={"n": "1"}, tags={"t": "x"})
        tracking.put_artifact(tx, call, model.id, "MLmodel", kit.blobs.put(b"forest"), 6)
        tracking.log_outputs(tx, call, run, [(model.id, 0)])
        tracking.delete_logged_model(tx, call, model.id)
        tracking.delete_experiment(tx, call, number)
    clock.advance(31 * DAYS)
    aged(kit)
    rows = gc.run(kit, ANN).rows
    assert (rows.runs, rows.logged_models, rows.experiments, rows.waiting) == (1, 1, 1, 0)
    with kit.write() as tx:
        assert tracking.experiment_by_name(tx, "trials") is None
        assert tracking.create_experiment(tx, kit.call(ANN), "trials").id > number
    assert fsck(kit) == []


FREE = """
import sys, time
from pathlib import Path
from keepwell.blobs import LocalBlobs
from keepwell.core import failpoints
failpoints.arm("*:log,blobs.freeing:sleep:1")
print(LocalBlobs(Path(sys.argv[1])).free(sys.argv[2], time.time() - 3600), flush=True)
"""


@pytest.mark.parametrize("how", ["put", "put_file", "keep"])
def test_who_puts_waits_for_another_process_that_is_freeing_the_same_bytes(kit, tmp_path, how):
    """It has looked and not removed yet: bytes that were put in between would be lost."""
    data = b"the same"
    file = tmp_path / "file"
    file.write_bytes(data)
    digest = kit.blobs.put(data)
    aged(kit, digest)
    command = [sys.executable, "-c", FREE, str(kit.home / "blobs"), digest]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while (kit.home / "blobs" / "lock").stat().st_size == 0 and not held(kit):
            time.sleep(0.005)
        if how == "put":
            kit.blobs.put(data)
        elif how == "put_file":
            kit.blobs.put_file(file)
        else:
            with pytest.raises(NotFound):
                kit.blobs.keep(digest)
        assert child.communicate()[0].strip() == str(len(data))
    assert kit.blobs.has(digest) == (how != "keep")


def held(kit: Kit) -> bool:
    """Tell whether somebody holds the lock between putting and freeing."""
    with (kit.home / "blobs" / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
