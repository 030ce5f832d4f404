"""The decision over a fleet of 10,000 segments, and drift of 25 columns over 100,000 rows against 100,000."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import polars as pl

from keepwell.charter.model import Charter, Data, Monitor
from keepwell.loop.decide import decide
from keepwell.loop.decisions import encode
from keepwell.loop.model import CODES, COLUMNS, Health, Known, State, Training, unknown_state, with_columns
from keepwell.monitoring.drift import measure_drift

NOW = datetime(2026, 1, 5, 7, tzinfo=UTC)
SEGMENTS, COLUMN_COUNT, ROWS = 10_000, 25, 100_000


def rows() -> Iterator[dict[str, object]]:
    charter = Charter(
        model="demand",
        data=Data(dataset="sales", time="week", target="units"),
        monitor=Monitor(performance={"wmape": 0.3}),
    )
    for name, state in (("nothing to do", _fleet(busy=False)), ("everything happens", _fleet(busy=True))):
        limit = _best(lambda s=state: _look_once(s))
        ours = _best(lambda s=state: encode(decide(charter, s, NOW)))
        yield _row(f"decide on {SEGMENTS:,} segments, {name}", "each column looked at once", limit, ours, 1000.0)
    reference, current = _table(1, blocks=8), _table(2, blocks=1)
    names = [c for c in reference.columns if c != "week"]
    limit = _best(lambda: [np.histogram(frame[c].to_numpy(), 10) for frame in (reference, current) for c in names])
    ours = _best(lambda: measure_drift(Monitor(), ["all"], reference, current, names, "week"))
    walk = f"drift of {COLUMN_COUNT} columns, {ROWS:,} rows against {ROWS:,}"
    yield _row(walk, "numpy histograms of the columns", limit, ours, 180.0)


def _fleet(*, busy: bool) -> State:
    rng = np.random.default_rng(1)
    names = [f"region=r{i % 7},store={i:05}" for i in range(SEGMENTS)]
    state = with_columns(
        unknown_state("demand", "sha256:charter", sorted(names)),
        champion=Known.YES,
        champion_id=[f"ver_{i:026}" for i in range(SEGMENTS)],
        previous_id=[f"ver_{i:026}" for i in range(SEGMENTS)],
        challenger_id=[f"ver_{i:026}" for i in range(SEGMENTS)],
        can_answer=Known.YES,
        guard=Health.OK,
        challenger=Known.NO,
        training=Training.FINISHED,
        trained_at=np.full(SEGMENTS, np.datetime64("2025-12-01", "us")),
        performance=Health.OK,
        staleness=Health.OK,
        drift=Health.OK,
        incidents=(),
        arrivals=(),
        conditioning=Known.NO,
        scoring=Known.NO,
        scored=Known.YES,
        scored_slot=NOW,
    )
    if not busy:
        return state
    mixed = {name: rng.integers(0, len(kind), SEGMENTS) for name, kind in CODES.items()}
    return with_columns(state, **mixed, held_windows=rng.integers(-1, 6, SEGMENTS))


def _look_once(state: State) -> int:
    """The least that any decision must do: read every column of every segment."""
    return sum(int(np.count_nonzero(getattr(state, name) == getattr(state, name)[:1])) for name in COLUMNS)


def _table(seed: int, blocks: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    columns = {f"c{i:02}": rng.normal(size=ROWS) for i in range(COLUMN_COUNT)}
    return pl.DataFrame({"week": np.arange(ROWS) // (ROWS // blocks), **columns})


def _best(run: Callable[[], object], times: int = 5) -> float:
    """Return the least CPU milliseconds of a few runs, after one that warms up."""
    run()
    spent = []
    for _ in range(times):
        start = time.process_time()
        run()
        spent.append((time.process_time() - start) * 1000)
    return max(min(spent), 1e-6)


def _row(walk: str, limit_name: str, limit: float, ours: float, bar: float) -> dict[str, object]:
    return {
        "walk": walk,
        "limit_name": limit_name,
        "limit": limit,
        "ours": ours,
        "unit": "ms",
        "ratio": ours / limit,
        "bar": bar,
        "ok": ours <= bar,
    }
