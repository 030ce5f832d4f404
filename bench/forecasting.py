"""Forecasting: many LASSOs beside scikit-learn's, a fleet's fit, and the flagship's accuracy beside its bars.

CPU seconds are those of this process, all threads. The Walmart rows need its table in ../shared/data; without it they
are left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[1]
WALMART = ROOT / "../shared/data/walmart_store_sales"
SHARE = 0.03


def rows() -> Iterator[dict[str, object]]:
    yield from _lassos()
    yield from _fleet()
    yield from _bikes()
    if (WALMART / "train.parquet").is_file():
        yield from _walmart()


def _row(walk: str, limit_name: str, limit: float, ours: float, unit: str, bar: float | None) -> dict[str, object]:
    return {
        "walk": walk, "limit_name": limit_name, "limit": limit, "ours": ours, "unit": unit,
        "ratio": ours / limit, "bar": bar, "ok": None if bar is None else ours <= bar,
    }  # fmt: skip


def _cpu(work: Callable[[], object]) -> float:
    started = process_time()
    work()
    return process_time() - started


def _sklearn_loop(x: np.ndarray, y: np.ndarray) -> float:
    from sklearn.linear_model import Lasso

    def fit_all() -> None:
        for a, b in zip(x, y, strict=True):
            Lasso(alpha=0.01).fit(a, b)

    Lasso(alpha=0.01).fit(x[0], y[0])
    return min(_cpu(fit_all) for _ in range(2))


def _lassos() -> Iterator[dict[str, object]]:
    """2,000 problems of 150 rows and 20 columns."""
    from keepwell.forecasting.lasso import fit_lassos

    rng = np.random.default_rng(1)
    x = rng.standard_normal((2000, 150, 20))
    truth = rng.standard_normal((2000, 20)) * (rng.random((2000, 20)) < 0.4)
    y = np.einsum("gnp,gp->gn", x, truth) + rng.standard_normal((2000, 150))
    limit = _sklearn_loop(x, y)
    fit_lassos(x[:10], y[:10], SHARE)
    ours = min(_cpu(lambda: fit_lassos(x, y, SHARE)) for _ in range(3))
    yield _row("train 2,000 LASSOs of 150 x 20", "scikit-learn in a loop", limit, ours, "CPU s", 2 * limit)


def _fleet() -> Iterator[dict[str, object]]:
    """The same number of segments from a table: features, penalties, certifying on held-back weeks, fitting again."""
    from keepwell.charter.model import Data, Evaluate, Forecast
    from keepwell.forecasting.service import fit
    from keepwell.forecasting.task import Task

    rng = np.random.default_rng(0)
    segments, weeks = 2000, 150
    level = np.exp(rng.normal(4, 1, segments))
    season = np.exp(0.3 * np.sin(2 * np.pi * np.arange(weeks) / 52) + 0.1 * rng.normal(size=(segments, weeks)))
    frame = pl.DataFrame(
        {
            "segment_id": np.repeat(np.arange(segments), weeks),
            "week": np.tile(np.arange(weeks), segments),
            "units": (level[:, None] * season).ravel(),
            "price": rng.uniform(1, 2, segments * weeks),
        }
    )
    data = Data(dataset="fleet", time="week", target="units", keys=("segment_id",), known_ahead=("price",))
    task = Task(data, Forecast(candidates=("lasso",), ensemble=("lasso",)), Evaluate(), ("segment_id",))
    fit(frame.filter(pl.col("segment_id") < 20), task, None, weeks - 1)
    ours = min(_cpu(lambda: fit(frame, task, None, weeks - 1)) for _ in range(2))
    x = rng.standard_normal((segments, weeks, 20))
    limit = _sklearn_loop(x, x[:, :, 0] + rng.standard_normal((segments, weeks)))
    yield _row("fit and certify 2,000 segments of a table", "scikit-learn in a loop", limit, ours, "CPU s", 2 * limit)


def _bikes() -> Iterator[dict[str, object]]:
    """A fleet of eight, LASSO and LightGBM, certified: what the demo's loop does again and again."""
    from keepwell.charter.model import Data, Evaluate, Forecast
    from keepwell.forecasting.service import fit
    from keepwell.forecasting.task import Task

    rng = np.random.default_rng(0)
    days = [date(2011, 1, 1) + timedelta(days=n) for n in range(500)]
    shape = 30 + 25 * np.sin(np.pi * np.arange(24) / 24)
    frame = pl.DataFrame(
        {
            "day": [day for day in days for _ in range(24)],
            "hour": np.tile(np.arange(24), len(days)),
            "rides": (shape[None, :] * np.exp(0.2 * rng.normal(size=(len(days), 24)))).ravel(),
        }
    ).with_columns(part=pl.col("hour") // 6, free=(pl.col("day").dt.weekday() > 5).cast(pl.Int64))
    data = Data(dataset="rides", time="day", target="rides", keys=("hour",), known_ahead=("free",))
    task = Task(data, Forecast(every="1d", season=7, hold_back="6w"), Evaluate(), ("part", "free"))
    fit(frame, task, None, days[-1])
    started = perf_counter()
    fit(frame, task, None, days[-1])
    wall = perf_counter() - started
    yield _row("fit and certify 8 segments, 24 daily series", "what the demo can spend", 1.0, wall, "s", None)


def _walmart() -> Iterator[dict[str, object]]:
    from keepwell.charter.parse import read_charter
    from keepwell.datasets.conditioning import condition
    from keepwell.forecasting.service import backtest
    from keepwell.forecasting.task import task_of

    charter = read_charter((ROOT / "examples/retail/charter.yaml").read_text())
    started, cpu = perf_counter(), sum(os.times()[:2])
    frame = condition(pl.read_parquet(WALMART / "train.parquet"), charter.data, WALMART)
    found = backtest(frame, task_of(charter), last="13w", horizons=["1w", "4w"]).to_json()["horizons"]
    wall, cpu = perf_counter() - started, sum(os.times()[:2]) - cpu
    yield _row("Walmart backtest, 1 and 4 weeks", f"4 minutes on 2 cores ({cpu:.0f} CPU s)", 240.0, wall, "s", 240.0)
    for horizon, bar, lightgbm in (("1w", 7.8, 6.9), ("4w", 8.8, 7.8)):
        ours = 100 * found[horizon]["ensemble"]["wmape"]
        average = 100 * found[horizon]["historical_average"]["wmape"]
        yield _row(f"Walmart ensemble, {horizon} ahead", "plain LightGBM of REFERENCE.md", lightgbm, ours, "WMAPE", bar)
        yield _row(f"Walmart ensemble, {horizon} ahead", "historical average", average, ours, "WMAPE", 0.7 * average)
