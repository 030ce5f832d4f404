"""Registering: numbers without a gap, bytes that are there, one event a batch."""

from __future__ import annotations

import json

import pytest
from tests.models.conftest import Promote, Register

from keepwell.core.clock import SimulatedClock
from keepwell.core.digests import canonical_json, digest_bytes
from keepwell.core.errors import Conflict, Damaged, InvalidInput, NotFound
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.models import service as models
from keepwell.models.model import Member


def test_numbers_are_dense_by_segment_and_never_given_again(kit: Kit, register: Register) -> None:
    first = register(("region=N", "region=S"))
    second = register(("region=N",), content="2")
    third = register(("region=N", "region=S", "region=W"), content="3")
    with kit.write() as tx:
        models.set_state(tx, kit.call("person:ann"), [third[0].id], "discarded", "worse")
    fourth = register(("region=N",), content="4")
    numbered = [(v.segment, v.number) for v in (*first, *second, *third, *fourth)]
    assert numbered == [
        ("region=N", 1), ("region=S", 1), ("region=N", 2), ("region=N", 3), ("region=S", 2), ("region=W", 1),
        ("region=N", 4),
    ]  # fmt: skip
    with kit.read() as tx:
        latest = models.latest_versions(tx, "demand")
    assert {s: v.number for s, v in latest.items()} == {"region=N": 4, "region=S": 2, "region=W": 1}


def test_a_version_knows_where_it_comes_from(kit: Kit, register: Register) -> None:
    version = register(("region=N",))[0]
    assert (version.run_id, version.dataset_version, version.code) == ("run_1", "dsv_1", "abc")
    assert (version.created_by, version.created_at, version.state) == ("loop:demand", kit.clock.now(), "registered")
    with kit.read() as tx:
        batch, seq = models.batch(tx, version.batch)
        assert models.version(tx, version.id) == version
        assert models.named_version(tx, "DEMAND/region=N/v1") == version
        assert models.named_version(tx, "demand/region=N") == version
        assert models.artifact(kit.blobs, version) == b"region=N 1"
        told = entries(tx, after=seq - 1)[0]
    assert (batch.count, batch.pack, told.kind) == (1, version.pack, "model.batch_registered")


def test_batches_of_a_model_and_of_a_run(kit: Kit, register: Register) -> None:
    first, second = register(("all",)), register(("all",), content="2")
    other = register(("all",), model="other")
    with kit.read() as tx:
        assert [b.id for b in models.batches(tx, model="demand")] == [second[0].batch, first[0].batch]
        assert [b.id for b in models.batches(tx, run_id="run_1", limit=1)] == [other[0].batch]
        assert models.batches(tx, run_id="run_2") == []
        assert models.versions_of_batch(tx, first[0].batch) == first
        assert models.ids_of_batch(tx, first[0].batch) == {"all": first[0].id}
        assert models.champion(tx, "demand", "all", "prod") is None


def test_one_event_tells_of_a_batch_and_its_list_is_kept(kit: Kit, register: Register) -> None:
    versions = register([f"store={i:03d}" for i in range(50)])
    with kit.read() as tx:
        told = [e for e in entries(tx) if e.kind == "model.batch_registered"]
    assert len(told) == 1
    assert "versions" not in told[0].body
    listed = [[v.id, v.segment, v.number, v.artifact, v.offset, v.length] for v in versions]
    digest = str(told[0].body["members"])
    assert digest == digest_bytes(canonical_json(listed))
    assert json.loads(kit.blobs.get(digest)) == listed


def test_small_batches_are_listed_in_the_event(kit: Kit, register: Register) -> None:
    version = register(("region=N",))[0]
    with kit.read() as tx:
        body = entries(tx)[0].body
    assert body["versions"] == [[version.id, "region=N", 1, version.artifact]]


def test_a_single_model_is_a_fleet_of_one(kit: Kit, register: Register) -> None:
    version = register(("all",))[0]
    with kit.read() as tx:
        assert models.named_version(tx, "demand/v1") == version
        assert models.named_version(tx, "demand") == version


def test_equal_artifacts_are_stored_once(kit: Kit) -> None:
    digest, members = models.pack(kit.blobs, {"a=1": b"same", "a=2": b"other", "a=3": b"same"})
    assert kit.blobs.get(digest) == b"sameother"
    assert [(m.offset, m.length) for m in members] == [(0, 4), (4, 5), (0, 4)]


def test_the_same_key_registers_once(kit: Kit, register: Register) -> None:
    first = register(("region=N",), key="k1")
    again = register(("region=N",), key="k1")
    assert again == first
    with pytest.raises(Conflict, match="another request"):
        register(("region=S",), key="k1")
    with kit.read() as tx:
        assert len(entries(tx)) == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "latest", "123", "mod%65l", "x" * 201, "a\x00b", "con"])
