"""Tables and queries of certification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    Row,
    String,
    Subquery,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)  # fmt: skip

from keepwell.core.clock import from_iso, iso
from keepwell.db import Transaction, metadata
from keepwell.db.bulk import chunks, delete_rows, insert_rows, update_rows
from keepwell.releases.model import Approval, EvidenceColumns, GateResult, Verdict, Waiting

measurements = Table(
    "evidence",
    metadata,
    Column("version_id", String(32), primary_key=True),
    Column("slice", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("value", Float),
    Column("n", Integer, nullable=False),
    sqlite_with_rowid=False,
)
verdicts = Table(
    "verdicts",
    metadata,
    Column("version_id", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("champion", String(32)),
    Column("rules", String(71), nullable=False),
    Column("charter", String(71), nullable=False),
    Column("judged_at", String(27), nullable=False),
    Column("void", Text),
    Index(None, "model", "seq"),
    sqlite_with_rowid=False,
)
gates = Table(
    "verdict_gates",
    metadata,
    Column("version_id", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("clause", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("left", Float),
    Column("right", Float),
    Column("n", Integer, nullable=False),
    Column("slice", Text, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)
approvals = Table(
    "approvals",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("version_id", String(32), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("artifact", String(71), nullable=False),
    Column("charter", String(71), nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked_at", String(27), nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("settled_at", String(27)),
    Column("settled_by", Text),
    Column("seq", Integer, nullable=False),
    Index(None, "version_id", "seq"),
    Index(None, "state", "model"),
)

EVIDENCE = ("version_id", "slice", "subject", "metric", "value", "n")
VERDICT = ("version_id", "seq", "model", "outcome", "champion", "rules", "charter", "judged_at")
GATE = ("version_id", "seq", "position", "clause", "outcome", "left", "right", "n", "slice", "reason")
APPROVAL = (
    "id", "version_id", "role", "model", "environment", "artifact", "charter", "state", "asked_at", "asked_by",
    "settled_at", "settled_by", "seq",
)  # fmt: skip


_FORGET = delete(measurements).where(
    measurements.c.version_id == bindparam("of_version"), measurements.c.slice == bindparam("of_slice"),
    measurements.c.subject == bindparam("of_subject"), measurements.c.metric == bindparam("of_metric"),
)  # fmt: skip
_VOID = (
    update(verdicts)
    .where(verdicts.c.version_id == bindparam("of_version"), verdicts.c.void.is_(None))
    .values(void=bindparam("why"))
)
_SETTLE = (
    update(approvals)
    .where(approvals.c.id == bindparam("of_id"), approvals.c.version_id == bindparam("of_version"),
           approvals.c.role == bindparam("of_role"))
    .values(state=bindparam("to_state"), settled_at=bindparam("at"), settled_by=bindparam("by"),
            seq=bindparam("at_seq"))
)  # fmt: skip


def put_evidence(tx: Transaction, rows: Sequence[tuple[object, ...]], measured: frozenset[str]) -> None:
    """Write measurements; those of versions in `measured` take the place of what was there."""
    keys = [row[:4] for row in rows if row[0] in measured]
    delete_rows(tx, _FORGET, ("of_version", "of_slice", "of_subject", "of_metric"), keys)
    insert_rows(tx, measurements, EVIDENCE, rows)


def measured(tx: Transaction, version_ids: Sequence[str]) -> frozenset[str]:
    """Return those versions that have evidence."""
    found: set[str] = set()
    for part in chunks(version_ids):
        query = select(measurements.c.version_id).where(measurements.c.version_id.in_(part)).distinct()
        found.update(tx.execute(query).scalars())
    return frozenset(found)


def evidence_of(
    tx: Transaction,
    version_ids: Sequence[str],
    *,
    subjects: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    slices: Sequence[str] | None = None,
) -> EvidenceColumns:
    """Return the measurements of versions, of some subjects, metrics and slices only if they are named."""
    here = measurements.c
    rows: list[Row[Any]] = []
    for part in chunks(version_ids):
        query = select(measurements).where(measurements.c.version_id.in_(part))
        for column, wanted in ((here.subject, subjects), (here.metric, metrics), (here.slice, slices)):
            if wanted is not None:
                query = query.where(column.in_(wanted))
        rows += tx.execute(query).all()
    version, cut, subject, metric, value, n = list(zip(*rows, strict=True)) or [()] * 6
    return EvidenceColumns(
        version, cut, subject, metric,
        np.asarray([np.nan if v is None else v for v in value], np.float64), np.asarray(n, np.int64),
    )  # fmt: skip


def add_verdicts(tx: Transaction, rows: Sequence[tuple[object, ...]], of_gates: Sequence[tuple[object, ...]]) -> None:
    """Write verdicts and the results of their gates."""
    insert_rows(tx, verdicts, VERDICT, rows)
    insert_rows(tx, gates, GATE, of_gates)


def void_verdicts(tx: Transaction, version_ids: Iterable[str], why: str) -> None:
    """Note why the verdicts of versions do not count any more."""
    update_rows(tx, _VOID, ("why", "of_version"), [(why, version) for version in version_ids])


def newest_verdicts(tx: Transaction, version_ids: Sequence[str], with_gates: bool) -> dict[str, Verdict]:
    """Return the newest verdict of each version that has one."""
    found: dict[str, Verdict] = {}
    for part in chunks(version_ids):
        last = _last_verdicts(part)
        same = (verdicts.c.version_id == last.c.version_id) & (verdicts.c.seq == last.c.seq)
        rows = tx.execute(select(verdicts).join(last, same)).all()
        results: dict[str, list[GateResult]] = {}
        if with_gates:
            here = (gates.c.version_id == last.c.version_id) & (gates.c.seq == last.c.seq)
            query = select(gates).join(last, here).order_by(gates.c.version_id, gates.c.position)
            for row in tx.execute(query):
                results.setdefault(row.version_id, []).append(_result(row))
        found.update((row.version_id, _verdict(row, results.get(row.version_id, ()))) for row in rows)
    return found


def verdict_history(tx: Transaction, version_id: str) -> list[Verdict]:
    """Return every verdict of a version, newest first."""
    query = select(gates).where(gates.c.version_id == version_id).order_by(gates.c.position)
    results: dict[int, list[GateResult]] = {}
    for row in tx.execute(query):
        results.setdefault(row.seq, []).append(_result(row))
    rows = tx.execute(select(verdicts).where(verdicts.c.version_id == version_id).order_by(verdicts.c.seq.desc()))
    return [_verdict(row, results.get(row.seq, ())) for row in rows]


def clause_counts(tx: Transaction, version_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return (clause, outcome) to how many of the versions' newest verdicts say so."""
    counts: Counter[tuple[str, str]] = Counter()
    for part in chunks(version_ids):
        last = _last_verdicts(part)
        here = (gates.c.version_id == last.c.version_id) & (gates.c.seq == last.c.seq)
        query = select(gates.c.clause, gates.c.outcome, func.count()).join(last, here)
        for clause, outcome, count in tx.execute(query.group_by(gates.c.clause, gates.c.outcome)):
            counts[clause, outcome] += count
    return dict(counts)


