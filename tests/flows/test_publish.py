"""Versions by reference and by publishing: numbered, immutable, in the ledger, never copied."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, Damaged, InvalidInput, NotFound
from keepwell.datasets import service
from keepwell.datasets.content import draft, manifest_of, profile_of
from keepwell.datasets.model import DatasetVersion, Form, Manifest
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.flows.publish import publish, refer
from keepwell.ledger.service import entries

ME = "person:test"
FORM = Form(time="t", keys=("k",))


def add(kit: Kit, folder: Path, name: str = "sales", profiled: bool = True) -> DatasetVersion:
    return refer(kit, kit.call(ME), name, ["*.csv"], folder, profiled=profiled)


def versions(kit: Kit, name: str = "sales") -> list[DatasetVersion]:
    with read(kit.db) as tx:
        return service.versions(tx, name)


def events(kit: Kit, kind: str) -> int:
    with read(kit.db) as tx:
        return len(entries(tx, kind=kind))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    place.mkdir()
    (place / "a.csv").write_text("shop,units\na,1\nb,2\n")
    (place / "b.csv").write_text("shop,units\na,3.5\n")
    return place


def test_a_version_refers_and_does_not_copy(kit: Kit, folder: Path) -> None:
    made = add(kit, folder)
    assert (made.number, made.rows, made.parts, made.parent) == (1, 3, 2, None)
    assert made.schema == {"shop": "text", "units": "number"}
    manifest = manifest_of(kit.blobs, made)
    assert [Path(file.uri).name for file in manifest.files] == ["a.csv", "b.csv"]
    digests = set(kit.blobs.digests())
    assert digests == {made.manifest, made.profile}
    assert not digests & {file.sha256 for file in manifest.files}
    profile = profile_of(kit.blobs, made)
    assert profile is not None
    assert profile["rows"] == 3


def test_the_same_content_adds_nothing_and_a_change_adds_one(kit: Kit, folder: Path) -> None:
    first = add(kit, folder)
    assert add(kit, folder) == first
    (folder / "b.csv").write_text("shop,units\na,4\n")
    second = add(kit, folder)
    assert (second.number, second.parent) == (2, first.id)
    assert [one.number for one in versions(kit)] == [2, 1]
    assert events(kit, "dataset.version_added") == 2


def test_the_digest_is_of_the_content_wherever_it_lies(kit: Kit, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    assert add(kit, folder).digest == add(kit, other, "copy").digest


def test_loading_asks_for_the_bytes_of_the_version(kit: Kit, folder: Path) -> None:
    made = add(kit, folder)
    with read(kit.db) as tx:
        assert service.load(kit.blobs, tx, made.id).rows() == [("a", 1.0), ("b", 2.0), ("a", 3.5)]
        (folder / "b.csv").write_text("shop,units\na,4\n")
        with pytest.raises(Conflict, match="has changed"):
            service.load(kit.blobs, tx, made.id)
        (folder / "b.csv").unlink()
        with pytest.raises(NotFound):
            service.load(kit.blobs, tx, made.id)


def test_any_bytes_can_be_referred_to_without_a_profile(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\0\1")
    made = refer(kit, kit.call(ME), "pictures", ["x.bin"], tmp_path, profiled=False)
    assert (made.rows, made.schema, made.profile) == (None, {}, None)
    with pytest.raises(InvalidInput, match="no known format"):
        refer(kit, kit.call(ME), "tables", ["x.bin"], tmp_path)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "latest", "null", "123", "x\0y", "a" * 201, "CON"])
def test_names_follow_the_grammar(kit: Kit, folder: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        add(kit, folder, name)
    assert events(kit, "dataset.") == 0


def test_names_that_differ_in_case_are_one(kit: Kit, folder: Path) -> None:
    add(kit, folder)
    with pytest.raises(Conflict, match="'sales' already"):
        add(kit, folder, "Sales")


def test_nothing_matches(kit: Kit, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No file matches"):
        refer(kit, kit.call(ME), "nothing", ["*.csv"], tmp_path)


def test_versions_are_found_by_what_people_write(kit: Kit, folder: Path) -> None:
    first = add(kit, folder)
    (folder / "a.csv").write_text("shop,units\na,9\n")
    second = add(kit, folder)
    with read(kit.db) as tx:
        assert service.named_version(tx, "sales") == second
        assert service.named_version(tx, "sales@1") == first
        assert service.named_version(tx, first.id) == first
        assert service.latest(tx, "sales") == second
        assert service.latest(tx, "none") is None
        assert [one.name for one in service.datasets(tx)] == ["sales"]
        for nothing in ("none", "sales@3", "sales@x", "dsv_00000000000000000000000000", "arr_x"):
            with pytest.raises(NotFound):
                service.named_version(tx, nothing)
        with pytest.raises(NotFound):
            service.arrival(tx, "arr_x")


def test_a_stale_draft_is_refused(kit: Kit, folder: Path) -> None:
    first = add(kit, folder)
    manifest = Manifest(patterns=[], folder="", files=[])
    with write(kit.db) as tx, pytest.raises(Conflict) as caught:
        service.add_version(tx, kit.call(ME), "sales", draft(kit.blobs, manifest, None, None), "test")
    assert caught.value.code == service.STALE
    with write(kit.db) as tx:
        made = service.add_version(tx, kit.call(ME), "sales", draft(kit.blobs, manifest, None, first.id), "test")
    assert made.number == 2


def test_many_at_once_number_densely(kit: Kit, tmp_path: Path) -> None:
    kit = replace(kit, clock=SimulatedClock(kit.clock.now()))
    frames = [pl.DataFrame({"k": ["a"], "t": [i], "v": [float(i)]}) for i in range(8)]

    def one(i: int) -> DatasetVersion:
        return publish(kit, kit.call(ME), "scores", frames[i], FORM, f"scoring:{i}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(8)))
    found = versions(kit, "scores")
    assert [version.number for version in found] == list(range(8, 0, -1))
    with read(kit.db) as tx:
        assert service.load(kit.blobs, tx, found[0].id)["t"].to_list() == list(range(8))


def test_publishing_adds_parts_and_corrects(kit: Kit) -> None:
    one = pl.DataFrame({"k": ["a", "b"], "t": [1, 1], "v": [1.0, 2.0]})
    first = publish(kit, kit.call(ME), "scores", one, FORM, "scoring:1")
    assert publish(kit, kit.call(ME), "scores", one, FORM, "scoring:1") == first
    two = pl.DataFrame({"k": ["b", "c"], "t": [1, 1], "v": [3.0, 4.0]})
    second = publish(kit, kit.call(ME), "scores", two, FORM, "scoring:2")
    assert (second.rows, second.superseded, second.parts, second.cause) == (3, 1, 2, "scoring:2")
    with read(kit.db) as tx:
        assert service.load(kit.blobs, tx, second.id)["v"].to_list() == [1.0, 3.0, 4.0]
        assert service.load(kit.blobs, tx, first.id)["v"].to_list() == [1.0, 2.0]
    with pytest.raises(Conflict, match="another form"):
        publish(kit, kit.call(ME), "scores", one, Form(time="t"), "scoring:3")


def test_files_are_not_mixed_into_a_charters_dataset(kit: Kit, folder: Path) -> None:
    one = pl.DataFrame({"k": ["a"], "t": [1], "v": [1.0]})
    publish(kit, kit.call(ME), "scores", one, FORM, "scoring:1")
    with pytest.raises(Conflict, match="another name"):
        add(kit, folder, "scores")


def test_a_part_that_rotted_is_not_read(kit: Kit) -> None:
    one = pl.DataFrame({"k": ["a"], "t": [1], "v": [1.0]})
    made = publish(kit, kit.call(ME), "scores", one, FORM, "scoring:1")
    part = manifest_of(kit.blobs, made).parts[0]
    place = type(kit.blobs)(kit.home / "blobs").path(part.blob)
    place.chmod(0o600)
    place.write_bytes(place.read_bytes()[:-9] + b"123456789")
    fresh = replace(kit, blobs=type(kit.blobs)(kit.home / "blobs"))
    with read(kit.db) as tx, pytest.raises(Damaged):
        service.load(fresh.blobs, tx, made.id)


def test_history_is_in_the_order_it_was_made(kit: Kit, folder: Path, clock: SimulatedClock) -> None:
    for i in range(3):
        (folder / "a.csv").write_text(f"shop,units\na,{i}\n")
        add(kit, folder)
        clock.advance(timedelta(days=-1))  # clocks go back; numbers do not
    found = versions(kit)
    assert [one.number for one in found] == [3, 2, 1]
    with read(kit.db) as tx:
        assert [one.number for one in service.versions(tx, "sales", before=3, limit=1)] == [2]