def test_names_follow_the_grammar(register: Register, name: str) -> None:
    with pytest.raises(InvalidInput):
        register(("region=N",), model=name)


def test_names_that_differ_in_case_only_are_one(kit: Kit, register: Register) -> None:
    register(("region=N",), model="Demand")
    with pytest.raises(Conflict, match="'Demand'"):
        register(("region=N",), model="demand")
    with kit.read() as tx:
        assert models.model(tx, "dEMAND") == "Demand"
        assert [(m.name, m.members, m.versions) for m in models.models(tx)] == [("Demand", 1, 1)]


def test_bytes_that_are_not_there_are_not_registered(kit: Kit) -> None:
    pack, members = models.pack(kit.blobs, {"a=1": b"model"})
    wrong = [Member("a=1", digest_bytes(b"other"), 0, 5)]
    with kit.write() as tx, pytest.raises(Damaged):
        register_members(kit, tx, pack, wrong)
    with kit.write() as tx, pytest.raises(NotFound):
        register_members(kit, tx, digest_bytes(b"nowhere"), members)
    with kit.read() as tx:
        assert models.models(tx) == []
        assert entries(tx) == []
    with pytest.raises(InvalidInput, match="nothing to pack"):
        models.pack(kit.blobs, {})
    with pytest.raises(InvalidInput, match="no bytes"):
        models.pack(kit.blobs, {"a=1": b""})


def register_members(kit: Kit, tx: object, pack: str, members: list[Member]) -> object:
    return models.register(
        tx, kit.call("loop:demand"), "demand", members, pack=pack, run_id=None, dataset_version=None, code=None,
        environment=None, trained_at=kit.clock.now(), trained_until="", blobs=kit.blobs,
    )  # fmt: skip


def test_a_damaged_artifact_is_never_handed_out(kit: Kit, register: Register) -> None:
    version = register(("region=N",))[0]
    place = kit.blobs.path(version.pack)
    place.chmod(0o600)
    place.write_bytes(b"region=N 2")
    with pytest.raises(Damaged):
        models.artifact(kit.blobs, version)
    with pytest.raises(Damaged):
        models.artifacts(kit.blobs, [version])


def test_many_artifacts_are_read_pack_by_pack(kit: Kit, register: Register) -> None:
    old = register(("region=N", "region=S"))
    new = register(("region=S",), content="2")
    found = models.artifacts(kit.blobs, [old[0], *new])
    assert found == {"region=N": b"region=N 1", "region=S": b"region=S 2"}


def test_states_are_set_for_many_with_a_reason_each(kit: Kit, register: Register, promote: Promote) -> None:
    versions = register(("region=N", "region=S", "region=W"))
    with kit.write() as tx:
        models.set_state(
            tx, kit.call("loop:demand"), [v.id for v in versions[:2]], "held",
            {versions[0].id: "too bad", versions[1].id: "no data"},
        )  # fmt: skip
    with kit.read() as tx:
        standing = models.standings(tx, [v.id for v in versions])
        told = entries(tx)[0]
    assert [(s.state, s.reason) for s in standing] == [("held", "too bad"), ("held", "no data"), ("registered", None)]
    assert (told.kind, told.body["count"]) == ("model.versions_held", 2)
    promote(versions[2:])
    with kit.write() as tx:
        with pytest.raises(Conflict, match="roll back or promote another"):
            models.set_state(tx, kit.call("person:ann"), [v.id for v in versions], "discarded", "no")
        for state in ("promoted", "retired"):
            with pytest.raises(InvalidInput, match="promotion or a roll-back"):
                models.set_state(tx, kit.call("person:ann"), [versions[0].id], state, "no")
    with kit.read() as tx:
        assert models.standings(tx, [v.id for v in versions])[0].state == "held"


def test_what_is_not_there_is_not_found(kit: Kit, register: Register) -> None:
    register()
    with kit.read() as tx:
        with pytest.raises(NotFound):
            models.version(tx, kit.ids.new("ver"))
        with pytest.raises(InvalidInput):
            models.version(tx, "../../etc/passwd")
        with pytest.raises(InvalidInput):
            models.versions_by_id(tx, ["ver_1"])
        with pytest.raises(NotFound):
            models.standings(tx, [kit.ids.new("ver")])
        with pytest.raises(NotFound):
            models.named_version(tx, "demand/region=N/v9")
        with pytest.raises(NotFound):
            models.model(tx, "nothing")
        with pytest.raises(NotFound):
            models.batch(tx, kit.ids.new("bat"))


def test_a_clock_that_goes_back_changes_no_number(kit: Kit, register: Register, clock: SimulatedClock) -> None:
    register(("all",))
    clock.move_to(clock.now().replace(year=2020))
    assert register(("all",), content="2")[0].number == 2
