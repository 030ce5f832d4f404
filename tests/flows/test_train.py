"""Training: recorded, cached, registered and judged; again under the same key it is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import NotFound, Unavailable
from keepwell.datasets import service as datasets
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.flows.promote import promote_fleet
from keepwell.flows.receive import receive
from keepwell.flows.train import code_of_training, finish_left, segments_of, train
from keepwell.governance.charters import AppliedCharter
from keepwell.models import service as models
from keepwell.pipelines.service import pipeline_run
from keepwell.releases import service as releases
from keepwell.testing.weekly import MODEL, OWNER, Weekly, morning
from keepwell.tracking import service as tracking

SEGMENTS = ("kind=k0000", "kind=k0001")


def begun(kit: Kit, clock: SimulatedClock, folder: Path, **changes: object) -> tuple[Weekly, AppliedCharter]:
    clock.move_to(morning(80))
    fleet = Weekly(folder / "stalls")
    applied = fleet.begin(kit, {name.replace("__", "."): value for name, value in changes.items()})
    fleet.arrive(0, 80)
    receive(kit, applied, OWNER)
    return fleet, applied


def test_without_data_there_is_nothing_to_learn_from(kit: Kit, tmp_path: Path) -> None:
    applied = Weekly(tmp_path / "stalls").begin(kit)
    with pytest.raises(NotFound, match="keepwell data receive"):
        train(kit, applied, None, OWNER, cause="person")


def test_a_fleet_is_registered_with_its_lineage(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    _, applied = begun(kit, clock, tmp_path)
    done = train(kit, applied, None, OWNER, cause="person")
    assert tuple(sorted(done.certified.versions)) == SEGMENTS
    assert done.missing == ()
    with kit.read() as tx:
        run = tracking.run(tx, done.run)
        versions = models.latest_versions(tx, MODEL)
        evidence = releases.evidence(tx, versions[SEGMENTS[0]].id)
        pipeline = pipeline_run(tx, done.pipeline_run)
    assert (run.status, run.params["cause"], run.params["named"]) == ("finished", "person", list(SEGMENTS))
    assert run.metrics["gates_passed"] == 2
    assert run.inputs[0].name == "sales"
    assert {v.run_id for v in versions.values()} == {done.run}
    assert {v.dataset_version for v in versions.values()} == {run.inputs[0].id}
    assert {v.code for v in versions.values()} == {code_of_training()}
    assert {v.trained_until for v in versions.values()} == {"2025-07-07"}
    assert {e.subject for e in evidence} >= {"self", "baseline"}
    assert pipeline.state == "finished"
    assert fsck(kit) == []


def test_the_same_key_again_is_the_same_training(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    _, applied = begun(kit, clock, tmp_path)
    first = train(kit, applied, None, OWNER, cause="x", key="k")
    again = train(kit, applied, None, OWNER, cause="x", key="k")
    assert again.run == first.run
    assert again.certified == first.certified
    with kit.read() as tx:
        assert {v.number for v in models.latest_versions(tx, MODEL).values()} == {1}
        assert len(tracking.runs(tx, model=MODEL)) == 1


def test_the_same_data_again_comes_from_the_cache(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    _, applied = begun(kit, clock, tmp_path)
    train(kit, applied, None, OWNER, cause="x")
    again = train(kit, applied, None, OWNER, cause="y")
    with kit.read() as tx:
        assert tracking.run(tx, again.run).metrics["steps_cached"] >= 1
        assert {v.number for v in models.latest_versions(tx, MODEL).values()} == {2}


def test_some_segments_only(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    _, applied = begun(kit, clock, tmp_path)
    done = train(kit, applied, ["kind=k0001", "kind=gone"], OWNER, cause="x")
    assert list(done.certified.versions) == ["kind=k0001"]
    assert done.missing == ("kind=gone",)
    with pytest.raises(NotFound, match="None of the segments"):
        train(kit, applied, ["kind=gone"], OWNER, cause="x")


def test_a_challenger_is_compared_with_the_champion_on_weeks_that_both_have_not_seen(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    fleet, applied = begun(kit, clock, tmp_path)
    first = train(kit, applied, None, OWNER, cause="x")
    ids = list(first.certified.versions.values())
    promote_fleet(kit, applied, "prod", ids, OWNER, "it passed")
    fleet.arrive(80, 92)
    receive(kit, applied, OWNER)
    second = train(kit, applied, None, OWNER, cause="y")
    with kit.read() as tx:
        version = models.version(tx, second.certified.versions[SEGMENTS[0]])
        subjects = {e.subject for e in releases.evidence(tx, version.id)}
    against = version.facts["against_champion"]
    assert isinstance(against, dict)
    assert against["outcome"] in ("better", "same", "worse")
    assert against["rows"] == 24
    assert first.certified.versions[SEGMENTS[0]] in subjects
    assert "champion" not in subjects


def test_a_champion_that_is_gone_keeps_nobody_from_training(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, applied = begun(kit, clock, tmp_path)
    first = train(kit, applied, None, OWNER, cause="x")
    ids = list(first.certified.versions.values())
    promote_fleet(kit, applied, "prod", ids, OWNER, "it passed")
    with kit.read() as tx:
        [pack] = set(models.packs(tx, ids).values())
    kit.blobs.path(pack).unlink()
    fleet.arrive(80)
    receive(kit, applied, OWNER)
    done = train(kit, applied, None, OWNER, cause="cannot_answer")
    with kit.read() as tx:
        assert "against_champion" not in models.version(tx, done.certified.versions[SEGMENTS[0]]).facts


def test_a_training_that_fails_is_recorded_and_registers_nothing(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    (tmp_path / "stalls").mkdir()
    (tmp_path / "stalls/own.py").write_text("def fit(*arguments, **named):\n    raise ValueError('no luck')\n")
    _, applied = begun(
        kit, clock, tmp_path, forecast__own={"mine": "own.py:fit"}, forecast__candidates=["lasso", "mine"]
    )
    with pytest.raises(Unavailable, match="did not finish") as failed:
        train(kit, applied, None, OWNER, cause="x")
    assert failed.value.code == "step_failed"
    with kit.read() as tx:
        [run] = tracking.runs(tx, model=MODEL)
        assert models.latest_versions(tx, MODEL) == {}
    assert run.status == "failed"
    assert run.error is not None and "no luck" in run.error


def test_a_run_that_a_killed_process_left_is_ended_when_it_had_registered(
    kit: Kit, clock: SimulatedClock, tmp_path: Path
) -> None:
    _, applied = begun(kit, clock, tmp_path)
    done = train(kit, applied, None, OWNER, cause="x")
    with kit.write() as tx:
        left = tracking.start_run(
            tx, kit.call("loop:stalls"), name="left", kind="train", params={}, inputs=[],
            code=tracking.run(tx, done.run).code, model=MODEL,
        )  # fmt: skip
    finish_left(kit, applied, "loop:stalls")
    with kit.read() as tx:
        assert tracking.run(tx, left.id).status == "running"  # it registered nothing: the next training goes on


def test_segments_are_looked_for_once_a_version(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    _, applied = begun(kit, clock, tmp_path)
    with kit.read() as tx:
        version = datasets.latest(tx, "sales")
    assert version is not None
    found = segments_of(kit, applied, version.id)
    assert found == SEGMENTS
    assert segments_of(kit.guarded(lambda _: None), applied, version.id) is found
