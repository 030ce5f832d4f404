"""Artifacts: paths that cannot leave their owner or clash, one level at a time, and what fsck wants of their bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.db import read, write
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.tracking import rules, service
from keepwell.tracking.tables import artifacts

ADA = "person:ada"
DIGEST = "sha256:" + "a" * 64


def start(kit: Kit) -> str:
    with write(kit.db) as tx:
        return service.start_run(tx, kit.call(ADA), name="r").id


def put(kit: Kit, owner: str, path: str, digest: str = DIGEST, size: int | None = 3) -> None:
    with write(kit.db) as tx:
        service.put_artifact(tx, kit.call(ADA), owner, path, digest, size)


def test_files_and_folders(kit: Kit) -> None:
    run = start(kit)
    for path in ("b.txt", "model/MLmodel", "model/data/x.bin", "a (1).txt", "modell/é.png"):
        put(kit, run, path)
    put(kit, run, "b.txt", "sha256:" + "b" * 64, 4)
    with read(kit.db) as tx:
        assert [(a.path, a.is_dir) for a in service.artifacts(tx, run)] == [
            ("model", True), ("modell", True), ("a (1).txt", False), ("b.txt", False),
        ]  # fmt: skip
        assert [a.path for a in service.artifacts(tx, run, "model")] == ["model/data", "model/MLmodel"]
        assert [a.path for a in service.all_artifacts(tx, run, "model")] == ["model/MLmodel", "model/data/x.bin"]
        assert service.artifacts(tx, run, "none") == [] and service.artifacts(tx, run, "mode") == []
        found = service.artifact(tx, run, "b.txt")
        assert (found.digest, found.size) == ("sha256:" + "b" * 64, 4)
        assert len(service.run(tx, run).artifacts) == 5
        with pytest.raises(NotFound):
            service.artifact(tx, run, "model")
    with write(kit.db) as tx:
        assert service.delete_artifacts(tx, kit.call(ADA), run, "model") == 2
        assert service.delete_artifacts(tx, kit.call(ADA), run, "b.txt") == 1
        assert service.delete_artifacts(tx, kit.call(ADA), run, "none") == 0
        assert service.delete_artifacts(tx, kit.call(ADA), run) == 2


@pytest.mark.parametrize(
    "path",
    [
        "",
        "..",
        "a/../b",
        "/a",
        "a/",
        "a//b",
        "./a",
        "a\\b",
        "a\0b",
        "a\nb",
        "a.",
        "a/ b",
        "b /c",
        "x" * 501,
        "C:\\x",
        "a:b",
        "~\0",
    ],
)
def test_other_paths_are_refused(kit: Kit, path: str) -> None:
    run = start(kit)
    with pytest.raises(InvalidInput):
        put(kit, run, path)
    with read(kit.db) as tx:
        with pytest.raises(InvalidInput):
            service.artifact(tx, run, path)
        if path:
            with pytest.raises(InvalidInput):
                service.artifacts(tx, run, path)


@given(st.text(max_size=40))
def test_a_path_that_is_taken_stays_inside(path: str) -> None:
    try:
        taken = rules.accept_path(path)
    except InvalidInput:
        return
    assert taken == path and not path.startswith("/") and "\\" not in path and path.isprintable()
    assert all(part not in ("", ".", "..") for part in path.split("/"))


@pytest.mark.parametrize(
    ("one", "other"), [("A/b.txt", "a/B.txt"), ("é", "e\u0301"), ("a", "a/b"), ("a/b", "A"), ("x/y/z", "x/y")]
)
def test_paths_that_clash(kit: Kit, one: str, other: str) -> None:
    run = start(kit)
    put(kit, run, one)
    with pytest.raises(Conflict) as caught:
        put(kit, run, other)
    assert caught.value.code == "path_taken"


def test_owners(kit: Kit) -> None:
    run = start(kit)
    with write(kit.db) as tx:
        model = service.create_logged_model(tx, kit.call(ADA), 0, "m", run_id=run).id
    put(kit, model, "MLmodel")
    for missing in ("run_" + "0" * 26, "m-" + "0" * 32):
        with pytest.raises(NotFound):
            put(kit, missing, "a")
    with pytest.raises(InvalidInput):
        put(kit, "../x", "a")
    with write(kit.db) as tx:
        service.delete_run(tx, kit.call(ADA), run)
        service.delete_logged_model(tx, kit.call(ADA), model)
    for owner in (run, model):
        with pytest.raises(Conflict):
            put(kit, owner, "b")


def test_a_change_after_the_end_is_told_and_lost_bytes_are_named(kit: Kit) -> None:
    run = start(kit)
    with write(kit.db) as tx:
        service.finish_run(tx, kit.call(ADA), run, "finished")
    put(kit, run, "late.txt", kit.blobs.put(b"late"))
    assert fsck(kit) == []
    with write(kit.db) as tx:
        tx.execute(artifacts.update().values(digest=DIGEST))
    with read(kit.db) as tx:
        (told,) = entries(tx, kind="run.amended")
    assert told.body["changed"] == {"artifacts": 1}
    assert [(p.invariant, p.subject.endswith(run)) for p in fsck(kit)] == [("I1", True)]
