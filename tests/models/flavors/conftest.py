"""Real rows: the bike sharing days and the census, where they are beside the checkout."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"
BIKES = ["season", "workingday", "weathersit", "temp", "hum", "windspeed"]
PEOPLE = ["age", "workclass", "education", "hours-per-week"]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"the real data sets are not at {SHARED}")
    return SHARED.resolve()


@pytest.fixture(scope="session")
def bikes(shared_data: Path) -> pl.DataFrame:
    """Days of the bike sharing system: six columns of numbers, and `cnt`."""
    return pl.read_csv(shared_data / "bike_sharing/day.csv").select(*BIKES, "cnt")


@pytest.fixture(scope="session")
def people(shared_data: Path) -> pl.DataFrame:
    """People of the census: numbers and texts, and `income`."""
    return pl.read_parquet(shared_data / "adult/adult_data.parquet").select(*PEOPLE, "income").head(3000)
