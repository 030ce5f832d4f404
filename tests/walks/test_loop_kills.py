"""A tick that dies by SIGKILL, then the same tick again: as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.datasets.parts import decode
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.models import service as models
from keepwell.monitoring import service as monitoring
from keepwell.serving import service as serving
from keepwell.settings import read_settings
from keepwell.testing.weekly import MODEL, Weekly, morning
from keepwell.tracking import service as tracking


@dataclass(frozen=True)
class Bases:
    """Homes to copy: before the first tick, and before the second, with what undisturbed ticks made of them."""

    first: Path
    second: Path
    wanted: dict[str, object]


def opened(home: Path, week: int) -> Kit:
    return open_house(read_settings(str(home), {}), clock=SimulatedClock(morning(week)))


def tick(home: Path, week: int, points: str = "") -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KEEPWELL")}
    command = [sys.executable, "-m", "keepwell", "loop", "tick", "--json", "--home", str(home)]
    return subprocess.run(
        [*command, "--now", morning(week).isoformat()], capture_output=True, text=True, check=False,
        env=environment | ({"KEEPWELL_FAILPOINTS": points} if points else {}),
    )  # fmt: skip


def picture(home: Path, week: int) -> dict[str, object]:
    """Return what must be the same whoever died on the way: champions, scorings row by row, outcomes, runs."""
    kit = opened(home, week)
    with kit.read() as tx:
        champions = models.champions(tx, MODEL, "prod")
        versions = {v.id: v for v in models.versions_by_id(tx, [c.version_id for c in champions.values()])}
        scorings = serving.scorings(tx, MODEL)
        windows = monitoring.performance(tx, MODEL)
        runs = tracking.runs(tx, model=MODEL)
        incidents = monitoring.incidents(tx, model=MODEL)
    return {
        "champions": {s: (c.number, versions[c.version_id].artifact) for s, c in champions.items()},
        "scorings": [(str(s.slot), s.origin, dict(s.answered), s.joined, s.closed) for s in scorings],
        "rows": [decode(kit.blobs.path(s.part)).drop("version").sort("stall", "week").write_csv() for s in scorings],
        "windows": sorted(zip(windows.segment, windows.metrics["wmape"].tolist(), strict=True)),
        "runs": [(r.kind, r.status) for r in runs],
        "incidents": [i.cause for i in incidents],
        "problems": fsck(kit),
    }


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Bases:
    folder = tmp_path_factory.mktemp("kills")
    fleet = Weekly(folder / "stalls")
    fleet.begin(opened(folder / "first", 80))
    fleet.arrive(0, 80)
    shutil.copytree(folder / "first", folder / "second")
    assert tick(folder / "second", 80).returncode == 0
    fleet.arrive(80)
    wanted = {}
    for name in ("first", "second"):
        home = folder / f"undisturbed-{name}"
        shutil.copytree(folder / name, home)
        done = tick(home, 81)
        assert done.returncode == 0, done.stderr
        wanted[name] = picture(home, 81)
        assert wanted[name]["problems"] == []
    return Bases(folder / "first", folder / "second", wanted)


@pytest.mark.parametrize(
    ("base", "point"),
    [
        ("first", "tick.recorded:kill"),
        ("first", "tick.recorded:kill@3"),
        ("first", "train.started:kill"),
        ("first", "train.registered:kill"),
        ("first", "score.rows_stored:kill"),
        ("second", "feedback.noted:kill"),
    ],
)
def test_the_same_tick_again_ends_as_if_nothing_had_happened(
    bases: Bases, tmp_path: Path, base: str, point: str
) -> None:
    home = tmp_path / "home"
    shutil.copytree(getattr(bases, base), home)
    died = tick(home, 81, point)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert fsck(opened(home, 81)) == []
    again = tick(home, 81)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)[0]["settled"]
    assert picture(home, 81) == bases.wanted[base]
