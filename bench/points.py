"""A store of 100,000,000 metric points, which this builds first, by the calls that log them.

1,000 runs log 10 metrics of 10,000 points each, in batches of 1,000; values are random in all of their digits, which is
the worst for their size. That takes minutes, so it runs only when it is named: `./run bench points`, or with another
number of points after a colon: `./run bench points:1000000000`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.tracking import ACTOR, house, row
from keepwell.core.points import Batch, batch_of
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.tracking import service
from keepwell.tracking.model import Code

NAMED_ONLY = True
POINTS = 100_000_000
METRICS, STEPS, PART = 10, 10_000, 100
"""Metrics of a run, steps of each, and steps of one batch: a batch has 1,000 points."""


def rows(count: int = POINTS) -> Iterator[dict[str, object]]:
    """Build the store and measure logging and reading in it."""
    runs = max(1, count // (METRICS * STEPS))
    stored = runs * METRICS * STEPS
    with tempfile.TemporaryDirectory() as folder:
        kit = house(Path(folder) / "points")
        random = np.random.default_rng(7)
        began, busy = time.perf_counter(), time.process_time()
        made = [_log(kit, number, random) for number in range(runs)]
        took, spent = time.perf_counter() - began, time.process_time() - busy
        file = kit.db.file or Path()
        size = sum(part.stat().st_size for part in file.parent.glob(file.name + "*"))
        yield row(f"{stored:,} points in batches of 1,000: a point", "-", None, spent * 1e6 / stored, "CPU us", 2.0)
        yield row(f"{stored:,} points: built", "-", None, took, "s", None)
        yield row(f"{stored:,} points: bytes a point", "steps, moments, values raw", 24.0, size / stored, "B", 12.0)
        late = [_batch(random, STEPS + n) for n in range(50)]
        with write(kit.db) as tx:
            run = service.start_run(tx, kit.call(ACTOR), name="late", code=Code(), machine={}).id
        busy = time.process_time()
        for batch in late:
            with write(kit.db) as tx:
                service.log_points(tx, kit.call(ACTOR), run, batch)
        spent = (time.process_time() - busy) / (len(late) * METRICS * PART)
        yield row("log 1,000 more: a point", "-", None, spent * 1e6, "CPU us", 2.0)
        with read(kit.db) as tx:
            busy = time.process_time()
            for number in range(20):
                assert len(service.history(tx, made[number * 7 % runs], "metric3")) == STEPS
            spent = (time.process_time() - busy) / 20
        yield row(f"history of {STEPS:,} points among them", "-", None, spent * 1e3, "CPU ms", 15.0)


def _log(kit: Kit, number: int, random: np.random.Generator) -> str:
    call = kit.call(ACTOR)
    with write(kit.db) as tx:
        run = service.start_run(tx, call, name=f"run {number}", code=Code(), machine={}).id
    for start in range(0, STEPS, PART):
        batch = _batch(random, start)
        with write(kit.db) as tx:
            service.log_points(tx, call, run, batch)
    with write(kit.db) as tx:
        service.update_run(tx, call, run, "finished")
    return run


def _batch(random: np.random.Generator, start: int) -> Batch:
    values = random.random((METRICS, PART)).tolist()
    return batch_of(
        (f"metric{m}", value, start + n, 1_700_000_000_000 + 250 * (start + n))
        for m in range(METRICS)
        for n, value in enumerate(values[m])
    )
