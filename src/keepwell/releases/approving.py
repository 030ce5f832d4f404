"""Approvals: asked of roles, given or refused by persons, bound to the version's bytes and the charter in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import msgspec

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.core.ids import check_id
from keepwell.core.paging import check_limit
from keepwell.core.texts import check_text
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.releases import rules, store
from keepwell.releases.model import Approval, Waiting
from keepwell.releases.rules import Standing


def ask_approval(
    tx: Transaction,
    call: Call,
    model: str,
    environment: str,
    roles: Sequence[str],
    artifacts: Mapping[str, str],
    charter: str,
) -> str:
    """Ask roles to approve versions for an environment.

    What stands already (asked, given or refused for the same bytes and charter) is not asked again.

    Args:
        tx: a write transaction.
        call: who asks, when.
        model: name of the model or fleet.
        environment: what the approval lets the versions into.
        roles: who is asked.
        artifacts: version to the digest of its bytes.
        charter: digest of the charter in force.

    Returns:
        The id of the request, or of the one that stands already when there is nothing left to ask.

    Raises:
        InvalidInput: no version or no role is named.
    """
    if not artifacts or not roles:
        raise InvalidInput("Name at least one version and one role to ask for an approval.")
    request = {
        "do": "releases.ask_approval", "environment": environment, "roles": list(roles),
        "artifacts": dict(artifacts), "charter": charter,
    }  # fmt: skip

    def effect() -> str:
        there = {
            (a.version_id, a.role): a.id
            for a in store.approvals_of(tx, list(artifacts))
            if a.environment == environment and a.state != "withdrawn" and _binds(a, artifacts, charter)
        }
        made = call.ids.new("apr")
        new = [
            Approval(made, model, environment, role, version, artifact, charter, "asked", call.now, call.actor)
            for version, artifact in sorted(artifacts.items())
            for role in dict.fromkeys(roles)
            if (version, role) not in there
        ]
        if not new:
            return there[min(artifacts), roles[0]]
        seq = _tell(tx, call, "model.approval_asked", made, new)
        store.add_approvals(tx, new, seq)
        failpoints.reach("releases.approval_asked")
        return made

    return once(tx, call, request, effect, str)


def give_approval(
    tx: Transaction,
    call: Call,
    model: str,
    environment: str,
    role: str,
    artifacts: Mapping[str, str],
    charter: str,
    authors: Mapping[str, str],
    *,
    verdict: Literal["given", "refused"] = "given",
    reason: str = "",
) -> list[Approval]:
    """Approve or refuse versions for an environment, whether it was asked for or not.

    Args:
        tx: a write transaction.
        call: the person who decides, when.
        model: name of the model or fleet.
        environment: what it lets the versions into.
        role: the role in which the person decides.
        artifacts: version to the digest of its bytes: the decision is about these bytes.
        charter: digest of the charter in force: another charter voids the decision.
        authors: version to the stable id of its author, who may not approve it.
        verdict: `given` or `refused`.
        reason: why, in words; kept as the note of the entry.

    Returns:
        The decisions, one a version.

    Raises:
        InvalidInput: no version is named.
        Conflict: the actor is no person, or is the author of a version and approves it.
    """
    if not artifacts:
        raise InvalidInput("Name at least one version to decide on.")
    rules.check_approver(call.actor, authors if verdict == "given" else {})
    request = {
        "do": "releases.give_approval", "environment": environment, "role": role, "artifacts": dict(artifacts),
        "charter": charter, "verdict": verdict,
    }  # fmt: skip

    def effect() -> list[str]:
        asked = {
            a.version_id: a
            for a in store.approvals_of(tx, list(artifacts))
            if a.environment == environment and a.role == role and a.state == "asked" and _binds(a, artifacts, charter)
        }
        made = call.ids.new("apr")
        decided = [
            replace(
                asked.get(version)
                or Approval(made, model, environment, role, version, artifact, charter, "asked", call.now, call.actor),
                state=verdict,
                settled_at=call.now,
                settled_by=call.actor,
            )
            for version, artifact in sorted(artifacts.items())
        ]
        seq = _tell(tx, call, f"model.approval_{verdict}", made, decided, reason)
        store.settle_approvals(tx, [a for a in decided if a.version_id in asked], seq)
        failpoints.reach("releases.approval_settled")
        store.add_approvals(tx, [a for a in decided if a.version_id not in asked], seq)
        failpoints.reach("releases.approval_given")
        return sorted({a.id for a in decided})

    ids = frozenset(once(tx, call, request, effect, list[str]))
    return [
        a
        for a in store.approvals_of(tx, sorted(artifacts))
        if a.id in ids and a.role == role and a.environment == environment
    ]


def settle_approval(
    tx: Transaction,
    call: Call,
    approval_id: str,
    authors: Mapping[str, str],
    *,
    verdict: Literal["given", "refused"] = "given",
    reason: str = "",
) -> list[Approval]:
    """Approve or refuse everything that one request still asks for.

    Args:
        tx: a write transaction.
        call: the person who decides, when.
        approval_id: the request.
        authors: version to the stable id of its author.
        verdict: `given` or `refused`.
        reason: why, in words.

    Raises:
        NotFound: there is no such request.
        Conflict: it is settled already, or the person may not.
    """
    covered = store.approvals_with(tx, check_id(approval_id, "apr"))
    if not covered:
        raise NotFound(f"There is no approval {approval_id}; `keepwell model approvals` lists those that wait.")
    rules.check_approver(call.actor, authors if verdict == "given" else {})
    request = {"do": "releases.settle_approval", "approval": approval_id, "verdict": verdict}

    def effect() -> int:
        open_ones = [a for a in covered if a.state == "asked"]
        if not open_ones:
            raise Conflict(f"The approval {approval_id} is {covered[0].state} already.", code="settled")
        decided = [replace(a, state=verdict, settled_at=call.now, settled_by=call.actor) for a in open_ones]
        seq = _tell(tx, call, f"model.approval_{verdict}", approval_id, decided, reason)
        store.settle_approvals(tx, decided, seq)
        failpoints.reach("releases.approval_settled")
        return seq

    once(tx, call, request, effect, int)
    return store.approvals_with(tx, approval_id)


def withdraw_approval(tx: Transaction, call: Call, version_ids: Sequence[str], environment: str, reason: str) -> int:
    """Take back what the actor asked for or decided on versions in an environment; return how many approvals."""
    request = {"do": "releases.withdraw_approval", "versions": sorted(version_ids), "environment": environment}

    def effect() -> int:
        mine = [
            replace(a, state="withdrawn", settled_at=call.now, settled_by=call.actor)
            for a in store.approvals_of(tx, version_ids)
            if a.environment == environment
            and a.state != "withdrawn"
            and call.actor == (a.asked_by if a.state == "asked" else a.settled_by)
        ]
        if mine:
            seq = _tell(tx, call, "model.approval_withdrawn", mine[0].id, mine, reason)
            store.settle_approvals(tx, mine, seq)
            failpoints.reach("releases.approval_withdrawn")
        return len(mine)

    return once(tx, call, request, effect, int)


def approvals(tx: Transaction, version_ids: Sequence[str]) -> dict[str, list[Approval]]:
    """Return the approvals of each version, the last changed last."""
    found: dict[str, list[Approval]] = {version: [] for version in version_ids}
    for approval in store.approvals_of(tx, version_ids):
        found[approval.version_id].append(approval)
    return found


def standing(
    tx: Transaction, environment: str, roles: Sequence[str], artifacts: Mapping[str, str], charter: str
) -> dict[str, Standing]:
    """Return where the approvals of each version for an environment stand; see `rules.approvals_standing`."""
    found = approvals(tx, list(artifacts)) if roles else {}
    return {
        version: rules.approvals_standing(found.get(version, ()), environment, roles, artifact, charter)
        for version, artifact in artifacts.items()
    }


def waiting_approvals(tx: Transaction, model: str | None = None, *, limit: int = 100) -> list[Waiting]:
    """Return what was asked for and is not settled, oldest first."""
    return store.waiting(tx, model, check_limit(limit))


def _tell(
    tx: Transaction, call: Call, kind: str, approval_id: str, changed: Sequence[Approval], reason: str = ""
) -> int:
    data = msgspec.json.encode([[a.version_id, a.role, a.artifact] for a in changed])
    check_text(reason)
    body = {
        "approval": approval_id,
        "environment": changed[0].environment,
        "roles": sorted({a.role for a in changed}),
        "count": len(changed),
        "versions": digest_bytes(data),
        "charter": changed[0].charter,
    }
    return append(tx, call, Event(kind, f"model:{changed[0].model}", body, note=reason or None))[0].seq


def _binds(approval: Approval, artifacts: Mapping[str, str], charter: str) -> bool:
    return approval.charter == charter and approval.artifact == artifacts[approval.version_id]
