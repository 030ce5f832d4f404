"""A charter in plain words, and the marks of what the risk derived."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from keepwell.charter.explain import explain
from keepwell.charter.parse import read_charter

ROOT = Path(__file__).resolve().parents[2]
MONDAY = datetime(2026, 1, 5, 6, tzinfo=UTC)
SMALL = "model: demand\ndata: {dataset: sales, time: week, target: units}\n"
FULL = """\
model: demand
purpose: Weekly units.
owner: {business: planning, technical: forecasting}
risk:
  unavailable: {probability: high, impact: high}
  wrong: {probability: medium, impact: medium}
  decay: {probability: high, impact: high}
segments: [format, speed]
data:
  dataset: sales
  source: "*.csv"
  joins: [{source: stores.csv, on: {store: id}, columns: [format]}, {source: oil.csv, on: {week: week}}]
  rename: {Date: week}
  derive: {promo: price < 1}
  group: true
  time: week
  target: units
  keys: [store, item]
  known_ahead: [promo]
  observed: [price, oil]
  static: [format]
  movers: {share: 0.7}
  delay: 2d
  contract:
    columns: {units: {min: 0}, price: {min: 0}}
    rows: {min: 1}
    fresh: 10d
    outliers: {units: 8}
    like_history: {price: 4}
    expressions: {no gifts: price > 0}
    extra_columns: refuse
forecast: {horizons: [1w, 4w], candidates: [lasso], ensemble: [], history: 104w}
evaluate: {slices: [format]}
gates: [wmape <= 0.45 in every slice, wmape < baseline.wmape * 0.9]
release: {environments: [dev, test, prod], approvals: {dev: [], test: [mlops], prod: [owner]}}
retrain: {on: [schedule, new_data, drift, performance, staleness, code], approval: ask}
monitor: {performance: {wmape: 0.3}, fresh_within: 10d}
"""


def words(text: str, now: datetime | None = None) -> dict[str, str]:
    told: dict[str, str] = {}
    for heading, sentence in explain(read_charter(text), now):
        assert sentence.endswith(".")
        assert "  " not in sentence
        told[heading] = f"{told.get(heading, '')}{sentence}\n"
    return told


def test_a_full_charter_in_words() -> None:
    told = words(FULL, MONDAY)
    assert list(told) == ["Model", "Data", "Training", "Gates", "Approvals", "Scoring", "Watching", "Incidents"]
    assert "one model per combination of format and speed" in told["Model"]
    assert "units by week, one series per store and item, a row every 1w" in told["Data"]
    assert "format of stores.csv" in told["Data"]
    assert "all columns of oil.csv" in told["Data"]
    assert "week from Date and promo, and sums to one row" in told["Data"]
    assert "price and oil are known only up to the forecast's origin" in told["Data"]
    assert "70% of the volume have speed=fast" in told["Data"]
    assert "known 2d after its week" in told["Data"]
    assert "lasso is fitted on the newest 104w, the best one chosen" in told["Training"]
    assert "0 3 * * MON (UTC), next at 2026-01-12 03:00 and 2026-01-19 03:00" in told["Training"]
    assert "drift passes 0.25" in told["Training"]
    assert "a person is asked" in told["Training"]
    assert "next at 2026-01-12 05:00" in told["Scoring"]
    assert "1w ahead" in told["Scoring"]
    assert "wmape above 0.3 over the newest 4 windows of 1w is bad" in told["Watching"]
    assert "units and price are as declared" in told["Incidents"]
    assert "no gifts is true (price > 0)" in told["Incidents"]
    assert "no other column comes" in told["Incidents"]
    assert "No arrival for 10d" in told["Incidents"]


def test_what_is_derived_is_marked_with_its_reason() -> None:
    gates = words(FULL)["Gates"]
    assert "Declared: `wmape <= 0.45 in every slice` - wmape must be at most 0.45, in every slice by itself." in gates
    assert (
        "Derived, because the risk of silent decay is high (probability high, impact high): "
        "`wmape <= champion.wmape * 1.02` - wmape must be at most 1.02 times the champion's wmape."
    ) in gates
    assert "wmape < baseline.wmape is demanded too, because the risk of wrong answers is medium" in gates
    approvals = words(FULL)["Approvals"]
    assert "dev: automatic, when all gates pass. Declared." in approvals
    assert "test: mlops must approve. Declared. This overrides what the risk derives: no approval." in approvals
    assert "prod: owner must approve. Declared.\n" in approvals


def test_declared_approvals_that_take_one_away_say_so() -> None:
    told = words(FULL.replace("prod: [owner]", "prod: []"))["Approvals"]
    assert (
        "prod: automatic, when all gates pass. Declared. This overrides what the risk derives: approval by owner"
        in told
    )
    derived = words(FULL.replace(", approvals: {dev: [], test: [mlops], prod: [owner]}", ""))["Approvals"]
    assert "prod: owner must approve. Derived, because the risk of no answers is high" in derived
    assert "dev: automatic, when all gates pass. Derived: no risk demands more." in derived


def test_a_small_charter_in_words() -> None:
    told = words(SMALL)
    assert "whose purpose is not said" in told["Model"]
    assert "the one member `all`" in told["Model"]
    assert "added by hand" in told["Data"]
    assert "one series, a row" in told["Data"]
    assert "No gate is declared or demanded" in told["Gates"]
    assert "next at" not in told["Scoring"]
    assert "never for performance" in told["Training"]
    assert "not judged" in told["Watching"]
    assert "No contract" in told["Incidents"]


@pytest.mark.parametrize(
    ("extra", "heading", "sentence"),
    [
        ("consumed: {how: online}", "Scoring", "Predictions are asked for online."),
        ("fallback: []", "Scoring", "gets no answer"),
        ("pipeline: a.py:train", "Training", "The pipeline a.py:train trains."),
        ("retrain: {on: []}", "Training", "Nothing starts a training but a person."),
        ("retrain: {on: [new_data]}", "Training", "is stale; that is shown, and trains nothing"),
        ("retrain: {on: [drift]}\nmonitor: {drift: null}", "Training", "never for drift"),
        ("monitor: {drift: null}", "Watching", "Drift is not watched."),
    ],
)
def test_choices_in_words(extra: str, heading: str, sentence: str) -> None:
    assert sentence in words(SMALL + extra)[heading]


@pytest.mark.parametrize(
    ("contract", "sentence"),
    [
        ("{keys_unique: false}", "unless it can be read."),
        ("{columns: {a: {}}}", "unless a is as declared and keys and time are unique."),
        ("sales.yaml", "that breaches sales.yaml is quarantined"),
    ],
)
def test_contracts_in_words(contract: str, sentence: str) -> None:
    text = SMALL.replace("target: units", f"target: units, contract: {contract}")
    assert sentence in words(text)["Incidents"]


@pytest.mark.parametrize("name", ["bikes", "retail", "orange_juice"])
def test_the_examples_are_good_and_explained(name: str) -> None:
    file = ROOT / "examples" / name / "charter.yaml"
    if not file.exists():
        pytest.skip(f"{file.relative_to(ROOT)} is not here")
    assert words(file.read_text(), MONDAY)
