"""Running pipelines in process: lineage, cache, failures, fan-out, idempotency, looking up."""

from __future__ import annotations

import io
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from sqlalchemy import event, select

from keepwell.core.clock import SimulatedClock
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.pipelines import Pipeline, Step, command, renamed, step, store
from keepwell.pipelines.model import WHOLE, PipelineRun, Progress, StepRun
from keepwell.pipelines.runners import InProcess, Processes
from keepwell.pipelines.service import (
    has_gone,
    log_of,
    mark_interrupted,
    output,
    pipeline_run,
    pipeline_runs,
    plan_of,
    run_pipeline,
    step_counts,
    step_of,
    steps,
)
from keepwell.pipelines.shelf import INLINE

CALLS = io.StringIO()
"""What ran. A stream, because a list that functions read would count as a part of their code."""


def call(what: str) -> int:
    CALLS.write(what + "\n")
    return calls().count(what)


def calls() -> list[str]:
    return CALLS.getvalue().splitlines()


def forget_calls() -> None:
    CALLS.seek(0)
    CALLS.truncate()


class Fit(msgspec.Struct, frozen=True):
    segment: str
    slope: float


@step
def numbers(n: int) -> list[int]:
    call("numbers")
    print(f"making {n}")
    return list(range(n))


@step(map_over="numbers", chunk=4)
def squares(numbers: list[int], factor: float = 1.0) -> dict[str, Fit]:
    call(f"squares {numbers[0]}")
    return {str(x): Fit(str(x), x * x * factor) for x in numbers}


@step(outputs=("total", "table"))
def report(squares: dict[str, Fit]) -> tuple[float, pl.DataFrame]:
    call("report")
    table = pl.DataFrame({"x": list(squares), "y": [fit.slope for fit in squares.values()]})
    return sum(fit.slope for fit in squares.values()), table


SUMS = Pipeline("sums", (numbers, squares, report), {"n": 10, "factor": 2.0})


@pytest.fixture(autouse=True)
def fresh() -> None:
    forget_calls()


def run(kit: Kit, pipeline: Pipeline = SUMS, params: dict[str, Any] | None = None, **more: Any) -> PipelineRun:
    runner = more.pop("runner", None) or InProcess()
    return run_pipeline(kit.db, kit.blobs, kit.call("person:ada", more.pop("key", None)), pipeline, params,
                        runner=runner, home=kit.home, **more)  # fmt: skip


def records(kit: Kit, found: PipelineRun) -> dict[tuple[str, int], StepRun]:
    with read(kit.db) as tx:
        return {(s.name, s.part): s for s in steps(tx, found.id)}


def value(kit: Kit, found: PipelineRun, name: str, kind: Any = None) -> Any:
    with read(kit.db) as tx:
        return output(tx, kit.blobs, found.id, name, kind)


def function(name: str, body: Callable[..., Any], **more: Any) -> Step:
    return step(name=name, **more)(body)


def test_a_run_and_its_lineage(kit: Kit) -> None:
    found = run(kit)
    assert (found.state, found.error, found.counts, found.steps, found.attempts) == (
        "finished",
        None,
        {"done": 6},
        3,
        1,
    )
    assert found.params == {"n": 10, "factor": 2.0} and found.actor == "person:ada"
    assert value(kit, found, "report.total") == 570.0
    assert value(kit, found, "report.table")["y"].sum() == 570.0
    assert value(kit, found, "squares", dict[str, Fit])["3"] == Fit("3", 18.0)
    seen = records(kit, found)
    assert list(seen) == [("numbers", WHOLE), ("squares", WHOLE), ("squares", 0), ("squares", 1), ("squares", 2),
                          ("report", WHOLE)]  # fmt: skip
    assert seen["squares", WHOLE].inputs["numbers"] == seen["numbers", WHOLE].outputs["result"]
    assert seen["report", WHOLE].inputs == {"squares": seen["squares", WHOLE].outputs["result"]}
    assert set(seen["report", WHOLE].outputs) == {"total", "table"}
    assert seen["report", WHOLE].formats == {"total": "msgpack", "table": "ipc"}
    for one in seen.values():
        assert one.run_id == found.id and one.key and one.code and one.params and one.environment
        assert one.state == "done" and one.started_at and one.finished_at and one.started_at <= one.finished_at
    with read(kit.db) as tx:
        assert log_of(tx, kit.blobs, seen["numbers", WHOLE]) == "making 10\n"
        assert log_of(tx, kit.blobs, seen["report", WHOLE]) == ""
        plan = plan_of(tx, kit.blobs, found.id)
        assert step_counts(tx, found.id) == {0: {"done": 1}, 1: {"done": 4}, 2: {"done": 1}}
    assert [(s.name, s.kind, s.after, s.map_over) for s in plan.steps] == [
        ("numbers", "function", (), None), ("squares", "function", (0,), "numbers"), ("report", "function", (1,), None)
    ]  # fmt: skip


