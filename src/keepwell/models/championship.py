"""Who is champion: promotions and roll-backs, for any number of members in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.core.events import Event
from keepwell.core.texts import check_text
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.models import queries, rules, store
from keepwell.models.listing import label, told
from keepwell.models.model import Cause, Champion, ModelVersion
from keepwell.models.reading import versions_by_id


def promote(
    tx: Transaction,
    call: Call,
    model: str,
    environment: str,
    version_ids: Sequence[str],
    reason: str,
    decision: str | None = None,
    *,
    expected: Mapping[str, str | None] | None = None,
    basis: Mapping[str, object] | None = None,
    blobs: Blobs | None = None,
) -> list[Champion]:
    """Make versions the champions of their segments in an environment, all or none.

    A version that is the champion already stays so. Whether it may become one (gates, approvals) is asked in
    `flows.promote`.

    Args:
        tx: a write transaction.
        call: who, when.
        model: name of the model or fleet.
        environment: where.
        version_ids: at most one version a segment.
        reason: why, in words; kept as the note of the entry.
        decision: id of the decision of the loop that asks for it.
        expected: segment to the version that is thought to be champion now (None: nobody); compared before setting.
        basis: what it rests on (the charter's digest, approvals), for the entry of the ledger. JSON.
        blobs: where the canonical list is kept.

    Returns:
        The champions of those segments, by segment.

    Raises:
        NotFound: a version is not there.
        InvalidInput: a version is of another model, or two are of one segment.
        Conflict: a version is discarded, or the champion is not the expected one.
    """
    chosen = _chosen(tx, model, version_ids)
    request = {"do": "models.promote", "model": model, "environment": environment, "versions": sorted(version_ids)}

    def effect() -> int:
        return _crown(tx, call, model, environment, chosen, "promotion", reason, decision, expected, basis, blobs)

    seq = once(tx, call, request, effect, int)
    made = queries.since_entry(tx, seq) if seq else []
    if len(made) == len(chosen):
        return made
    changed = {champion.segment for champion in made}
    stayed = [v.segment for v in chosen if v.segment not in changed]
    return sorted([*made, *queries.holders(tx, model, environment, stayed)], key=_segment)


def roll_back(
    tx: Transaction,
    call: Call,
    model: str,
    environment: str,
    segments: Sequence[str],
    reason: str,
    decision: str | None = None,
    *,
    blobs: Blobs | None = None,
) -> list[Champion]:
    """Make the champion before the present one champion again, for each segment, all or none.

    Raises:
        Conflict: a segment has no earlier champion to return to; `previous_versions` tells before.
    """
    wanted = sorted(set(segments))
    request = {"do": "models.roll_back", "model": model, "environment": environment, "segments": wanted}

    def effect() -> int:
        before = previous_versions(tx, model, environment, wanted)
        if missing := [segment for segment in wanted if before[segment] is None]:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise Conflict(
                f"{model} {missing[0]}{more} has no earlier champion in {environment} to return to; promote a version.",
                code="no_predecessor",
            )
        chosen = _chosen(tx, model, [version for version in before.values() if version])
        return _crown(tx, call, model, environment, chosen, "rollback", reason, decision, None, None, blobs)

    seq = once(tx, call, request, effect, int)
    return queries.since_entry(tx, seq) if seq else []


def previous_versions(tx: Transaction, model: str, environment: str, segments: Sequence[str]) -> dict[str, str | None]:
    """Return for each segment the version that a roll-back would return to, or None."""
    of_segment: dict[str, list[Champion]] = {segment: [] for segment in segments}
    for champion in queries.past_holders(tx, model, environment, segments):
        of_segment[champion.segment].append(champion)
    gone = queries.discarded(tx, model, segments)
    return {segment: rules.previous_version(history, gone) for segment, history in of_segment.items()}


def ever_champions(tx: Transaction, model: str, environment: str) -> frozenset[str]:
    """Return every version that is or was champion of its segment in an environment."""
    return queries.ever_held(tx, model, environment)


def _chosen(tx: Transaction, model: str, version_ids: Sequence[str]) -> list[ModelVersion]:
    if not version_ids:
        raise InvalidInput("Name at least one version.")
    return rules.one_a_segment(model, versions_by_id(tx, version_ids))


def _crown(
    tx: Transaction,
    call: Call,
    model: str,
    environment: str,
    chosen: Sequence[ModelVersion],
    cause: Cause,
    reason: str,
    decision: str | None,
    expected: Mapping[str, str | None] | None,
    basis: Mapping[str, object] | None,
    blobs: Blobs | None,
) -> int:
    """Change the holders; return the number of the entry, or 0 when nothing changed."""
    holders = {c.segment: c for c in queries.holders(tx, model, environment, [v.segment for v in chosen])}
    _compare(model, environment, chosen, holders, expected or {})
    new = [v for v in chosen if v.segment not in holders or holders[v.segment].version_id != v.id]
    if not new:
        return 0
    for version in new:
        rules.check_transition(label(version), version.state, "promoted")
    replaced = [holders[v.segment] for v in new if v.segment in holders]
    before = {segment: holder.version_id for segment, holder in holders.items()}
    listed: list[list[object]] = [[v.segment, v.number, v.id, before.get(v.segment)] for v in new]
    body = {**(basis or {}), **told(listed, blobs), "environment": environment, "decision": decision}
    check_text(reason)
    kind = "model.promoted" if cause == "promotion" else "model.rolled_back"
    seq = append(tx, call, Event(kind, f"model:{model}", body, note=reason or None))[0].seq
    until = [(iso(max(call.now, c.since)), c.seq, c.segment) for c in replaced]
    store.close_champions(tx, until)
    failpoints.reach("models.champions_closed")
    store.open_champions(
        tx,
        [
            Champion(seq, model, environment, v.segment, v.id, v.number, call.now, None, cause, decision, call.actor)
            for v in new
        ],
    )
    failpoints.reach("models.champions_opened")
    _restate(tx, environment, new, replaced, cause)
    failpoints.reach("models.champions_stated")
    return seq


def _restate(
    tx: Transaction, environment: str, new: Sequence[ModelVersion], replaced: Sequence[Champion], cause: Cause
) -> None:
    """Set the states that follow: a version that answers in no environment any more is retired."""
    still = queries.holding(tx, [c.version_id for c in replaced])
    by = {v.segment: v.number for v in new}
    how = "replaced by" if cause == "promotion" else "rolled back to"
    rows: list[tuple[str, str, str | None]] = [
        ("retired", c.version_id, f"{how} v{by[c.segment]} in {environment}")
        for c in replaced
        if c.version_id not in still
    ]
    store.set_states(tx, [*rows, *(("promoted", v.id, f"champion in {environment}") for v in new)])


def _compare(
    model: str,
    environment: str,
    chosen: Sequence[ModelVersion],
    holders: Mapping[str, Champion],
    expected: Mapping[str, str | None],
) -> None:
    for version in chosen:
        holder = holders.get(version.segment)
        if version.segment in expected and (holder.version_id if holder else None) != expected[version.segment]:
            now = f"v{holder.number}" if holder else "nobody"
            raise Conflict(
                f"The champion of {model} {version.segment} in {environment} is {now} by now; look again and retry.",
                code="champion_changed",
            )


def _segment(value: ModelVersion | Champion) -> str:
    return value.segment
