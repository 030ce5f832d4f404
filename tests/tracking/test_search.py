"""Search: what a filter and an order find is what the same comparisons in plain Python find, by every plan."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keepwell.core.clock import SimulatedClock, from_iso, to_ms
from keepwell.core.errors import InvalidInput
from keepwell.core.filters import RUNS, Comparison, Order, parse_filter, parse_order, quoted
from keepwell.core.points import batch_of, rank
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.tracking import search_store, service
from keepwell.tracking.conditions_store import like_regex
from keepwell.tracking.model import DatasetInput, Run

ADA = "person:ada"
PATIENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = ("a", "b c", "d.e")
TEXTS = ("", "x", "xy", "x" * 200, "x" * 200 + "y", "x" * 201 + "%", "it's", "a_b", "a*b", "é")
NUMBERS = (0.0, 1.0, -1.0, 0.5, math.nan, math.inf, -math.inf)
STATUSES = {
    "running": "RUNNING",
    "scheduled": "SCHEDULED",
    "finished": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}

texts, names = st.sampled_from(TEXTS), st.sampled_from(NAMES)
some_run = st.fixed_dictionaries({
    "experiment": st.sampled_from((1, 2)), "gone": st.integers(0, 4).map(lambda n: n == 0),
    "started": st.integers(0, 3),
    "name": st.sampled_from(("x", "xy", "Z")), "user": st.sampled_from((None, "ann", "bob")),
    "params": st.dictionaries(names, texts), "tags": st.dictionaries(names, texts),
    "metrics": st.dictionaries(names, st.sampled_from(NUMBERS)),
    "status": st.sampled_from(("running", "finished", "interrupted")),
    "data": st.sampled_from((None, ("d1", "1", "train"), ("d2", "2", None))),
})  # fmt: skip
patterns = st.sampled_from(("%", "x%", "%y", "_", "x_", "X%", "%'%", "a_b", "a*b", "%*%", "[a]%", "%\\%", ""))
text_ops = st.one_of(
    st.tuples(st.sampled_from(("=", "!=")), texts), st.tuples(st.sampled_from(("LIKE", "ILIKE")), patterns)
)
null_ops = st.tuples(st.sampled_from(("IS NULL", "IS NOT NULL")), st.none())
number_ops = st.tuples(
    st.sampled_from(("=", "!=", "<", "<=", ">", ">=")), st.sampled_from((0.0, 0.5, 1.0, -2.0, 1.7976931348623157e308))
)
comparisons = st.one_of(
    st.tuples(st.just("metric"), names, number_ops),
    st.tuples(st.sampled_from(("parameter", "tag")), names, st.one_of(text_ops, null_ops)),
    st.tuples(st.just("tag"), st.just("mlflow.runName"), st.one_of(text_ops, null_ops)),
    st.tuples(st.just("attribute"), st.sampled_from(("run_name", "user_id")), text_ops),
    st.tuples(st.just("attribute"), st.just("status"), st.tuples(st.sampled_from(("=", "!=", "LIKE", "ILIKE")),
              st.sampled_from(("RUNNING", "finished", "KILLED", "F%", "f%")))),
    st.tuples(st.just("attribute"), st.sampled_from(("start_time", "end_time")),
              st.tuples(st.sampled_from(("=", "!=", "<", ">=")), st.integers(0, 3).map(lambda n: BEGAN + n))),
    st.tuples(st.just("dataset"), st.sampled_from(("name", "digest", "context")),
              st.one_of(st.tuples(st.sampled_from(("=", "!=", "LIKE")), st.sampled_from(("d1", "1", "train", "d%"))),
                        st.tuples(st.sampled_from(("IN", "NOT IN")), st.just(("d1", "2", "train"))))),
)  # fmt: skip
ordered_attributes = st.sampled_from(("run_name", "user_id", "start_time", "end_time", "run_id", "status"))
orders = st.one_of(
    st.tuples(st.sampled_from(("metric", "parameter", "tag")), names, st.booleans()),
    st.tuples(st.just("attribute"), ordered_attributes, st.booleans()),
    st.tuples(st.just("tag"), st.just("mlflow.runName"), st.booleans()),
)  # fmt: skip
WORDS = {"metric": "metrics", "parameter": "params", "tag": "tags", "attribute": "attributes", "dataset": "datasets"}
BEGAN = 1_767_592_800_000


def text_of(comparison: tuple[str, str, tuple[str, Any]]) -> str:
    """Write a comparison as a filter."""
    entity, key, (op, value) = comparison
    match value:
        case None:
            shown = ""
        case tuple():
            shown = "(" + ", ".join(f"'{one}'" for one in value) + ")"
        case str():
            shown = "'" + value.replace("'", "''") + "'"
        case _:
            shown = repr(value)
    return f"{quoted(WORDS[entity], key)} {op} {shown}"


def make(kit: Kit, clock: SimulatedClock, given_runs: Sequence[dict[str, Any]]) -> list[Run]:
    """Record runs as described, in experiments of their own; return them in the order of recording."""
    with write(kit.db) as tx:
        call = kit.call(ADA)
        numbers = {n: service.create_experiment(tx, call, f"{n} {kit.ids.new('run')}").id for n in (1, 2)}
        ids = []
        for one in given_runs:
            started = clock.now() + timedelta(milliseconds=one["started"])
            run = service.start_run(
                tx, call, name=one["name"], params=one["params"], tags=one["tags"],
                experiment=numbers[one["experiment"]],
                started_at=started, user=one["user"], machine={},
            )  # fmt: skip
            ids.append(run.id)
            service.log_points(
                tx, call, run.id, batch_of((name, value, 1, 1) for name, value in one["metrics"].items())
            )
            if one["data"]:
                name, digest, context = one["data"]
                tags = {"mlflow.data.context": context} if context else {}
                service.log_inputs(tx, call, run.id, [DatasetInput(name=name, digest=digest, tags=tags)])
            if one["status"] != "running":
                service.update_run(tx, call, run.id, one["status"], started + timedelta(milliseconds=1))
            if one["gone"]:
                service.delete_run(tx, call, run.id)
    with read(kit.db) as tx:
        return service.runs_by_id(tx, ids)


def value_of(run: Run, entity: str, key: str) -> Any:
    """Return what a comparison or an order looks at; None where there is nothing."""
    match entity:
        case "metric":
            mark = run.metrics.get(key)
            return {"NaN": math.nan, "Infinity": rank(math.inf), "-Infinity": rank(-math.inf)}.get(mark, mark)  # type: ignore[call-overload]
        case "parameter":
            return run.params.get(key)
        case "tag":
            return run.name if key == "mlflow.runName" else run.tags.get(key)
        case _:
            ended = None if run.finished_at is None else to_ms(from_iso(run.finished_at))
            return {"run_name": run.name, "user_id": run.user, "status": run.status, "run_id": run.id,
                    "start_time": to_ms(from_iso(run.started_at)), "end_time": ended}[key]  # fmt: skip


def holds(run: Run, c: Comparison) -> bool:
    """Tell whether a run passes a comparison, by the definition of the grammar."""
    if c.entity == "dataset":
        found = [
            {"name": i.name, "digest": i.digest, "context": i.tags.get("mlflow.data.context")}[c.key]
            for i in run.inputs
        ]
        return any(compare(one, c.op, c.value) for one in found)
    value = value_of(run, c.entity, c.key)
    if c.op in ("IS NULL", "IS NOT NULL"):
        return (value is None) == (c.op == "IS NULL")
    if c.entity == "attribute" and c.key == "status":
        both = [compare(one, c.op, c.value) for one in (value, STATUSES[value])]
        return all(both) if c.op == "!=" else any(both)
    return compare(value, c.op, c.value)


def compare(value: Any, op: str, other: Any) -> bool:
    if value is None:
        return False
    match op:
        case "LIKE" | "ILIKE":
            return (
                re.fullmatch(like_regex(other), value, re.DOTALL | (re.IGNORECASE if op == "ILIKE" else 0)) is not None
            )
        case "IN" | "NOT IN":
            return (value in other) == (op == "IN")
        case _:
            return bool({"=": value == other, "!=": value != other}[op] if op in ("=", "!=") else
                        {"<": value < other, "<=": value <= other, ">": value > other,
                         ">=": value >= other}[op])  # fmt: skip


def in_order(found: Sequence[Run], wanted: Sequence[Order]) -> list[Run]:
    """Sort runs by the definition: missing values last, NaN before them; then newest first; then by id."""

    def place(value: Any) -> int:
        return 2 if value is None else 1 if isinstance(value, float) and math.isnan(value) else 0

    def against(one: Run, other: Run) -> int:
        for order in wanted:
            a, b = value_of(one, order.entity, order.key), value_of(other, order.entity, order.key)
            if place(a) != place(b):
                return place(a) - place(b)
            if place(a) == 0 and a != b:
                return (-1 if a < b else 1) * (1 if order.ascending else -1)
        if one.started_at != other.started_at:
            return -1 if one.started_at > other.started_at else 1
        return -1 if one.id < other.id else 1

    return sorted(found, key=cmp_to_key(against))


@PATIENT
@given(
    given_runs=st.lists(some_run, max_size=14),
    filters=st.lists(comparisons, max_size=3),
    order=st.lists(orders, max_size=3, unique_by=lambda o: "run_name" if o[1] == "mlflow.runName" else o[:2]),
    view=st.sampled_from(("active", "deleted", "all")),
    both=st.booleans(),
    few=st.sampled_from((0, 2, 5_000)),
    limit=st.integers(1, 6),
)
def test_a_search_finds_what_its_comparisons_say(
    kit: Kit, clock: SimulatedClock, given_runs: list[dict[str, Any]], filters: Any, order: Any, view: Any, both: bool,
    few: int, limit: int,
) -> None:  # fmt: skip
    made = make(kit, clock, given_runs)
    numbers = sorted({run.experiment for run in made})[: 2 if both else 1] or [0]
    text = " AND ".join(map(text_of, filters))
    clauses = [f"{quoted(WORDS[entity], key)} {'ASC' if up else 'DESC'}" for entity, key, up in order]
    stages = {"active": ("active",), "deleted": ("deleted",), "all": ("active", "deleted")}[view]
    inside = [run for run in made if run.experiment in numbers and run.lifecycle in stages]
    wanted = in_order(
        [r for r in inside if all(holds(r, c) for c in parse_filter(text, RUNS))], parse_order(clauses, RUNS)
    )
    limits = pytest.MonkeyPatch()
    limits.setattr(search_store, "FEW", few)
    try:
        with read(kit.db) as tx:
            found: list[Run] = []
            while len(page := service.search_runs(tx, numbers, text, view, clauses, limit, len(found))) == limit:
                found += page
            found += page
            assert [run.id for run in found] == [run.id for run in wanted], (text, clauses)
            assert found == wanted
            assert service.count_runs(tx, numbers, text, view) == len(wanted)
            assert service.count_runs(tx, numbers, text, view, most=2) == min(2, len(wanted))
    finally:
        limits.undo()


def test_many_experiments_are_searched_at_once(kit: Kit, clock: SimulatedClock) -> None:
    template = {"experiment": 1, "gone": False, "started": 0, "name": "x", "user": None, "params": {}, "tags": {},
                "metrics": {"a": 1.0}, "status": "running", "data": None}  # fmt: skip
    made = [make(kit, clock, [template])[0] for _ in range(3)]
    numbers = [run.experiment for run in made] + list(range(5_000, 5_200))
    with read(kit.db) as tx:
        found = service.search_runs(tx, numbers, "metrics.a = 1", order_by=["metrics.a DESC"])
        assert {run.id for run in found} == {run.id for run in made}
        assert service.search_runs(tx, [], "") == []


def test_ids_parents_and_addresses(kit: Kit) -> None:
    with write(kit.db) as tx:
        call = kit.call(ADA)
        parent = service.start_run(tx, call, name="parent")
        child = service.start_run(tx, call, name="child", tags={"mlflow.parentRunId": parent.id, "mlflow.runName": "x"})
        other = service.start_run(tx, call, name="other", tags={"mlflow.parentRunId": "of another server"})
        service.start_run(tx, call, name="late", parent=parent.id)
    assert (child.parent, child.tags, child.name) == (parent.id, {}, "child")
    assert (other.parent, other.tags) == (None, {"mlflow.parentRunId": "of another server"})

    def names_of(text: str) -> set[str]:
        with read(kit.db) as tx:
            return {run.name for run in service.search_runs(tx, [0], text)}

    assert names_of(f"tags.mlflow.parentRunId = '{parent.id}'") == {"child", "late"}
    assert names_of("tags.mlflow.parentRunId = 'of another server'") == {"other"}
    assert names_of("tags.mlflow.parentRunId IS NULL") == {"parent"}
    assert names_of("tags.mlflow.parentRunId LIKE 'run%' AND tags.mlflow.runName != 'late'") == {"child"}
    assert names_of(f"run_id IN ('{parent.id}', '{other.id}', 'x')") == {"parent", "other"}
    assert names_of(f"run_id NOT IN ('{parent.id}')") == {"child", "other", "late"}
    assert names_of(f"artifact_uri = 'mlflow-artifacts:/0/{child.id}/artifacts'") == {"child"}
    assert names_of("attributes.run_name ILIKE 'PAR%'") == {"parent"}


def test_what_is_refused(kit: Kit) -> None:
    with read(kit.db) as tx:
        for bad in ({"filter": "x"}, {"order_by": ["x"]}, {"limit": 0}, {"limit": 10**9}):
            with pytest.raises(InvalidInput):
                service.search_runs(tx, [0], **bad)  # type: ignore[arg-type]


def test_columns_and_datasets_in_use(kit: Kit, clock: SimulatedClock) -> None:
    one = {"experiment": 1, "gone": False, "started": 0, "name": "x", "user": None, "params": {"p": "1"},
           "tags": {"t": "1"}, "metrics": {"a": 1.0, "b c": 2.0}, "status": "running",
           "data": ("d", "1", "train")}  # fmt: skip
    made = make(kit, clock, [one, {**one, "metrics": {"z": 1.0}}, {**one, "experiment": 2, "params": {"q": "1"}}])
    first, second = made[0].experiment, made[2].experiment
    with read(kit.db) as tx:
        found = service.run_columns(tx, [first, second])
        assert (found.metrics, found.params, found.tags) == (["a", "b c", "z"], ["p", "q"], ["t"])
        assert service.run_columns(tx, []).metrics == []
        told = service.search_datasets(tx, [first, second])
    assert [(d.experiment, d.name, d.digest, d.context) for d in told] == [
        (first, "d", "1", "train"),
        (second, "d", "1", "train"),
    ]