def test_the_ledger_knows(kit: Kit) -> None:
    found = run(kit)
    with read(kit.db) as tx:
        told = [(e.kind, dict(e.body)) for e in entries(tx, subject=f"pipeline_run:{found.id}")][::-1]
    assert [kind for kind, _ in told] == ["pipeline.run_started", "pipeline.run_finished"]
    assert told[0][1]["plan"] == found.plan
    assert told[1][1]["counts"] == found.counts and str(told[1][1]["record"]).startswith("sha256:")


def test_again_is_cached(kit: Kit) -> None:
    first = run(kit)
    forget_calls()
    second = run(kit)
    assert second.counts == {"cached": 3} and calls() == [] and second.id != first.id
    seen = records(kit, second)
    assert {s.source for s in seen.values()} == {first.id}
    assert {s.outputs["result"] for s in seen.values() if "result" in s.outputs} <= {
        d for s in records(kit, first).values() for d in s.outputs.values()
    }
    assert value(kit, second, "report.total") == 570.0
    third = run(kit)
    assert {s.source for s in records(kit, third).values()} == {first.id}
    assert run(kit, cache=False).counts == {"done": 6}


def test_only_what_changed_runs(kit: Kit) -> None:
    run(kit)
    forget_calls()
    grown = run(kit, params={"n": 13})
    assert calls() == ["numbers", "squares 8", "squares 12", "report"]
    assert grown.counts == {"cached": 2, "done": 5}
    forget_calls()
    run(kit, params={"factor": 3.0})
    assert calls() == ["squares 0", "squares 4", "squares 8", "report"]


def test_code_that_changed_runs(kit: Kit) -> None:
    def plan_with(k: int) -> Pipeline:
        return replace(SUMS, steps=(numbers, squares, function("report", lambda squares: len(squares) + k)))

    assert value(kit, run(kit, plan_with(1)), "report") == 11
    assert run(kit, plan_with(1)).counts == {"cached": 3}
    again = run(kit, plan_with(2))
    assert again.counts == {"cached": 2, "done": 1} and value(kit, again, "report") == 12


def test_bytes_that_are_gone_are_made_again(kit: Kit) -> None:
    large = Pipeline("large", (function("make", lambda: b"x" * (INLINE + 1)), function("size", lambda make: len(make))))
    first = run(kit, large)
    digest = records(kit, first)["make", WHOLE].outputs["result"]
    path = kit.blobs.path(digest)
    path.chmod(0o600)
    path.unlink()
    again = run(kit, large)
    assert again.counts == {"cached": 1, "done": 1} and kit.blobs.has(digest)


def test_small_values_make_no_files(kit: Kit) -> None:
    run(kit)
    assert list(kit.blobs.digests()) == []
    assert not (kit.home / "work").exists() or list((kit.home / "work").iterdir()) == []


def test_what_is_stored_can_be_checked(kit: Kit) -> None:
    large = function("make", lambda numbers: print("x" * (INLINE + 1)) or [b"x" * (INLINE + n) for n in numbers],
                     map_over="numbers", chunk=2)  # fmt: skip
    found = run(kit, Pipeline("large", (numbers, large), {"n": 4}))
    with read(kit.db) as tx:
        kept = dict(store.kept_values(tx))
        assert kept and all(digest_bytes(data) == digest for digest, data in kept.items())
        assert found.plan in kept
        named = set(store.named_blobs(tx))
        assert named == set(kit.blobs.digests()) and len(named) == 3
        assert len(output(tx, kit.blobs, found.id, "make")) == 4


