"""Curves and latest values of runs, read for a page: what tracking has, as the pages' own values."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from keepwell.db import Transaction
from keepwell.server.ui.columns import number_cell
from keepwell.server.ui.curves import Curve
from keepwell.server.ui.thinning import thin
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Latest, Run, Series


def read_curves(
    tx: Transaction, runs: Sequence[Run], named: Sequence[str], names: Sequence[str], points: int, *,
    start: int | None = None, end: int | None = None,
) -> dict[str, list[Curve]]:  # fmt: skip
    """Return the curves of metrics, each run at its place among the runs; runs without a metric are left out.

    Args:
        tx: a transaction to read in.
        runs: whose they are.
        named: what each of them is called.
        names: of metrics.
        points: how many of each, at most.
        start: first step; None: from the beginning.
        end: last step; None: to the end.
    """
    ids = [run.id for run in runs]
    made: dict[str, list[Curve]] = {}
    for name in names:
        found = tracking.histories(tx, ids, name, start_step=start, end_step=end)
        made[name] = [
            _curve(run.id, label, slot, found[run.id], points)
            for slot, (run, label) in enumerate(zip(runs, named, strict=True))
            if len(found.get(run.id, ()))
        ]
    return made


def _curve(run: str, label: str, slot: int, series: Series, points: int) -> Curve:
    kept = thin(series.steps, series.values, points)
    steps, ats, values = (column[kept].tolist() for column in (series.steps, series.ats, series.values))
    return Curve(run, label, slot, steps, ats, values, len(series))


def names_with_steps(tx: Transaction, runs: Sequence[Run]) -> frozenset[str]:
    """Return the metrics that any of some runs logged past step 0: those that are curves."""
    return frozenset(one.name for run in runs for one in tracking.latest(tx, run.id) if one.step > 0)


class Value(msgspec.Struct, frozen=True):
    """The latest value of a metric of a run, as it is written; all of its digits."""

    run: str
    name: str
    text: str
    exact: str
    step: int


class Live(msgspec.Struct, frozen=True):
    """What is new of some runs.

    Attributes:
        mark: to ask after next time.
        running: whether any of them still runs.
        turned: whether the state of one of them is another than at the mark that was asked after.
        values: latest values, when anything is new.
    """

    mark: str
    running: bool
    turned: bool = False
    values: Sequence[Value] = ()


def mark_of(tx: Transaction, ids: Sequence[str]) -> str:
    """Return the mark of some runs as they are now."""
    return _mark(*_state(tx, ids)[:2])


def live_of(tx: Transaction, ids: Sequence[str], after: str) -> Live:
    """Return what is new of some runs since a mark: everything, when anything is."""
    states, latest, running = _state(tx, ids)
    mark = _mark(states, latest)
    if mark == after:
        return Live(mark, running)
    turned = after.partition("-")[0] != mark.partition("-")[0]
    values = [
        Value(run, one.name, cell.text, cell.exact, one.step)
        for run, found in latest.items()
        for one in found
        for cell in (number_cell(one.value),)
    ]
    return Live(mark, running, turned, values)


def _state(tx: Transaction, ids: Sequence[str]) -> tuple[list[str], dict[str, list[Latest]], bool]:
    runs = tracking.runs_by_id(tx, ids)
    latest = {run.id: tracking.latest(tx, run.id) for run in runs}
    states = [f"{run.status} {run.lifecycle} {run.name}" for run in runs]
    return states, latest, any(run.status == "running" for run in runs)


def _mark(states: Sequence[str], latest: dict[str, list[Latest]]) -> str:
    points = [[one.name, one.step, one.at, one.value] for found in latest.values() for one in found]
    return f"{_short(states, 12)}-{_short(points, 16)}"


def _short(value: object, digits: int) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:digits]
