"""Moving in from MLflow: from a folder, a database and a server the same arrives, whole, once, whatever happens."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.flows.moving_stores import (
    KINDS,
    MODEL,
    START,
    content,
    opened,
)

from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.flows.moving.carry import carry, open_source
from keepwell.flows.moving.report import Notes, Report
from keepwell.settings import MlflowAccess
from keepwell.tracking import service as tracking

ME = "person:test"
PRICES = "prices/weekly: été"


def moved(kit: Kit, where: Path | str, **options: Any) -> Report:
    notes = Notes()
    with closing(open_source(str(where), notes, MlflowAccess())) as source:
        return carry(kit, source, ME, notes, **options)


def run_named(kit: Kit, name: str) -> Any:
    with kit.read() as tx:
        [found] = tracking.search_runs(tx, [e.id for e in tracking.search_experiments(tx, view="all")],
                                       f"attributes.run_name = '{name}'", "all")  # fmt: skip
    return found


# ------------------------------------------------------------------------------------------------------ what arrives


Arrived = tuple[dict[str, Any], Report]
CARRIED: dict[tuple[str, str], Arrived] = {}
"""What arrived of each kind of store in each kind of database: values, which tests only look at."""


@pytest.fixture
def arrived(kit: Kit, tmp_path: Path, request: pytest.FixtureRequest, database_url: str) -> Arrived:
    key = (request.param, database_url.partition(":")[0])
    if key not in CARRIED:
        notes = Notes()
        with opened(request.param, tmp_path, notes) as source:
            report = carry(kit, source, ME, notes)
        assert fsck(kit) == []
        CARRIED[key] = (content(kit), report)
    return CARRIED[key]


each_kind = pytest.mark.parametrize("arrived", KINDS, indirect=True)


@each_kind
def test_experiments_arrive(arrived: Any) -> None:
    found, _ = arrived
    assert found["experiments"] == {
        "Default": ("active", {}),
        PRICES: ("active", {"team": "retail", "mlflow.note.content": "What prices do."}),
        "gone": ("deleted", {}),
    }


@each_kind
def test_runs_arrive_with_all_they_hold(arrived: Any) -> None:
    found, _ = arrived
    grid = found["runs"]["grid"]
    assert grid["params"] == {"lr": "0.1", "deep/name with space": "x" * 300, "empty": ""}
    assert grid["tags"]["note"] == "two\nlines"
    assert grid["times"] == ("2023-11-14T22:13:20.000000Z", "2023-11-14T22:13:25.000000Z")
    assert grid["commit"] == "0123456789abcdef0123456789abcdef01234567"
    assert grid["inputs"] == [("dataset", "sales", {"mlflow.data.context": "training"})]
    assert grid["outputs"] == [2]
    assert {name: run["status"] for name, run in found["runs"].items()} == {
        "grid": "finished", "child": "failed", "killed": "interrupted", "still running": "running",
        "deleted": "running", "in gone": "running", "in default": "finished",
    }  # fmt: skip
    assert [name for name, run in found["runs"].items() if run["lifecycle"] == "deleted"] == ["in gone", "deleted"]
    assert found["runs"]["child"]["parent"] == "grid"
    assert found["runs"]["child"]["inputs"] == [("model", "m-", {})]
    assert found["runs"]["in default"]["experiment"] == "Default"


@each_kind
def test_histories_arrive_to_the_point(arrived: Any) -> None:
    metrics = arrived[0]["runs"]["grid"]["metrics"]
    assert metrics["loss"] == [(step, START + 1000 * step, 1 / (step + 1)) for step in range(25)]
    assert metrics["odd/nan"] == [(0, START, "nan")]
    assert metrics["odd/inf"] == [(0, START, float("inf")), (1, START + 5, float("-inf"))]
    assert metrics["neg"] == [(-3, START, -1.5)]
    assert arrived[0]["runs"]["child"]["metrics"]["loss"] == [(0, START + 20, 0.5), (1, START + 30, 0.25)]


@each_kind
def test_files_arrive_to_the_byte(arrived: Any) -> None:
    files = arrived[0]["runs"]["grid"]["files"]
    assert files["notes.txt"] == b"hello\n" and files["plots/deep/curve.csv"] == b"x,y\n1,2\n"
    assert files["naïve file (1).txt"] == "é\n".encode()
    assert files["old_model/weights.bin"] == bytes(range(64)) and len(files) == 5
    assert arrived[0]["runs"]["deleted"]["files"] == {"d.txt": b"d"}
    [logged] = arrived[0]["logged"]
    assert logged[:6] == ("booster", "demo", "ready", "grid", {"depth": "3"}, {"stage": "x"})
    assert logged[6] == [("auc", 0.9, 1, "grid", "sales", "abc123")]
    assert logged[7]["weights.bin"] == bytes(range(64)) and "MLmodel" in logged[7]


@each_kind
def test_registered_models_arrive_under_their_numbers(arrived: Any) -> None:
    found, report = arrived
    first, second, third, fourth, fifth, *rest = found["models"][MODEL]
    assert first[:5] == (1, "First.", {"by": "hand"}, "Production", "grid")
    assert second[:5] == (2, None, {}, "Staging", "grid") and second[6] is True
    assert third is None and fifth is None
    assert fourth[5] == first[5] == second[5]
    assert rest == ["Prices.", {"tier": "gold", "mlflow.imported.name": "été price"}, {"best": 1, "shadow": 4}]
    assert found["models"]["empty one"][:5] == [None] * 5
    assert "hello" not in found["models"]
    assert {(one.kind, one.there, one.here) for one in report.renamed} >= {("registered model", "été price", MODEL)}


@each_kind
def test_the_report_says_what_was_carried_and_what_was_not(arrived: Any) -> None:
    _, report = arrived
    counts = report.counts
    assert (counts.experiments, counts.runs, counts.points, counts.files) == (2, 7, 32, 8)
    assert (counts.logged_models, counts.models, counts.versions) == (1, 2, 3)
    reasons = {(one.kind, one.name): one.why for one in report.not_carried}
    assert "None of its files is there" in reasons["version", "été price/5"]
    assert {kind for kind, _ in reasons} <= {"version", "artifacts", "prompt"}
