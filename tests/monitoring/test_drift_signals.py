from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from keepwell.charter.model import Monitor
from keepwell.monitoring.accepting import check_signals
from keepwell.monitoring.drift import judge_drift, measure_drift, window_of
from keepwell.monitoring.model import Signal

MONITOR = Monitor(window="1w", windows=4, drift=0.25)
WINDOW = window_of(MONITOR, datetime(2026, 3, 2, tzinfo=UTC))


def frame(segments: list[str], weeks: range, shift: float = 0.0, rows: int = 20, seed: int = 1) -> pl.DataFrame:
    """Weekly rows, `rows` a segment and week, in which weeks differ a little."""
    rng = np.random.default_rng((seed, weeks.start))
    parts = []
    for segment in segments:
        for week in weeks:
            level = rng.normal(0, 0.1)
            parts.append(
                pl.DataFrame(
                    {
                        "segment": segment,
                        "week": date(2025, 1, 6) + timedelta(weeks=week),
                        "temp": rng.normal(level + shift, 1, rows),
                        "price": rng.normal(level, 1, rows),
                        "kind": rng.choice(["x", "y", "z"], rows, p=[0.6, 0.3, 0.1]),
                    }
                )
            )
    return pl.concat(parts)


def judged(reference: pl.DataFrame, current: pl.DataFrame, segments: list[str], columns: list[str]) -> list[Signal]:
    drift = measure_drift(MONITOR, segments, reference, current, columns, "week")
    found = judge_drift(MONITOR, segments, drift, WINDOW)
    assert found is not None
    signals = found.signals()
    check_signals(signals)
    return signals


def test_the_same_kind_of_weeks_is_no_drift_and_another_level_is() -> None:
    reference = frame(["a", "b"], range(52))
    columns = ["temp", "price", "kind"]
    quiet = judged(reference, frame(["a", "b"], range(52, 56)), ["a", "b"], columns)
    assert [s.state for s in quiet] == ["ok", "ok"]
    moved = pl.concat([frame(["a"], range(52, 56), shift=2.0), frame(["b"], range(52, 56))])
    loud, still = judged(reference, moved, ["a", "b"], columns)
    assert (loud.state, loud.about, still.state) == ("bad", "temp", "ok")
    assert loud.sentence.startswith("temp moved by ")
    assert loud.sentence.endswith("the charter allows 0.25.")
    assert loud.n == 80


def test_other_values_of_a_category_are_drift() -> None:
    reference = frame(["a"], range(52))
    other = frame(["a"], range(52, 56)).with_columns(pl.lit("new").alias("kind"))
    (signal,) = judged(reference, other, ["a"], ["kind"])
    assert (signal.state, signal.about) == ("bad", "kind")


@pytest.mark.parametrize("case", ["few rows", "short history", "no rows", "missing values"])
def test_too_little_to_tell_is_unknown(case: str) -> None:
    reference, current = frame(["a"], range(52)), frame(["a"], range(52, 56), shift=0.1)
    if case == "few rows":
        current = current.head(10)
    elif case == "short history":
        reference = frame(["a"], range(36, 52))
    elif case == "no rows":
        current = current.clear()
    else:
        current = current.with_columns(pl.lit(None, pl.Float64).alias("temp"))
    (signal,) = judged(reference, current, ["a"], ["temp"])
    assert signal.state == "unknown"
    assert signal.value is None or case == "few rows"


def test_a_segment_that_is_new_is_unknown_and_others_are_not_touched() -> None:
    reference = frame(["a"], range(52))
    signals = judged(reference, frame(["a", "new"], range(52, 56)), ["a", "new"], ["temp"])
    assert [s.state for s in signals] == ["ok", "unknown"]


def test_a_charter_that_watches_no_drift_gets_no_signal() -> None:
    reference, current = frame(["a"], range(12)), frame(["a"], range(12, 16))
    off = Monitor(drift=None)
    assert judge_drift(off, ["a"], measure_drift(off, ["a"], reference, current, ["temp"], "week"), WINDOW) is None


def test_times_may_be_moments_or_steps_or_not_there() -> None:
    reference, current = frame(["a"], range(52)), frame(["a"], range(52, 56), shift=2.0)
    for retime in (
        lambda f: f.with_columns(pl.col("week").cast(pl.Datetime)),
        lambda f: f.with_columns((pl.col("week").cast(pl.Int32) // 7).alias("week")),
    ):
        (signal,) = judged(retime(reference), retime(current), ["a"], ["temp"])
        assert signal.state == "bad"
    drift = measure_drift(MONITOR, ["all"], reference.drop("segment"), current.drop("segment"), ["temp"], None)
    assert drift.codes.tolist() == [[2]]


def test_false_alarms_over_a_fleet_stay_few() -> None:
    names = [f"s{i:03}" for i in range(150)]
    reference, current = frame(names, range(36), rows=10), frame(names, range(36, 40), rows=10)
    drift = measure_drift(MONITOR, names, reference, current, ["temp", "price"], "week")
    assert (drift.codes == 2).sum() <= 2
    assert (drift.distance.psi > 0.25).mean() > 0.2
