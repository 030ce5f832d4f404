"""Runs from start to end: what is stored, what the ledger gets, who may end them, how they are found."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from keepwell.cli import cli
from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.tracking import tables as store
from keepwell.tracking.model import Code, Input, Run
from keepwell.tracking.service import environment_of, finish_run, machine_of, readers, run, runs, start_run

DIGEST = "sha256:" + "a" * 64
CODE = Code(commit="0" * 40, dirty=True, diff=DIGEST, remote="https://(hidden)@example.com/x")


def start(kit: Kit, name: str = "weekly", kind: str = "train", key: str | None = None, **more: Any) -> Run:
    given = {
        "params": {"alpha": 0.1},
        "inputs": [Input(kind="dataset", name="d", id="dsv_1", digest=DIGEST)],
        "code": CODE,
    }
    with write(kit.db) as tx:
        return start_run(tx, kit.call("person:ada", key), name=name, kind=kind, **{**given, **more})


def finish(kit: Kit, run_id: str, status: Any = "finished", **more: Any) -> Run:
    with write(kit.db) as tx:
        return finish_run(tx, kit.call("person:ada", more.pop("key", None)), run_id, status, **more)


def test_a_run(kit: Kit, clock: SimulatedClock) -> None:
    environment = environment_of(kit.blobs)
    begun = start(kit, model="demand", tags={"team": "retail"}, environment=environment)
    assert begun.status == "running" and begun.finished_at is None and begun.machine == machine_of()
    clock.advance(timedelta(minutes=5))
    done = finish(kit, begun.id, metrics={"wmape": 0.078, "loss": math.nan, "r2": None}, artifacts={"model": DIGEST})
    assert done.metrics == {"wmape": 0.078, "loss": "NaN", "r2": "unknown"} and done.artifacts == {"model": DIGEST}
    assert (done.started_at, done.finished_at) == ("2026-01-05T06:00:00.000000Z", "2026-01-05T06:05:00.000000Z")
    assert done.inputs == begun.inputs and done.params == {"alpha": 0.1} and done.tags == {"team": "retail"}
    assert done.code == CODE and done.environment == environment and done.actor == "person:ada"
    with read(kit.db) as tx:
        assert run(tx, begun.id) == done
        told = entries(tx, subject=f"run:{begun.id}")[::-1]
        assert readers(tx, input_id="dsv_1") == readers(tx, digest=DIGEST) == [begun.id]
        assert readers(tx, input_id="dsv_2") == []
    assert [e.kind for e in told] == ["run.started", "run.finished"]
    assert told[0].body["inputs"] == [{"kind": "dataset", "name": "d", "id": "dsv_1", "digest": DIGEST}]
    assert (told[1].body["metrics"], told[1].body["params"], told[1].body["artifacts"]) == (3, 1, 1)
    assert str(told[1].body["content"]).startswith("sha256:")
    described = json.loads(kit.blobs.get(environment))
    assert described["python"] and "numpy" in described["packages"] and "PATH" not in str(described)


def test_the_database_holds_no_metric_that_is_neither(kit: Kit) -> None:
    start(kit)
    for value, mark in ((None, None), (1.0, "NaN")):
        with pytest.raises(IntegrityError), write(kit.db) as tx:
            row = {"run": 1, "experiment": 0, "name": "m", "step": 0, "at": 0, "value": value, "mark": mark}
            tx.execute(store.metrics.insert().values(**row))


def test_secrets_are_not_stored(kit: Kit) -> None:
    start(kit, params={"password": "canary-77", "url": "https://u:canary-77@h/x"}, tags={"api_key": "canary-77"})
    with read(kit.db) as tx:
        for table in (store.runs, store.params, store.tags):
            assert "canary-77" not in str(tx.execute(select(table)).all())
        assert "canary-77" not in str(entries(tx))


def test_a_run_ends_once(kit: Kit) -> None:
    begun = start(kit)
    finish(kit, begun.id, "failed", error="It diverged.")
    with pytest.raises(Conflict, match="has failed already"):
        finish(kit, begun.id)
    with pytest.raises(NotFound):
        finish(kit, "run_" + "0" * 26)
    other = start(kit, "other")
    with pytest.raises(InvalidInput, match="ends as"):
        finish(kit, other.id, "running")
    with pytest.raises(InvalidInput):
        finish(kit, other.id, metrics={"m": "x"})
    with read(kit.db) as tx:
        assert run(tx, begun.id).error == "It diverged." and run(tx, other.id).status == "running"


def test_a_key_starts_and_ends_once(kit: Kit) -> None:
    first = start(kit, key="k1")
    assert start(kit, key="k1") == first
    with pytest.raises(Conflict, match="another request"):
        start(kit, "another", key="k1")
    done = finish(kit, first.id, metrics={"m": math.inf}, key="k2")
    assert finish(kit, first.id, metrics={"m": math.inf}, key="k2") == done
    with read(kit.db) as tx:
        assert len(runs(tx)) == 1 and len(entries(tx)) == 2


def test_runs_nest(kit: Kit) -> None:
    parent = start(kit)
    child = start(kit, "part", parent=parent.id)
    with read(kit.db) as tx:
        assert [r.id for r in runs(tx, parent=parent.id)] == [child.id]
    with pytest.raises(NotFound):
        start(kit, "orphan", parent="run_" + "0" * 26)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "null", "x" * 201, "a\x00b"])
def test_kinds_follow_the_grammar_of_names(name: str, kit: Kit) -> None:
    with pytest.raises(InvalidInput):
        start(kit, kind=name)


@pytest.mark.parametrize("name", ["", "x" * 251, "a\x00b", "a\nb", "\x1b[2J"])
def test_what_a_run_is_called_is_printable(name: str, kit: Kit) -> None:
    with pytest.raises(InvalidInput):
        start(kit, name)
    assert start(kit, "resnet/50: second try").name == "resnet/50: second try"


def test_search_and_paging(kit: Kit, clock: SimulatedClock) -> None:
    ids = []
    for number in range(6):
        clock.advance(timedelta(seconds=1))
        ids.append(start(kit, model=f"m{number % 2}", kind="train" if number < 4 else "score").id)
    finish(kit, ids[0])
    with read(kit.db) as tx:
        assert [r.id for r in runs(tx)] == ids[::-1]
        assert [r.id for r in runs(tx, model="m0", kind="train")] == [ids[2], ids[0]]
        assert [r.id for r in runs(tx, status="finished")] == [ids[0]]
        assert [r.id for r in runs(tx, limit=2, before=ids[3])] == [ids[2], ids[1]]
        assert runs(tx, model="m0' OR 1=1 --") == []
        for bad in (0, -1, 10**9):
            with pytest.raises(InvalidInput, match="10,000"):
                runs(tx, limit=bad)
        with pytest.raises(InvalidInput):
            runs(tx, before="x")


def test_a_listing_is_few_queries(kit: Kit) -> None:
    from sqlalchemy import event

    for _ in range(5):
        start(kit)
    statements: list[str] = []
    event.listen(kit.db.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    with read(kit.db) as tx:
        assert len(runs(tx)) == 5
    assert len([s for s in statements if s.startswith("SELECT")]) <= 8


def test_the_command(kit: Kit) -> None:
    def keepwell(*arguments: str) -> Any:
        return CliRunner().invoke(cli, ["runs", *arguments, "--home", str(kit.home)])

    assert "No run is recorded" in keepwell("list").output
    begun = start(kit, model="demand")
    finish(kit, begun.id, metrics={"wmape": 0.0781, "loss": math.nan}, artifacts={"model": DIGEST})
    assert (
        "wmape 0.0781, loss NaN" in " ".join(keepwell("list").output.split()) or "loss NaN" in keepwell("list").output
    )
    (listed,) = json.loads(keepwell("list", "--json", "--model", "demand", "--status", "finished").output)
    assert listed["metrics"] == {"wmape": 0.0781, "loss": "NaN"}
    assert json.loads(keepwell("list", "--json", "--kind", "score").output) == []
    assert json.loads(keepwell("show", begun.id, "--json").output)["id"] == begun.id
    shown = keepwell("show", begun.id).output
    assert "param alpha" in shown and "with changes" in shown and DIGEST in shown
    assert isinstance(keepwell("show", "run_x").exception, InvalidInput)
