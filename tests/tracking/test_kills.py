"""Killed while points are logged and compacted: what was acknowledged is there, once, and the house is whole."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from keepwell.core import failpoints
from keepwell.core.points import batch_of
from keepwell.db import read, write
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.testing.walks import house
from keepwell.tracking import service

POINTS = (
    "tracking.points_appended",
    "tracking.compacting",
    "tracking.compacted",
    "db.before_commit",
    "db.after_commit",
)
BATCHES, SIZE = 12, 700


def batch(number: int) -> list[tuple[str, float, int, int]]:
    return [(f"m{n % 2}", n / 8, n, n) for n in range(number * SIZE, (number + 1) * SIZE)]


def logged(kit: Kit, run: str, number: int) -> None:
    with write(kit.db) as tx:
        service.log_points(tx, kit.call("person:ada"), run, batch_of(batch(number)))


def log_until_killed(home: Path, run: str, acknowledged: Path, point: str, nth: int) -> bool:
    """Log batch after batch in another process, which notes each that was acknowledged; tell whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            kit = house(home)
            failpoints.arm(f"{point}:kill@{nth}")
            with acknowledged.open("a") as file:
                for number in range(BATCHES):
                    logged(kit, run, number)
                    file.write(f"{number}\n")
                    file.flush()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("point", POINTS)
def test_no_acknowledged_point_is_lost_and_none_is_there_twice(tmp_path: Path, point: str) -> None:
    killed = 0
    for nth in (1, 2, 7):
        home, acknowledged = tmp_path / f"home{nth}", tmp_path / f"acknowledged{nth}"
        kit = house(home)
        with write(kit.db) as tx:
            run = service.start_run(tx, kit.call("person:ada"), name="r", machine={}).id
        kit.db.engine.dispose()
        killed += log_until_killed(home, run, acknowledged, point, nth)
        kit = house(home)
        assert fsck(kit) == []
        told = [int(line) for line in acknowledged.read_text().split()]
        with read(kit.db) as tx:
            there = {step for name in ("m0", "m1") for step in service.history(tx, run, name).steps.tolist()}
        sure = {row[2] for number in told for row in batch(number)}
        assert (
            sure <= there <= sure | {row[2] for row in batch(len(told))}
        )  # the last one may be there, whole or not at all
        assert len(there) % SIZE == 0
        for number in range(BATCHES):  # the client sends again what was not acknowledged, and more
            logged(kit, run, number)
        with read(kit.db) as tx:
            for place, name in enumerate(("m0", "m1")):
                assert service.history(tx, run, name).steps.tolist() == list(range(place, BATCHES * SIZE, 2))
        assert fsck(kit) == []
        kit.db.engine.dispose()
    assert killed >= (1 if "compact" in point else 3)
