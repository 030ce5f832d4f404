"""A run's life as clients of other protocols lead it, and logged models: any status after any other, all of it told."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.points import batch_of
from keepwell.db import read, write
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.tracking import service
from keepwell.tracking.model import DatasetInput, LoggedModel, Output, Point, Run

ADA = "person:ada"
GIVEN = "run_" + "1" * 26


def start(kit: Kit, **more: object) -> Run:
    with write(kit.db) as tx:
        return service.start_run(tx, kit.call(ADA), **{"name": "r", **more})  # type: ignore[arg-type]


def test_an_id_experiment_user_and_moment_of_the_callers(kit: Kit) -> None:
    at = datetime(2020, 2, 29, 1, 2, 3, 456_789, UTC)
    made = start(kit, run_id=GIVEN, started_at=at, user="ann", status="scheduled")
    assert (made.id, made.started_at, made.user, made.status) == (
        GIVEN,
        "2020-02-29T01:02:03.456000Z",
        "ann",
        "scheduled",
    )
    with read(kit.db) as tx:
        assert service.run(tx, GIVEN) == made
    with pytest.raises(Conflict) as caught:
        start(kit, run_id=GIVEN)
    assert caught.value.code == "exists"
    for bad in ({"run_id": "x"}, {"status": "finished"}, {"started_at": datetime(1960, 1, 1, tzinfo=UTC)}):
        with pytest.raises(InvalidInput):
            start(kit, **bad)
    with pytest.raises(NotFound):
        start(kit, experiment=99)


def test_a_run_of_a_model_lands_in_the_experiment_of_its_name(kit: Kit) -> None:
    first, second = start(kit, model="demand"), start(kit, model="demand")
    assert first.experiment == second.experiment == 1 and start(kit).experiment == 0
    with read(kit.db) as tx:
        assert service.experiment(tx, 1).name == "demand"
    assert fsck(kit) == []


def test_any_status_follows_any_other(kit: Kit) -> None:
    run = start(kit)

    def update(**more: object) -> Run:
        with write(kit.db) as tx:
            return service.update_run(tx, kit.call(ADA), run.id, **more)  # type: ignore[arg-type]

    ended = update(status="finished", finished_at=datetime(2026, 1, 5, 7, tzinfo=UTC))
    assert (ended.status, ended.finished_at) == ("finished", "2026-01-05T07:00:00.000000Z")
    assert update(status="finished") == ended
    assert update(status="running", name="again").name == "again"
    assert update(status="interrupted").status == "interrupted"
    assert update(status="failed").status == "failed"
    assert update(name="again").status == "failed"
    with pytest.raises(InvalidInput):
        update(status="done")
    with pytest.raises(InvalidInput):
        update(name="")
    with read(kit.db) as tx:
        kinds = [e.kind for e in entries(tx, subject=f"run:{run.id}")][::-1]
    assert kinds == ["run.started", "run.finished", "run.renamed", "run.resumed", "run.finished", "run.amended"]
    assert fsck(kit) == []


def test_deleted_and_restored(kit: Kit) -> None:
    run = start(kit)
    with write(kit.db) as tx:
        service.delete_run(tx, kit.call(ADA), run.id)
        service.delete_run(tx, kit.call(ADA), run.id)
    with read(kit.db) as tx:
        assert service.run(tx, run.id).deleted_at is not None and service.runs(tx) == []
    for change in (lambda tx, call: service.log_params(tx, call, run.id, {"a": 1}),
                   lambda tx, call: service.update_run(tx, call, run.id, "finished"),
                   lambda tx, call: service.delete_tag(tx, call, run.id, "a")):  # fmt: skip
        with (
            pytest.raises(Conflict, match="must be in the 'active' state"),
            write(kit.db) as tx,
        ):
            change(tx, kit.call(ADA))
    with write(kit.db) as tx:
        service.restore_run(tx, kit.call(ADA), run.id)
        service.restore_run(tx, kit.call(ADA), run.id)
    with read(kit.db) as tx:
        assert service.run(tx, run.id) == run
        assert [e.kind for e in entries(tx, subject=f"run:{run.id}")] == ["run.restored", "run.deleted", "run.started"]


def test_params_are_written_once_and_tags_any_time(kit: Kit) -> None:
    run = start(kit, params={"rate": 0.1, "text": "x" * 5_000, "list": [1, {"a": None}]})
    with write(kit.db) as tx:
        call = kit.call(ADA)
        service.log_params(tx, call, run.id, {"rate": 0.1, "new": "0.1"})
        service.set_tags(tx, call, run.id, {"t": "y" * 5_000, "mlflow.runName": "called"})
        service.set_tags(tx, call, run.id, {"t": "z", "password": "canary"})
    with pytest.raises(InvalidInput, match="Changing param values is not allowed") as caught, write(kit.db) as tx:
        service.log_batch(tx, kit.call(ADA), run.id, batch_of([("m", 1.0, 0, 0)]), {"rate": 0.2}, {"never": "x"})
    assert caught.value.code == "param_changed" and "'old_value': '0.1'" in caught.value.message
    with read(kit.db) as tx:
        found = service.run(tx, run.id)
    assert found.params == {"rate": 0.1, "text": "x" * 5_000, "list": [1, {"a": None}], "new": "0.1"}
    assert (found.tags, found.name, found.metrics) == ({"t": "z", "password": "(hidden)"}, "called", {})
    with write(kit.db) as tx:
        service.delete_tag(tx, kit.call(ADA), run.id, "t")
    with pytest.raises(NotFound, match="No tag with name: t in run with id"), write(kit.db) as tx:
        service.delete_tag(tx, kit.call(ADA), run.id, "t")


def test_inputs_and_outputs(kit: Kit) -> None:
    run = start(kit)
    data = DatasetInput(name="d", digest="1a", source_type="local", source="{}", schema="{s}", profile="{p}",
                        tags={"mlflow.data.context": "train"})  # fmt: skip
    with write(kit.db) as tx:
        for _ in range(2):
            service.log_inputs(tx, kit.call(ADA), run.id, [data, data], ["m-" + "1" * 32])
            service.log_outputs(tx, kit.call(ADA), run.id, [("m-" + "2" * 32, 5)])
        other = service.start_run(tx, kit.call(ADA), name="other")
        service.log_inputs(tx, kit.call(ADA), other.id, [data])
    with read(kit.db) as tx:
        found = service.run(tx, run.id)
        assert service.run(tx, other.id).inputs == found.inputs[:1]
    one, model = found.inputs
    assert (one.name, one.digest, one.source_type, one.source, one.schema, one.profile) == (
        "d",
        "1a",
        "local",
        "{}",
        "{s}",
        "{p}",
    )
    assert one.tags == {"mlflow.data.context": "train"} and (model.kind, model.id) == ("model", "m-" + "1" * 32)
    assert found.outputs == [Output("m-" + "2" * 32, 5)]
    for bad in (DatasetInput(name="", digest="1"), DatasetInput(name="d", digest="")):
        with pytest.raises(InvalidInput), write(kit.db) as tx:
            service.log_inputs(tx, kit.call(ADA), run.id, [bad])


def logged(kit: Kit, name: str, **more: object) -> LoggedModel:
    with write(kit.db) as tx:
        return service.create_logged_model(tx, kit.call(ADA), 0, name, **more)  # type: ignore[arg-type]


def test_a_logged_model(kit: Kit) -> None:
    run = start(kit)
    made = logged(kit, "model", model_type="sklearn", run_id=run.id, params={"a": "1"}, tags={"t": "x"})
    assert made.status == "pending" and made.id.startswith("m-")
    with write(kit.db) as tx:
        call = kit.call(ADA)
        service.log_logged_model_params(tx, call, made.id, {"a": "1", "b": "2"})
        service.set_logged_model_tags(tx, call, made.id, {"t": "y", "u": "z"})
        service.delete_logged_model_tag(tx, call, made.id, "u")
        ready = service.finalize_logged_model(tx, call, made.id, "ready")
        points = [(made.id, "d", "1a", Point("acc", 0.5, 1, 2)), (made.id, None, None, Point("nan", math.nan, 1, 2)),
                  (made.id, "d", "1a", Point("acc", 0.9, 1, 2))]  # fmt: skip
        service.log_batch(tx, call, run.id, models=points)
        service.log_batch(tx, call, run.id, models=points[:1])
    with read(kit.db) as tx:
        found = service.logged_model(tx, made.id)
    assert (ready.status, found.params, found.tags) == ("ready", {"a": "1", "b": "2"}, {"t": "y"})
    assert [(m.name, m.value, m.dataset_name, m.run) for m in found.metrics] == [
        ("acc", 0.5, "d", run.id),
        ("nan", "NaN", None, run.id),
    ]
    for refused, change in (
        (InvalidInput, lambda tx, c: service.log_logged_model_params(tx, c, made.id, {"a": "2"})),
        (InvalidInput, lambda tx, c: service.finalize_logged_model(tx, c, made.id, "done")),
        (NotFound, lambda tx, c: service.delete_logged_model_tag(tx, c, made.id, "u")),
        (NotFound, lambda tx, c: service.finalize_logged_model(tx, c, "m-" + "0" * 32, "ready")),
        (
            NotFound,
            lambda tx, c: service.log_batch(tx, c, run.id, models=[("m-" + "0" * 32, None, None, Point("a", 1.0))]),
        ),
        (InvalidInput, lambda tx, c: service.create_logged_model(tx, c, 0, "a/b")),
        (NotFound, lambda tx, c: service.create_logged_model(tx, c, 9, "a")),
    ):
        with pytest.raises(refused), write(kit.db) as tx:
            change(tx, kit.call(ADA))
    with write(kit.db) as tx:
        service.delete_logged_model(tx, kit.call(ADA), made.id)
    with read(kit.db) as tx:
        assert service.logged_model(tx, made.id, deleted=True).lifecycle == "deleted"
        assert service.search_logged_models(tx, [0]) == []
        with pytest.raises(NotFound, match=f"Logged model with ID '{made.id}' not found"):
            service.logged_model(tx, made.id)
    assert fsck(kit) == []


@pytest.mark.parametrize(
    ("filter_text", "order", "datasets", "wanted"),
    [
        ("", (), (), ["c", "b", "a"]),
        ("metrics.acc > 0.5", ({"field_name": "metrics.acc"},), (), ["b", "a"]),
        ("", ({"field_name": "metrics.acc", "ascending": False},), (), ["a", "b", "c"]),
        ("metrics.acc > 0.5", (), (("d1", None),), ["a"]),
        ("", (), (("d1", "1"), ("d2", "9")), ["a"]),
        ("", ({"field_name": "metrics.acc", "dataset_name": "d2"},), (), ["b", "c", "a"]),
        ("name LIKE 'a%' AND params.p = '1'", (), (), ["a"]),
        ("tags.t IN ('x', 'y') AND status = 'READY'", ({"field_name": "name", "ascending": True},), (), ["a"]),
        ("source_run_id = 'none'", (), (), []),
        ("creation_time > 0", ({"field_name": "creation_timestamp"},), (), ["a", "b", "c"]),
    ],
)
def test_search_of_logged_models(kit: Kit, clock, filter_text, order, datasets, wanted) -> None:  # type: ignore[no-untyped-def]
    from datetime import timedelta

    run = start(kit)
    for name, values in (("a", [("d1", "1", 0.9)]), ("b", [("d2", "2", 0.6)]), ("c", [])):
        clock.advance(timedelta(seconds=1))
        made = logged(kit, name, run_id=run.id, params={"p": "1"}, tags={"t": "x"})
        with write(kit.db) as tx:
            points = [(made.id, data, digest, Point("acc", value)) for data, digest, value in values]
            service.log_batch(tx, kit.call(ADA), run.id, models=points)
            if name == "a":
                service.finalize_logged_model(tx, kit.call(ADA), made.id, "ready")
    with read(kit.db) as tx:
        found = service.search_logged_models(tx, [0], filter_text, order, datasets)
        assert [model.name for model in found] == wanted
        for bad in ({"field_name": "params.p"}, {"field_name": "none"}):
            with pytest.raises(InvalidInput):
                service.search_logged_models(tx, [0], order_by=[bad])
