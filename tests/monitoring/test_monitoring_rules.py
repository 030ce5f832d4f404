from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.charter.model import Monitor, Retrain
from keepwell.monitoring.accepting import check_signals
from keepwell.monitoring.harm import judge_guard
from keepwell.monitoring.model import METRICS, STATES, Windows
from keepwell.monitoring.pooling import pool
from keepwell.monitoring.rules import (
    codes_of,
    judge_freshness,
    judge_performance,
    judge_quality,
    judge_staleness,
    show_value,
)

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = timedelta(weeks=1)


def windows(*rows: dict[str, object]) -> Windows:
    """Windows of performance, newest weeks first to give: week 1 ended last Monday."""
    full = [
        {"segment": "a", "version": "v1", "week": 1, "n": 100, "complete": True, "volume": 100.0, **row} for row in rows
    ]

    def column(name: str, default: object = np.nan) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray([row.get(name, default) for row in full], float)

    n = np.asarray([row["n"] for row in full], np.int64)
    ends = [np.datetime64((MONDAY - (int(str(r["week"])) - 1) * WEEK).replace(tzinfo=None), "us") for r in full]
    return Windows(
        segment=[str(r["segment"]) for r in full],
        version=[str(r["version"]) for r in full],
        window_start=np.asarray(ends, "datetime64[us]") - np.timedelta64(WEEK),
        window_end=np.asarray(ends, "datetime64[us]"),
        n=n,
        complete=np.asarray([r["complete"] for r in full], bool),
        volume=column("volume"),
        metrics={m: column(m) for m in METRICS},
        counts={m: np.asarray([r.get(f"n_{m}", r["n"]) for r in full], np.int64) for m in METRICS},
        baseline={m: column(f"baseline_{m}") for m in METRICS},
        revision=np.ones(len(full), np.int64),
    )


LIMIT = Monitor(performance={"wmape": 0.3})


def performance(found: Windows, monitor: Monitor = LIMIT, champion: str | None = "v1") -> tuple[str, float | None, str]:
    (signal,) = judge_performance(monitor, ["a"], [champion], found, NOW).signals()
    check_signals([signal])
    return signal.state, signal.value, signal.sentence


def test_performance_is_pooled_over_the_newest_windows_and_held_to_the_charter() -> None:
    found = windows({"wmape": 0.5, "volume": 300.0}, {"wmape": 0.1, "volume": 100.0, "week": 2})
    state, value, sentence = performance(found)
    assert (state, value) == ("bad", pytest.approx(0.4))
    assert sentence == "wmape 40 % over 200 rows of the newest 4 windows of 1w; the charter allows 30 %."
    assert performance(windows({"wmape": 0.3}))[0] == "ok"


@pytest.mark.parametrize(
    "row",
    [
        {"wmape": 0.5, "n": 19},
        {"wmape": np.nan},
        {"wmape": 0.5, "version": "v0"},
        {"wmape": 0.5, "complete": False},
        {"wmape": 0.5, "week": 9},
        {"wmape": 0.5, "segment": "b"},
        {"wmape": 0.5, "volume": 0.0},
    ],
)
def test_what_does_not_tell_of_the_champion_is_unknown(row: dict[str, object]) -> None:
    assert performance(windows(row))[0] == "unknown"


def test_no_champion_no_windows_and_no_limit_are_unknown() -> None:
    assert performance(windows())[0] == "unknown"
    assert performance(windows({"wmape": 0.1}), champion=None)[0] == "unknown"
    state, value, sentence = performance(windows({"wmape": 0.1}), Monitor())
    assert (state, value, sentence) == ("unknown", None, "The charter sets no limit for performance.")


def test_one_bad_metric_is_bad_and_one_missing_is_unknown() -> None:
    both = Monitor(performance={"wmape": 0.3, "bias": 0.1})
    assert performance(windows({"wmape": 0.1, "bias": -0.2}), both)[:2] == ("bad", -0.2)
    assert performance(windows({"wmape": 0.1}), both)[0] == "unknown"
    assert performance(windows({"wmape": 0.5}), both)[0] == "bad"
    assert performance(windows({"wmape": 0.1, "bias": 0.05}), both)[0] == "ok"


def test_old_outcomes_are_not_the_newest_ones() -> None:
    late = windows({"wmape": 0.1, "week": 5})
    assert performance(late)[0] == "unknown"
    (waited,) = judge_performance(LIMIT, ["a"], ["v1"], late, NOW, WEEK).signals()
    assert waited.state == "ok"


@settings(max_examples=50)
@given(st.data(), st.sampled_from(METRICS))
def test_pooling_windows_is_measuring_all_rows_at_once(data: st.DataObject, metric: str) -> None:
    from keepwell.forecasting.metrics import measure_arrays

    numbers = st.sampled_from([0.0, 0.0, 1.0, 7.0, 120.0, 300.0])
    parts = data.draw(st.lists(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8), min_size=1, max_size=4))
    rows = []
    for i, part in enumerate(parts):
        actual, forecast = np.asarray(part).T
        found = measure_arrays(actual, forecast)
        row: dict[str, object] = {"week": i + 1, "n": len(part), "volume": float(np.abs(actual).sum())}
        for name, (value, n) in found.items():
            row[name] = np.nan if value is None else value
            row[f"n_{name}"] = n
        rows.append(row)
    table = windows(*rows)
    used = np.ones(len(rows), bool)
    whole = pool(table, metric, np.zeros(len(rows), np.int64), used, 1)
    actual, forecast = np.asarray([pair for part in parts for pair in part]).T
    expected, _ = measure_arrays(actual, forecast, (metric,))[metric]
    if expected is None:
        assert np.isnan(whole.value[0])
    else:
        weighted = metric in ("wmape", "bias") and any(r["volume"] == 0 for r in rows)
        assert whole.value[0] == pytest.approx(expected) or weighted


