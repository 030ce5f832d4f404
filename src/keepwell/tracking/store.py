"""The tables of tracking and their queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)

from keepwell.db import Transaction, metadata
from keepwell.db.schema import Json
from keepwell.tracking.model import Code, Input, Mark, Run, Status

runs = Table(
    "runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("model", Text),
    Column("parent", String(40), ForeignKey("runs.id")),
    Column("code", Json, nullable=False),
    Column("environment", String(71)),
    Column("machine", Json, nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_at", String(27), nullable=False),
    Column("finished_at", String(27)),
    Column("error", Text),
    Index(None, "model", "id"),
    Index(None, "kind", "id"),
    Index(None, "status", "id"),
    Index(None, "parent", "id"),
    sqlite_with_rowid=False,
)


def _part(name: str, *columns: Column[Any] | Index | CheckConstraint) -> Table:
    """A table of what runs have many of, keyed by run and name."""
    return Table(
        name,
        metadata,
        Column("run_id", String(40), ForeignKey("runs.id"), primary_key=True),
        Column("name", Text, primary_key=True),
        *columns,
        sqlite_with_rowid=False,
    )


params = _part("run_params", Column("value", Json))
tags = _part("run_tags", Column("value", Text, nullable=False), Index(None, "name", "value"))
metrics = _part(
    "run_metrics",
    Column("value", Float),
    Column("mark", String(9)),
    CheckConstraint("(value IS NULL) <> (mark IS NULL)", name="number_or_mark"),
    Index(None, "name", "value"),
)
artifacts = _part("run_artifacts", Column("digest", String(71), nullable=False), Index(None, "digest"))
inputs = Table(
    "run_inputs",
    metadata,
    Column("run_id", String(40), ForeignKey("runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("id", Text),
    Column("digest", String(71)),
    Index(None, "digest"),
    Index(None, "id"),
    sqlite_with_rowid=False,
)


def add(tx: Transaction, run: Run) -> None:
    """Write a new run with its params, tags and inputs."""
    tx.execute(
        insert(runs).values(
            id=run.id,
            name=run.name,
            kind=run.kind,
            status=run.status,
            model=run.model,
            parent=run.parent,
            code=msgspec.to_builtins(run.code),
            environment=run.environment,
            machine=run.machine,
            actor=run.actor,
            started_at=run.started_at,
        )
    )
    if run.params:
        tx.execute(insert(params), [{"run_id": run.id, "name": n, "value": v} for n, v in run.params.items()])
    if run.tags:
        tx.execute(insert(tags), [{"run_id": run.id, "name": n, "value": v} for n, v in run.tags.items()])
    if run.inputs:
        rows = [{"run_id": run.id, "position": i, **msgspec.to_builtins(one)} for i, one in enumerate(run.inputs)]
        tx.execute(insert(inputs), rows)


def finish(
    tx: Transaction,
    run_id: str,
    status: Status,
    finished_at: str,
    error: str | None,
    found: dict[str, float | Mark],
    made: dict[str, str],
) -> None:
    """End a run: its status, metrics and artifacts."""
    tx.execute(update(runs).where(runs.c.id == run_id).values(status=status, finished_at=finished_at, error=error))
    if found:
        rows = [
            {"run_id": run_id, "name": n, "value": None, "mark": v}
            if isinstance(v, str)
            else {"run_id": run_id, "name": n, "value": v, "mark": None}
            for n, v in found.items()
        ]
        tx.execute(insert(metrics), rows)
    if made:
        tx.execute(insert(artifacts), [{"run_id": run_id, "name": n, "digest": d} for n, d in made.items()])


def get(tx: Transaction, run_id: str) -> Run | None:
    """Return one run, whole."""
    row = tx.execute(select(runs).where(runs.c.id == run_id)).first()
    return _whole(tx, [row])[0] if row else None


def find(
    tx: Transaction,
    *,
    model: str | None,
    kind: str | None,
    status: str | None,
    parent: str | None,
    before: str | None,
    limit: int,
) -> list[Run]:
    """Return runs newest first, whole, with one query a table."""
    query = select(runs).order_by(runs.c.id.desc()).limit(limit)
    for column, wanted in (
        (runs.c.model, model),
        (runs.c.kind, kind),
        (runs.c.status, status),
        (runs.c.parent, parent),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if before is not None:
        query = query.where(runs.c.id < before)
    return _whole(tx, tx.execute(query).all())


def with_input(tx: Transaction, *, input_id: str | None, digest: str | None, limit: int) -> list[str]:
    """Return the ids of runs that read something, newest first."""
    query = select(inputs.c.run_id).distinct().order_by(inputs.c.run_id.desc()).limit(limit)
    query = query.where(inputs.c.id == input_id) if input_id is not None else query.where(inputs.c.digest == digest)
    return list(tx.execute(query).scalars())


def _whole(tx: Transaction, rows: Sequence[Row[Any]]) -> list[Run]:
    ids = [row.id for row in rows]
    parts = {table.name: _grouped(tx, table, ids) for table in (params, tags, metrics, artifacts, inputs)}
    return [
        Run(
            id=row.id,
            name=row.name,
            kind=row.kind,
            status=row.status,
            model=row.model,
            parent=row.parent,
            params={p.name: p.value for p in parts["run_params"][row.id]},
            metrics={m.name: m.value if m.mark is None else m.mark for m in parts["run_metrics"][row.id]},
            tags={t.name: t.value for t in parts["run_tags"][row.id]},
            inputs=[Input(kind=i.kind, name=i.name, id=i.id, digest=i.digest) for i in parts["run_inputs"][row.id]],
            artifacts={a.name: a.digest for a in parts["run_artifacts"][row.id]},
            code=msgspec.convert(row.code, Code),
            environment=row.environment,
            machine=row.machine,
            actor=row.actor,
            started_at=row.started_at,
            finished_at=row.finished_at,
            error=row.error,
        )
        for row in rows
    ]


def _grouped(tx: Transaction, table: Table, ids: Iterable[str]) -> defaultdict[str, list[Row[Any]]]:
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    query = select(table).where(table.c.run_id.in_(list(ids))).order_by(*table.primary_key.columns)
    for row in tx.execute(query):
        found[row.run_id].append(row)
    return found
