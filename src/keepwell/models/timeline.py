"""Who held which place when: champions of environments, aliases and stages as lanes of one timeline."""

from __future__ import annotations

from sqlalchemy import select

from keepwell.core.paging import check_limit
from keepwell.core.segments import ALL
from keepwell.db import Transaction
from keepwell.models.queries import moment
from keepwell.models.registered import model_name
from keepwell.models.registry_model import Span
from keepwell.models.registry_store import aliases, stages
from keepwell.models.store import champions

MOST = 5_000


def timeline(tx: Transaction, model: str, *, segment: str | None = None, limit: int = 1_000) -> list[Span]:
    """Return who held which place of a model when, newest first.

    Args:
        tx: a transaction.
        model: name of the model or fleet.
        segment: champions of this segment only; of all by default. Aliases and stages are of `all`.
        limit: how many spans at most, the newest.

    Raises:
        NotFound: no model is called that.
        InvalidInput: the limit cannot be meant.
    """
    name, most = model_name(tx, model), check_limit(limit, MOST)
    held = [*_champions(tx, name, segment, most)]
    if segment in (None, ALL):
        held += [*_aliases(tx, name, most), *_stages(tx, name, most)]
    return sorted(held, key=lambda span: (-span.seq, span.kind, span.lane, span.segment))[:most]


def _champions(tx: Transaction, model: str, segment: str | None, most: int) -> list[Span]:
    query = select(champions).where(champions.c.model == model)
    if segment is not None:
        query = query.where(champions.c.segment == segment)
    rows = tx.execute(query.order_by(champions.c.seq.desc(), champions.c.segment).limit(most))
    return [
        Span("environment", r.environment, r.segment, r.version_id, r.number, moment(r.since),
             moment(r.until) if r.until else None, r.by, None, r.cause, r.seq)
        for r in rows
    ]  # fmt: skip


def _aliases(tx: Transaction, model: str, most: int) -> list[Span]:
    rows = tx.execute(select(aliases).where(aliases.c.model == model).order_by(aliases.c.seq.desc()).limit(most))
    return [
        Span("alias", r.alias, ALL, r.version, r.number, moment(r.since), moment(r.until) if r.until else None, r.by,
             r.ended_by, "set", r.seq)
        for r in rows
    ]  # fmt: skip


def _stages(tx: Transaction, model: str, most: int) -> list[Span]:
    rows = tx.execute(select(stages).where(stages.c.model == model).order_by(stages.c.seq.desc()).limit(most))
    return [
        Span("stage", r.stage, ALL, r.version, r.number, moment(r.since), moment(r.until) if r.until else None, r.by,
             r.ended_by, "set", r.seq)
        for r in rows
    ]  # fmt: skip
