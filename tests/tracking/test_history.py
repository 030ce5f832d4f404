"""Points: a history is the set of what was logged, however it came; the latest value follows the rule."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepwell.core.errors import Conflict, Damaged, InvalidInput, NotFound
from keepwell.core.points import batch_of, pack, rank
from keepwell.db import read, write
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.tracking import amending, chunks, points_store, service
from keepwell.tracking.model import Latest, Run, Series

INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf]))
POINTS = st.tuples(
    st.sampled_from("abc"), VALUES, st.one_of(st.integers(0, 3), INT64), st.one_of(st.integers(0, 3), INT64)
)
BATCHES = st.lists(st.lists(POINTS, max_size=12), max_size=10)
PATIENT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PointKey = tuple[int, int, float, bool, float]


def start(kit: Kit, **more: object) -> Run:
    with write(kit.db) as tx:
        return service.start_run(tx, kit.call("person:ada"), name="try", **more)  # type: ignore[arg-type]


def log(kit: Kit, run: Run, *points: tuple[str, float, int, int]) -> None:
    with write(kit.db) as tx:
        service.log_points(tx, kit.call("person:ada"), run.id, batch_of(points))


def key_of(value: float, step: int, at: int) -> PointKey:
    """What makes a point the same as another, in the order of a history."""
    value = 0.0 if value == 0 else value
    return (at, step, rank(value), math.isnan(value), 0.0 if math.isnan(value) else value)


def keys_of(series: Series) -> list[PointKey]:
    rows = zip(series.values.tolist(), series.steps.tolist(), series.ats.tolist(), strict=True)
    return [key_of(*row) for row in rows]


@PATIENT
@given(batches=BATCHES, compactions=st.sets(st.integers(0, 10)), retries=st.sets(st.integers(0, 10)))
def test_a_history_is_the_set_of_the_points(
    kit: Kit, batches: list[list[tuple[str, float, int, int]]], compactions: set[int], retries: set[int]
) -> None:
    limits = pytest.MonkeyPatch()
    limits.setattr(points_store, "PENDING", 8)
    limits.setattr(points_store, "ROWS", 5)
    limits.setattr(points_store, "FAN", 2)
    limits.setattr(chunks, "MOST", 8)
    try:
        run = start(kit)
        wanted: dict[str, set[PointKey]] = {}
        for number, points in enumerate(batches):
            for _ in range(1 + (number in retries)):
                log(kit, run, *points)
            if number in compactions:
                with write(kit.db) as tx:
                    points_store.compact(tx, amending.run_state(tx, run.id))
            for name, *point in points:
                wanted.setdefault(name, set()).add(key_of(*point))
        with read(kit.db) as tx:
            for name in "abc":
                found = keys_of(service.history(tx, run.id, name))
                assert found == sorted(wanted.get(name, set()))
            latest = {one.name: one for one in service.latest(tx, run.id)}
        assert latest.keys() == wanted.keys()
        for name, keys in wanted.items():
            at, step, number, missing, value = max(keys, key=lambda k: (k[1], k[0], *k[2:4]))
            mark = "NaN" if missing else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value)
            told = latest[name]
            assert (told.step, told.at) == (step, at)
            assert told.value in ([mark, number] if number in (rank(math.inf), rank(-math.inf)) else [mark or number])
    finally:
        limits.undo()


def test_every_run_of_the_property_is_whole(kit: Kit) -> None:
    """What the stores hold after many small compactions is what fsck wants."""
    limits = pytest.MonkeyPatch()
    limits.setattr(points_store, "PENDING", 8)
    limits.setattr(points_store, "FAN", 2)
    try:
        run = start(kit)
        for number in range(60):
            log(kit, run, ("a", number % 7, number, number), ("b", math.nan if number % 3 else math.inf, number % 5, 1))
    finally:
        limits.undo()
    assert fsck(kit) == []
    with read(kit.db) as tx:
        assert len(service.history(tx, run.id, "a")) == 60 and len(service.history(tx, run.id, "b")) == 10


@given(st.lists(POINTS, max_size=40), st.integers(1, 50))
def test_a_chunk_comes_back(rows: list[tuple[str, float, int, int]], most: int) -> None:
    series = Series(
        *(np.array([row[n] for row in rows], kind) for n, kind in ((2, np.int64), (3, np.int64), (1, np.float64)))
    )
    ordered = chunks.in_order([series])
    back = chunks.decode(chunks.encode(ordered), len(ordered))
    assert keys_of(back) == keys_of(ordered) == sorted(set(keys_of(series)))
    assert keys_of(chunks.in_order([ordered, back, ordered])) == keys_of(ordered)
    sampled = chunks.sample(ordered, most)
    assert len(sampled) == min(most, len(ordered)) and set(keys_of(sampled)) <= set(keys_of(ordered))
    if len(ordered):
        assert keys_of(sampled)[-1] == keys_of(ordered)[-1] and (
            most == 1 or keys_of(sampled)[0] == keys_of(ordered)[0]
        )


@given(st.binary(max_size=80), st.integers(0, 5))
def test_other_bytes_are_damage(noise: bytes, points: int) -> None:
    good = chunks.encode(Series(np.arange(3), np.arange(3), np.ones(3)))
    for data in (noise, b"KWC1" + noise, good[:-1], good + b"x" if points != 3 else noise, zlib.compress(noise)):
        with pytest.raises(Damaged):
            chunks.decode(data, points)
        with pytest.raises(Damaged):
            chunks.read_log(data, points)


def test_a_sample_takes_the_first_of_equal_parts_and_the_last(kit: Kit) -> None:
    run = start(kit)
    log(kit, run, *(("m", step / 2, step, 0) for step in range(10)))
    with read(kit.db) as tx:
        found = {most: service.histories(tx, [run.id], "m", most)[run.id].steps.tolist() for most in (1, 2, 4, 10, 99)}
        inside = service.histories(tx, [run.id, "run_" + "0" * 26], "m", start_step=3, end_step=5)
        assert service.histories(tx, [run.id], "other")[run.id].steps.tolist() == []
        with pytest.raises(InvalidInput):
            service.histories(tx, [run.id], "m", 0)
    assert found == {1: [9], 2: [0, 9], 4: [0, 3, 6, 9], 10: list(range(10)), 99: list(range(10))}
    assert list(inside) == [run.id] and inside[run.id].steps.tolist() == [3, 4, 5]


def test_histories_are_ordered_by_step_and_a_history_by_moment(kit: Kit) -> None:
    run = start(kit)
    log(kit, run, ("m", 1.0, 2, 10), ("m", 2.0, 1, 20), ("m", 3.0, 1, 10), ("m", 0.5, 1, 10))
    with read(kit.db) as tx:
        assert service.history(tx, run.id, "m").values.tolist() == [0.5, 3.0, 1.0, 2.0]
        assert service.histories(tx, [run.id], "m")[run.id].values.tolist() == [0.5, 3.0, 2.0, 1.0]
        assert service.latest(tx, run.id) == [Latest("m", 1.0, 2, 10)]


def test_a_point_of_a_run_that_is_not_open(kit: Kit) -> None:
    run = start(kit)
    with pytest.raises(NotFound), write(kit.db) as tx:
        service.log_points(tx, kit.call("a"), "run_" + "0" * 26, batch_of([("m", 1.0, 0, 0)]))
    with write(kit.db) as tx:
        service.delete_run(tx, kit.call("a"), run.id)
    with pytest.raises(Conflict, match="must be in the 'active' state") as caught:
        log(kit, run, ("m", 1.0, 0, 0))
    assert caught.value.code == "not_active"


def test_a_change_after_the_end_is_told(kit: Kit) -> None:
    run = start(kit)
    log(kit, run, ("m", 1.0, 0, 0))
    with write(kit.db) as tx:
        service.finish_run(tx, kit.call("person:ada"), run.id, "finished", {"m": 2.0})
    log(kit, run, ("m", 3.0, 5, 0), ("n", 3.0, 5, 0))
    with write(kit.db) as tx:
        service.log_batch(tx, kit.call("a"), run.id, params={"p": 1}, tags={"t": "x"})
        service.log_batch(tx, kit.call("a"), run.id, params={"p": 1})
    with read(kit.db) as tx:
        told = entries(tx, subject=f"run:{run.id}", kind="run.")[::-1]
        assert service.run(tx, run.id).metrics == {"m": 3.0, "n": 3.0}
    assert [e.kind for e in told] == ["run.started", "run.finished", "run.amended", "run.amended"]
    assert [e.body.get("changed") for e in told[2:]] == [{"points": 2}, {"params": 1, "tags": 1}]
    assert len({e.body["content"] for e in told[1:]}) == 3
    assert fsck(kit) == []


def test_a_final_value_comes_after_the_steps_that_were_logged(kit: Kit) -> None:
    run = start(kit)
    log(kit, run, ("loss", 5.0, 10, 1), ("other", 1.0, 2, 1))
    with write(kit.db) as tx:
        done = service.finish_run(tx, kit.call("a"), run.id, "finished", {"loss": 4.0, "r2": None, "other": math.inf})
    assert done.metrics == {"loss": 4.0, "other": "Infinity", "r2": "unknown"}
    log(kit, run, ("r2", 0.5, 0, 0))
    with read(kit.db) as tx:
        assert service.run(tx, run.id).metrics["r2"] == 0.5
        assert service.history(tx, run.id, "loss").values.tolist() == [5.0, 4.0]
    assert fsck(kit) == []


def test_long_histories_are_chunks_of_bounded_size(kit: Kit) -> None:
    run = start(kit)
    steps = range(200_000)
    for first in range(0, 200_000, 20_000):
        log(kit, run, *(("m", step % 100, step, step) for step in steps[first : first + 20_000]))
    with read(kit.db) as tx:
        sizes = [row[2] for row in tx.execute(points_store._CHUNKS, {"of_run": 1})]
        series = service.history(tx, run.id, "m")
        assert points_store.count(tx, 1) == 200_000
    assert max(sizes) <= chunks.MOST and len(sizes) < 12
    assert np.array_equal(series.steps, np.arange(200_000)) and np.array_equal(series.values, np.arange(200_000) % 100)
    assert fsck(kit) == []


@pytest.mark.parametrize("what", ["latest", "lost", "torn"])
def test_fsck_names_what_does_not_agree(kit: Kit, what: str) -> None:
    run = start(kit)
    log(kit, run, ("m", 1.0, 1, 1), ("m", 2.0, 2, 2))
    table = points_store.metric_log
    with write(kit.db) as tx:
        if what == "latest":
            tx.execute(points_store.metrics.update().values(value=1.0))
        elif what == "lost":
            tx.execute(table.update().values(data=pack(batch_of([("m", 1.0, 1, 1)])), points=1, total=1))
        else:
            tx.execute(table.update().values(data=b"KWP1"))
    assert [(p.invariant, p.subject) for p in fsck(kit)] == [("I7", f"run:{run.id}")]
