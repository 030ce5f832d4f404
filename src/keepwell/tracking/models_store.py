"""The queries about logged models."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, func, insert, literal, or_, select, update
from sqlalchemy.sql.selectable import Subquery

from keepwell.core.clock import iso_ms
from keepwell.core.errors import InvalidInput
from keepwell.core.filters import LOGGED_MODELS, Comparison, parse_filter
from keepwell.core.points import rank
from keepwell.db import Transaction
from keepwell.tracking import conditions_store as conditions
from keepwell.tracking.model import LoggedModel, ModelMetric, Point
from keepwell.tracking.rules import mark_of
from keepwell.tracking.tables import model_metrics, model_params, model_tags, models

_SET_TAG = (
    update(model_tags)
    .where(model_tags.c.model == bindparam("of_model"), model_tags.c.name == bindparam("of_name"))
    .values(value=bindparam("new_value"))
)
_NUMBER = re.compile(r"[0-9]{1,18}\Z")
_ATTRIBUTES = {
    "name": models.c.name, "model_id": models.c.id, "model_type": models.c.model_type, "status": models.c.status,
    "source_run_id": models.c.run, "creation_timestamp": models.c.created, "last_updated_timestamp": models.c.updated,
    "experiment_id": models.c.experiment,
}  # fmt: skip


def add(tx: Transaction, new: LoggedModel, now: int) -> None:
    """Write a new logged model with its params and tags."""
    tx.execute(
        insert(models).values(
            id=new.id, experiment=new.experiment, created=now, updated=now, name=new.name, model_type=new.model_type,
            status=new.status, run=new.run,
        )
    )  # fmt: skip
    add_params(tx, new.id, new.params)
    set_tags(tx, new.id, new.tags)


def add_params(tx: Transaction, model: str, params: Mapping[str, str]) -> None:
    """Write params."""
    if params:
        tx.execute(insert(model_params), [{"model": model, "name": n, "value": v} for n, v in params.items()])


def params_of(tx: Transaction, model: str) -> dict[str, str]:
    """Return the params of a model."""
    query = select(model_params.c.name, model_params.c.value).where(model_params.c.model == model)
    return {row.name: row.value for row in tx.execute(query)}


def set_tags(tx: Transaction, model: str, tags: Mapping[str, str]) -> None:
    """Write tags, over those that are there."""
    there = set(tx.scalars(select(model_tags.c.name).where(model_tags.c.model == model)))
    if new := [{"model": model, "name": n, "value": v} for n, v in tags.items() if n not in there]:
        tx.execute(insert(model_tags), new)
    if old := [{"of_model": model, "of_name": n, "new_value": v} for n, v in tags.items() if n in there]:
        tx.execute(_SET_TAG, old)


def delete_tag(tx: Transaction, model: str, name: str) -> bool:
    """Delete a tag; return whether it was there."""
    there = and_(model_tags.c.model == model, model_tags.c.name == name)
    return tx.execute(delete(model_tags).where(there)).rowcount > 0


def set_fields(tx: Transaction, model: str, **values: object) -> None:
    """Set columns of a model."""
    tx.execute(update(models).where(models.c.id == model).values(**values))


def gone(tx: Transaction, model: str) -> int | None:
    """Return whether a model is deleted, as a number; None when there is none."""
    return tx.scalar(select(models.c.gone).where(models.c.id == model))


def add_metrics(tx: Transaction, run: str, points: Sequence[tuple[str, str | None, str | None, Point]]) -> None:
    """Write points that a run measured of models; of one model, name, moment, step and run the first is kept."""
    m = model_metrics.c
    columns = (m.model, m.name, m.at, m.step)
    of = {model for model, *_ in points}
    seen = {tuple(row) for row in tx.execute(select(*columns).where(m.model.in_(of), m.run == run))}
    rows = []
    for model, dataset_name, dataset_digest, point in points:
        key = (model, point.name, point.at, point.step)
        if key in seen:
            continue
        seen.add(key)
        mark = mark_of(point.value)
        rows.append(
            {"model": model, "name": point.name, "at": point.at, "step": point.step, "run": run,
             "value": None if mark == "NaN" else rank(point.value), "mark": mark, "dataset_name": dataset_name,
             "dataset_digest": dataset_digest}
        )  # fmt: skip
    if rows:
        tx.execute(insert(model_metrics), rows)


def get(tx: Transaction, model: str) -> LoggedModel | None:
    """Return one model, deleted or not."""
    row = tx.execute(select(models).where(models.c.id == model)).first()
    return whole(tx, [row])[0] if row else None


def find(
    tx: Transaction,
    experiments: Sequence[int],
    filter_text: str | None,
    order_by: Sequence[Mapping[str, object]],
    datasets: Sequence[tuple[str, str | None]],
    limit: int,
    offset: int,
) -> list[LoggedModel]:
    """Return one page of active models, by MLflow's grammar.

    Raises:
        InvalidInput: the filter or the order is not of the grammar.
    """
    query = select(models).where(models.c.gone == 0, models.c.experiment.in_(list(experiments)))
    comparisons = parse_filter(filter_text, LOGGED_MODELS)
    query = query.where(*(_on_model(tx, c, datasets) for c in comparisons))
    if datasets and not any(c.entity == "metric" for c in comparisons):
        any_metric = select(literal(1)).where(model_metrics.c.model == models.c.id, _on_datasets(datasets))
        query = query.where(any_metric.exists())
    named: set[str] = set()
    for place, clause in enumerate(order_by):
        field, ascending = str(clause["field_name"]), clause.get("ascending", True)
        entity, dot, metric = field.partition(".")
        if dot and entity != "metrics":
            said = f"Invalid order by field name: {entity}, only `metrics.<name>` is allowed."
            raise InvalidInput(said, where="order_by")
        if dot:
            newest = _newest(metric, clause).alias(f"by{place}")
            query = query.outerjoin(newest, newest.c.model == models.c.id)
            column = newest.c.value
        else:
            key = LOGGED_MODELS.aliases.get(field.strip(), field.strip())
            if key not in _ATTRIBUTES:
                raise InvalidInput(f"Invalid order by field name: {field}.", where="order_by")
            named.add(key)
            column = _ATTRIBUTES[key]
        query = query.order_by(case((column.is_(None), 1), else_=0), column if ascending else column.desc())
    if "creation_timestamp" not in named:
        query = query.order_by(models.c.created.desc())
    return whole(tx, tx.execute(query.order_by(models.c.id).limit(limit).offset(offset)).all())


def _newest(metric: str, clause: Mapping[str, object]) -> Subquery:
    m = model_metrics.c
    rows = select(
        m.model,
        m.value,
        func.row_number().over(partition_by=m.model, order_by=[m.at.desc(), m.step.desc(), m.run]).label("place"),
    ).where(m.name == metric)
    if clause.get("dataset_name"):
        rows = rows.where(m.dataset_name == clause["dataset_name"])
    if clause.get("dataset_digest"):
        rows = rows.where(m.dataset_digest == clause["dataset_digest"])
    ranked = rows.subquery()
    return select(ranked.c.model, ranked.c.value).where(ranked.c.place == 1).subquery()


def _on_datasets(datasets: Sequence[tuple[str, str | None]]) -> conditions.Condition:
    m = model_metrics.c
    return or_(
        *(
            m.dataset_name == name if digest is None else and_(m.dataset_name == name, m.dataset_digest == digest)
            for name, digest in datasets
        )
    )


def _on_model(tx: Transaction, c: Comparison, datasets: Sequence[tuple[str, str | None]]) -> conditions.Condition:
    match c.entity:
        case "metric":
            mine = select(literal(1)).where(
                model_metrics.c.model == models.c.id,
                model_metrics.c.name == c.key,
                conditions.number(model_metrics.c.value, c.op, c.value),
            )
            return (mine.where(_on_datasets(datasets)) if datasets else mine).exists()
        case "parameter" | "tag":
            table = model_params if c.entity == "parameter" else model_tags
            value = conditions.text(tx, table.c.value, c.op, c.value)
            return select(literal(1)).where(table.c.model == models.c.id, table.c.name == c.key, value).exists()
        case _ if c.key in LOGGED_MODELS.numeric:
            return conditions.number(_ATTRIBUTES[c.key], c.op, c.value)
        case _ if c.key == "status":
            lowered = tuple(v.lower() for v in c.value) if isinstance(c.value, tuple) else str(c.value).lower()
            return conditions.text(tx, models.c.status, c.op, lowered)
        case _ if c.key == "experiment_id":
            numbers = c.value if isinstance(c.value, tuple) else (c.value,)
            inside = models.c.experiment.in_([int(n) for n in map(str, numbers) if _NUMBER.match(n)])
            return inside if c.op in ("=", "IN") else ~inside
        case _:
            return conditions.text(tx, _ATTRIBUTES[c.key], c.op, c.value)


def whole(tx: Transaction, rows: Sequence[Any]) -> list[LoggedModel]:
    """Return models with all they have, one query a table."""
    ids = [row.id for row in rows]
    if not ids:
        return []
    params: defaultdict[str, dict[str, str]] = defaultdict(dict)
    tags: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for table, found in ((model_params, params), (model_tags, tags)):
        for one in tx.execute(select(table).where(table.c.model.in_(ids)).order_by(table.c.name)):
            found[one.model][one.name] = one.value
    metrics: defaultdict[str, list[ModelMetric]] = defaultdict(list)
    m = model_metrics.c
    for one in tx.execute(select(model_metrics).where(m.model.in_(ids)).order_by(m.name, m.at, m.step, m.run)):
        value = one.value if one.mark is None else one.mark
        metrics[one.model].append(
            ModelMetric(name=one.name, value=value, step=one.step, at=one.at, run=one.run or None,
                        dataset_name=one.dataset_name, dataset_digest=one.dataset_digest)
        )  # fmt: skip
    return [
        LoggedModel(
            id=row.id,
            experiment=row.experiment,
            name=row.name,
            model_type=row.model_type,
            status=row.status,
            run=row.run,
            params=params[row.id],
            tags=tags[row.id],
            metrics=metrics[row.id],
            lifecycle="deleted" if row.gone else "active",
            created_at=iso_ms(row.created),
            updated_at=iso_ms(row.updated),
        )
        for row in rows
    ]
