"""What evidence and approvals are accepted, and what stands between a version and its promotion. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never, get_args

import numpy as np

from keepwell.charter.gates import Gate
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.releases.model import Approval, Evidence, EvidenceColumns, Verdict

PERSON = "person:"
Standing = Literal["refused", "void", "not_asked", "asked", "given"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)
"""Where an approval stands, the furthest from given first."""
_STANDS: Mapping[str, Standing] = {"asked": "asked", "given": "given", "refused": "refused"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a version may not be promoted.

    Attributes:
        version_id: the version.
        segment: its segment.
        clause: the clause of the charter that it breaks.
        reason: one sentence.
        code: `state`, `gates`, `approval`, `champion_changed` or `damaged`.
    """

    version_id: str
    segment: str
    clause: str
    reason: str
    code: str


def check_evidence(columns: EvidenceColumns, version_ids: frozenset[str] | None = None) -> None:
    """Refuse measurements that cannot be stored: NaN is written as None, an infinity not at all.

    Args:
        columns: the measurements; a value that is not known is NaN.
        version_ids: the versions they may be of; None asks nothing.

    Raises:
        InvalidInput: a value is infinite, a count of rows is negative, a name is empty, or one is measured twice.
    """
    if bad := np.flatnonzero(np.isinf(columns.value)).tolist():
        at = bad[0]
        raise InvalidInput(
            f"{columns.metric[at]} of {columns.version_id[at]} in {columns.slice[at]} is infinite; "
            "give None for a metric that is not known."
        )
    if bool((columns.n < 0).any()):
        raise InvalidInput("A measurement rests on 0 rows or more; a count of rows is negative.")
    keys = list(zip(columns.version_id, columns.slice, columns.subject, columns.metric, strict=True))
    if len(set(keys)) != len(keys):
        raise InvalidInput("A metric is measured twice for the same version, slice and subject; give it once.")
    for texts in (columns.slice, columns.subject, columns.metric):
        if wrong := [t for t in set(texts) if not t or len(t) > 500 or not t.isprintable()]:
            raise InvalidInput(
                f"{ascii(min(wrong))[:80]} cannot name a slice, a subject or a metric: use 1 to 500 printable "
                "characters; a value in the data can be renamed in data.derive."
            )
    if version_ids is not None and (foreign := set(columns.version_id) - version_ids):
        raise InvalidInput(f"There is evidence of {min(foreign)}, which is not among these versions.")


def check_values(rows: Iterable[Evidence]) -> None:
    """Refuse measurements whose value is NaN: unknown is None.

    Raises:
        InvalidInput: a value is not finite.
    """
    for row in rows:
        if row.value is not None and not np.isfinite(row.value):
            raise InvalidInput(
                f"{row.metric} of {row.version_id} in {row.slice} is {row.value}; "
                "give None for a metric that is not known."
            )


def check_approver(actor: str, authors: Mapping[str, str]) -> None:
    """Refuse an approval by who is no person, or by the author of a version.

    Args:
        actor: stable id of who approves.
        authors: version to the stable id of its author.

    Raises:
        Conflict: it is either.
    """
    if not actor.startswith(PERSON) or actor == PERSON:
        raise Conflict(f"{actor} is no person; an approval is a person's decision.", code="not_a_person")
    if own := next((version for version, author in authors.items() if author == actor), None):
        raise Conflict(f"{actor} made {own} and may not approve it; another person must.", code="own_version")


def gates_refusal(
    verdict: Verdict | None, gates: Sequence[Gate], rules: str, champion: str | None
) -> tuple[str, str, str] | None:
    """Return (clause, reason, code) of what the gates have against a promotion, or None.

    Args:
        verdict: the version's newest one.
        gates: those in force.
        rules: their digest.
        champion: the version that is champion now.
    """
    if verdict is None:
        return "gates", "It was not certified; judge its gates first.", "gates"
    if verdict.void is not None:
        return "gates", f"Its verdict does not count any more: {verdict.void}; judge its gates again.", "gates"
    if verdict.rules != rules:
        return "gates", "It was judged by other gates than those in force; judge it again.", "gates"
    if verdict.outcome != "passed":
        worst = next(g for g in verdict.gates if g.outcome == verdict.outcome)
        return worst.clause, f"{verdict.outcome}: {worst.reason}", "gates"
    against = any(gate.reference == "champion" for gate in gates)
    if against and champion not in (verdict.champion, verdict.version_id):
        return "gates", "The champion changed since it was judged; judge it again.", "champion_changed"
    return None


def approval_refusal(
    approvals: Sequence[Approval], environment: str, roles: Sequence[str], artifact: str, charter: str, author: str
) -> tuple[str, str, str] | None:
    """Return (clause, reason, code) of the approval that is missing for a promotion, or None.

    Args:
        approvals: the version's, oldest first.
        environment: where it would be promoted.
        roles: those that must approve there.
        artifact: digest of the version's bytes.
        charter: digest of the charter in force.
        author: stable id of who made the version.
    """
    clause = f"release.approvals.{environment}"
    for role in roles:
        now, last = _of_role(approvals, environment, role, artifact, charter)
        match now:
            case "not_asked":
                return clause, f"{environment} wants the approval of {role}; nobody was asked yet.", "approval"
            case "void":
                return clause, f"The approval by {role} is void: the charter or the bytes changed since.", "approval"
            case "asked":
                why = f"{environment} wants the approval of {role}; it was asked for and not given yet."
                return clause, why, "approval"
            case "refused":
                return clause, f"{role} refused it ({last.settled_by if last else None}).", "approval"
            case "given":
                by = (last.settled_by if last else None) or ""
                if by == author or not by.startswith(PERSON):
                    return clause, f"The approval by {role} is not another person's than the author's.", "approval"
            case _:
                assert_never(now)
    return None


def approvals_standing(
    approvals: Sequence[Approval], environment: str, roles: Sequence[str], artifact: str, charter: str
) -> Standing:
    """Return where the approvals of a version for an environment stand, over all roles: the one furthest from given.

    Args:
        approvals: the version's, oldest change first.
        environment: where it would be promoted.
        roles: those that must approve there; none: `given`.
        artifact: digest of the version's bytes.
        charter: digest of the charter in force.
    """
    found = [_of_role(approvals, environment, role, artifact, charter)[0] for role in roles]
    return next((one for one in STANDINGS if one in found), "given")


def _of_role(
    approvals: Sequence[Approval], environment: str, role: str, artifact: str, charter: str
) -> tuple[Standing, Approval | None]:
    about = [a for a in approvals if a.environment == environment and a.role == role and a.state != "withdrawn"]
    bound = [a for a in about if a.artifact == artifact and a.charter == charter]
    if not bound:
        return "void" if about else "not_asked", None
    return _STANDS[bound[-1].state], bound[-1]
