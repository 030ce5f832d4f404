"""The tables of pipelines and their queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    type_coerce,
    update,
)

from keepwell.db import Transaction, metadata
from keepwell.db.bulk import delete_rows, put_rows
from keepwell.db.schema import Json
from keepwell.pipelines.model import WHOLE, PipelineRun, RunState, StepRun, StepState, Stored

runs = Table(
    "pipeline_runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("params", Json, nullable=False),
    Column("plan", String(71), nullable=False),
    Column("steps", Integer, nullable=False),
    Column("counts", Json, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_at", String(27), nullable=False),
    Column("finished_at", String(27)),
    Column("error", Text),
    Column("workplace", Text, nullable=False),
    Index(None, "pipeline", "id"),
    Index(None, "state", "id"),
    sqlite_with_rowid=False,
)
steps = Table(
    "pipeline_steps",
    metadata,
    Column("run_id", String(40), ForeignKey("pipeline_runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("key", String(71)),
    Column("code", String(71)),
    Column("params", String(71)),
    Column("environment", String(71)),
    Column("inputs", Json, nullable=False),
    Column("outputs", Json, nullable=False),
    Column("log", String(71)),
    Column("error", Text),
    Column("seconds", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("source", String(40)),
    Column("started_at", String(27)),
    Column("finished_at", String(27)),
    sqlite_with_rowid=False,
)
done_by_key = Index(
    "ix_pipeline_steps_done",
    steps.c.key,
    sqlite_where=steps.c.state == "done",
    postgresql_where=steps.c.state == "done",
)
values = Table(
    "pipeline_values",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

_COLUMNS = tuple(steps.columns.keys())
_RAW = select(*(type_coerce(c, Text).label(c.name) if isinstance(c.type, Json) else c for c in steps.columns))
"""Steps with what is JSON as its text: of the many that a run's cache looks at, few are decoded."""
_DROP_STEP = delete(steps).where(
    steps.c.run_id == bindparam("of_run"), steps.c.position == bindparam("of_position"),
    steps.c.part == bindparam("of_part"),
)  # fmt: skip
_MOST_MARKS = 500


def add_run(tx: Transaction, run: PipelineRun, workplace: str) -> None:
    """Write a new run."""
    row = {name: getattr(run, name) for name in run.__struct_fields__}
    tx.execute(insert(runs).values(**row, workplace=workplace))


def change_run(tx: Transaction, run_id: str, **changes: object) -> None:
    """Change columns of a run."""
    tx.execute(update(runs).where(runs.c.id == run_id).values(**changes))


def get_run(tx: Transaction, run_id: str) -> tuple[PipelineRun, str] | None:
    """Return a run as it is stored, and its work folder."""
    row = tx.execute(select(runs).where(runs.c.id == run_id)).first()
    return (_run(row), row.workplace) if row else None


def find_runs(
    tx: Transaction, *, pipeline: str | None, states: Sequence[RunState], before: str | None, limit: int
) -> list[tuple[PipelineRun, str]]:
    """Return runs newest first, in some states or in any, each with its work folder."""
    query = select(runs).order_by(runs.c.id.desc()).limit(limit)
    if pipeline is not None:
        query = query.where(runs.c.pipeline == pipeline)
    if states:
        query = query.where(runs.c.state.in_(states))
    if before is not None:
        query = query.where(runs.c.id < before)
    return [(_run(row), row.workplace) for row in tx.execute(query)]


def brief_runs(tx: Transaction, since: str, limit: int) -> list[PipelineRun]:
    """Return runs that started since a moment, newest first, without their parameters, which may be large."""
    names = [name for name in PipelineRun.__struct_fields__ if name != "params"]
    query = select(*(runs.c[name] for name in names)).where(runs.c.started_at >= since)
    found = tx.execute(query.order_by(runs.c.id.desc()).limit(limit))
    return [PipelineRun(**{name: getattr(row, name) for name in names}, params={}) for row in found]