def test_staleness_counts_from_the_training_and_not_knowing_is_unknown() -> None:
    trained = np.asarray(["2026-01-01", "2025-12-01", "NaT", "2027-01-01"], "datetime64[us]")
    judged = judge_staleness(Retrain(stale_after="60d"), list("abcd"), trained, NOW)
    signals = judged.signals()
    check_signals(signals)
    assert [s.state for s in signals] == ["bad", "bad", "unknown", "unknown"]
    assert judge_staleness(Retrain(stale_after="61d"), ["a"], trained[:1], NOW).signals()[0].state == "ok"
    assert signals[0].sentence == "Trained 60 days ago, on 2026-01-01; the charter allows 60 days."
    assert (signals[0].value, signals[0].limit) == (60.0, 60.0)
    later = judge_staleness(Retrain(), list("abcd"), trained, NOW + timedelta(hours=5)).signals()
    assert later[1] == signals[1], "a signal does not change within its day"


def test_staleness_just_at_the_limit_is_ok() -> None:
    trained = np.asarray([NOW.replace(tzinfo=None) - timedelta(days=60)], "datetime64[us]")
    assert judge_staleness(Retrain(), ["a"], trained, NOW).signals()[0].state == "ok"
    assert judge_staleness(Retrain(), ["a"], trained, NOW + timedelta(seconds=1)).signals()[0].state == "bad"


def test_freshness_and_quality() -> None:
    assert judge_freshness(Monitor(), "sales", NOW, NOW) is None
    watch = Monitor(fresh_within="10d")
    found = [judge_freshness(watch, "sales", at, NOW) for at in (None, NOW - 2 * WEEK, NOW - WEEK)]
    assert [s.state for s in found if s] == ["unknown", "bad", "ok"]
    assert [judge_quality("sales", n, q, MONDAY - WEEK, NOW).state for n, q in ((0, 0), (3, 0), (3, 1), (0, 2))] == [
        "unknown",
        "ok",
        "bad",
        "bad",
    ]
    check_signals(s for s in found[:1] if s)
    check_signals([judge_quality("sales", 3, 0, MONDAY, NOW)])


def guarded(*rows: dict[str, object], promoted: str = "2026-02-01") -> str:
    since = np.asarray([promoted], "datetime64[us]")
    judged = judge_guard(LIMIT, "wmape", ["a"], ["v1"], since, windows(*rows), NOW)
    check_signals(judged.signals())
    return STATES[int(judged.codes[0])]


def test_harm_is_shown_by_two_windows_since_the_promotion() -> None:
    worse = {"wmape": 0.6, "baseline_wmape": 0.5}
    assert guarded(worse) == "unknown"
    assert guarded(worse, {**worse, "week": 2}) == "bad"
    assert guarded(worse, {"wmape": 0.4, "baseline_wmape": 0.5, "week": 2}) == "ok"
    assert guarded({**worse, "wmape": 0.52}, {**worse, "wmape": 0.52, "week": 2}) == "ok"
    assert guarded(worse, {**worse, "week": 2}, promoted="2026-02-20") == "unknown"
    assert guarded(worse, {**worse, "week": 2}, promoted="2025-02-20") == "unknown"
    assert guarded(worse, {**worse, "week": 2}, promoted="NaT") == "unknown"
    assert guarded({"wmape": 0.6}, {"wmape": 0.6, "week": 2}) == "unknown"


def test_a_fleet_without_members_has_windows_of_the_baseline_and_no_guard() -> None:
    nobody = judge_guard(LIMIT, "wmape", [], [], np.asarray([], "datetime64[us]"), windows({}, {"week": 2}), NOW)
    assert nobody.signals() == []


def test_recorded_signals_come_back_as_columns() -> None:
    trained = np.asarray(["2026-02-01", "2025-12-01"], "datetime64[us]")
    judged = judge_staleness(Retrain(), ["a", "b"], trained, NOW)
    assert codes_of(judged.signals(), "staleness", ["b", "zz", "a"]).tolist() == [2, 0, 1]
    assert codes_of(judged.signals(), "drift", ["a"]).tolist() == [0]


def test_ten_thousand_segments_are_judged_as_columns() -> None:
    names = [f"s{i:05}" for i in range(10_000)]
    rng = np.random.default_rng(1)
    rows = windows(*[{}])
    table = dataclasses.replace(
        rows,
        segment=names * 4,
        version=["v1"] * 40_000,
        window_start=np.repeat(rows.window_start - np.arange(4) * np.timedelta64(WEEK), 10_000),
        window_end=np.repeat(rows.window_end - np.arange(4) * np.timedelta64(WEEK), 10_000),
        n=np.full(40_000, 30),
        complete=np.ones(40_000, bool),
        volume=np.ones(40_000),
        metrics={m: rng.uniform(0, 0.6, 40_000) for m in METRICS},
        counts={m: np.full(40_000, 30) for m in METRICS},
        baseline={m: rng.uniform(0, 0.6, 40_000) for m in METRICS},
        revision=np.ones(40_000, int),
    )
    judged = judge_performance(LIMIT, names, ["v1"] * 10_000, table, NOW)
    assert set(np.unique(judged.codes)) == {1, 2}
    assert len(judged.signals()) == 10_000


def test_values_are_shown_with_their_unit() -> None:
    assert show_value("wmape", 0.0784) == "7.84 %"
    assert show_value("rmse", 1234.5) == "1.23e+03"
