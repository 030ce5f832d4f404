"""The queries about what runs read and made beyond files: logged datasets, inputs, outputs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from keepwell.db import Transaction
from keepwell.db.bulk import insert_rows
from keepwell.tracking.model import DatasetInput
from keepwell.tracking.tables import datasets, inputs, outputs


def there(tx: Transaction, no: int) -> tuple[set[tuple[str, str, str | None]], int]:
    """Return kind, name and digest of a run's inputs (no digest for models), and the next position."""
    rows = tx.execute(
        select(inputs.c.kind, inputs.c.name, inputs.c.digest, inputs.c.position).where(inputs.c.run == no)
    ).all()
    known = {(row.kind, row.name, row.digest if row.kind == "dataset" else None) for row in rows}
    return known, max((row.position for row in rows), default=-1) + 1


def dataset(tx: Transaction, experiment: int, one: DatasetInput) -> int:
    """Return the number of a dataset in an experiment, written when it is new."""
    c = datasets.c
    query = select(c.no).where(c.experiment == experiment, c.name == one.name, c.digest == one.digest)
    number = tx.scalar(query)
    if number is None:
        number = (tx.scalar(select(func.max(c.no))) or 0) + 1
        columns = ("no", "experiment", "name", "digest", "source_type", "source", "schema", "profile")
        row = (number, experiment, one.name, one.digest, one.source_type, one.source, one.schema, one.profile)
        insert_rows(tx, datasets, columns, [row])
    return number


def add_outputs(tx: Transaction, no: int, models: Sequence[tuple[str, int]]) -> int:
    """Write the logged models that a run made and that are not there yet; return how many."""
    known = set(tx.scalars(select(outputs.c.model).where(outputs.c.run == no)))
    new = {model: step for model, step in models if model not in known}
    insert_rows(tx, outputs, ("run", "model", "step"), [(no, model, step) for model, step in new.items()])
    return len(new)