def save(tx: Transaction, changed: Sequence[StepRun], inline: Mapping[str, bytes], held: frozenset[str]) -> None:
    """Write steps, over what was written of them before, and small values.

    Args:
        tx: a write transaction.
        changed: the steps.
        inline: digest to bytes of values that are kept in the database.
        held: digests of all values that this run keeps in the database, so that readers know where to look.
    """
    if inline:
        put_rows(tx, values, ("digest", "data"), list(inline.items()), replace=False)
    if changed:
        put_rows(tx, steps, _COLUMNS, [_tuple(one, held) for one in changed])


def interrupt_steps(tx: Transaction, run_id: str) -> None:
    """Mark the steps of a run that were running as interrupted."""
    tx.execute(update(steps).where(steps.c.run_id == run_id, steps.c.state == "running").values(state="interrupted"))


def drop_steps(tx: Transaction, run_id: str, belongs: Callable[[int, int], bool]) -> None:
    """Remove the step records of a run that do not belong to it, by position and part."""
    places = tx.execute(select(steps.c.position, steps.c.part).where(steps.c.run_id == run_id)).all()
    gone = [(run_id, position, part) for position, part in places if not belongs(position, part)]
    if gone:
        delete_rows(tx, _DROP_STEP, ("of_run", "of_position", "of_part"), gone)


def find_steps(
    tx: Transaction, run_id: str, *, name: str | None, state: StepState | None, after: tuple[int, int], limit: int
) -> list[StepRun]:
    """Return the step records of a run in order, from behind a place on."""
    position, part = after
    query = (
        select(steps)
        .where(
            steps.c.run_id == run_id,
            (steps.c.position > position) | ((steps.c.position == position) & (steps.c.part > part)),
        )
        .order_by(steps.c.position, steps.c.part)
        .limit(limit)
    )
    if name is not None:
        query = query.where(steps.c.name == name)
    if state is not None:
        query = query.where(steps.c.state == state)
    return [_step(row) for row in tx.execute(query)]


def summary(tx: Transaction, run_id: str) -> list[tuple[int, str, int, float]]:
    """Return position, state, number of records and their seconds, one row per position and state."""
    query = (
        select(steps.c.position, steps.c.state, func.count(), func.sum(steps.c.seconds))
        .where(steps.c.run_id == run_id)
        .group_by(steps.c.position, steps.c.state)
        .order_by(steps.c.position)
    )
    return [(int(p), str(s), int(n), float(t or 0.0)) for p, s, n, t in tx.execute(query)]


@dataclass(frozen=True, slots=True)
class Made:
    """Steps that were made before, by key, and which of their outputs are kept in the database."""

    steps: dict[str, StepRun]
    inline: set[str]


def made_before(tx: Transaction, keys: Sequence[str]) -> Made:
    """Return for each key the newest step that was done under it, in any run."""
    made = Made({}, set())
    for start in range(0, len(keys), _MOST_MARKS):
        some = keys[start : start + _MOST_MARKS]
        query = _RAW.where(steps.c.state == literal_column("'done'"), steps.c.key.in_(some))  # as its index says
        _take(made, tx.execute(query.order_by(steps.c.run_id)))
    return made


def made_in(tx: Transaction, run_id: str, *, chunks: bool = True) -> Made:
    """Return the steps of a run that were done or taken from the cache; on demand without chunks of mapped steps."""
    made = Made({}, set())
    query = _RAW.where(steps.c.run_id == run_id, steps.c.state.in_(("done", "cached")))
    _take(made, tx.execute(query if chunks else query.where(steps.c.part == WHOLE)))
    return made


def _take(made: Made, rows: Iterable[Row[Any]]) -> None:
    for row in rows:
        outputs = msgspec.json.decode(row.outputs)
        if row.state == "cached" and row.key in made.steps:
            continue
        made.steps[row.key] = _made(row, msgspec.json.decode(row.inputs), outputs)
        made.inline.update(digest for digest, _, inline in outputs.values() if inline)


