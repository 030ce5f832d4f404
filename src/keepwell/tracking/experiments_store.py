"""The queries about experiments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from keepwell.core.clock import iso_ms
from keepwell.db import Transaction, quick
from keepwell.tracking.model import DEFAULT, DEFAULT_NAME, Experiment
from keepwell.tracking.tables import experiment_tags, experiments, numbers, runs

_GONE = select(experiments.c.gone).where(experiments.c.id == bindparam("of_id"))


def add(tx: Transaction, name: str, tags: Mapping[str, str], now: int) -> Experiment:
    """Write a new experiment under a number that was never given before."""
    number = next_number(tx, "experiment", func.max(experiments.c.id))
    tx.execute(insert(experiments).values(id=number, name=name, created=now, updated=now))
    if tags:
        rows = [{"experiment": number, "name": n, "value": v} for n, v in tags.items()]
        tx.execute(insert(experiment_tags), rows)
    return Experiment(id=number, name=name, lifecycle="active", tags=dict(tags), created_at=iso_ms(now),
                      updated_at=iso_ms(now))  # fmt: skip


def ensure_default(tx: Transaction, now: int) -> None:
    """Write the experiment that always is there, when it is not."""
    if gone(tx, DEFAULT) is None:
        tx.execute(insert(experiments).values(id=DEFAULT, name=DEFAULT_NAME, created=now, updated=now))


def next_number(tx: Transaction, name: str, largest: object) -> int:
    """Return the next number of a row of numbers; one is never given twice, also not after deletions."""
    last = tx.scalar(select(numbers.c.last).where(numbers.c.name == name))
    if last is None:
        last = tx.scalar(select(largest)) or 0  # type: ignore[call-overload]
        tx.execute(insert(numbers).values(name=name, last=last + 1))
    else:
        tx.execute(update(numbers).where(numbers.c.name == name).values(last=last + 1))
    return int(last) + 1


def get(tx: Transaction, number: int) -> Experiment | None:
    """Return one experiment."""
    row = tx.execute(select(experiments).where(experiments.c.id == number)).first()
    return whole(tx, [row])[0] if row else None


def gone(tx: Transaction, number: int) -> int | None:
    """Return whether an experiment is deleted, as a number; None when there is none."""
    row = quick.first(tx, _GONE, {"of_id": number})
    return row[0] if row else None


def by_name(tx: Transaction, name: str) -> Experiment | None:
    """Return the experiment of a name, deleted or not."""
    row = tx.execute(select(experiments).where(experiments.c.name == name)).first()
    return whole(tx, [row])[0] if row else None


def whole(tx: Transaction, rows: Sequence[Any]) -> list[Experiment]:
    """Return experiments with their tags."""
    tags: defaultdict[int, dict[str, str]] = defaultdict(dict)
    query = select(experiment_tags).where(experiment_tags.c.experiment.in_([row.id for row in rows]))
    for tag in tx.execute(query.order_by(experiment_tags.c.name)):
        tags[tag.experiment][tag.name] = tag.value
    return [
        Experiment(
            id=row.id,
            name=row.name,
            lifecycle="deleted" if row.gone else "active",
            tags=tags[row.id],
            created_at=iso_ms(row.created),
            updated_at=iso_ms(row.updated),
        )
        for row in rows
    ]


def set_fields(tx: Transaction, number: int, **values: object) -> None:
    """Set columns of an experiment."""
    tx.execute(update(experiments).where(experiments.c.id == number).values(**values))


def set_runs_gone(tx: Transaction, number: int, gone: int, deleted: int | None) -> int:
    """Delete or restore every run of an experiment; return how many."""
    query = update(runs).where(runs.c.experiment == number).values(gone=gone, deleted=deleted)
    return tx.execute(query).rowcount


def set_tag(tx: Transaction, number: int, name: str, value: str) -> None:
    """Write a tag, over the one that is there."""
    there = (experiment_tags.c.experiment == number) & (experiment_tags.c.name == name)
    if tx.execute(update(experiment_tags).where(there).values(value=value)).rowcount == 0:
        tx.execute(insert(experiment_tags).values(experiment=number, name=name, value=value))


def delete_tag(tx: Transaction, number: int, name: str) -> bool:
    """Delete a tag; return whether it was there."""
    there = (experiment_tags.c.experiment == number) & (experiment_tags.c.name == name)
    return tx.execute(delete(experiment_tags).where(there)).rowcount > 0
