"""Promote members of a fleet, roll them back, and get them approved.

A version becomes champion when the gates in force passed it, against the champion that is there now, and when the
approvals that the charter in force demands were given for its bytes. All of that is asked in the transaction that
makes it champion; what is refused is refused member by member, with the clause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keepwell.charter.gates import all_gates
from keepwell.charter.model import Charter
from keepwell.charter.risk import all_approvals
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.digests import digest_json
from keepwell.core.errors import Conflict, Damaged, InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.governance.charters import AppliedCharter, current_charter
from keepwell.ledger import append, once
from keepwell.models import rules as model_rules
from keepwell.models import service as models
from keepwell.models.model import Champion, ModelVersion
from keepwell.releases import rules
from keepwell.releases import service as releases
from keepwell.releases.model import Approval
from keepwell.releases.rules import Refusal


@dataclass(frozen=True, slots=True)
class Promotion:
    """What became of versions that were to be promoted, or of segments that were to be rolled back.

    Attributes:
        environment: where.
        promoted: the champions, by segment.
        held: those that may not, by segment, each with the clause and a sentence.
    """

    environment: str
    promoted: list[Champion]
    held: list[Refusal]


def promote_fleet(
    kit: Kit,
    applied: AppliedCharter,
    environment: str,
    version_ids: Sequence[str],
    actor: str,
    reason: str,
    decision: str | None = None,
    *,
    key: str | None = None,
) -> Promotion:
    """Make champions of the versions that may be, and hold the others.

    Args:
        kit: the opened house.
        applied: the charter in force.
        environment: one of the charter's.
        version_ids: at most one version a segment.
        actor: stable id of who promotes.
        reason: why, in words.
        decision: id of the loop's decision.
        key: idempotency key; with it, doing it again returns what it returned.

    Raises:
        NotFound: a version is not there.
        InvalidInput: the environment is not the charter's, a version is of another model, or two are of one segment.
        Conflict: another charter is in force by now.
    """
    _check_environment(applied.charter, environment)
    request = {
        "do": "promote.promote_fleet",
        "model": applied.charter.model,
        "environment": environment,
        "versions": sorted(version_ids),
    }
    with kit.read() as tx:
        damaged = _damaged(kit, models.packs(tx, version_ids))
    call = kit.call(actor, key)

    def effect() -> Promotion:
        return _promote(kit, tx, replace(call, key=None), applied, environment, version_ids, reason, decision, damaged)

    with kit.write() as tx:
        return once(tx, call, request, effect, Promotion)


def roll_back_fleet(
    kit: Kit,
    applied: AppliedCharter,
    environment: str,
    segments: Sequence[str],
    actor: str,
    reason: str,
    decision: str | None = None,
    *,
    key: str | None = None,
) -> Promotion:
    """Return segments to the champion before the present one; hold those that have none.

    A roll-back asks for no gates and no approvals: what it returns to had them.

    Raises:
        InvalidInput: the environment is not the charter's, or no segment is named.
    """
    _check_environment(applied.charter, environment)
    if not segments:
        raise InvalidInput("Name at least one segment to roll back.", where="segments")
    model, wanted = applied.charter.model, sorted(set(segments))
    request = {"do": "promote.roll_back_fleet", "model": model, "environment": environment, "segments": wanted}
    call = kit.call(actor, key)

    def effect() -> Promotion:
        before = models.previous_versions(tx, model, environment, wanted)
        there = models.versions_by_id(tx, [version for version in before.values() if version])
        damaged = _damaged(kit, {v.id: v.pack for v in there})
        held = [_no_predecessor(segment, environment) for segment, version in before.items() if version is None]
        held += [_damage(v, damaged[v.id]) for v in there if v.id in damaged]
        back = [v.segment for v in there if v.id not in damaged]
        made = []
        if back:
            inner = replace(call, key=None)
            made = models.roll_back(tx, inner, model, environment, back, reason, decision, blobs=kit.blobs)
        failpoints.reach("promote.rolled_back")
        return Promotion(environment, made, sorted(held, key=lambda refusal: refusal.segment))

    with kit.write() as tx:
        return once(tx, call, request, effect, Promotion)


def refusals(tx: Transaction, applied: AppliedCharter, environment: str, version_ids: Sequence[str]) -> list[Refusal]:
    """Return what stands between versions and their promotion, by segment; change nothing.

    Raises:
        NotFound: a version is not there.
        InvalidInput: a version is of another model, or two are of one segment.
    """
    _check_environment(applied.charter, environment)
    return _refusals(tx, applied, environment, _members(tx, applied.charter.model, version_ids), {})


def ask(
    kit: Kit,
    applied: AppliedCharter,
    environment: str,
    version_ids: Sequence[str],
    actor: str,
    *,
    key: str | None = None,
) -> str | None:
    """Ask for the approvals that the charter demands for an environment; None when it demands none."""
    roles = demanded(applied.charter, environment)
    if not roles:
        return None
    with kit.write() as tx:
        versions = _members(tx, applied.charter.model, version_ids)
        artifacts = {v.id: v.artifact for v in versions}
        call = kit.call(actor, key)
        return releases.ask_approval(tx, call, applied.charter.model, environment, roles, artifacts, applied.digest)


def approve(
    kit: Kit,
    applied: AppliedCharter,
    environment: str,
    version_ids: Sequence[str],
    actor: str,
    *,
    role: str | None = None,
    refuse: bool = False,
    reason: str = "",
    key: str | None = None,
) -> list[Approval]:
    """Record a person's approval (or refusal) of versions for an environment.

    Args:
        kit: the opened house.
        applied: the charter in force; the decision is void under another.
        environment: what it lets the versions into.
        version_ids: which.
        actor: stable id of the person.
        role: the role in which; by default every role that the charter demands there.
        refuse: refuse instead.
        reason: why, in words.
        key: idempotency key.

    Raises:
        Conflict: the charter demands no approval there, or the person may not approve a version.
        InvalidInput: the charter does not ask that role.
    """
    roles = demanded(applied.charter, environment)
    if not roles:
        raise Conflict(f"{environment} wants no approval: promote the version.", code="no_approval_wanted")
    if role is not None and role not in roles:
        raise InvalidInput(f"{environment} wants the approval of {', '.join(roles)}, not of {role}.", where="role")
    model, asked = applied.charter.model, roles if role is None else (role,)
    request = {
        "do": "promote.approve", "model": model, "environment": environment, "versions": sorted(version_ids),
        "roles": list(asked), "charter": applied.digest, "refuse": refuse,
    }  # fmt: skip
    call = kit.call(actor, key)

    def effect() -> list[Approval]:
        _check_in_force(tx, applied)
        versions = _members(tx, model, version_ids)
        artifacts, authors = {v.id: v.artifact for v in versions}, {v.id: v.created_by for v in versions}
        inner = replace(call, key=None)
        given: list[Approval] = []
        for one in asked:
            given += releases.give_approval(
                tx, inner, model, environment, one, artifacts, applied.digest, authors,
                verdict="refused" if refuse else "given", reason=reason,
            )  # fmt: skip
        return given

    with kit.write() as tx:
        return once(tx, call, request, effect, list[Approval])


def demanded(charter: Charter, environment: str) -> tuple[str, ...]:
    """Return the roles that must approve a promotion into an environment of the charter.

    Raises:
        InvalidInput: the environment is not the charter's.
    """
    _check_environment(charter, environment)
    return all_approvals(charter).get(environment, ())


def _promote(
    kit: Kit,
    tx: Transaction,
    call: Call,
    applied: AppliedCharter,
    environment: str,
    version_ids: Sequence[str],
    reason: str,
    decision: str | None,
    damaged: Mapping[str, str],
) -> Promotion:
    _check_in_force(tx, applied)
    model = applied.charter.model
    versions = _members(tx, model, version_ids)
    held = _refusals(tx, applied, environment, versions, damaged)
    failpoints.reach("promote.judged")
    stopped = {refusal.version_id for refusal in held}
    able = [v.id for v in versions if v.id not in stopped]
    if held:
        body = {
            "environment": environment,
            "count": len(held),
            "members": digest_json([[r.segment, r.version_id, r.code] for r in held]),
            "codes": dict(Counter(r.code for r in held)),
            "decision": decision,
        }
        append(tx, call, Event("model.promotion_refused", f"model:{model}", body))
    made: list[Champion] = []
    if able:
        basis = _basis(tx, applied, environment, able)
        made = models.promote(tx, call, model, environment, able, reason, decision, basis=basis, blobs=kit.blobs)
    failpoints.reach("promote.promoted")
    return Promotion(environment, made, held)


def _basis(tx: Transaction, applied: AppliedCharter, environment: str, version_ids: Sequence[str]) -> dict[str, object]:
    """Return what a promotion rests on: the charter, the gates, the roles that approved and their approvals."""
    roles = demanded(applied.charter, environment)
    basis: dict[str, object] = {
        "charter": applied.digest,
        "rules": releases.rules_digest(all_gates(applied.charter)),
        "roles": list(roles),
    }
    if roles:
        given = releases.approvals(tx, version_ids).values()
        basis["approvals"] = sorted({a.id for each in given for a in each if _counts(a, applied, environment, roles)})
    return basis


def _counts(approval: Approval, applied: AppliedCharter, environment: str, roles: Sequence[str]) -> bool:
    about = approval.environment == environment and approval.role in roles
    return about and approval.state == "given" and approval.charter == applied.digest


def _refusals(
    tx: Transaction,
    applied: AppliedCharter,
    environment: str,
    versions: Sequence[ModelVersion],
    damaged: Mapping[str, str],
) -> list[Refusal]:
    charter = applied.charter
    gates = all_gates(charter)
    digest = releases.rules_digest(gates)
    ids = [v.id for v in versions]
    verdicts = releases.verdicts(tx, ids, with_gates=False)
    verdicts.update(releases.verdicts(tx, [v for v, verdict in verdicts.items() if verdict.outcome != "passed"]))
    roles = demanded(charter, environment)
    approvals = releases.approvals(tx, ids) if roles else {}
    production = models.champion_ids(tx, charter.model, charter.release.environments[-1])
    found: list[Refusal] = []
    for version in versions:
        stop = (
            _wrong_state(version)
            or (("", damaged[version.id], "damaged") if version.id in damaged else None)
            or rules.gates_refusal(verdicts.get(version.id), gates, digest, production.get(version.segment))
            or rules.approval_refusal(
                approvals.get(version.id, ()), environment, roles, version.artifact, applied.digest, version.created_by
            )
        )
        if stop is not None:
            found.append(Refusal(version.id, version.segment, *stop))
    return found


def _wrong_state(version: ModelVersion) -> tuple[str, str, str] | None:
    try:
        model_rules.check_transition(f"v{version.number}", version.state, "promoted")
    except Conflict as refused:
        return "state", refused.message, "state"
    return None


def _members(tx: Transaction, model: str, version_ids: Sequence[str]) -> list[ModelVersion]:
    """Load versions of one model, at most one a segment, by segment."""
    if not version_ids:
        raise InvalidInput("Name at least one version.", where="versions")
    return model_rules.one_a_segment(model, models.versions_by_id(tx, version_ids))


def _damaged(kit: Kit, packs: Mapping[str, str]) -> dict[str, str]:
    """Return version to the sentence, for those whose bytes are gone or not what they were."""
    bad: dict[str, str] = {}
    for pack in sorted(set(packs.values())):
        try:
            kit.blobs.path(pack)
        except (NotFound, Damaged) as error:
            bad[pack] = error.message
    return {version: bad[pack] for version, pack in packs.items() if pack in bad}


def _damage(version: ModelVersion, why: str) -> Refusal:
    return Refusal(version.id, version.segment, "", why, "damaged")


def _no_predecessor(segment: str, environment: str) -> Refusal:
    why = f"It has no earlier champion in {environment} to return to; promote a version."
    return Refusal("", segment, "", why, "no_predecessor")


def _check_environment(charter: Charter, environment: str) -> None:
    there = charter.release.environments
    if environment not in there:
        raise InvalidInput(
            f"{ascii(environment)[:80]} is not an environment of {charter.model}; there are {', '.join(there)}.",
            where="environment",
        )


def _check_in_force(tx: Transaction, applied: AppliedCharter) -> None:
    if current_charter(tx, applied.charter.model).digest != applied.digest:
        raise Conflict(f"Another charter of {applied.charter.model} is in force by now; try again.", code="charter")
