from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from keepwell.charter.model import Charter, Data, Monitor, Release, Retrain
from keepwell.loop.model import Gates, Health, Known, State, Training, unknown_state, with_columns

NOW = datetime(2026, 1, 5, 7, tzinfo=UTC)


class Fleets:
    """Makes charters and states to decide on."""

    now = NOW

    @staticmethod
    def charter(**changes: object) -> Charter:
        parts: dict[str, object] = {
            "model": "demand",
            "data": Data(dataset="sales", time="week", target="units"),
            "monitor": Monitor(performance={"wmape": 0.3}),
            "release": Release(environments=("prod",)),
            "retrain": Retrain(),
        }
        return Charter(**{**parts, **changes})  # type: ignore[arg-type]

    @staticmethod
    def well(segments: Sequence[str] = ("a", "b", "c"), **changes: object) -> State:
        """Everything is known and nothing is to be done."""
        n = len(segments)
        state = with_columns(
            unknown_state("demand", "sha256:charter", segments),
            champion=Known.YES,
            champion_id=[f"ver_{s}_1" for s in segments],
            champion_since=np.full(n, np.datetime64("2025-11-03T00:00:00", "us")),
            can_answer=Known.YES,
            failed_over=Known.NO,
            guard=Health.OK,
            previous=Known.NO,
            challenger=Known.NO,
            gates=Gates.UNKNOWN,
            training=Training.FINISHED,
            trained_at=np.full(n, np.datetime64("2025-11-01T00:00:00", "us")),
            trained_data=["dsv_1"] * n,
            trained_code=["code_1"] * n,
            wanted=Known.NO,
            performance=Health.OK,
            staleness=Health.OK,
            drift=Health.OK,
            signals_id="sig_1",
            data_latest="dsv_2",
            code_latest="code_1",
            freshness=Health.OK,
            quality=Health.OK,
            incidents=(),
            arrivals=(),
            conditioning=Known.NO,
            scoring=Known.NO,
            scored=Known.YES,
            scored_slot=NOW,
        )
        return with_columns(state, **changes)


@pytest.fixture(scope="session")
def fleets() -> type[Fleets]:
    return Fleets
