"""The queries about runs and what they have many of: params, tags, inputs, outputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Select, Table, bindparam, delete, func, select, update

from keepwell.core.clock import from_iso, iso_ms, to_ms
from keepwell.db import Transaction, quick
from keepwell.db.bulk import chunks
from keepwell.tracking.model import ENDED, Code, Input, Output, Run
from keepwell.tracking.tables import HEAD, artifacts, datasets, inputs, metric_log, metrics, outputs, params, runs, tags

__all__ = ["artifacts", "inputs", "metrics", "params", "runs", "tags"]

PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"


class State(NamedTuple):
    """What a change of a run asks first."""

    no: int
    id: str
    experiment: int
    gone: int
    status: str
    name: str
    seq: int
    total: int

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.status in ENDED


_last = metric_log.alias("last")
_last_seq = select(func.max(metric_log.c.seq)).where(metric_log.c.run == runs.c.no).scalar_subquery()
_STATE = (
    select(
        runs.c.no, runs.c.id, runs.c.experiment, runs.c.gone, runs.c.status, runs.c.name,
        func.coalesce(_last.c.seq, -1), func.coalesce(_last.c.total, 0),
    )
    .select_from(
        runs.outerjoin(
            _last,
            (_last.c.run == runs.c.no) & (_last.c.seq == _last_seq),
        )
    )
    .where(runs.c.id == bindparam("of_id"))
)  # fmt: skip
_LOCK = select(runs.c.no).where(runs.c.id == bindparam("of_id")).with_for_update(key_share=True)
_NEXT = select(func.coalesce(func.max(runs.c.no), 0) + 1)
_PARAMS = select(params.c.name, params.c.value, params.c.rest).where(params.c.run == bindparam("of_run"))
_TAG_NAMES = select(tags.c.name).where(tags.c.run == bindparam("of_run"))
_SET_TAG = (
    update(tags)
    .where(tags.c.run == bindparam("of_run"), tags.c.name == bindparam("of_name"))
    .values(value=bindparam("new_value"), rest=bindparam("new_rest"))
)
_DROP_TAG = delete(tags).where(tags.c.run == bindparam("of_run"), tags.c.name == bindparam("of_name"))
_END = (
    update(runs)
    .where(runs.c.no == bindparam("of_run"))
    .values(status=bindparam("new_status"), finished=bindparam("new_finished"), error=bindparam("new_error"))
)
_NUMBER = select(runs.c.no).where(runs.c.id == bindparam("of_id"))
_RUN = select(runs).where(runs.c.id == bindparam("of_id"))
_RUNS = select(runs).where(runs.c.no.in_(bindparam("nos", expanding=True)))


def _its(table: Table, *columns: str) -> Select[Any]:
    """A query for what some runs have in a part table."""
    key = table.primary_key.columns.values()
    picked = [table.c[name] for name in columns]
    return select(*picked).where(key[0].in_(bindparam("nos", expanding=True))).order_by(*key)


_ITS_PARAMS = _its(params, "run", "name", "value", "rest", "json")
_ITS_TAGS = _its(tags, "run", "name", "value", "rest")
_ITS_METRICS = _its(metrics, "run", "name", "value", "mark")
_ITS_ARTIFACTS = _its(artifacts, "owner", "path", "digest")
_ITS_OUTPUTS = _its(outputs, "run", "model", "step")
_ITS_INPUTS = (
    select(
        inputs.c.run, inputs.c.kind, inputs.c.name, inputs.c.id, inputs.c.digest, inputs.c.tags, datasets.c.source_type,
        datasets.c.source, datasets.c.schema, datasets.c.profile,
    )
    .select_from(inputs.outerjoin(datasets, datasets.c.no == inputs.c.dataset))
    .where(inputs.c.run.in_(bindparam("nos", expanding=True)))
    .order_by(inputs.c.run, inputs.c.position)
)  # fmt: skip
_RUN_COLUMNS = ("no", "id", "experiment", "started", "finished", "name", "kind", "status", "model", "parent", "user",
                "actor", "environment", "code", "machine", "error")  # fmt: skip


def add(tx: Transaction, run: Run, texts: Mapping[str, tuple[str, bool]]) -> int:
    """Write a new run with its params (as text), tags and inputs; return its number."""
    no: int = quick.fetch(tx, _NEXT, {})[0][0]
    row = (
        no, run.id, run.experiment, to_ms(from_iso(run.started_at)), None, run.name, run.kind, run.status, run.model,
        run.parent, run.user, run.actor, run.environment, msgspec.json.encode(run.code).decode(),
        msgspec.json.encode(run.machine).decode(), run.error,
    )  # fmt: skip
    quick.add(tx, runs, _RUN_COLUMNS, [row])
    add_params(tx, no, run.experiment, texts)
    add_tags(tx, no, run.experiment, run.tags)
    if run.inputs:
        add_inputs(tx, no, run.experiment, 0, [(one, None) for one in run.inputs])
    return no


def add_params(tx: Transaction, no: int, experiment: int, texts: Mapping[str, tuple[str, bool]]) -> None:
    """Write params that are new to a run."""
    rows = [(no, name, experiment, *split(text), int(json)) for name, (text, json) in texts.items()]
    quick.add(tx, params, ("run", "name", "experiment", "value", "rest", "json"), rows)


def add_tags(tx: Transaction, no: int, experiment: int, values: Mapping[str, str]) -> None:
    """Write tags that are new to a run."""
    rows = [(no, name, experiment, *split(value)) for name, value in values.items()]
    quick.add(tx, tags, ("run", "name", "experiment", "value", "rest"), rows)


def set_tags(tx: Transaction, no: int, experiment: int, values: Mapping[str, str]) -> None:
    """Write tags, over those that are there."""
    there = {name for (name,) in quick.fetch(tx, _TAG_NAMES, {"of_run": no})}
    add_tags(tx, no, experiment, {name: value for name, value in values.items() if name not in there})
    rows = [(no, name, *split(value)) for name, value in values.items() if name in there]
    quick.change(tx, _SET_TAG, ("of_run", "of_name", "new_value", "new_rest"), rows)


def delete_tag(tx: Transaction, no: int, name: str) -> bool:
    """Delete a tag; return whether it was there."""
    there = name in {name for (name,) in quick.fetch(tx, _TAG_NAMES, {"of_run": no})}
    quick.change(tx, _DROP_TAG, ("of_run", "of_name"), [(no, name)])
    return there


def param_texts(tx: Transaction, no: int) -> dict[str, str]:
    """Return a run's params as text."""
    return {name: value + (rest or "") for name, value, rest in quick.fetch(tx, _PARAMS, {"of_run": no})}


