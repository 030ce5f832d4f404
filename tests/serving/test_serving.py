"""Published scorings: once for each moment, counted honestly, and joined with what happened."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.serving import service as serving
from keepwell.serving.model import Scoring

SLOT = datetime(2026, 1, 5, 5, tzinfo=UTC)
ME = "loop:demand"


def scoring(number: int = 1, **changes: object) -> Scoring:
    made = Scoring(
        id=f"scr_{number}", model="demand", environment="prod", slot=SLOT + timedelta(weeks=number),
        origin="2025-12-29", at=SLOT + timedelta(weeks=number, hours=1), input="dsv_1", output="dsv_2",
        part="sha256:" + "0" * 64, rows=3, answered={"champion": 2, "last_champion": 0, "baseline": 1},
        first="2026-01-05", last="2026-01-05", silent=("ver_9",),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def put(kit: Kit, one: Scoring) -> Scoring:
    with kit.write() as tx:
        return serving.publish(tx, kit.call(ME), one)


def told(kit: Kit) -> list[str]:
    with kit.read() as tx:
        return [e.kind for e in entries(tx, kind="scoring.", limit=100)]


def test_a_scoring_is_read_as_it_was_published(kit: Kit) -> None:
    assert put(kit, scoring()) == scoring()
    with kit.read() as tx:
        assert serving.scoring(tx, "scr_1") == scoring()
        assert serving.published(tx, "demand", "prod", scoring().slot) == scoring()
        assert serving.published(tx, "demand", "test", scoring().slot) is None
    assert told(kit) == ["scoring.published"]


def test_a_moment_is_published_once(kit: Kit) -> None:
    put(kit, scoring())
    assert put(kit, scoring(id="scr_other")).id == "scr_1"
    assert put(kit, scoring(id="scr_test", environment="test")).id == "scr_test"
    assert told(kit) == ["scoring.published"] * 2


def test_every_row_has_one_who_answered(kit: Kit) -> None:
    with pytest.raises(InvalidInput, match="every row"):
        put(kit, scoring(rows=4))
    assert told(kit) == []


def test_newest_first_and_no_further_than_asked(kit: Kit) -> None:
    for number in (2, 1, 3):
        put(kit, scoring(number))
    with kit.read() as tx:
        assert [s.id for s in serving.scorings(tx, "demand", limit=2)] == ["scr_3", "scr_2"]
        assert serving.scorings(tx, "other") == []
        assert [s.id for s in serving.waiting_for_outcomes(tx, "demand")] == ["scr_1", "scr_2", "scr_3"]
        with pytest.raises(NotFound, match="keepwell score list"):
            serving.scoring(tx, "scr_none")


def test_outcomes_are_told_when_they_bring_something(kit: Kit) -> None:
    one = put(kit, scoring())
    with kit.write() as tx:
        serving.note_outcomes(tx, kit.call(ME), one, 0, "dsv_3", closed=False)
        looked = serving.scoring(tx, one.id)
        serving.note_outcomes(tx, kit.call(ME), looked, 3, "dsv_4", closed=True)
        done = serving.scoring(tx, one.id)
        assert serving.waiting_for_outcomes(tx, "demand") == []
    assert (looked.joined, looked.joined_input, looked.closed) == (0, "dsv_3", False)
    assert (done.joined, done.joined_input, done.closed) == (3, "dsv_4", True)
    assert told(kit) == ["scoring.outcomes_joined", "scoring.published"]
