"""Certify a fleet: register what was trained, keep its evidence, judge its gates, hold what does not pass.

All of it is one transaction, whatever the number of members: a fleet is registered and judged whole or not at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import msgspec
import numpy as np

from keepwell.charter.gates import all_gates
from keepwell.charter.model import Charter
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.governance.charters import AppliedCharter
from keepwell.ledger import once
from keepwell.models import service as models
from keepwell.models.model import Member, ModelVersion
from keepwell.releases import service as releases
from keepwell.releases.model import OUTCOMES, SELF, WHOLE, EvidenceColumns, FleetVerdict, Outcome, Verdict


class Measurement(Protocol):
    """What was measured on held-back rows; `forecasting` makes these."""

    @property
    def slice(self) -> str:
        """`all`, or `column=value`."""

    @property
    def subject(self) -> str:
        """`self`, `baseline`, a candidate's name, or the id of a version measured on the same rows."""

    @property
    def metric(self) -> str:
        """Name of the metric."""

    @property
    def value(self) -> float | None:
        """None is unknown."""

    @property
    def n(self) -> int:
        """Rows it was measured on."""


class Trained(Protocol):
    """One trained member of a fleet; `forecasting` makes these."""

    @property
    def segment(self) -> str:
        """Key of its segment."""

    @property
    def artifact(self) -> bytes:
        """Its bytes."""

    @property
    def evidence(self) -> Sequence[Measurement]:
        """What was measured."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What its training says of it: rows, series, weights. JSON."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where versions come from.

    Attributes:
        run_id: the run that trained them.
        dataset_version: what they learned from.
        code: commit, or digest of the code.
        environment: digest of the environment they were trained in.
        trained_at: when the training ended.
        trained_until: last time value they have seen.
    """

    run_id: str | None
    dataset_version: str | None
    code: str | None
    environment: str | None
    trained_at: datetime
    trained_until: str


@dataclass(frozen=True, slots=True)
class Certified:
    """A fleet that was registered and judged.

    Attributes:
        batch: id of the batch.
        versions: segment to the id of its new version.
        outcomes: segment to what its gates say.
        reasons: segment to the sentence, for each that did not pass and is held.
    """

    batch: str
    versions: dict[str, str]
    outcomes: dict[str, Outcome]
    reasons: dict[str, str]

    def that(self, outcome: Outcome) -> list[str]:
        """Return the ids of the versions with that outcome, by segment."""
        return [self.versions[segment] for segment, found in self.outcomes.items() if found == outcome]


def register_and_gate(
    kit: Kit,
    applied: AppliedCharter,
    trained: Sequence[Trained],
    lineage: Lineage,
    actor: str,
    *,
    key: str | None = None,
) -> Certified:
    """Register a new version of each member with its lineage, judge all gates, and hold those that do not pass.

    Args:
        kit: the opened house.
        applied: the charter in force.
        trained: the members; a value that is not finite counts as not known.
        lineage: where they come from.
        actor: stable id of who does it: the versions' author.
        key: idempotency key; with it, doing it again returns what it returned.

    Raises:
        InvalidInput: a segment is there twice, or something cannot be stored.
    """
    evidence = _evidence(trained)
    facts = {one.segment: _facts(one) for one in trained}
    pack, members = models.pack(kit.blobs, _artifacts(trained), facts=facts, metrics=_own_metrics(evidence))
    request = {
        "do": "certify.register_and_gate",
        "model": applied.charter.model,
        "pack": pack,
        "evidence": _digest(evidence),
        "lineage": [lineage.run_id, lineage.dataset_version, lineage.code, lineage.environment, lineage.trained_until],
    }
    call = kit.call(actor, key)
    with kit.write() as tx:
        return once(
            tx, call, request, lambda: _register(kit, tx, call, applied, members, pack, lineage, evidence), Certified
        )