def test_a_step_without_cache_always_runs(kit: Kit) -> None:
    connection = sqlite3.connect(":memory:")
    now = function("now", lambda: [call("now"), 1 if connection else 0][1], cache=False)
    after = function("after", lambda now: [call("after"), 1][1])
    for _ in range(2):
        run(kit, Pipeline("p", (now, after)))
    assert calls() == ["now", "after", "now"]
    connection.close()


def test_failures_skip_what_waits_and_nothing_else(kit: Kit) -> None:
    def stumble(numbers: list[int]) -> None:
        print("about to fail")
        raise ValueError("negative demand")

    graph = Pipeline(
        "broken",
        (
            numbers,
            function("bad", stumble),
            function("after", lambda bad: 1),
            function("further", lambda after, numbers: 1),
            function("beside", lambda numbers: 2),
        ),
        {"n": 3},
    )
    found = run(kit, graph)
    assert found.state == "failed" and found.counts == {"done": 2, "failed": 1, "skipped": 2}
    assert found.error is not None and found.error.startswith("The step 'bad' failed: ValueError: negative demand (")
    seen = records(kit, found)
    assert {name: s.state for (name, _), s in seen.items()} == {
        "numbers": "done", "bad": "failed", "after": "skipped", "further": "skipped", "beside": "done"
    }  # fmt: skip
    assert seen["further", WHOLE].error == "It waits for 'bad', which failed."
    with read(kit.db) as tx:
        log = log_of(tx, kit.blobs, seen["bad", WHOLE])
    assert "about to fail" in log and "Traceback" in log
    with pytest.raises(NotFound, match="no output 'bad'"):
        value(kit, found, "bad")


def test_retries(kit: Kit) -> None:
    def flaky() -> int:
        if call("try") < 3:
            raise OSError("away")
        return 7

    found = run(kit, Pipeline("flaky", (function("fetch", flaky, retries=2),)))
    assert found.state == "finished" and records(kit, found)["fetch", WHOLE].attempts == 3
    forget_calls()
    assert run(kit, Pipeline("flaky2", (function("fetch", lambda: flaky() + 1, retries=1),))).state == "failed"


def test_a_chunk_that_fails_fails_its_step(kit: Kit) -> None:
    def each(numbers: list[int]) -> list[int]:
        if 5 in numbers:
            raise ValueError("five")
        return numbers

    graph = Pipeline("chunks", (numbers, function("each", each, map_over="numbers", chunk=2)), {"n": 10})
    found = run(kit, graph)
    assert found.counts == {"done": 5, "failed": 2}
    assert "1 of 5 chunks failed; the first: ValueError: five" in str(found.error)
    seen = records(kit, found)
    assert [seen["each", p].state for p in range(5)] == ["done", "done", "failed", "done", "done"]
    again = run(kit, replace(graph, steps=(numbers, replace(graph.steps[1], does=lambda numbers: numbers))))
    assert again.state == "finished"


def test_an_empty_list_has_no_chunks(kit: Kit) -> None:
    found = run(kit, params={"n": 0})
    assert found.state == "failed", "the report of nothing has no column to sum"
    assert records(kit, found)["squares", WHOLE].state == "done" and value(kit, found, "squares") == []


def test_a_parameter_can_be_mapped_over(kit: Kit) -> None:
    double = function("double", lambda names, k: [n * k for n in names], map_over="names", chunk=2, constants={"k": 2})
    found = run(kit, Pipeline("names", (double,), {"names": ["a", "b", "c"]}))
    assert value(kit, found, "double") == ["aa", "bb", "cc"] and found.counts == {"done": 3}
    bad = run(kit, Pipeline("names", (double,), {"names": "abc"}))
    assert bad.state == "failed" and "only a list can be mapped over" in str(bad.error)


