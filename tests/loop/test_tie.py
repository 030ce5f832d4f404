"""A challenger that cannot be told from the champion: held, then discarded, or a stale champion is refreshed."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from keepwell.charter.model import Charter, Release
from keepwell.charter.parse import read_charter
from keepwell.loop.decide import decide
from keepwell.loop.decisions import Discard, Hold, Promote, Train, outcomes
from keepwell.loop.model import Approval, Compared, Gates, Health, Known, State, Training, unknown_state, with_columns

NOW = datetime(2026, 3, 2, 7, tzinfo=UTC)
TEXT = "model: m\ndata: {dataset: d, time: t, target: y}\nrelease: {environments: [prod], hold_windows: 2, tie: TIE}\n"


def charter(tie: str) -> Charter:
    return read_charter(TEXT.replace("TIE", tie))


def state(**changed: object) -> State:
    base = unknown_state("m", "sha256:" + "0" * 64, ["all"])
    known: dict[str, object] = {
        "champion": Known.YES, "champion_id": ["ver_old"], "can_answer": Known.YES, "challenger": Known.YES,
        "challenger_id": ["ver_new"], "gates": Gates.PASSED, "compared": Compared.SAME, "held_windows": 2,
        "reached": -1, "approval": Approval.NOT_ASKED, "training": Training.FINISHED, "performance": Health.OK,
        "staleness": Health.BAD, "incidents": (), "arrivals": (), "conditioning": Known.NO, "scoring": Known.NO,
    }  # fmt: skip
    return with_columns(base, **{**known, **changed})


def test_a_stale_champion_is_refreshed_where_the_charter_says_so() -> None:
    [made] = outcomes(decide(charter("refresh"), state(), NOW))
    assert isinstance(made, Promote)
    assert made.clause == "release.tie"
    assert "stale" in made.reason


def test_without_the_clause_it_goes() -> None:
    [made] = outcomes(decide(charter("discard"), state(), NOW))
    assert isinstance(made, Discard | Train)
    assert "ver_new" in (made.versions if isinstance(made, Discard) else made.replaces)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"staleness": Health.OK}, Discard),
        ({"staleness": Health.UNKNOWN}, Discard),
        ({"held_windows": 1}, Hold),
        ({"compared": Compared.UNKNOWN}, Train),
        ({"compared": Compared.WORSE}, Train),
        ({"gates": Gates.FAILED}, Train),
        ({"gates": Gates.UNDECIDED}, Train),
    ],
)
def test_nothing_else_refreshes(changed: dict[str, object], kind: type) -> None:
    [made] = outcomes(decide(charter("refresh"), state(**changed), NOW))
    assert isinstance(made, kind)


def test_the_default_is_to_discard() -> None:
    assert Release().tie == "discard"
    assert msgspec.to_builtins(Release())["tie"] == "discard"
