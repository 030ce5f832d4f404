"""Writers at once: what is logged to runs beside each other is there, each point once, also while runs end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from keepwell.core.points import batch_of
from keepwell.db import NotSerial
from keepwell.flows.fsck import fsck
from keepwell.flows.kit import Kit
from keepwell.tracking import service as tracking

WRITERS, CALLS, POINTS = 8, 30, 20


def test_many_log_to_one_run_and_to_their_own(kit: Kit) -> None:
    """Past the bound at which the log is compacted, so that this happens while others log."""
    with kit.write() as tx:
        runs = [tracking.start_run(tx, kit.call("person:ann"), name=f"r{n}").id for n in range(WRITERS + 1)]

    def work(writer: int) -> None:
        for call in range(CALLS):
            for run in (runs[-1], runs[writer]):
                rows = [("loss", writer / 8, writer * 10_000 + call * POINTS + n, 7) for n in range(POINTS)]
                with kit.write(serial=False) as tx:
                    params = {f"p{writer}": "1"}
                    tags = {"last": str(writer)}
                    tracking.log_batch(tx, kit.call("person:ann"), run, batch_of(rows), params, tags)
            if call % 10 == 9:
                with kit.write() as tx:  # governed, beside them
                    tracking.start_run(tx, kit.call("person:bob"), name=f"{writer} {call}")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(work, range(WRITERS)))
    with kit.read() as tx:
        for writer, run in enumerate(runs[:-1]):
            history = tracking.history(tx, run, "loss")
            assert sorted(history.steps.tolist()) == [writer * 10_000 + n for n in range(CALLS * POINTS)]
        shared = tracking.history(tx, runs[-1], "loss")
        assert len(shared) == WRITERS * CALLS * POINTS == len(set(shared.steps.tolist()))
        (latest,) = tracking.latest(tx, runs[-1])
        assert latest.step == (WRITERS - 1) * 10_000 + CALLS * POINTS - 1
        assert set(tracking.run(tx, runs[-1]).params) == {f"p{n}" for n in range(WRITERS)}
    assert fsck(kit) == []


def test_what_comes_after_the_end_is_told_by_the_ledger_and_so_is_written_alone(kit: Kit) -> None:
    with kit.write() as tx:
        run = tracking.start_run(tx, kit.call("person:ann"), name="r").id
        tracking.finish_run(tx, kit.call("person:ann"), run, "finished")
    with pytest.raises(NotSerial), kit.write(serial=False) as tx:
        tracking.log_batch(tx, kit.call("person:ann"), run, batch_of([("loss", 1.0, 1, 1)]))
    with kit.read() as tx:
        assert tracking.latest(tx, run) == []
