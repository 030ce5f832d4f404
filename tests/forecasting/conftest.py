"""Small tables that behave like demand, and the real ones where they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from keepwell.charter.model import Data, Evaluate, Forecast
from keepwell.forecasting.task import Task

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def weekly_table(series: int = 6, weeks: int = 130, seed: int = 3) -> pl.DataFrame:
    """Weekly sales of a few shops and products with a season, a promotion and a price; Fridays."""
    rng = np.random.default_rng(seed)
    steps = np.arange(weeks)
    rows = []
    for i in range(series):
        promotion = rng.random(weeks) < 0.15
        price = 2.0 + 0.3 * rng.standard_normal(weeks).cumsum() / np.sqrt(weeks)
        season = 1 + 0.3 * np.sin(2 * np.pi * (steps + 5 * (i % 2)) / 52)
        noise = np.exp(0.05 * rng.standard_normal(weeks))
        units = 40.0 * 3.0 ** (i % 3) * season * (1 + 0.5 * promotion) * (price / 2) ** -1.5 * noise
        rows.append(
            pl.DataFrame(
                {
                    "shop": f"s{i % 2}",
                    "product": i // 2,
                    "week": [date(2023, 1, 6) + timedelta(weeks=int(n)) for n in steps],
                    "units": units,
                    "promotion": promotion,
                    "price": price,
                    "weather": rng.standard_normal(weeks),
                    "format": "large" if i % 2 else "small",
                }
            )
        )
    return pl.concat(rows)


def weekly_task(**changes: Any) -> Task:
    """The task of `weekly_table`; `changes` are fields of data, forecast, evaluate, or the task's own."""
    data: dict[str, Any] = {
        "dataset": "sales", "time": "week", "target": "units", "keys": ("shop", "product"),
        "known_ahead": ("promotion", "price"), "observed": ("weather",), "static": ("format",),
    }  # fmt: skip
    forecast: dict[str, Any] = {"candidates": ("lasso",), "ensemble": ("lasso",), "holidays": ("US",)}
    evaluate: dict[str, Any] = {"slices": ("format",)}
    own: dict[str, Any] = {"segments": ("format",), "folder": None}
    for name, value in changes.items():
        for fields, kind in ((data, Data), (forecast, Forecast), (evaluate, Evaluate)):
            if name in kind.__struct_fields__:
                fields[name] = value
                break
        else:
            own[name] = value
    return Task(Data(**data), Forecast(**forecast), Evaluate(**evaluate), own["segments"], own["folder"])


@pytest.fixture(scope="session")
def weekly() -> pl.DataFrame:
    return weekly_table()


@pytest.fixture
def make_task() -> Callable[..., Task]:
    return weekly_task


@pytest.fixture
def make_weekly() -> Callable[..., pl.DataFrame]:
    return weekly_table


@pytest.fixture(scope="session")
def examples_folder() -> Path:
    return EXAMPLES


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"the real tables are not at {SHARED}")
    return SHARED
