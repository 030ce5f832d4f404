"""Use cases that read: runs, their metrics' latest values and histories, searches, the names in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.ids import check_id
from keepwell.core.paging import check_limit
from keepwell.db import Transaction
from keepwell.tracking import chunks, points_store, search_store, store
from keepwell.tracking.model import Columns, DatasetSummary, Latest, Mark, Run, Series, View

MOST = 50_001
"""The largest page that clients of MLflow ask for, and the one more that says whether there is another."""
"""How many runs one listing or page returns at most."""


def run(tx: Transaction, run_id: str) -> Run:
    """Return a run, deleted or not.

    Raises:
        NotFound: there is no such run.
    """
    found = store.get(tx, check_id(run_id, "run"))
    if found is None:
        raise NotFound(f"There is no run {run_id}; see `keepwell runs list`.", where="run_id")
    return found


def runs(
    tx: Transaction,
    *,
    model: str | None = None,
    kind: str | None = None,
    status: str | None = None,
    parent: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[Run]:
    """Return active runs, newest first; `before` is the last id of the page before.

    Raises:
        InvalidInput: the limit is not from 1 to 10,000, or `before` is not the id of a run.
    """
    if not 1 <= limit <= 10_000:
        raise InvalidInput("A listing has 1 to 10,000 runs.", where="limit")
    if before is not None:
        check_id(before, "run")
    return store.find(tx, model=model, kind=kind, status=status, parent=parent, before=before, limit=limit)


def is_run(tx: Transaction, run_id: str) -> bool:
    """Tell whether there is a run of that id, deleted or not."""
    return store.number(tx, check_id(run_id, "run")) is not None


def runs_by_id(tx: Transaction, run_ids: Sequence[str]) -> list[Run]:
    """Return the runs of some ids that there are, in the order of the ids."""
    numbers = store.numbers(tx, run_ids)
    return store.by_number(tx, [numbers[one] for one in run_ids if one in numbers])


def readers(tx: Transaction, *, input_id: str | None = None, digest: str | None = None, limit: int = 50) -> list[str]:
    """Return the ids of the runs that read an input, by its id or by its digest, newest first."""
    return store.with_input(tx, input_id=input_id, digest=digest, limit=limit)


def search_runs(
    tx: Transaction,
    experiments: Sequence[int],
    filter: str | None = "",
    view: View = "active",
    order_by: Sequence[str] = (),
    limit: int = 50,
    offset: int = 0,
) -> list[Run]:
    """Return whole runs of some experiments, by MLflow's grammar; newest first, then by id, unless ordered.

    Ordered by a metric, runs with NaN come after all numbers and runs without it last, in either direction.

    Raises:
        InvalidInput: the filter, the order or the limit cannot be used.
    """
    search = search_store.wanted(experiments, filter, view, order_by)
    check_limit(limit, MOST)
    return store.by_number(tx, search_store.find(tx, search, limit, offset))


def count_runs(
    tx: Transaction,
    experiments: Sequence[int],
    filter: str | None = "",
    view: View = "active",
    most: int | None = None,
) -> int:
    """Return how many runs a search finds; with `most`, at most so many are counted.

    Raises:
        InvalidInput: the filter cannot be used.
    """
    return search_store.count(tx, search_store.wanted(experiments, filter, view, ()), most)


def run_columns(tx: Transaction, experiments: Sequence[int]) -> Columns:
    """Return the names of metrics, params and tags that the runs of some experiments use."""
    return Columns(*search_store.columns(tx, experiments))


def search_datasets(tx: Transaction, experiments: Sequence[int], limit: int = 1_000) -> list[DatasetSummary]:
    """Return the datasets that runs of some experiments read."""
    return [
        DatasetSummary(experiment=experiment, name=name, digest=digest, context=context)
        for experiment, name, digest, context in search_store.datasets(tx, experiments, limit)
    ]


def latest(tx: Transaction, run_id: str) -> list[Latest]:
    """Return the latest value of each metric of a run, by name.

    Raises:
        NotFound: there is no such run.
    """
    return [_latest(row) for row in points_store.latest(tx, _number(tx, run_id))]


def latest_of(tx: Transaction, run_ids: Sequence[str]) -> dict[str, list[Latest]]:
    """Return for each run what `latest` returns of it; a run that is not there has none."""
    numbers = store.numbers(tx, run_ids)
    found = points_store.latest_many(tx, list(numbers.values()))
    return {run_id: [_latest(row) for row in found[numbers[run_id]]] if run_id in numbers else [] for run_id in run_ids}


def _latest(row: tuple[str, int, int, float | None, str | None]) -> Latest:
    name, step, at, value, mark = row
    return Latest(name, cast("float | Mark", value if mark is None else mark), step, at)


def history(tx: Transaction, run_id: str, name: str) -> Series:
    """Return every point of a metric of a run once, ordered by moment, step and value; empty when there is none.

    Raises:
        NotFound: there is no such run.
    """
    return points_store.history(tx, _number(tx, run_id), name)


def histories(
    tx: Transaction,
    run_ids: Sequence[str],
    name: str,
    max_points: int | None = None,
    start_step: int | None = None,
    end_step: int | None = None,
) -> dict[str, Series]:
    """Return a metric's points of some runs, ordered by step, moment and value; runs that are not there are left out.

    Args:
        tx: a transaction.
        run_ids: the runs.
        name: the metric.
        max_points: at most so many points a run, spread evenly, the first and last among them.
        start_step: only points from this step on.
        end_step: only points up to this step.

    Raises:
        InvalidInput: `max_points` is less than 1.
    """
    if max_points is not None and max_points < 1:
        raise InvalidInput("At least one point is to be returned.", where="max_points")
    numbers = store.numbers(tx, run_ids)
    found = {}
    for run_id in run_ids:
        if run_id not in numbers:
            continue
        series = chunks.by_step(points_store.history(tx, numbers[run_id], name))
        if start_step is not None or end_step is not None:
            series = chunks.between(series, start_step, end_step)
        found[run_id] = series if max_points is None else chunks.sample(series, max_points)
    return found


def _number(tx: Transaction, run_id: str) -> int:
    found = store.number(tx, check_id(run_id, "run"))
    if found is None:
        raise NotFound(f"There is no run {run_id}; see `keepwell runs list`.", where="run_id")
    return found
