from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from keepwell.charter.model import Movers
from keepwell.core.errors import InvalidInput
from keepwell.forecasting.service import backtest
from keepwell.forecasting.task import Task

Make = Callable[..., Task]


def test_every_subject_at_every_horizon(weekly: pl.DataFrame, make_task: Make) -> None:
    said: list[str] = []
    task = make_task(
        candidates=("lasso", "lightgbm"), ensemble=("lasso", "lightgbm"), segments=("speed",), movers=Movers(),
        slices=("format", "speed"),
    )  # fmt: skip
    result = backtest(weekly, task, last="6w", horizons=["1w", "4w"], progress=said.append)
    found = result.to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found["horizons"]) == {"1w", "4w"}
    assert set(found["horizons"]["1w"]) == {
        "lasso", "lightgbm", "ensemble", "historical_average", "same_week_last_year", "last_value", "seasonal_index"
    }  # fmt: skip
    best = found["horizons"]["1w"]["ensemble"]
    assert best["n"] == 6 * 6
    assert set(best) == {"mape", "mape100", "wmape", "rmse_zero", "rmse", "mae", "bias", "n", "slices"}
    assert set(best["slices"]) == {"format=large", "format=small", "speed=fast", "speed=slow"}
    assert best["wmape"] < 0.7 * found["horizons"]["1w"]["historical_average"]["wmape"]
    assert set(found["weights"]["4w"]) == {"speed=fast", "speed=slow"}
    assert found["since"] == (date(2023, 1, 6) + timedelta(weeks=124)).isoformat()
    assert any("fitting lasso" in line for line in said)


def test_a_forecast_h_ahead_knows_nothing_of_the_h_steps_before(weekly: pl.DataFrame, make_task: Make) -> None:
    """Changing the last target changes no forecast at two weeks but the error of that one row."""
    last = weekly["week"].max()
    other = weekly.with_columns(
        pl.when(pl.col("week") == last).then(pl.col("units") + 50).otherwise(pl.col("units")).alias("units")
    )
    one, two = (
        {s.subject: s.metrics for s in backtest(f, make_task(), last="1w", horizons=["2w"]).scores if s.slice == "all"}
        for f in (weekly, other)
    )
    for subject in ("lasso", "ensemble", "historical_average", "last_value"):
        count = 6
        shift = (one[subject]["bias"] or 0) * _total(weekly) - (two[subject]["bias"] or 0) * _total(other)
        assert shift == pytest.approx(50 * count, rel=1e-6)


def _total(frame: pl.DataFrame) -> float:
    return float(frame.filter(pl.col("week") == frame["week"].max())["units"].abs().sum())


@pytest.mark.parametrize(
    ("last", "horizon", "said"),
    [
        ("130w", "1w", "no history before the last 130w"),
        ("10d", "1w", "not a whole number of steps"),
        ("2w", "soon", "not a span"),
    ],
)
def test_what_cannot_be_tested_is_said(
    last: str, horizon: str, said: str, weekly: pl.DataFrame, make_task: Make
) -> None:
    with pytest.raises(InvalidInput, match=said):
        backtest(weekly, make_task(), last=last, horizons=[horizon])


def test_a_table_without_targets_is_refused(weekly: pl.DataFrame, make_task: Make) -> None:
    with pytest.raises(InvalidInput, match="missing in every row"):
        backtest(weekly.with_columns(units=pl.lit(None, pl.Float64)), make_task(), last="2w", horizons=["1w"])


def test_own_models_stand_beside_the_others(weekly: pl.DataFrame, make_task: Make, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n\ndef usual(rows, state=None):\n"
        "    if state is None:\n        return {'ratio': float(np.median(rows.ratio))}\n"
        "    return np.full(len(rows), state['ratio'])\n"
    )
    task = make_task(own={"usual": "mine.py:usual"}, ensemble=("lasso", "usual"), folder=tmp_path)
    found = backtest(weekly, task, last="3w", horizons=["1w"]).to_json()
    assert found["horizons"]["1w"]["usual"]["wmape"] > found["horizons"]["1w"]["lasso"]["wmape"]


CHARTER = """
charter: 1
model: weekly-units
segments: [format]
data:
  dataset: sales
  source: sales.csv
  time: week
  target: units
  keys: [shop, product]
  known_ahead: [promotion, price]
  observed: [weather]
  static: [format]
forecast: {candidates: [lasso], ensemble: [lasso], horizons: [1w, 2w]}
evaluate: {slices: [format], last: 3w}
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "keepwell", "backtest", *arguments], capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def charter(tmp_path_factory: pytest.TempPathFactory, weekly: pl.DataFrame) -> Path:
    folder = tmp_path_factory.mktemp("charter")
    weekly.write_csv(folder / "sales.csv")
    (folder / "charter.yaml").write_text(CHARTER)
    return folder / "charter.yaml"


def test_the_command_prints_json_and_its_progress(charter: Path) -> None:
    done = run(str(charter), "--last", "4w", "--horizon", "1w", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == "weekly-units"
    assert list(found["horizons"]) == ["1w"]
    assert found["horizons"]["1w"]["ensemble"]["n"] == 24
    assert found["seconds"] > 0
    assert "fitting lasso" in done.stderr


def test_the_command_prints_a_table(charter: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "charter.yaml"
    elsewhere.write_text(CHARTER)
    done = run(str(elsewhere), "--data", str(charter.parent), "--slices")
    assert done.returncode == 0, done.stderr
    assert "weekly-units: 6 series" in done.stdout
    for text in ("1w ahead (18 rows)", "2w ahead", "format=large", "WMAPE %", "ensemble", "historical average"):
        assert text in done.stdout
    assert np.isfinite(float(done.stdout.split("ensemble")[1].split()[0]))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["absent.yaml"], 3, "There is no charter at absent.yaml"),
        (["CHARTER", "--data", "absent"], 3, "There is no folder absent"),
        (["CHARTER", "--last", "13x"], 2, "--last: '13x' is not a span"),
        (["CHARTER", "--horizon", "3d"], 2, "--horizon: '3d' is not a whole number of steps of 1w"),
        (["CHARTER", "--last", "900w"], 2, "--last: There is no history"),
    ],
)
def test_wrong_arguments_give_one_sentence(charter: Path, arguments: list[str], code: int, said: str) -> None:
    done = run(*(str(charter) if a == "CHARTER" else a for a in arguments))
    assert done.returncode == code
    lines = [line for line in done.stderr.splitlines() if line.startswith("keepwell:")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
