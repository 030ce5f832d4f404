"""The examples' charters on the real tables: no code but the charter."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest

from keepwell.charter.model import Charter
from keepwell.charter.parse import read_charter
from keepwell.datasets.conditioning import condition
from keepwell.forecasting.service import backtest
from keepwell.forecasting.task import task_of


def charter_of(folder: Path, name: str) -> Charter:
    return read_charter((folder / name / "charter.yaml").read_text(), name)


@pytest.fixture(scope="module")
def walmart(shared_data: Path) -> pl.DataFrame:
    folder = shared_data / "walmart_store_sales"
    if not (folder / "train.parquet").is_file():
        pytest.skip(f"the Walmart table is not at {folder}")
    return pl.read_parquet(folder / "train.parquet").filter(pl.col("Store").is_in([1, 10, 23, 27, 30]))


def test_walmart_beats_the_historical_average_by_a_third(
    walmart: pl.DataFrame, shared_data: Path, examples_folder: Path
) -> None:
    """Five stores of the three formats; the whole table is measured by `./run bench forecasting`."""
    charter = charter_of(examples_folder, "retail")
    frame = condition(walmart, charter.data, shared_data / "walmart_store_sales")
    lighter = msgspec.structs.replace(charter.forecast, candidates=("lasso", "neural"), ensemble=("lasso", "neural"))
    task = task_of(msgspec.structs.replace(charter, forecast=lighter), examples_folder / "retail")
    assert set(task.segments) == {"format", "speed"}
    found = backtest(frame, task, last="13w", horizons=["1w"]).to_json()["horizons"]["1w"]
    assert found["ensemble"]["wmape"] <= 0.7 * found["historical_average"]["wmape"]
    assert found["ensemble"]["wmape"] <= 0.095
    assert found["ensemble"]["wmape"] <= 1.02 * min(found["lasso"]["wmape"], found["neural"]["wmape"])
    assert len(found["ensemble"]["slices"]) == 5


def test_orange_juice_needs_no_code(shared_data: Path, examples_folder: Path) -> None:
    folder = shared_data / "orange_juice"
    if not (folder / "yx.parquet").is_file():
        pytest.skip(f"the orange juice table is not at {folder}")
    charter = charter_of(examples_folder, "orange_juice")
    raw = pl.read_parquet(folder / "yx.parquet").filter(pl.col("store") <= 60)
    frame = condition(raw, charter.data, folder)
    assert frame["week"].dtype.is_integer()
    found = backtest(frame, task_of(charter), last=charter.evaluate.last, horizons=["1w"]).to_json()["horizons"]["1w"]
    assert found["ensemble"]["wmape"] < 0.75 * found["historical_average"]["wmape"]
    assert found["ensemble"]["mape"] < 0.75 * found["historical_average"]["mape"]
    assert len(found["ensemble"]["slices"]) == 11
