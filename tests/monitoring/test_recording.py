from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from keepwell.core.errors import Conflict, InvalidInput
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.monitoring import service
from keepwell.monitoring.model import Kept, Signal, Window

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
WEEK = timedelta(weeks=1)


def signal(segment: str = "a", **changes: object) -> Signal:
    made = Signal(
        segment=segment,
        kind="performance",
        state="ok",
        value=0.2,
        limit=0.3,
        n=100,
        window_start=MONDAY - 4 * WEEK,
        window_end=MONDAY,
        sentence="wmape 20 % over 4 weeks; the charter allows 30 %.",
        clause="monitor.performance.wmape",
        about="wmape",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def window(segment: str = "a", week: int = 0, **changes: object) -> Window:
    made = Window(
        segment=segment,
        version="ver_1",
        window_start=MONDAY + week * WEEK,
        window_end=MONDAY + (week + 1) * WEEK,
        n=168,
        complete=True,
        volume=1000.0,
        metrics={"wmape": 0.2, "mape100": None, "rmse": 3.0},
        counts={"mape100": 0},
        baseline={"wmape": 0.4},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def record(kit: Kit, *signals: Signal, key: str | None = None) -> str | None:
    with write(kit.db) as tx:
        return service.record_signals(tx, kit.call("service:test", key), "demand", signals)


def keep(kit: Kit, *windows: Window, key: str | None = None) -> Kept:
    with write(kit.db) as tx:
        return service.record_performance(tx, kit.call("service:test", key), "demand", windows)


def test_the_newest_signal_stands_and_each_week_keeps_a_point(kit: Kit) -> None:
    assert record(kit) is None
    first = record(kit, signal(), signal("b", state="unknown", value=None))
    second = record(kit, signal(window_end=MONDAY + WEEK, state="bad", value=0.4))
    assert first != second
    with read(kit.db) as tx:
        assert service.signals_id(tx, "demand") == second
        assert [(s.segment, s.state, s.value) for s in service.signals(tx, "demand")] == [
            ("a", "bad", 0.4),
            ("b", "unknown", None),
        ]
        assert [s.segment for s in service.signals(tx, "demand", state="bad")] == ["a"]
        assert service.signals(tx, "demand", kind="drift") == []
        assert service.signal_counts(tx, "demand") == {"performance": {"unknown": 1, "ok": 0, "bad": 1}}
        points = service.signal_history(tx, "demand", segment="a")
        assert [(p.window_end, p.state) for p in points] == [(MONDAY, "ok"), (MONDAY + WEEK, "bad")]
        assert len(service.signal_history(tx, "demand", kind="performance", since=MONDAY + WEEK)) == 1
        assert [e.body["changed"] for e in entries(tx, kind="signals.recorded")] == [1, 2]


def test_saying_the_same_again_changes_nothing(kit: Kit) -> None:
    first = record(kit, signal())
    assert record(kit, signal()) == first
    with read(kit.db) as tx:
        assert len(entries(tx, kind="signals.")) == 1


def test_recording_is_idempotent_under_its_key(kit: Kit) -> None:
    first = record(kit, signal(), key="k")
    record(kit, signal(value=0.25))
    assert record(kit, signal(), key="k") == first
    with pytest.raises(Conflict):
        record(kit, signal(value=0.1), key="k")
    with read(kit.db) as tx:
        assert service.signals(tx, "demand")[0].value == 0.25


@pytest.mark.parametrize(
    "changes",
    [
        {"value": float("nan")},
        {"limit": float("inf")},
        {"value": None},
        {"state": "fine"},
        {"n": -1},
        {"sentence": ""},
        {"clause": ""},
    ],
)
def test_a_signal_that_cannot_be_is_refused(kit: Kit, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        record(kit, signal(**changes))
    with pytest.raises(InvalidInput, match="twice"):
        record(kit, signal(), signal())
    with read(kit.db) as tx:
        assert service.signals(tx, "demand") == []


def test_windows_are_kept_as_columns(kit: Kit) -> None:
    assert keep(kit, window(), window("b", 1), window(week=1)) == Kept(new=3, revised=0, same=0)
    with read(kit.db) as tx:
        found = service.performance(tx, "demand")
        assert list(found.segment) == ["a", "a", "b"]
        assert found.metrics["wmape"].tolist() == [0.2, 0.2, 0.2]
        assert np.isnan(found.metrics["mape100"]).all()
        assert found.counts["mape100"].tolist() == [0, 0, 0]
        assert found.counts["rmse"].tolist() == [168, 168, 168]
        assert found.baseline["wmape"].tolist() == [0.4, 0.4, 0.4]
        assert found.window_start[0] == np.datetime64("2026-01-05")
        assert found.complete.all()
        assert len(service.performance(tx, "demand", since=MONDAY + WEEK)) == 2
        assert len(service.performance(tx, "demand", segment="b")) == 1
        assert len(service.performance(tx, "other")) == 0


def test_a_window_computed_anew_is_a_revision_not_a_silent_change(kit: Kit) -> None:
    keep(kit, window(), window("b"))
    late = window(metrics={"wmape": 0.35}, n=170)
    assert keep(kit, late, window("b")) == Kept(new=0, revised=1, same=1)
    assert keep(kit, late, window("b")) == Kept(new=0, revised=0, same=2)
    with read(kit.db) as tx:
        found = service.performance(tx, "demand", segment="a")
        assert (found.metrics["wmape"].tolist(), found.revision.tolist()) == ([0.35], [2])
        before = service.performance_revisions(tx, "demand")
        assert (before.metrics["wmape"].tolist(), before.revision.tolist()) == ([0.2], [1])
        newest, _ = entries(tx, kind="performance.recorded")
    assert (newest.body["new"], newest.body["revised"]) == (0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"wmape": float("nan")}},
        {"metrics": {"accuracy": 1.0}},
        {"baseline": {"wmape": float("inf")}},
        {"volume": -1.0},
        {"n": -1},
        {"counts": {"mape": -1}},
        {"window_end": MONDAY},
    ],
)
def test_a_window_that_cannot_be_is_refused(kit: Kit, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        keep(kit, window(), window("b", **changes))
    with pytest.raises(InvalidInput, match="twice"):
        keep(kit, window(), window())
    with read(kit.db) as tx:
        assert len(service.performance(tx, "demand")) == 0


def test_a_fleet_of_ten_thousand_is_recorded_in_bulk(kit: Kit) -> None:
    names = [f"store={i:05}" for i in range(10_000)]
    assert keep(kit, *(window(n) for n in names)).new == 10_000
    assert record(kit, *(signal(n) for n in names)) is not None
    with read(kit.db) as tx:
        assert len(service.performance(tx, "demand")) == 10_000
        assert service.signal_counts(tx, "demand")["performance"]["ok"] == 10_000