def add_inputs(
    tx: Transaction, no: int, experiment: int, position: int, given: Sequence[tuple[Input, int | None]]
) -> None:
    """Write inputs from a position on, each with the number of the logged dataset that it is."""
    columns = ("run", "position", "experiment", "kind", "name", "id", "digest", "context", "dataset", "tags")
    rows = [
        (no, position + n, experiment, one.kind, one.name, one.id, one.digest, one.tags.get("mlflow.data.context"),
         dataset, msgspec.json.encode(one.tags).decode() if one.tags else None)
        for n, (one, dataset) in enumerate(given)
    ]  # fmt: skip
    quick.add(tx, inputs, columns, rows)


def state(tx: Transaction, run_id: str, *, lock: bool) -> State | None:
    """Return what a change of a run asks first; with `lock` nobody else changes the run until this transaction ends."""
    if lock and tx.dialect.name == "postgresql":
        quick.first(tx, _LOCK, {"of_id": run_id})  # first: a statement that waits for it would tell of before the wait
    row = quick.first(tx, _STATE, {"of_id": run_id})
    return State(*row) if row else None


def end(tx: Transaction, no: int, status: str, finished: int, error: str | None) -> None:
    """Write that a run ended."""
    quick.change(tx, _END, ("new_status", "new_finished", "new_error", "of_run"), [(status, finished, error, no)])


def set_fields(tx: Transaction, no: int, **values: object) -> None:
    """Set columns of a run."""
    tx.execute(update(runs).where(runs.c.no == no).values(**values))


def clear_parent(tx: Transaction, no: int) -> bool:
    """Forget a run's parent; return whether it had one."""
    had = (runs.c.no == no) & runs.c.parent.is_not(None)
    return tx.execute(update(runs).where(had).values(parent=None)).rowcount > 0


def number(tx: Transaction, run_id: str) -> int | None:
    """Return a run's number."""
    row = quick.first(tx, _NUMBER, {"of_id": run_id})
    return row[0] if row else None


def numbers(tx: Transaction, run_ids: Sequence[str]) -> dict[str, int]:
    """Return the numbers of the runs that there are."""
    found: dict[str, int] = {}
    for part in chunks(run_ids, 1_000):
        found |= {row.id: row.no for row in tx.execute(select(runs.c.id, runs.c.no).where(runs.c.id.in_(part)))}
    return found