def certify(
    kit: Kit, applied: AppliedCharter, version_ids: Sequence[str], actor: str, *, key: str | None = None
) -> list[Verdict]:
    """Judge versions by the gates in force on the evidence that is kept; hold those that do not pass.

    A version that was held and passes now is open again. Champions and retired versions are judged and stay what they
    are.

    Raises:
        NotFound: a version is not there.
        InvalidInput: a version is of another model.
        Conflict: a version is discarded.
    """
    call = kit.call(actor, key)
    request = {"do": "certify.certify", "versions": sorted(version_ids), "charter": applied.digest}
    with kit.write() as tx:
        once(tx, call, request, lambda: _certify(kit, tx, replace(call, key=None), applied, version_ids), int)
        found = releases.verdicts(tx, version_ids)
    return [found[version] for version in version_ids]


def certify_anew(kit: Kit, applied: AppliedCharter, actor: str) -> list[Verdict]:
    """Judge the challengers of a fleet whose verdicts do not count any more: other gates, or another champion."""
    charter = applied.charter
    with kit.read() as tx:
        fleet = models.fleet_columns(tx, charter.model, charter.release.environments[-1])
        waiting = {
            version: champion
            for version, champion, state in zip(fleet.version_id, fleet.champion_id, fleet.state, strict=True)
            if version != champion and state in ("registered", "held")
        }
        verdicts = releases.verdicts(tx, list(waiting), with_gates=False) if waiting else {}
    gates = all_gates(charter)
    digest = releases.rules_digest(gates)
    against = any(gate.reference == "champion" for gate in gates)
    old = [
        version
        for version, champion in waiting.items()
        if (found := verdicts.get(version)) is None
        or found.void is not None
        or found.rules != digest
        or (against and found.champion != champion)
    ]
    return certify(kit, applied, old, actor) if old else []


def judge_now(tx: Transaction, charter: Charter, versions: Sequence[ModelVersion]) -> FleetVerdict:
    """Return what the gates of a charter say of versions on the evidence that is kept; change nothing."""
    gates = all_gates(charter)
    champions = _champions(tx, charter, {v.segment: v.id for v in versions})
    needed = dict.fromkeys([*(v.id for v in versions), *(c for c in champions.values() if c)])
    evidence = releases.evidence_of(tx, list(needed))
    return releases.judge_fleet(gates, [v.id for v in versions], evidence, champions, charter.monitor.min_rows)


def _register(
    kit: Kit,
    tx: Transaction,
    call: Call,
    applied: AppliedCharter,
    members: Sequence[Member],
    pack: str,
    lineage: Lineage,
    evidence: EvidenceColumns,
) -> Certified:
    """Do it, in one transaction. In `evidence`, segments stand where version ids will."""
    inner, model = replace(call, key=None), applied.charter.model
    batch = models.register_batch(
        tx,
        inner,
        model,
        members,
        pack=pack,
        run_id=lineage.run_id,
        dataset_version=lineage.dataset_version,
        code=lineage.code,
        environment=lineage.environment,
        trained_at=lineage.trained_at,
        trained_until=lineage.trained_until,
        blobs=kit.blobs,
    )
    failpoints.reach("certify.registered")
    ids = models.ids_of_batch(tx, batch)
    named = replace(evidence, version_id=[ids[segment] for segment in evidence.version_id])
    releases.add_evidence(tx, inner, model, named, blobs=kit.blobs)
    failpoints.reach("certify.evidence_kept")
    fleet = _judge_new(tx, applied.charter, ids, named)
    releases.record_verdicts(tx, inner, model, fleet, applied.digest, blobs=kit.blobs)
    failpoints.reach("certify.judged")
    reasons = releases.reasons_of(fleet)
    if reasons:
        models.set_state(tx, inner, list(reasons), "held", reasons)
    outcomes = dict(zip(ids, _outcomes(fleet), strict=True))
    return Certified(batch, ids, outcomes, {s: reasons[v] for s, v in ids.items() if v in reasons})


