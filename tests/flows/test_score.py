"""Scoring a fleet: who answers each row, for which steps, and what is published."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import NotFound, Unavailable
from keepwell.datasets import service as datasets
from keepwell.datasets.parts import decode
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.flows.promote import promote_fleet
from keepwell.flows.receive import receive
from keepwell.flows.score import forecasts_of, score
from keepwell.flows.train import train
from keepwell.governance.charters import AppliedCharter
from keepwell.models import service as models
from keepwell.serving.model import Scoring
from keepwell.testing.weekly import MODEL, OWNER, Weekly, morning

SEGMENTS = ("kind=k0000", "kind=k0001")


def begun(kit: Kit, clock: SimulatedClock, folder: Path, **changes: object) -> tuple[Weekly, AppliedCharter]:
    clock.move_to(morning(80))
    fleet = Weekly(folder / "stalls")
    applied = fleet.begin(kit, {name.replace("__", "."): value for name, value in changes.items()})
    fleet.arrive(0, 80)
    receive(kit, applied, OWNER)
    return fleet, applied


def promoted(kit: Kit, applied: AppliedCharter, number: int = 1) -> list[str]:
    done = train(kit, applied, None, OWNER, cause=f"round {number}")
    ids = list(done.certified.versions.values())
    assert promote_fleet(kit, applied, "prod", ids, OWNER, "it passed").held == []
    return ids


def scored(kit: Kit, applied: AppliedCharter, week: int = 80) -> tuple[Scoring, pl.DataFrame]:
    made = score(kit, applied, morning(week) - timedelta(hours=2), OWNER)
    return made, decode(kit.blobs.path(made.part))


def lose(kit: Kit, version: str) -> None:
    with kit.read() as tx:
        [pack] = models.packs(tx, [version]).values()
    kit.blobs.path(pack).unlink()


def test_without_data_there_is_nothing_to_score(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    applied = Weekly(tmp_path / "stalls").begin(kit)
    with pytest.raises(NotFound, match="keepwell data receive"):
        score(kit, applied, clock.now(), OWNER)


def test_before_any_version_the_baseline_answers(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    _, applied = begun(kit, clock, tmp_path)
    made, rows = scored(kit, applied)
    assert made.answered == {"champion": 0, "last_champion": 0, "baseline": 6}
    assert made.silent == ()
    assert rows["version"].to_list() == [None] * 6
    assert (rows["forecast"] == rows["baseline"]).all()


def test_without_a_fallback_nobody_may_answer(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    _, applied = begun(kit, clock, tmp_path, fallback=["last_champion"])
    with pytest.raises(Unavailable, match="no version answers"):
        scored(kit, applied)


def test_champions_answer_and_every_row_names_its_version(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    _, applied = begun(kit, clock, tmp_path)
    ids = promoted(kit, applied)
    made, rows = scored(kit, applied)
    assert made.answered == {"champion": 6, "last_champion": 0, "baseline": 0}
    assert set(rows["version"]) == set(ids)
    assert rows.columns[:2] == ["stall", "week"]
    with kit.read() as tx:
        output = datasets.latest(tx, forecasts_of(MODEL))
    assert output is not None and output.id == made.output
    assert (output.rows, output.parent) == (6, None)
    actual = Weekly(tmp_path).rows(80, 81).sort("stall")["units"]
    wmape = (rows.sort("stall")["forecast"] - actual).abs().sum() / actual.sum()
    assert wmape < 0.15
    assert fsck(kit) == []


def test_a_moment_is_scored_once(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, applied = begun(kit, clock, tmp_path)
    first, _ = scored(kit, applied)
    promoted(kit, applied)
    fleet.arrive(80)
    receive(kit, applied, OWNER)
    assert scored(kit, applied)[0] == first


def test_who_falls_back_to_whom(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, applied = begun(kit, clock, tmp_path, gates=[])
    before = promoted(kit, applied)
    fleet.arrive(80)
    receive(kit, applied, OWNER)
    clock.move_to(morning(81))
    now = promoted(kit, applied, 2)
    lose(kit, now[0])
    made, rows = scored(kit, applied, 81)
    assert made.answered == {"champion": 0, "last_champion": 6, "baseline": 0}
    assert set(rows["version"]) == set(before)
    assert set(made.silent) == set(now)
    lose(kit, before[0])
    made, rows = scored(kit, applied, 82)
    assert made.answered == {"champion": 0, "last_champion": 0, "baseline": 6}
    assert rows["forecast"].null_count() == 0


def test_other_columns_than_it_was_trained_on(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    fleet, applied = begun(kit, clock, tmp_path)
    ids = promoted(kit, applied)
    other = fleet.apply(kit, {"data.known_ahead": []})
    made, rows = scored(kit, other)
    assert made.answered["baseline"] == 6
    assert set(made.silent) == set(ids)
    assert rows["forecast"].null_count() == 0


@pytest.mark.parametrize(("week", "first"), [(80, "2025-07-14"), (81, "2025-07-21"), (84, "2025-08-11")])
def test_rows_that_came_too_late_are_skipped(
    kit: Kit, clock: SimulatedClock, tmp_path: Path, week: int, first: str
) -> None:
    _, applied = begun(kit, clock, tmp_path)
    promoted(kit, applied)
    made, rows = scored(kit, applied, week)
    assert (made.first, made.last, made.rows) == (first, first, 6)
    assert made.answered["champion"] == 6
    assert rows["forecast"].is_finite().all()


def test_no_keys_is_one_series(kit: Kit, clock: SimulatedClock, tmp_path: Path) -> None:
    clock.move_to(morning(80))
    fleet = Weekly(tmp_path / "stalls")
    applied = fleet.begin(
        kit, {"data.keys": [], "data.group": True, "data.known_ahead": [], "data.static": [], "data.joins": [],
              "segments": [], "data.contract": None},
    )  # fmt: skip
    fleet.arrive(0, 80)
    receive(kit, applied, OWNER)
    promoted(kit, applied)
    made, rows = scored(kit, applied)
    assert (made.rows, made.answered["champion"]) == (1, 1)
    assert rows["segment"].to_list() == ["all"]