def get(tx: Transaction, run_id: str) -> Run | None:
    """Return one run, whole."""
    found = whole(tx, quick.fetch(tx, _RUN, {"of_id": run_id}))
    return found[0] if found else None


def by_number(tx: Transaction, found: Sequence[int]) -> list[Run]:
    """Return the runs of some numbers, whole, in that order."""
    rows = {row[0]: row for part in chunks(found, 1_000) for row in quick.fetch(tx, _RUNS, {"nos": list(part)})}
    return whole(tx, [rows[no] for no in found])


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
    """Return active runs newest first, whole, with one query a table."""
    query = select(runs.c.no).where(runs.c.gone == 0).order_by(runs.c.id.desc()).limit(limit)
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
    return by_number(tx, list(tx.scalars(query)))


def with_input(tx: Transaction, *, input_id: str | None, digest: str | None, limit: int) -> list[str]:
    """Return the ids of runs that read something, newest first."""
    query = select(runs.c.id).join(inputs, inputs.c.run == runs.c.no).distinct().order_by(runs.c.id.desc()).limit(limit)
    query = query.where(inputs.c.id == input_id) if input_id is not None else query.where(inputs.c.digest == digest)
    return list(tx.execute(query).scalars())


def whole(tx: Transaction, rows: Sequence[quick.Row]) -> list[Run]:
    """Return runs (rows of `_RUN`) with all they have, one query a table."""
    nos = [row[0] for row in rows]
    of_params: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for no, name, value, rest, json in _all(tx, _ITS_PARAMS, nos):
        text = value if rest is None else value + rest
        of_params[no][name] = msgspec.json.decode(text) if json else text
    of_tags: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for no, name, value, rest in _all(tx, _ITS_TAGS, nos):
        of_tags[no][name] = value if rest is None else value + rest
    of_metrics: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for no, name, value, mark in _all(tx, _ITS_METRICS, nos):
        of_metrics[no][name] = value if mark is None else mark
    of_artifacts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for owner, path, digest in _all(tx, _ITS_ARTIFACTS, [row[1] for row in rows]):
        of_artifacts[owner][path] = digest
    of_outputs: defaultdict[int, list[Output]] = defaultdict(list)
    for no, model, step in _all(tx, _ITS_OUTPUTS, nos):
        of_outputs[no].append(Output(model, step))
    of_inputs = _inputs(tx, nos)
    return [
        Run(
            id=id,
            name=name,
            kind=kind,
            status=status,
            model=model,
            parent=parent,
            params=of_params[no],
            metrics=of_metrics[no],
            tags=of_tags[no],
            inputs=of_inputs[no],
            artifacts=of_artifacts[id],
            code=msgspec.json.decode(code, type=Code),
            environment=environment,
            machine=msgspec.json.decode(machine),
            actor=actor,
            started_at=iso_ms(started),
            finished_at=None if finished is None else iso_ms(finished),
            error=error,
            experiment=experiment,
            user=user,
            lifecycle="deleted" if gone else "active",
            deleted_at=None if deleted is None else iso_ms(deleted),
            outputs=of_outputs[no],
        )
        for (no, id, experiment, gone, started, finished, deleted, name, kind, status, model, parent, user, actor,
             environment, code, machine, error) in rows
    ]  # fmt: skip


def split(text: str) -> tuple[str, str | None]:
    """Return a text as the two columns it is stored in."""
    return (text, None) if len(text) <= HEAD else (text[:HEAD], text[HEAD:])


def _all(tx: Transaction, statement: Select[Any], keys: Sequence[object]) -> Iterable[quick.Row]:
    """Yield the rows of a part table of some runs."""
    for part in chunks(keys, 1_000):
        yield from quick.fetch(tx, statement, {"nos": list(part)})


def _inputs(tx: Transaction, nos: Sequence[int]) -> defaultdict[int, list[Input]]:
    found: defaultdict[int, list[Input]] = defaultdict(list)
    for no, kind, name, id, digest, labels, source_type, source, schema, profile in _all(tx, _ITS_INPUTS, nos):
        its_tags = msgspec.json.decode(labels, type=dict[str, str]) if labels else {}
        found[no].append(
            Input(kind=kind, name=name, id=id, digest=digest, source_type=source_type, source=source, schema=schema,
                  profile=profile, tags=its_tags)
        )  # fmt: skip
    return found