def last_finished(tx: Transaction, pipeline: str) -> str | None:
    """Return the id of the newest finished run of a pipeline."""
    query = select(runs.c.id).where(runs.c.pipeline == pipeline, runs.c.state == "finished")
    return tx.execute(query.order_by(runs.c.id.desc()).limit(1)).scalar()


def inline_value(tx: Transaction, digest: str) -> bytes | None:
    """Return the bytes of a value that is kept in the database."""
    return tx.execute(select(values.c.data).where(values.c.digest == digest)).scalar()


def inline_values(tx: Transaction, digests: Sequence[str]) -> dict[str, bytes]:
    """Return the bytes of those values that are kept in the database, by digest."""
    found: dict[str, bytes] = {}
    for start in range(0, len(digests), _MOST_MARKS):
        some = digests[start : start + _MOST_MARKS]
        for row in tx.execute(select(values).where(values.c.digest.in_(some))):
            found[row.digest] = row.data
    return found


def kept_of(tx: Transaction, digests: Sequence[str]) -> set[str]:
    """Return which of some values are kept in the database."""
    found: set[str] = set()
    for start in range(0, len(digests), _MOST_MARKS):
        some = digests[start : start + _MOST_MARKS]
        found.update(tx.execute(select(values.c.digest).where(values.c.digest.in_(some))).scalars())
    return found


def kept_values(tx: Transaction) -> Iterator[tuple[str, bytes]]:
    """Yield digest and bytes of every value that is kept in the database."""
    for row in tx.execute(select(values)):
        yield row.digest, row.data


def named_blobs(tx: Transaction) -> Iterator[str]:
    """Yield every digest that a plan, an output or a log names and that is not kept in the database."""
    kept = select(values.c.digest)
    yield from tx.scalars(select(runs.c.plan).where(runs.c.plan.not_in(kept)).distinct())
    yield from tx.scalars(select(steps.c.log).where(steps.c.log.is_not(None), steps.c.log.not_in(kept)).distinct())
    elsewhere = _RAW.with_only_columns(_RAW.selected_columns.outputs).where(
        _RAW.selected_columns.outputs.contains(",0]")
    )
    for text in tx.scalars(elsewhere):
        yield from (digest for digest, _, inline in msgspec.json.decode(text).values() if not inline)


def _tuple(one: StepRun, held: frozenset[str]) -> tuple[object, ...]:
    outputs = {name: (digest, one.formats[name], int(digest in held)) for name, digest in one.outputs.items()}
    return (
        one.run_id,
        one.position,
        one.part,
        one.name,
        one.state,
        one.key,
        one.code,
        one.params,
        one.environment,
        msgspec.json.encode(one.inputs).decode(),
        msgspec.json.encode(outputs).decode(),
        one.log,
        one.error,
        one.seconds,
        one.attempts,
        one.source,
        one.started_at,
        one.finished_at,
    )


def _step(row: Row[Any]) -> StepRun:
    return _made(row, row.inputs, row.outputs)


def _made(row: Row[Any], inputs: dict[str, str], outputs: dict[str, list[Any]]) -> StepRun:
    return StepRun(
        run_id=row.run_id,
        position=row.position,
        part=row.part,
        name=row.name,
        state=row.state,
        key=row.key,
        code=row.code,
        params=row.params,
        environment=row.environment,
        inputs=inputs,
        outputs={name: found[0] for name, found in outputs.items()},
        formats={name: found[1] for name, found in outputs.items()},
        log=row.log,
        error=row.error,
        seconds=row.seconds,
        attempts=row.attempts,
        source=row.source,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _run(row: Row[Any]) -> PipelineRun:
    return PipelineRun(**{name: getattr(row, name) for name in PipelineRun.__struct_fields__})


def stored(one: StepRun) -> dict[str, Stored]:
    """Return a step's outputs by name."""
    return {name: Stored(digest, one.formats[name]) for name, digest in one.outputs.items()}
