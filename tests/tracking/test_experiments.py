"""Experiments: numbers that are never given again, unique names, deletion with their runs, search."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.db import read, write
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.tracking import service
from keepwell.tracking.model import Experiment
from keepwell.tracking.tables import experiments

ADA = "person:ada"


def make(kit: Kit, name: str, **tags: str) -> Experiment:
    with write(kit.db) as tx:
        return service.create_experiment(tx, kit.call(ADA), name, tags)


def test_default_is_there_from_the_start(kit: Kit) -> None:
    with read(kit.db) as tx:
        assert service.experiment(tx, 0).name == "Default"
        assert service.experiment_by_name(tx, "Default") == service.experiment(tx, 0)
        assert [e.id for e in service.search_experiments(tx)] == [0]
        assert list(entries(tx)) == []
        assert service.experiment_by_name(tx, "none") is None
        with pytest.raises(NotFound, match="No Experiment with id=7 exists"):
            service.experiment(tx, 7)


def test_default_cannot_be_made_a_second_time(kit: Kit) -> None:
    for _ in range(2):
        with pytest.raises(Conflict, match=r"Experiment\(name=Default\) already exists"):
            make(kit, "Default")
        with write(kit.db) as tx:
            tx.execute(experiments.delete())  # a database whose house has not been furnished
    with write(kit.db) as tx:
        assert service.get_or_create_experiment(tx, kit.call(ADA), "Default").id == 0


def test_numbers_are_never_given_again(kit: Kit) -> None:
    assert [make(kit, name).id for name in ("a", "b")] == [1, 2]
    with write(kit.db) as tx:
        tx.execute(experiments.delete().where(experiments.c.id == 2))  # what gc does
    assert make(kit, "c").id == 3


def test_names_are_unique_also_among_deleted(kit: Kit) -> None:
    made = make(kit, "a", team="x")
    with pytest.raises(Conflict, match=r"Experiment\(name=a\) already exists") as caught:
        make(kit, "a")
    assert caught.value.code == "exists"
    with write(kit.db) as tx:
        service.delete_experiment(tx, kit.call(ADA), made.id)
    with pytest.raises(Conflict, match="deleted state"):
        make(kit, "a")
    with pytest.raises(Conflict), write(kit.db) as tx:
        service.get_or_create_experiment(tx, kit.call(ADA), "a")
    for bad in ("", "x" * 501, "a\n"):
        with pytest.raises(InvalidInput):
            make(kit, bad)
    with write(kit.db) as tx:
        assert service.get_or_create_experiment(tx, kit.call(ADA), "new").id == 2
        assert service.get_or_create_experiment(tx, kit.call(ADA), "new").id == 2


def test_renaming(kit: Kit, clock: SimulatedClock) -> None:
    made, other = make(kit, "a"), make(kit, "b")
    clock.advance(timedelta(seconds=1))
    with write(kit.db) as tx:
        renamed = service.update_experiment(tx, kit.call(ADA), made.id, "c")
    assert (renamed.name, renamed.created_at) == ("c", made.created_at) and renamed.updated_at > made.updated_at
    with pytest.raises(Conflict, match="already exists"), write(kit.db) as tx:
        service.update_experiment(tx, kit.call(ADA), other.id, "c")
    with write(kit.db) as tx:
        service.delete_experiment(tx, kit.call(ADA), other.id)
    with pytest.raises(Conflict, match="Cannot rename a non-active experiment"), write(kit.db) as tx:
        service.update_experiment(tx, kit.call(ADA), other.id, "d")


def test_deletion_takes_the_runs_along_and_restoring_brings_them_back(kit: Kit) -> None:
    made = make(kit, "a")
    with write(kit.db) as tx:
        runs = [service.start_run(tx, kit.call(ADA), name="r", experiment=made.id) for _ in range(2)]
        service.delete_experiment(tx, kit.call(ADA), made.id)
    with read(kit.db) as tx:
        assert service.search_runs(tx, [made.id]) == []
        assert {run.lifecycle for run in service.search_runs(tx, [made.id], view="deleted")} == {"deleted"}
        assert service.experiment(tx, made.id).lifecycle == "deleted"
        assert [e.id for e in service.search_experiments(tx, view="deleted")] == [made.id]
        assert len(service.search_experiments(tx, view="all")) == 2
    for refused, what in ((Conflict, lambda tx: service.start_run(tx, kit.call(ADA), name="r", experiment=made.id)),
                          (Conflict, lambda tx: service.restore_run(tx, kit.call(ADA), runs[0].id)),
                          (Conflict, lambda tx: service.set_experiment_tag(tx, kit.call(ADA), made.id, "a", "b")),
                          (NotFound, lambda tx: service.delete_experiment(tx, kit.call(ADA), made.id))):  # fmt: skip
        with pytest.raises(refused), write(kit.db) as tx:
            what(tx)
    with write(kit.db) as tx:
        service.restore_experiment(tx, kit.call(ADA), made.id)
    with pytest.raises(NotFound), write(kit.db) as tx:
        service.restore_experiment(tx, kit.call(ADA), made.id)
    with read(kit.db) as tx:
        assert {run.id for run in service.search_runs(tx, [made.id])} == {run.id for run in runs}
        kinds = [e.kind for e in entries(tx, subject=f"experiment:{made.id}")][::-1]
    assert kinds == ["experiment.created", "experiment.deleted", "experiment.restored"]
    assert fsck(kit) == []


def test_tags(kit: Kit) -> None:
    made = make(kit, "a", team="x")
    with write(kit.db) as tx:
        service.set_experiment_tag(tx, kit.call(ADA), made.id, "team", "y")
        service.set_experiment_tag(tx, kit.call(ADA), made.id, "api_key", "canary-77")
        service.delete_experiment_tag(tx, kit.call(ADA), made.id, "team")
        service.set_experiment_tag(tx, kit.call(ADA), made.id, "note", "z")
    with pytest.raises(NotFound, match="No tag with name: team"), write(kit.db) as tx:
        service.delete_experiment_tag(tx, kit.call(ADA), made.id, "team")
    with read(kit.db) as tx:
        assert service.experiment(tx, made.id).tags == {"api_key": "(hidden)", "note": "z"}


@pytest.mark.parametrize(
    ("filter_text", "order", "wanted"),
    [
        ("", (), ["c", "b", "Default", "a"]),
        ("name LIKE '%a%'", (), ["Default", "a"]),
        ("name != 'a' AND name ILIKE 'B'", (), ["b"]),
        ("tags.team = 'x'", ("name",), ["a", "c"]),
        ("tags.team IS NULL", ("name ASC",), ["Default", "b"]),
        ("tags.team IS NOT NULL AND tags.team LIKE 'x%'", ("name DESC",), ["c", "a"]),
        ("experiment_id IN ('1', '3')", ("experiment_id ASC",), ["a", "c"]),
        ("experiment_id != '0'", ("last_update_time DESC",), ["c", "b", "a"]),
        ("creation_time > 1767592800000", (), ["c", "b"]),
    ],
)
def test_search(kit: Kit, clock: SimulatedClock, filter_text: str, order: tuple[str, ...], wanted: list[str]) -> None:
    make(kit, "a", team="x")
    clock.advance(timedelta(seconds=1))
    make(kit, "b")
    clock.advance(timedelta(seconds=1))
    make(kit, "c", team="x")
    with read(kit.db) as tx:
        assert [e.name for e in service.search_experiments(tx, filter_text, order)] == wanted
        paged = [service.search_experiments(tx, filter_text, order, limit=1, offset=n) for n in range(len(wanted))]
        assert [one.name for (one,) in paged] == wanted
        with pytest.raises(InvalidInput, match="Invalid experiment ID"):
            service.search_experiments(tx, "experiment_id = 'x'")