def _certify(kit: Kit, tx: Transaction, call: Call, applied: AppliedCharter, version_ids: Sequence[str]) -> int:
    model = applied.charter.model
    versions = models.versions_by_id(tx, version_ids)
    for version in versions:
        if version.model != model:
            raise InvalidInput(f"{version.id} is a version of {version.model}, not of {model}.")
        if version.state == "discarded":
            raise Conflict(f"{version.id} was discarded, which is final; register a new version.", code="wrong_state")
    fleet = judge_now(tx, applied.charter, versions)
    seq = releases.record_verdicts(tx, call, model, fleet, applied.digest, blobs=kit.blobs)
    failpoints.reach("certify.judged")
    reasons = releases.reasons_of(fleet)
    held = [v.id for v in versions if v.id in reasons and v.state in ("registered", "held")]
    passed = [v.id for v in versions if v.id not in reasons and v.state == "held"]
    if held:
        models.set_state(tx, call, held, "held", reasons)
    if passed:
        models.set_state(tx, call, passed, "registered", "its gates pass now")
    return seq


def _judge_new(tx: Transaction, charter: Charter, ids: Mapping[str, str], evidence: EvidenceColumns) -> FleetVerdict:
    """Judge versions whose evidence is in hand; only their champions' is read."""
    gates = all_gates(charter)
    champions = _champions(tx, charter, ids)
    against = [gate for gate in gates if gate.reference == "champion"]
    holders = sorted({c for c in champions.values() if c}) if against else []
    if holders:
        metrics = sorted({gate.reference_metric or "" for gate in against})
        slices = None if any(gate.each_slice for gate in against) else [WHOLE]
        theirs = releases.evidence_of(tx, holders, subjects=[SELF], metrics=metrics, slices=slices)
        evidence = releases.joined(evidence, theirs)
    return releases.judge_fleet(gates, list(ids.values()), evidence, champions, charter.monitor.min_rows)


def _champions(tx: Transaction, charter: Charter, ids: Mapping[str, str]) -> dict[str, str | None]:
    """Return version to the champion of its segment in production, or None."""
    there = models.champion_ids(tx, charter.model, charter.release.environments[-1])
    return {version: there.get(segment) for segment, version in ids.items()}


def _artifacts(trained: Sequence[Trained]) -> dict[str, bytes]:
    artifacts = {one.segment: one.artifact for one in trained}
    if len(artifacts) != len(trained):
        [(twice, _)] = Counter(one.segment for one in trained).most_common(1)
        raise InvalidInput(f"The segment {twice!r} was trained twice; give each segment one artifact.")
    return artifacts


def _evidence(trained: Sequence[Trained]) -> EvidenceColumns:
    """Return the evidence of members, with their segments where version ids will stand."""
    rows = [(one.segment, m.slice, m.subject, m.metric, m.value, m.n) for one in trained for m in one.evidence]
    segment, cut, subject, metric, value, n = list(zip(*rows, strict=True)) or [()] * 6
    values = np.asarray([math.nan if v is None else v for v in value], np.float64)
    values[~np.isfinite(values)] = math.nan
    return EvidenceColumns(segment, cut, subject, metric, values, np.asarray(n, np.int64))


def _own_metrics(evidence: EvidenceColumns) -> dict[str, dict[str, float | None]]:
    """Return segment to its own metrics over all rows."""
    own: dict[str, dict[str, float | None]] = {}
    columns = (evidence.version_id, evidence.slice, evidence.subject, evidence.metric, evidence.value.tolist())
    for segment, cut, subject, metric, value in zip(*columns, strict=True):
        if cut == WHOLE and subject == SELF:
            own.setdefault(segment, {})[metric] = None if math.isnan(value) else value
    return own


def _facts(one: Trained) -> dict[str, object]:
    """Return what is kept of a member's training: its facts, and the counts and weights that it names beside them."""
    beside = {name: getattr(one, name) for name in ("rows", "series", "weights") if hasattr(one, name)}
    return {**beside, **one.facts}


def _digest(evidence: EvidenceColumns) -> str:
    values = [None if math.isnan(value) else value for value in evidence.value.tolist()]
    columns = (evidence.version_id, evidence.slice, evidence.subject, evidence.metric, values, evidence.n.tolist())
    return digest_bytes(msgspec.json.encode(columns))


def _outcomes(fleet: FleetVerdict) -> list[Outcome]:
    return [OUTCOMES[code] for code in fleet.outcome.tolist()]
