"""Deleted runs, logged models and experiments whose time is over: found, and removed with all they have."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Table, delete, func, select, update

from keepwell.core import failpoints
from keepwell.db import Transaction
from keepwell.db.bulk import chunks
from keepwell.tracking.model import DEFAULT
from keepwell.tracking.tables import (
    artifacts,
    datasets,
    experiment_tags,
    experiments,
    inputs,
    metric_chunks,
    metric_log,
    metrics,
    model_metrics,
    model_params,
    model_tags,
    models,
    outputs,
    params,
    runs,
    tags,
)

_OF_RUN: Sequence[Table] = (params, tags, metrics, metric_log, metric_chunks, inputs, outputs)
_OF_MODEL: Sequence[Table] = (model_params, model_tags, model_metrics)


def expired_runs(tx: Transaction, before: int, needed: Collection[str]) -> list[str]:
    """Return the ids of runs that were deleted before a moment (milliseconds), but those that something needs."""
    query = select(runs.c.id).where(runs.c.gone == 1, runs.c.deleted < before).order_by(runs.c.id)
    return [one for one in tx.scalars(query) if one not in needed]


def expired_models(tx: Transaction, before: int, needed: Collection[str]) -> list[str]:
    """Return the ids of logged models that were deleted before a moment, but those that something needs."""
    query = select(models.c.id).where(models.c.gone == 1, models.c.updated < before).order_by(models.c.id)
    return [one for one in tx.scalars(query) if one not in needed]


def expired_experiments(
    tx: Transaction, before: int, gone_runs: Collection[str] = (), gone_models: Collection[str] = ()
) -> list[int]:
    """Return the numbers of experiments that were deleted before a moment and hold nothing but what goes."""
    e = experiments.c
    old = list(tx.scalars(select(e.id).where(e.gone == 1, e.updated < before, e.id != DEFAULT).order_by(e.id)))
    held: set[int] = set()
    for table, gone in ((runs, frozenset(gone_runs)), (models, frozenset(gone_models))):
        for part in chunks(old, 500):
            rows = tx.execute(select(table.c.experiment, table.c.id).where(table.c.experiment.in_(part)))
            held.update(number for number, one in rows if one not in gone)
    return [number for number in old if number not in held]


def waiting(tx: Transaction) -> int:
    """Return how many deleted runs, logged models and experiments there are."""
    counts = (select(func.count()).select_from(table).where(table.c.gone == 1) for table in (runs, models, experiments))
    return sum(int(tx.execute(count).scalar_one()) for count in counts)


def remove_runs(tx: Transaction, ids: Sequence[str]) -> None:
    """Remove runs with all they have; runs that were parts of them stand alone then."""
    for part in chunks(ids, 500):
        numbers = list(tx.scalars(select(runs.c.no).where(runs.c.id.in_(part))))
        for table in _OF_RUN:
            tx.execute(delete(table).where(table.c.run.in_(numbers)))
        tx.execute(delete(artifacts).where(artifacts.c.owner.in_(part)))
        tx.execute(update(runs).where(runs.c.parent.in_(part)).values(parent=None))
        tx.execute(delete(runs).where(runs.c.no.in_(numbers)))
    failpoints.reach("tracking.runs_removed")


def remove_models(tx: Transaction, ids: Sequence[str]) -> None:
    """Remove logged models with all they have."""
    for part in chunks(ids, 500):
        for table in _OF_MODEL:
            tx.execute(delete(table).where(table.c.model.in_(part)))
        tx.execute(delete(outputs).where(outputs.c.model.in_(part)))
        tx.execute(delete(artifacts).where(artifacts.c.owner.in_(part)))
        tx.execute(delete(models).where(models.c.id.in_(part)))
    failpoints.reach("tracking.models_removed")


def remove_experiments(tx: Transaction, numbers: Sequence[int]) -> None:
    """Remove experiments that hold nothing."""
    for part in chunks(numbers, 500):
        for table in (experiment_tags, datasets):
            tx.execute(delete(table).where(table.c.experiment.in_(part)))
        tx.execute(delete(experiments).where(experiments.c.id.in_(part)))
    failpoints.reach("tracking.experiments_removed")
