"""A batch of operations is stored whole and once, however often and however cut it is sent."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.core.points import batch_of, pack
from keepwell.flows.kit import Kit
from keepwell.flows.record import experiment_ids, record
from keepwell.ledger import service as ledger
from keepwell.tracking import service, wire

ACTOR = "person:ann"


def points(**values: float) -> bytes:
    return pack(batch_of((name, value, int(value), 5) for name, value in values.items()))


def ids(kit: Kit, *prefixes: str) -> list[str]:
    return [kit.ids.new(prefix) for prefix in prefixes]


def send(kit: Kit, session: str, *ops: wire.Op, first: int = 1) -> wire.Outcome:
    batch = wire.Batch(session, list(enumerate(ops, start=first)))
    return record(kit, kit.call(ACTOR), wire.unpack(wire.pack(batch)))


def events(kit: Kit, kind: str) -> int:
    with kit.read() as tx:
        return sum(entry.kind == kind for entry in ledger.entries(tx, after=0, limit=1000))


def test_a_run_from_its_beginning_to_its_end(kit: Kit) -> None:
    session, run = ids(kit, "ses", "run")
    told = send(
        kit, session,
        wire.Start(run=run, name="first", experiment="trees", params={"depth": 4}, at=1_700_000_000_000, user="ann"),
        wire.Log(run=run, points=points(loss=1, acc=2), params={"rate": 0.5}, tags={"team": "a", "gone": "x"}),
        wire.Log(run=run, without=["gone", "never"]),
        wire.Put(run=run, path="notes/a.txt", data=b"hello"),
        wire.Inputs(run=run, datasets=[wire.Dataset(name="d", digest="1", source="s3://u:p@b/x", context="training")]),
        wire.Finish(run=run, status="failed", error="no luck at https://u:p@h/", at=1_700_000_001_000),
    )  # fmt: skip
    assert told == wire.Outcome(6)
    with kit.read() as tx:
        found = service.run(tx, run)
        assert service.experiment(tx, found.experiment).name == "trees"
        assert experiment_ids(tx, ["trees"]) == [found.experiment]
    assert (found.status, found.params, found.metrics) == ("failed", {"depth": 4, "rate": 0.5}, {"acc": 2, "loss": 1})
    assert found.started_at == "2023-11-14T22:13:20.000000Z" and found.finished_at == "2023-11-14T22:13:21.000000Z"
    assert set(found.artifacts) == {"notes/a.txt"} and found.tags["team"] == "a" and "gone" not in found.tags
    assert found.inputs[0].source == "s3://(hidden)@b/x" and "u:p" not in str(found.error)


def test_the_same_again_changes_nothing(kit: Kit) -> None:
    session, run = ids(kit, "ses", "run")
    ops: list[wire.Op] = [
        wire.Start(run=run, name="first", experiment="e"),
        wire.Log(run=run, points=points(m=1), tags={"a": "1"}),
        wire.Finish(run=run),
    ]
    assert send(kit, session, *ops) == send(kit, session, *ops) == wire.Outcome(3)
    with kit.write() as tx:
        service.set_tags(tx, kit.call(ACTOR), run, {"a": "2"})
    send(kit, session, *ops)
    with kit.read() as tx:
        assert service.run(tx, run).tags["a"] == "2"
    assert (events(kit, "run.started"), events(kit, "run.finished")) == (1, 1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_however_batches_are_cut_and_repeated_the_end_is_the_same(
    kit: Kit, kinds: list[int], draw: random.Random
) -> None:
    session, run = ids(kit, "ses", "run")
    made: list[wire.Op] = [wire.Start(run=run, name="x")]
    tags: dict[str, str] = {}
    for number, kind in enumerate(kinds):
        if kind == 0:
            made.append(wire.Log(run=run, points=points(m=number)))
        elif kind == 1:
            tags["t"] = str(number)
            made.append(wire.Log(run=run, tags={"t": str(number)}))
        elif kind == 2:
            tags.pop("t", None)
            made.append(wire.Log(run=run, without=["t"]))
        else:
            made.append(wire.Log(run=run, params={f"p{number}": number}))
    acked = 0
    while acked < len(made):
        upto = draw.randint(acked + 1, len(made))
        told = send(kit, session, *made[acked:upto], first=acked + 1)
        assert told == wire.Outcome(upto)
        if draw.random() < 0.6:
            acked = upto  # else the answer was lost, and it is sent again, cut in another way
    with kit.read() as tx:
        found = service.run(tx, run)
        steps = service.history(tx, run, "m").steps.tolist() if 0 in kinds else []
    assert sorted(steps) == [n for n, kind in enumerate(kinds) if kind == 0]
    assert {k: v for k, v in found.tags.items() if k == "t"} == tags
    assert found.params == {f"p{n}": n for n, kind in enumerate(kinds) if kind == 3}


def test_logging_waits_for_no_governed_writer_where_the_database_can(kit: Kit) -> None:
    """On SQLite there is one writer; elsewhere whoever logs points does not queue behind a promotion."""
    session, run = ids(kit, "ses", "run")
    send(kit, session, wire.Start(run=run, name="first", experiment="e"))
    logged = wire.Log(run=run, points=points(m=1), params={"p": 1}, tags={"a": "1"}, without=["b"])
    with ThreadPoolExecutor(1) as pool:
        if kit.db.engine.dialect.name == "sqlite":
            pool.submit(send, kit, session, logged, first=2).result(20)
        else:
            with kit.write() as tx:
                service.create_experiment(tx, kit.call(ACTOR), "held open")
                assert pool.submit(send, kit, session, logged, first=2).result(20) == wire.Outcome(2)
    with kit.read() as tx:
        found = service.run(tx, run)
    assert (found.metrics, found.params) == ({"m": 1}, {"p": 1}) and found.tags["a"] == "1"


def test_what_is_logged_after_the_end_or_first_of_all_is_written_alone(kit: Kit) -> None:
    session, late, run = ids(kit, "ses", "ses", "run")
    send(kit, session, wire.Start(run=run, name="first"), wire.Finish(run=run))
    for who, first in ((session, 3), (late, 1)):
        logged = wire.Log(run=run, points=points(**{f"m{first}": 1}))
        assert send(kit, who, logged, first=first) == send(kit, who, logged, first=first) == wire.Outcome(first)
    assert events(kit, "run.amended") == 2
    with kit.read() as tx:
        assert service.run(tx, run).metrics == {"m1": 1, "m3": 1}


def test_what_can_never_be_done_is_named_and_the_rest_is_done(kit: Kit) -> None:
    session, run, other = ids(kit, "ses", "run", "run")
    told = send(
        kit, session,
        wire.Start(run=run, name="x", params={"a": 1}),
        wire.Log(run=run, points=points(m=1), params={"a": 2, "b": 3}, tags={"t": "v"}),
        wire.Log(run=other, points=points(m=1)),
        wire.Log(run=run, points=b"noise"),
        wire.Put(run=run, path="../x", data=b"x"),
        wire.Finish(run=run),
    )  # fmt: skip
    assert told.upto == 6 and [refused.seq for refused in told.refused] == [2, 3, 4, 5]
    with kit.read() as tx:
        found = service.run(tx, run)
    assert found.params == {"a": 1, "b": 3} and found.metrics == {"m": 1} and found.tags["t"] == "v"
    assert found.status == "finished" and found.artifacts == {}
    assert send(kit, session, wire.Log(run=run, tags={"t": "w"}), first=7) == wire.Outcome(7)


def test_parts_that_come_before_the_whole_find_it_later(kit: Kit) -> None:
    parent_session, child_session, run = ids(kit, "ses", "ses", "run")
    send(kit, child_session, wire.Start(run=run, name="x", again=True), wire.Log(run=run, points=points(m=1)))
    send(kit, parent_session, wire.Start(run=run, name="x", tags={"a": "b"}), wire.Finish(run=run))
    send(kit, child_session, wire.Start(run=run, name="x", again=True), wire.Log(run=run, points=points(m=2)), first=9)
    with kit.read() as tx:
        found = service.run(tx, run)
    assert found.status == "finished" and found.metrics == {"m": 2} and found.tags["a"] == "b"
    assert events(kit, "run.started") == 1


def test_a_run_can_come_before_the_one_it_is_a_part_of(kit: Kit) -> None:
    session, above, below = ids(kit, "ses", "run", "run")
    assert send(kit, session, wire.Start(run=below, name="below", parent=above)).refused == []
    with kit.read() as tx:
        assert service.run(tx, below).tags["mlflow.parentRunId"] == above


def test_an_orphan_is_ended_only_while_it_is_its_own(kit: Kit) -> None:
    first, second, run = ids(kit, "ses", "ses", "run")
    send(kit, first, wire.Start(run=run, name="x"))
    send(kit, second, wire.Start(run=run, resume=True))
    send(kit, f"{first}-end", wire.Finish(run=run, status="interrupted", orphan=True))
    with kit.read() as tx:
        assert service.run(tx, run).status == "running"
    send(kit, f"{second}-end", wire.Finish(run=run, status="interrupted", orphan=True))
    with kit.read() as tx:
        assert service.run(tx, run).status == "interrupted"


@pytest.mark.parametrize("session", ["", "x", "run_" + "0" * 26, "ses_" + "0" * 26 + "-end-end", "ses_../../x"])
def test_a_session_has_an_id(kit: Kit, session: str) -> None:
    with pytest.raises(InvalidInput):
        send(kit, session, wire.Start(run=kit.ids.new("run"), name="x"))


@given(st.binary(max_size=300))
def test_noise_is_no_batch(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        wire.unpack(data)


@pytest.mark.parametrize("numbers", [[2, 1], [1, 1], [-1, 0], [1 << 62]])
def test_numbers_grow(numbers: list[int]) -> None:
    ops = [(number, wire.Log(run="r")) for number in numbers]
    with pytest.raises(InvalidInput):
        wire.unpack(wire.pack(wire.Batch("s", list(ops))))


def test_a_run_is_not_lost_for_a_deleted_experiment_or_a_bad_value(kit: Kit) -> None:
    session, first, second, third = ids(kit, "ses", "run", "run", "run")
    send(kit, session, wire.Start(run=first, name="x", experiment="gone"))
    with kit.write() as tx:
        service.delete_experiment(tx, kit.call(ACTOR), service.run(tx, first).experiment)
    told = send(
        kit, session,
        wire.Start(run=second, name="x", experiment="gone"),
        wire.Start(run=third, name="x", params={"bad": "a\0b", "good": 1}, tags={"t": "v"}),
        wire.Log(run=third, points=points(m=1)),
        first=2,
    )  # fmt: skip
    assert [refused.seq for refused in told.refused] == [3]
    with kit.read() as tx:
        moved, found = service.run(tx, second), service.run(tx, third)
    assert moved.experiment == 0 and moved.tags["keepwell.experiment"] == "gone"
    assert found.params == {"good": 1} and found.tags["t"] == "v" and found.metrics == {"m": 1}
