"""Values of certification: evidence, verdicts of gates, approvals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from keepwell.charter.gates import Gate

Outcome = Literal["passed", "failed", "undecided"]
"""What a gate says. Undecided is judged without the data to tell, and is never a pass."""

OUTCOMES: tuple[Outcome, ...] = ("passed", "undecided", "failed")
"""In the order of their codes in arrays: the larger, the worse."""

SELF = "self"
"""Subject of evidence: the version that is judged, as it would be served."""
BASELINE = "baseline"
"""Subject of evidence: the charter's baseline on the same rows."""
WHOLE = "all"
"""Slice of evidence: all rows."""

ApprovalState = Literal["asked", "given", "refused", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measurement attached to a version.

    Attributes:
        version_id: the version.
        slice: `all`, or `column=value`.
        subject: what was measured on the version's rows: `self`, `baseline`, a candidate's name, or the id of another
            version (the champion, so that both are compared on the same rows).
        metric: name of the metric; ratios are fractions.
        value: its value; None is unknown.
        n: rows it was measured on.
    """

    version_id: str
    slice: str
    subject: str
    metric: str
    value: float | None
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceColumns:
    """Measurements of many versions as columns of equal length.

    Attributes:
        version_id: as in `Evidence`, and so on.
        slice: slices.
        subject: subjects.
        metric: metrics.
        value: float64; NaN is unknown.
        n: int64, rows.
    """

    version_id: Sequence[str]
    slice: Sequence[str]
    subject: Sequence[str]
    metric: Sequence[str]
    value: npt.NDArray[np.float64]
    n: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate says of one version.

    Attributes:
        clause: the gate as the charter writes it, or as the risk demands it.
        outcome: passed, failed or undecided.
        left: the version's metric; None when it is not known.
        right: what it was held against, the factor included; None when it is not known.
        n: rows that `left` was measured on.
        slice: which slice decided: the worst of all that the gate is about.
        reason: the sentence that says it with its numbers.
    """

    clause: str
    outcome: Outcome
    left: float | None
    right: float | None
    n: int
    slice: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all gates say of one version.

    Attributes:
        version_id: the version.
        outcome: failed when a gate failed, else undecided when one is, else passed.
        gates: one result a gate, in the charter's order.
        champion: the version that gates against a champion compared with; None when there was none.
        rules: digest of the gates' texts.
        charter: digest of the charter they are from.
        judged_at: when; None for a verdict that was not recorded.
        seq: number of the ledger's entry that tells of it; 0 for a verdict that was not recorded.
        void: why it does not count any more; None while it does.
    """

    version_id: str
    outcome: Outcome
    gates: tuple[GateResult, ...]
    champion: str | None
    rules: str
    charter: str = ""
    judged_at: datetime | None = None
    seq: int = 0
    void: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FleetVerdict:
    """What all gates say of many versions, as columns.

    Attributes:
        version_id: the versions, V of them.
        gates: the gates, G of them.
        champion: the champion each version was compared with, or None.
        rules: digest of the gates' texts.
        outcome: (V,) codes, places in `OUTCOMES`.
        gate_outcome: (V, G) codes.
        left: (V, G) float64, NaN unknown.
        right: (V, G) float64, NaN unknown.
        n: (V, G) rows.
        slices: names of slices.
        slice: (V, G) places in `slices`.
        why: (V, G) codes of `judging.Why`.
        least: fewest rows that were enough to judge.
    """

    version_id: Sequence[str]
    gates: tuple[Gate, ...]
    champion: Sequence[str | None]
    rules: str
    outcome: npt.NDArray[np.int8]
    gate_outcome: npt.NDArray[np.int8]
    left: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    n: npt.NDArray[np.int64]
    slices: Sequence[str]
    slice: npt.NDArray[np.int64]
    why: npt.NDArray[np.int8]
    least: int


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's recorded decision on one version, asked for or made.

    Attributes:
        id: of the request or the decision that it belongs to (`apr_...`); one covers any number of versions.
        model: name of the model or fleet.
        environment: what it lets the version into.
        role: the role that approves.
        version_id: the version.
        artifact: digest of the version's bytes when it was asked for: another digest voids it.
        charter: digest of the charter in force then: another charter voids it.
        state: asked, given, refused or withdrawn.
        asked_at: when it was asked for.
        asked_by: who asked.
        settled_at: when it was given or refused.
        settled_by: who did.
    """

    id: str
    model: str
    environment: str
    role: str
    version_id: str
    artifact: str
    charter: str
    state: ApprovalState
    asked_at: datetime
    asked_by: str
    settled_at: datetime | None = None
    settled_by: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Approvals that wait for one role, asked for together.

    Attributes:
        id: `apr_...`.
        model: name of the model or fleet.
        environment: what it lets the versions into.
        role: the role that is asked.
        count: how many versions.
        version_ids: some of them, at most 100.
        asked_at: when.
        asked_by: who asked.
    """

    id: str
    model: str
    environment: str
    role: str
    count: int
    version_ids: tuple[str, ...]
    asked_at: datetime
    asked_by: str
