"""Models and versions by name and number: made, described, renamed, deleted; tags, aliases, stages; the timeline."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.models import registry
from keepwell.models import service as models
from keepwell.models.registry_model import RegisteredVersion

Make = Callable[..., RegisteredVersion]
ANN = "person:ann"


@pytest.fixture
def make(kit: Kit) -> Make:
    """Register the next version of a model, which is made when it is not there."""

    def do(model: str = "iris", content: str = "1", *, key: str | None = None, **more: object) -> RegisteredVersion:
        data = f"{model} {content}".encode()
        origin = registry.Origin(kit.blobs.put(data), len(data), source="runs:/run_1/model", run_id="run_1")
        with kit.write() as tx:
            try:
                registry.model_name(tx, model)
            except NotFound:
                registry.create_model(tx, kit.call(ANN), model)
            return registry.create_version(tx, kit.call(ANN, key), model, origin, **more)

    return do


def act(kit: Kit, do: Callable[..., object], *args: object, key: str | None = None, **more: object) -> object:
    with kit.write() as tx:
        return do(tx, kit.call(ANN, key), *args, **more)


def ask(kit: Kit, do: Callable[..., object], *args: object, **more: object) -> object:
    with kit.read() as tx:
        return do(tx, *args, **more)


def kinds(kit: Kit) -> list[str]:
    with kit.read() as tx:
        return [entry.kind for entry in entries(tx, after=0, limit=500)]


def test_a_model_is_made_described_and_found_in_any_case(kit):
    act(kit, registry.create_model, "Iris", "petals", {"team": "botany"})
    act(kit, registry.update_model, "iris", "petals and sepals")
    found = ask(kit, registry.registered_model, "IRIS")
    assert (found.name, found.description, found.tags) == ("Iris", "petals and sepals", {"team": "botany"})
    assert kinds(kit) == ["model.created", "model.described"]
    assert [m.name for m in ask(kit, models.models)] == ["Iris"]


@pytest.mark.parametrize("name", ["", ".", "..", "null", "undefined", "-1", "0", "true", "latest", "a/b", "mod%65l",
                                  "../../x", "/tmp/x", "a:b", "x\0y", "e\u0301", "$(touch x)", "a" * 201])  # fmt: skip
def test_a_name_that_means_something_else_is_refused(kit, name):
    with pytest.raises(InvalidInput):
        act(kit, registry.create_model, name)


def test_a_name_that_is_taken_is_refused_whatever_its_case(kit):
    act(kit, registry.create_model, "iris")
    with pytest.raises(Conflict) as told:
        act(kit, registry.create_model, "Iris")
    assert told.value.code == "already_exists"


def test_versions_count_up_and_say_where_they_come_from(kit, make):
    first = make(description="the first", tags={"a": "b"}, aliases=["best", "prod"])
    second = make(content="2", aliases=["best"])
    assert (first.number, second.number) == (1, 2)
    assert (first.source, first.run_id, first.description) == ("runs:/run_1/model", "run_1", "the first")
    assert (first.tags, first.aliases, first.created_by, first.status) == ({"a": "b"}, ["best", "prod"], ANN, "ready")
    assert ask(kit, registry.by_alias, "iris", "best").number == 2
    assert ask(kit, registry.registered_version, "IRIS", 1).aliases == ["prod"]
    assert ask(kit, registry.registered_model, "iris").aliases == {"best": 2, "prod": 1}
    assert models.artifact(kit.blobs, ask(kit, models.named_version, "iris/v1")) == b"iris 1"
    assert fsck(kit) == []


def test_a_version_needs_its_model(kit):
    origin = registry.Origin(kit.blobs.put(b"x"), 1)
    with pytest.raises(NotFound) as told:
        act(kit, registry.create_version, "iris", origin)
    assert told.value.code == "no_model"


def test_a_repeated_key_registers_once(kit, make):
    first = make(key="k1", aliases=["best"])
    assert make(key="k1", aliases=["best"]) == first
    with pytest.raises(Conflict):
        make(key="k1", aliases=["other"])
    assert ask(kit, registry.registered_model, "iris").latest[0].number == 1


@pytest.mark.parametrize("alias", ["", ".", "..", "latest", "Latest", "v1", "V22", "7", "-1", "null", "true", "a/b",
                                   "a b", "a%20b", "\u00e9", "a\n", "a" * 201])  # fmt: skip
def test_an_alias_that_means_something_else_is_refused(kit, make, alias):
    make()
    with pytest.raises(InvalidInput):
        act(kit, registry.set_alias, "iris", alias, 1)


def test_an_alias_moves_and_its_history_stays(kit, make, clock):
    make(), make(content="2")
    act(kit, registry.set_alias, "iris", "prod", 1)
    act(kit, registry.set_alias, "iris", "prod", 2)
    act(kit, registry.set_alias, "iris", "Prod", 2)
    assert ask(kit, registry.by_alias, "iris", "pROD").aliases == ["Prod"]
    assert act(kit, registry.delete_alias, "iris", "prod") is True
    assert act(kit, registry.delete_alias, "iris", "prod") is False
    with pytest.raises(NotFound) as told:
        ask(kit, registry.by_alias, "iris", "prod")
    assert told.value.code == "no_alias"
    spans = ask(kit, registry.timeline, "iris")
    assert [(s.kind, s.lane, s.number, s.until is None) for s in spans] == [
        ("alias", "Prod", 2, False), ("alias", "prod", 2, False), ("alias", "prod", 1, False),
    ]  # fmt: skip
    assert fsck(kit) == []


def test_the_alias_latest_names_the_newest(kit, make):
    act(kit, registry.create_model, "iris")
    with pytest.raises(NotFound):
        ask(kit, registry.by_alias, "iris", "latest")
    make(), make(content="2")
    act(kit, registry.transition_stage, "iris", 2, "Staging")
    assert ask(kit, registry.by_alias, "iris", "Latest").number == 2


def test_tags_are_set_replaced_and_removed(kit, make):
    make(tags={"a": "1"})
    act(kit, registry.set_model_tags, "iris", {"team": "x"})
    act(kit, registry.set_model_tags, "iris", {"team": "y", "mlflow.user": "ann"})
    act(kit, registry.set_version_tags, "iris", 1, {"a": "2", "validation/status": ""})
    assert act(kit, registry.delete_model_tag, "iris", "team") is True
    assert act(kit, registry.delete_model_tag, "iris", "team") is False
    assert ask(kit, registry.registered_model, "iris").tags == {"mlflow.user": "ann"}
    assert ask(kit, registry.registered_version, "iris", 1).tags == {"a": "2", "validation/status": ""}
    assert act(kit, registry.delete_version_tag, "iris", 1, "a") is True


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/../b", "/a", "a//b", "keepwell.source", "a\0", "a\n", "x" * 251, "%41"]
)
def test_a_tag_that_cannot_be_one_is_refused(kit, make, name):
    make()
    with pytest.raises(InvalidInput):
        act(kit, registry.set_model_tags, "iris", {name: "x"})
    with pytest.raises(InvalidInput):
        act(kit, registry.set_version_tags, "iris", 1, {name: "x"})


def test_what_persons_write_is_a_note_of_the_ledger_and_not_hashed(kit, make):
    make(description="for Mrs Smith", tags={"who": "Mrs Smith"})
    act(kit, registry.set_version_tags, "iris", 1, {"who": "Mr Smith"})
    with kit.read() as tx:
        assert all("Smith" not in repr(dict(entry.body)) for entry in entries(tx, after=0))


def test_stages_move_and_archive_the_others(kit, make):
    make(), make(content="2"), make(content="3")
    act(kit, registry.transition_stage, "iris", 1, "production")
    act(kit, registry.transition_stage, "iris", 2, "Production", archive_existing=True)
    assert [(v.number, v.stage) for v in ask(kit, registry.latest_registered, "iris")] == [
        (3, "None"), (2, "Production"), (1, "Archived"),
    ]  # fmt: skip
    assert [v.number for v in ask(kit, registry.latest_registered, "iris", ["PRODUCTION", "staging"])] == [2]
    act(kit, registry.transition_stage, "iris", 2, "None")
    spans = ask(kit, registry.timeline, "iris")
    assert [(s.lane, s.number, s.until is None) for s in spans] == [
        ("Archived", 1, True), ("Production", 2, False), ("Production", 1, False),
    ]  # fmt: skip
    with pytest.raises(InvalidInput):
        act(kit, registry.transition_stage, "iris", 1, "Retired")
    with pytest.raises(InvalidInput):
        act(kit, registry.transition_stage, "iris", 1, "Archived", archive_existing=True)
    assert fsck(kit) == []


def test_the_newest_of_no_stage_is_found_behind_staged_ones(kit, make):
    for content in "1234":
        make(content=content)
    for number in (3, 4):
        act(kit, registry.transition_stage, "iris", number, "Staging")
    assert [(v.number, v.stage) for v in ask(kit, registry.registered_model, "iris").latest] == [
        (4, "Staging"), (2, "None"),
    ]  # fmt: skip


def test_a_deleted_version_is_gone_its_number_is_not_given_again_and_it_can_come_back(kit, make):
    make(), make(content="2", aliases=["prod"], tags={"a": "b"})
    act(kit, registry.transition_stage, "iris", 2, "Staging")
    assert act(kit, registry.delete_version, "iris", 2) == 1
    for gone in ((registry.registered_version, "iris", 2), (registry.by_alias, "iris", "prod")):
        with pytest.raises(NotFound):
            ask(kit, *gone)
    assert [v.number for v in ask(kit, models.versions, "iris").versions] == [1]
    assert [v.number for v in ask(kit, registry.registered_model, "iris").latest] == [1]
    assert make(content="3").number == 3
    act(kit, registry.restore_version, "iris", 2)
    back = ask(kit, registry.registered_version, "iris", 2)
    assert (back.stage, back.aliases, back.tags) == ("None", [], {"a": "b"})
    with pytest.raises(NotFound):
        act(kit, registry.restore_version, "iris", 2)
    assert fsck(kit) == []


def test_a_name_used_again_carries_nothing_over(kit, make):
    old = make("iris", aliases=["prod"], tags={"a": "b"})
    act(kit, registry.set_model_tags, "iris", {"team": "x"})
    act(kit, registry.transition_stage, "iris", 1, "Production")
    assert act(kit, registry.delete_model, "iris") == 1
    with pytest.raises(NotFound):
        ask(kit, registry.registered_model, "iris")
    assert ask(kit, models.models) == []
    new = make("Iris", content="9")
    again = ask(kit, registry.registered_model, "iris")
    assert (new.model, new.number, new.aliases, new.tags, new.stage) == ("Iris", 2, [], {}, "None")
    assert (again.name, again.tags, again.aliases, [v.number for v in again.latest]) == ("Iris", {}, {}, [2])
    assert old.id != new.id
    with pytest.raises(NotFound):
        ask(kit, registry.registered_version, "iris", 1)
    assert fsck(kit) == []


def test_training_a_deleted_model_again_makes_it_anew_behind_its_numbers(kit, register):
    register(("region=N", "region=S"))
    act(kit, registry.delete_model, "demand")
    assert ask(kit, models.models) == []
    assert [v.number for v in register(("region=N",), content="2")] == [2]
    assert [m.members for m in ask(kit, models.models)] == [1]
    assert fsck(kit) == []


def test_a_champion_is_not_deleted(kit, register, promote):
    versions = register()
    promote(versions[:1])
    for wrong in ((registry.delete_model, "demand"), (registry.delete_versions, [v.id for v in versions], "old")):
        with pytest.raises(Conflict, match="champion in prod"):
            act(kit, *wrong)
    assert act(kit, registry.delete_versions, [versions[1].id], "old") == 1
    page = ask(kit, models.fleet, "demand", "prod")
    assert ([m.segment for m in page.members], page.total) == (["region=N"], 1)
    assert fsck(kit) == []


def test_a_roll_back_never_returns_to_a_deleted_version(kit, register, promote):
    first, second, third = (register(("region=N",), content=c) for c in "123")
    for one in (first, second, third):
        promote(one)
    act(kit, registry.delete_versions, [second[0].id], "broken")
    with kit.write() as tx:
        back = models.roll_back(tx, kit.call(ANN), "demand", "prod", ["region=N"], "worse")
    assert back[0].version_id == first[0].id
    assert fsck(kit) == []


def test_a_model_is_renamed_with_all_it_has(kit, make):
    make("iris", aliases=["prod"], tags={"a": "b"})
    act(kit, registry.set_model_tags, "iris", {"team": "x"})
    act(kit, registry.transition_stage, "iris", 1, "Staging")
    assert act(kit, registry.rename_model, "iris", "rose").name == "rose"
    found = ask(kit, registry.registered_model, "rose")
    assert (found.tags, found.aliases, [v.stage for v in found.latest]) == ({"team": "x"}, {"prod": 1}, ["Staging"])
    assert len(ask(kit, registry.timeline, "rose")) == 2
    with pytest.raises(NotFound):
        ask(kit, registry.registered_model, "iris")
    assert make("iris", content="new").number == 2, "what models:/iris/1 named stays unnamed"
    with pytest.raises(Conflict):
        act(kit, registry.rename_model, "rose", "IRIS")
    assert act(kit, registry.rename_model, "rose", "Rose").name == "Rose"
    assert fsck(kit) == []


def test_a_model_gets_its_old_name_back_but_never_anothers(kit, make):
    make("a"), make("a", content="2"), make("c")
    act(kit, registry.rename_model, "a", "b")
    with pytest.raises(Conflict):
        act(kit, registry.rename_model, "c", "a")
    act(kit, registry.rename_model, "b", "d")
    act(kit, registry.rename_model, "d", "a")
    assert make("a", content="3").number == 3
    assert fsck(kit) == []


def test_a_model_with_champions_keeps_its_name(kit, register, promote):
    promote(register())
    with pytest.raises(Conflict):
        act(kit, registry.rename_model, "demand", "supply")


def test_the_timeline_has_lanes_for_environments_aliases_and_stages(kit, make, promote, clock):
    one, two = make(), make(content="2")
    promote([one], "dev")
    promote([one], "prod")
    promote([two], "prod")
    act(kit, registry.set_alias, "iris", "blue", 1)
    act(kit, registry.transition_stage, "iris", 2, "Staging")
    lanes = [(s.kind, s.lane, s.number, s.until is None, s.cause) for s in ask(kit, registry.timeline, "iris")]
    assert lanes == [
        ("stage", "Staging", 2, True, "set"),
        ("alias", "blue", 1, True, "set"),
        ("environment", "prod", 2, True, "promotion"),
        ("environment", "prod", 1, False, "promotion"),
        ("environment", "dev", 1, True, "promotion"),
    ]