def _last_verdicts(version_ids: Sequence[str]) -> Subquery:
    return (
        select(verdicts.c.version_id, func.max(verdicts.c.seq).label("seq"))
        .where(verdicts.c.version_id.in_(version_ids))
        .group_by(verdicts.c.version_id)
        .subquery()
    )


def add_approvals(tx: Transaction, new: Sequence[Approval], seq: int) -> None:
    """Write approvals; `seq` is the number of the ledger's entry that tells of them."""
    insert_rows(
        tx,
        approvals,
        APPROVAL,
        [
            (
                a.id, a.version_id, a.role, a.model, a.environment, a.artifact, a.charter, a.state, iso(a.asked_at),
                a.asked_by, iso(a.settled_at) if a.settled_at else None, a.settled_by, seq,
            )
            for a in new
        ],
    )  # fmt: skip


def settle_approvals(tx: Transaction, settled: Sequence[Approval], seq: int) -> None:
    """Write what became of approvals that were asked for."""
    update_rows(
        tx,
        _SETTLE,
        ("to_state", "at", "by", "at_seq", "of_id", "of_version", "of_role"),
        [
            (a.state, iso(a.settled_at) if a.settled_at else None, a.settled_by, seq, a.id, a.version_id, a.role)
            for a in settled
        ],
    )


def approvals_of(tx: Transaction, version_ids: Sequence[str]) -> list[Approval]:
    """Return the approvals of versions, oldest change first."""
    rows: list[Row[Any]] = []
    for part in chunks(version_ids):
        rows += tx.execute(select(approvals).where(approvals.c.version_id.in_(part)).order_by(approvals.c.seq)).all()
    return [_approval(row) for row in rows]


def approvals_with(tx: Transaction, approval_id: str) -> list[Approval]:
    """Return what one request or decision covers."""
    query = select(approvals).where(approvals.c.id == approval_id).order_by(approvals.c.version_id, approvals.c.role)
    return [_approval(row) for row in tx.execute(query)]


def waiting(tx: Transaction, model: str | None, limit: int) -> list[Waiting]:
    """Return what was asked and not settled, oldest first."""
    here = approvals.c
    query = (
        select(here.id, here.model, here.environment, here.role, func.count(), here.asked_at, here.asked_by)
        .where(here.state == "asked")
        .group_by(here.id, here.model, here.environment, here.role, here.asked_at, here.asked_by)
        .order_by(here.asked_at, here.id)
        .limit(limit)
    )
    if model is not None:
        query = query.where(here.model == model)
    found = []
    for id_, of_model, environment, role, count, asked_at, asked_by in tx.execute(query).all():
        some = select(here.version_id).where(here.id == id_, here.role == role, here.state == "asked").limit(100)
        ids = tuple(tx.execute(some.order_by(here.version_id)).scalars())
        found.append(Waiting(id_, of_model, environment, role, count, ids, from_iso(asked_at), asked_by))
    return found


def _verdict(row: Row[Any], results: Sequence[GateResult]) -> Verdict:
    return Verdict(
        row.version_id, row.outcome, tuple(results), row.champion, row.rules, row.charter, from_iso(row.judged_at),
        row.seq, row.void,
    )  # fmt: skip


def _result(row: Row[Any]) -> GateResult:
    return GateResult(row.clause, row.outcome, row.left, row.right, row.n, row.slice, row.reason)


def _approval(row: Row[Any]) -> Approval:
    return Approval(
        id=row.id,
        model=row.model,
        environment=row.environment,
        role=row.role,
        version_id=row.version_id,
        artifact=row.artifact,
        charter=row.charter,
        state=row.state,
        asked_at=from_iso(row.asked_at),
        asked_by=row.asked_by,
        settled_at=from_iso(row.settled_at) if row.settled_at else None,
        settled_by=row.settled_by,
    )
