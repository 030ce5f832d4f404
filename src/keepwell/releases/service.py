"""Use cases of certification: keep evidence and verdicts; approvals are in `approving`.

Judging itself is pure (`judging`); these functions write what it says, for any number of versions in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import numpy as np
import numpy.typing as npt

from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import digest_bytes
from keepwell.core.events import Event
from keepwell.core.ids import check_id
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.releases import rules, store
from keepwell.releases.approving import (
    approvals,
    ask_approval,
    give_approval,
    settle_approval,
    standing,
    waiting_approvals,
    withdraw_approval,
)
from keepwell.releases.judging import (
    columns_of,
    gate_fields,
    joined,
    judge,
    judge_fleet,
    reasons_of,
    rules_digest,
    verdicts_of,
)
from keepwell.releases.model import OUTCOMES, Evidence, EvidenceColumns, FleetVerdict, Verdict

__all__ = [
    "add_evidence",
    "approvals",
    "ask_approval",
    "clause_counts",
    "columns_of",
    "evidence",
    "evidence_of",
    "give_approval",
    "joined",
    "judge",
    "judge_fleet",
    "reasons_of",
    "record_verdicts",
    "rules_digest",
    "settle_approval",
    "standing",
    "verdict_history",
    "verdicts",
    "verdicts_of",
    "waiting_approvals",
    "withdraw_approval",
]


def add_evidence(
    tx: Transaction,
    call: Call,
    model: str,
    rows: Sequence[Evidence] | EvidenceColumns,
    *,
    blobs: Blobs | None = None,
) -> int:
    """Keep measurements of versions. What was measured before under the same name is replaced, and voids verdicts.

    Args:
        tx: a write transaction.
        call: who, when.
        model: name of the model or fleet.
        rows: the measurements, of any number of versions.
        blobs: where the list that the event's digest stands for is kept.

    Returns:
        How many were written.

    Raises:
        InvalidInput: a value is NaN or infinite, a count is negative, or a metric is measured twice.
    """
    if not isinstance(rows, EvidenceColumns):
        rules.check_values(rows)
        rows = columns_of(rows)
    rules.check_evidence(rows)
    listed = _listed(rows)
    data = msgspec.json.encode(listed)
    digest = digest_bytes(data)
    request = {"do": "releases.add_evidence", "model": model, "evidence": digest}

    def effect() -> int:
        version_ids = list(dict.fromkeys(rows.version_id))
        measured = store.measured(tx, version_ids)
        body = {"count": len(listed), "versions": len(version_ids), "evidence": digest}
        if blobs is not None:
            blobs.put(data)
        append(tx, call, Event("model.evidence_added", f"model:{model}", body))
        failpoints.reach("releases.evidence_told")
        store.put_evidence(tx, listed, measured)
        if measured:
            store.void_verdicts(tx, sorted(measured), "its evidence was measured again")
        failpoints.reach("releases.evidence_stored")
        return len(listed)

    return once(tx, call, request, effect, int)


def evidence(tx: Transaction, version_id: str) -> list[Evidence]:
    """Return the measurements of one version, by slice, subject and metric."""
    found = store.evidence_of(tx, [check_id(version_id, "ver")])
    return [Evidence(*row) for row in _listed(found)]


def evidence_of(
    tx: Transaction,
    version_ids: Sequence[str],
    *,
    subjects: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    slices: Sequence[str] | None = None,
) -> EvidenceColumns:
    """Return the measurements of versions as columns; of some subjects, metrics and slices only if they are named."""
    return store.evidence_of(tx, version_ids, subjects=subjects, metrics=metrics, slices=slices)


def record_verdicts(
    tx: Transaction, call: Call, model: str, fleet: FleetVerdict, charter: str, *, blobs: Blobs | None = None
) -> int:
    """Keep what the gates of a charter say of versions; it counts until the evidence or the gates change.

    Args:
        tx: a write transaction.
        call: who, when.
        model: name of the model or fleet.
        fleet: the verdicts, from `judge_fleet`.
        charter: digest of the charter that the gates are from.
        blobs: where the list that the event's digest stands for is kept.

    Returns:
        The number of the ledger's entry that tells of it.
    """
    data = msgspec.json.encode(
        [
            list(fleet.version_id), [gate.text for gate in fleet.gates], fleet.gate_outcome.tolist(),
            _numbers(fleet.left), _numbers(fleet.right), fleet.n.tolist(), list(fleet.champion),
        ]
    )  # fmt: skip
    digest = digest_bytes(data)
    request = {"do": "releases.record_verdicts", "model": model, "verdicts": digest, "charter": charter}

    def effect() -> int:
        counts = np.bincount(fleet.outcome, minlength=len(OUTCOMES)).tolist()
        body = {
            "versions": len(fleet.version_id),
            **dict(zip(OUTCOMES, counts, strict=True)),
            "verdicts": digest,
            "rules": fleet.rules,
            "charter": charter,
        }
        if blobs is not None:
            blobs.put(data)
        seq = append(tx, call, Event("model.gates_judged", f"model:{model}", body))[0].seq
        failpoints.reach("releases.verdicts_told")
        store.add_verdicts(tx, _verdict_rows(fleet, seq, model, charter, iso(call.now)), _gate_rows(fleet, seq))
        failpoints.reach("releases.verdicts_stored")
        return seq

    return once(tx, call, request, effect, int)


def verdicts(tx: Transaction, version_ids: Sequence[str], *, with_gates: bool = True) -> dict[str, Verdict]:
    """Return the newest verdict of each version that was judged."""
    return store.newest_verdicts(tx, version_ids, with_gates)


def clause_counts(tx: Transaction, version_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return (clause, outcome) to how many of the versions' newest verdicts say so."""
    return store.clause_counts(tx, version_ids)


def verdict_history(tx: Transaction, version_id: str) -> list[Verdict]:
    """Return every verdict of a version, newest first."""
    return store.verdict_history(tx, check_id(version_id, "ver"))


def _listed(columns: EvidenceColumns) -> list[tuple[str, str, str, str, float | None, int]]:
    """Return measurements as rows in the order of their key."""
    values = _numbers(columns.value)
    keys = (columns.version_id, columns.slice, columns.subject, columns.metric)
    return sorted(zip(*keys, values, columns.n.tolist(), strict=True))


def _numbers(values: npt.NDArray[np.float64]) -> list[Any]:
    """Return an array of any shape as lists, with None for what is not finite."""
    known = np.isfinite(values)
    shown = values.astype(object)
    shown[~known] = None
    return cast(list[Any], shown.tolist())


def _verdict_rows(fleet: FleetVerdict, seq: int, model: str, charter: str, at: str) -> list[tuple[object, ...]]:
    return [
        (version, seq, model, OUTCOMES[code], champion, fleet.rules, charter, at)
        for version, code, champion in zip(fleet.version_id, fleet.outcome.tolist(), fleet.champion, strict=True)
    ]


def _gate_rows(fleet: FleetVerdict, seq: int) -> list[tuple[object, ...]]:
    """Return the rows of all gates, in the order of their key: a table without row ids grows fastest at its end."""
    fields = [gate_fields(fleet, place) for place in range(len(fleet.gates))]
    clauses = [gate.text for gate in fleet.gates]
    return [
        (version, seq, place, clauses[place], *found)
        for version, of_version in zip(fleet.version_id, zip(*fields, strict=True), strict=False)
        for place, found in enumerate(of_version)
    ]