def test_values_are_handed_in(kit: Kit) -> None:
    table = pl.DataFrame({"units": [1.0, 2.0]})
    total = function("total", lambda rows: rows["units"].sum())
    graph = Pipeline("given", (total,))
    first = run(kit, graph, values={"rows": table})
    assert value(kit, first, "total") == 3.0
    assert run(kit, graph, values={"rows": table}).counts == {"cached": 1}
    assert run(kit, graph, values={"rows": table * 2}).counts == {"done": 1}
    with read(kit.db) as tx:
        kept = plan_of(tx, kit.blobs, first.id).values["rows"]
    assert run(kit, graph, values={"rows": kept}).counts == {"cached": 1}
    with pytest.raises(InvalidInput, match="cannot be stored"):
        run(kit, graph, values={"rows": object()})
    with pytest.raises(InvalidInput, match="'rows' is no step"):
        run(kit, graph)


def test_files_are_inputs(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    graph = Pipeline(
        "files", (function("height", lambda rows: rows.height, inputs={"rows": "file:data.csv"}),), folder=tmp_path
    )
    assert value(kit, run(kit, graph), "height") == 1
    assert run(kit, graph).counts == {"cached": 1}
    (tmp_path / "data.csv").write_text("a,b\n1,2\n3,4\n")
    assert value(kit, run(kit, graph), "height") == 2
    (tmp_path / "data.csv").unlink()
    assert "no file 'data.csv'" in str(run(kit, graph).error)
    (tmp_path / "data.csv").symlink_to("/etc/hostname")
    assert "outside the pipeline's folder" in str(run(kit, graph).error)
    assert list(kit.blobs.digests()) == []


def test_commands_and_functions_together(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "double.awk").write_text('BEGIN { FS = OFS = "," }\nNR == 1 || $2 > least { print }\n')
    graph = Pipeline(
        "mixed",
        (
            function("table", lambda n: pl.DataFrame({"x": range(n), "y": range(n)})),
            command(
                "filter",
                ["sh", "-c", 'awk -v least="$1" -f double.awk "$2" > out.csv', "sh", "{params.least}", "{inputs.rows}"],
                inputs={"rows": "table", "least": "param:least"},
                outputs={"rows": "out.csv"},
                formats={"rows": "csv"},
                files=["double.awk"],
            ),
            function("height", lambda rows: rows.height, inputs={"rows": "filter"}),
        ),
        {"n": 5, "least": 2},
        folder=tmp_path,
    )  # fmt: skip
    found = run(kit, graph)
    assert found.state == "finished" and value(kit, found, "height") == 2
    assert run(kit, graph).counts == {"cached": 3}
    (tmp_path / "double.awk").write_text("{ print }\n")
    assert value(kit, run(kit, graph), "height") == 5
    (tmp_path / "double.awk").unlink()
    with pytest.raises(NotFound, match=r"double\.awk"):
        run(kit, graph)
    with pytest.raises(NotFound, match="no program 'no-such'"):
        run(kit, Pipeline("gone", (command("c", ["no-such"], outputs={"o": "o"}),)))


def test_what_is_passed_from_outside_counts(kit: Kit) -> None:
    graph = Pipeline(
        "env", (command("show", ["sh", "-c", 'echo "$REGION" > o.txt'], outputs={"o": "o.txt"}, passes=["REGION"]),)
    )
    assert value(kit, run(kit, graph, variables={"REGION": "eu", "OTHER": "x"}), "show") == "eu\n"
    assert run(kit, graph, variables={"REGION": "eu"}).counts == {"cached": 1}
    assert value(kit, run(kit, graph, variables={"REGION": "us"}), "show") == "us\n"


def test_a_key_runs_once(kit: Kit) -> None:
    first = run(kit, key="monday")
    forget_calls()
    assert run(kit, key="monday") == first and calls() == []
    with pytest.raises(Conflict, match="another request"):
        run(kit, params={"n": 3}, key="monday")
    with read(kit.db) as tx:
        assert len(pipeline_runs(tx)) == 1


def test_a_key_goes_on_with_what_failed(kit: Kit) -> None:
    def late(numbers: list[int]) -> int:
        if call("late") < 2:
            raise OSError("away")
        return 1

    graph = Pipeline("late", (numbers, function("late", late)), {"n": 1})
    first = run(kit, graph, key="k")
    assert first.state == "failed"
    second = run(kit, graph, key="k")
    assert (second.id, second.state, second.attempts) == (first.id, "finished", 2)


@pytest.mark.parametrize(
    ("params", "pattern"),
    [
        ({"m": 1}, "no parameter 'm'; it has n, factor"),
        ({"n": float("nan")}, "cannot be recorded"),
        ({"n": object()}, "cannot"),
    ],
)
def test_parameters_are_checked(kit: Kit, params: dict[str, Any], pattern: str) -> None:
    with pytest.raises(InvalidInput, match=pattern):
        run(kit, params=params)
    with read(kit.db) as tx:
        assert pipeline_runs(tx) == []


def test_code_that_cannot_be_told_runs_nothing(kit: Kit) -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(InvalidInput, match=r"^ask: .*cache=False") as caught:
        try:
            run(kit, Pipeline("p", (numbers, function("ask", lambda numbers: connection.total_changes)), {"n": 1}))
        except InvalidInput as error:
            raise InvalidInput(str(error)) from error
    assert caught and calls() == []
    connection.close()


def test_progress_is_told(kit: Kit) -> None:
    told: list[Progress] = []
    found = run(kit, progress=told.append)
    assert len(told) == 6 and told[-1].counts == {"done": 6} and told[-1].settled == 6
    assert {p.run_id for p in told} == {found.id} and all(p.settled <= p.known for p in told)
    failing: list[Progress] = []
    run(kit, Pipeline("f", (function("bad", lambda: 1 / 0),)), progress=failing.append)
    assert failing[-1].failed is not None and "bad: ZeroDivisionError" in failing[-1].failed


def test_progress_is_in_the_database_while_it_runs(kit: Kit) -> None:
    seen: list[Any] = []
    started = threading.Event()

    def slow(numbers: list[int]) -> int:
        started.set()
        for _ in range(200):
            with read(kit.db) as tx:
                rows = {(r.name): r.state for r in tx.execute(select(store.steps.c.name, store.steps.c.state))}
            if rows.get("numbers") == "done" and rows.get("slow") == "running":
                with read(kit.db) as tx:
                    seen.append(pipeline_runs(tx)[0].state)
                return 1
            threading.Event().wait(0.02)
        return 0

    graph = Pipeline("slow", (numbers, function("slow", slow, cache=False)), {"n": 1})
    assert value(kit, run(kit, graph), "slow") == 1 and seen == ["running"]


def test_a_run_whose_process_is_gone_is_interrupted(kit: Kit) -> None:
    found = run(kit)
    with write(kit.db) as tx:
        store.change_run(tx, found.id, state="running", finished_at=None)
        tx.execute(store.steps.update().where(store.steps.c.name == "report").values(state="running"))
    with read(kit.db) as tx:
        assert pipeline_run(tx, found.id).state == "interrupted"
        assert [r.state for r in pipeline_runs(tx, state="interrupted")] == ["interrupted"]
        assert pipeline_runs(tx, state="running") == []
        assert {s.name: s.state for s in steps(tx, found.id) if s.part == WHOLE}["report"] == "interrupted"
        assert has_gone(tx)
    with write(kit.db) as tx:
        assert mark_interrupted(tx, kit.call("person:ada")) == [found.id]
        assert mark_interrupted(tx, kit.call("person:ada")) == []
    with read(kit.db) as tx:
        assert not has_gone(tx)
        assert entries(tx, subject=f"pipeline_run:{found.id}")[0].kind == "pipeline.run_interrupted"
        assert pipeline_run(tx, found.id).counts == {"done": 5, "interrupted": 1}


def test_ctrl_c_and_resume(kit: Kit) -> None:
    def stop(squares: dict[str, Fit]) -> int:
        if call("stop") == 1:
            raise KeyboardInterrupt
        return 1

    graph = Pipeline("stops", (numbers, squares, function("last", stop)), {"n": 10, "factor": 1.0})
    with pytest.raises(KeyboardInterrupt):
        run(kit, graph, cache=False)
    with read(kit.db) as tx:
        first = pipeline_runs(tx)[0]
    assert (first.state, first.counts) == ("interrupted", {"done": 5, "interrupted": 1})
    done = calls()
    again = run(kit, graph, resume=first.id, cache=False)
    assert calls() == [*done, "stop"] and (again.id, again.state, again.attempts) == (first.id, "finished", 2)
    assert again.counts == {"done": 6} and again.seconds > first.seconds


def test_what_can_be_resumed(kit: Kit) -> None:
    done = run(kit)
    with pytest.raises(Conflict, match="is finished"):
        run(kit, resume=done.id)
    with pytest.raises(NotFound):
        run(kit, resume="prn_" + "0" * 26)
    with pytest.raises(InvalidInput):
        run(kit, resume="../x")
    broken = Pipeline("broken", (numbers, function("bad", lambda numbers: 1 / 0)), {"n": 2})
    failed = run(kit, broken)
    with pytest.raises(Conflict, match="of the pipeline 'broken'"):
        run(kit, resume=failed.id)
    with pytest.raises(Conflict, match="another value for 'n'"):
        run(kit, broken, {"n": 3}, resume=failed.id)
    mended = replace(broken, steps=(numbers, function("good", lambda numbers: 1)))
    again = run(kit, mended, {"n": 2}, resume=failed.id)
    assert again.state == "finished" and again.counts == {"done": 2}
    assert {name for name, _ in records(kit, again)} == {"numbers", "good"}


def test_resume_keeps_values(kit: Kit) -> None:
    def first_fails(rows: pl.DataFrame) -> int:
        if call("x") == 1:
            raise OSError("away")
        return rows.height

    graph = Pipeline("v", (function("h", first_fails),))
    failed = run(kit, graph, values={"rows": pl.DataFrame({"a": [1, 2]})})
    assert value(kit, run(kit, graph, resume=failed.id), "h") == 2


def test_lists_are_paged_and_bounded(kit: Kit, clock: SimulatedClock) -> None:
    ids = []
    for number in (1, 2, 3):
        clock.advance(timedelta(seconds=1))
        ids.append(run(kit, params={"n": number}).id)
    run(kit, Pipeline("other", (function("one", lambda: 1),)))
    with read(kit.db) as tx:
        assert [r.id for r in pipeline_runs(tx, pipeline="sums", limit=2)] == ids[:0:-1]
        assert [r.id for r in pipeline_runs(tx, pipeline="sums", before=ids[1])] == ids[:1]
        for bad in (0, -1, 10**9):
            with pytest.raises(InvalidInput):
                pipeline_runs(tx, limit=bad)
            with pytest.raises(InvalidInput):
                steps(tx, ids[0], limit=bad)
        page = steps(tx, ids[2], limit=2)
        rest = steps(tx, ids[2], after=(page[-1].position, page[-1].part))
        assert [*page, *rest] == steps(tx, ids[2])
        assert step_of(tx, ids[2], "squares:0").part == 0
        for name in ("gone", "squares:99", "squares:x", ":1", ""):
            with pytest.raises(NotFound):
                step_of(tx, ids[2], name)


def test_in_processes(kit: Kit) -> None:
    many = Pipeline(
        "many",
        (numbers, squares, renamed(report, "report"), function("big", _big, chunk=1, map_over="numbers")),
        {"n": 8, "factor": 2.0},
    )
    with Processes(2) as runner:
        found = run(kit, many, runner=runner)
        assert found.state == "finished", found.error
        assert len(value(kit, found, "big")) == 8 and value(kit, found, "report.total") == 280.0
        assert list((kit.home / "work").iterdir()) == []
        assert run(kit, many).counts == {"cached": 4}, "both runners share the cache"
        inner = Pipeline("inner", (function("f", lambda: 1),))
        with pytest.raises(InvalidInput, match=r"cannot be found by another process"):
            run(kit, inner, runner=runner)


def _big(numbers: list[int]) -> list[bytes]:
    return [b"x" * 300_000 for _ in numbers]


def test_a_thousand_steps_share_few_transactions(kit: Kit) -> None:
    commits: list[int] = []
    event.listen(kit.db.engine, "commit", lambda _: commits.append(1))
    each = function("each", lambda numbers: numbers, map_over="numbers", chunk=1)
    assert run(kit, Pipeline("wide", (numbers, each), {"n": 1000})).counts == {"done": 1002}
    assert len(commits) < 40
