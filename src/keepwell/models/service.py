"""Use cases of the registry: register versions, promote them, roll back, hold, discard; and read what is there.

A fleet is one object: every call takes any number of members, writes them with bulk statements in the caller's
transaction, and appends one event whose body holds the digest of the canonical list of what it touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import digest_json
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.core.events import Event
from keepwell.core.names import check_name
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.models import queries, rules, store
from keepwell.models.championship import previous_versions, promote, roll_back
from keepwell.models.listing import INLINE, keep, label
from keepwell.models.model import Batch, Member, ModelVersion
from keepwell.models.packs import artifact, artifacts, pack
from keepwell.models.reading import (
    batch,
    champion_history,
    champions,
    fleet,
    fleet_columns,
    latest_versions,
    model,
    models,
    state_counts,
    version,
    versions,
    versions_by_id,
    versions_of_batch,
)

__all__ = [
    "artifact",
    "artifacts",
    "batch",
    "champion_history",
    "champions",
    "fleet",
    "fleet_columns",
    "latest_versions",
    "model",
    "models",
    "pack",
    "previous_versions",
    "promote",
    "register",
    "roll_back",
    "set_state",
    "state_counts",
    "version",
    "versions",
    "versions_by_id",
    "versions_of_batch",
]

_STATED = {
    "held": "model.versions_held",
    "registered": "model.versions_reopened",
    "discarded": "model.versions_discarded",
}


def register(
    tx: Transaction,
    call: Call,
    model: str,
    members: Sequence[Member],
    *,
    pack: str,
    run_id: str | None,
    dataset_version: str | None,
    code: str | None,
    environment: str | None,
    trained_at: datetime,
    trained_until: str,
    blobs: Blobs | None = None,
) -> list[ModelVersion]:
    """Register a new version of each member, with its lineage; the numbers of a segment have no gap.

    Args:
        tx: a write transaction.
        call: who, when; `call.actor` is the author.
        model: name of the model or fleet; the first registration makes it.
        members: what to register, from `pack`.
        pack: digest of the blob that holds their bytes.
        run_id: the run that trained them.
        dataset_version: what they learned from.
        code: commit, or digest of the code.
        environment: digest of the environment they were trained in.
        trained_at: when the training ended.
        trained_until: last time value they have seen.
        blobs: where the canonical list of the batch is kept; without it the list can be rebuilt from the table.

    Returns:
        The versions, by segment.

    Raises:
        InvalidInput: a name, segment or number cannot be used.
        Conflict: the name differs only in case from one that is there.
    """
    ordered = rules.check_members(members)
    request = {
        "do": "models.register",
        "model": check_name(model, "model"),
        "pack": pack,
        "members": digest_json([[m.segment, m.artifact, m.offset, m.length] for m in ordered]),
        "lineage": [run_id, dataset_version, code, environment, trained_until],
    }
    made = Batch(
        id=call.ids.new("bat"),
        model=model,
        count=len(ordered),
        run_id=run_id,
        dataset_version=dataset_version,
        code=code,
        environment=environment,
        pack=pack,
        members="",
        trained_at=trained_at,
        trained_until=trained_until,
        created_at=call.now,
        created_by=call.actor,
    )
    batch_id = once(tx, call, request, lambda: _register(tx, call, made, ordered, blobs), str)
    return queries.of_batch(tx, batch_id)


def set_state(
    tx: Transaction, call: Call, version_ids: Sequence[str], state: str, reason: str | Mapping[str, str]
) -> list[ModelVersion]:
    """Hold, reopen or discard versions; those that are in that state already only get the new reason.

    Args:
        tx: a write transaction.
        call: who, when.
        version_ids: which.
        state: `held`, `registered` or `discarded`; champions are made and ended by `promote` and `roll_back`.
        reason: why, in words: one for all, or one by version.

    Raises:
        NotFound: a version is not there.
        InvalidInput: the state is one that only promotions give.
        Conflict: a version cannot become that.
    """
    if rules.check_state(state) in ("promoted", "retired"):
        raise InvalidInput(f"A version becomes {state} by a promotion or a roll-back only.", where="state")
    chosen = versions_by_id(tx, version_ids)
    request = {"do": "models.set_state", "versions": sorted(version_ids), "state": state}
    once(tx, call, request, lambda: _set_state(tx, call, chosen, state, reason), int)
    return versions_by_id(tx, version_ids)


def _register(tx: Transaction, call: Call, made: Batch, ordered: list[Member], blobs: Blobs | None) -> str:
    there = queries.model_name(tx, made.model)
    if there is None:
        store.add_model(tx, made.model, iso(call.now))
    elif there != made.model:
        raise Conflict(f"There is a model called {there!r}; names that differ in case only are one, use that.")
    known = queries.numbers(tx, made.model, [member.segment for member in ordered])
    new_ids = sorted(call.ids.new("ver") for _ in ordered)
    new = [(v, m, known.get(m.segment, 0) + 1) for v, m in zip(new_ids, ordered, strict=True)]
    listed: list[list[object]] = [[v, m.segment, number, m.artifact, m.offset, m.length] for v, m, number in new]
    digest = keep(listed, blobs)
    made = replace(made, members=digest)
    failpoints.reach("models.listed")
    body = {
        "batch": made.id,
        "count": made.count,
        "members": digest,
        "pack": made.pack,
        "run": made.run_id,
        "dataset_version": made.dataset_version,
        "code": made.code,
        "environment": made.environment,
        "trained_at": iso(made.trained_at),
        "trained_until": made.trained_until,
    }
    if len(listed) <= INLINE:
        body["versions"] = [row[:4] for row in listed]
    entry = append(tx, call, Event("model.batch_registered", f"model:{made.model}", body))[0]
    store.add_batch(tx, made, entry.seq)
    failpoints.reach("models.batch_stored")
    store.add_versions(tx, made, new, known)
    failpoints.reach("models.versions_stored")
    return made.id


def _set_state(
    tx: Transaction, call: Call, chosen: Sequence[ModelVersion], state: str, reason: str | Mapping[str, str]
) -> int:
    for one in chosen:
        rules.check_transition(label(one), one.state, state)
    why = {v.id: reason if isinstance(reason, str) else reason.get(v.id, "") for v in chosen}
    changed = [v for v in chosen if (v.state, v.reason) != (state, why[v.id] or None)]
    by_model: dict[str, list[ModelVersion]] = {}
    for one in changed:
        by_model.setdefault(one.model, []).append(one)
    kind = _STATED[state]
    for name, stated in by_model.items():
        listed: list[list[object]] = [[v.segment, v.number, v.id] for v in sorted(stated, key=lambda v: v.segment)]
        body: dict[str, object] = {"count": len(listed), "members": digest_json(listed)}
        if len(listed) <= INLINE:
            body["versions"] = listed
        append(tx, call, Event(kind, f"model:{name}", body, note=reason if isinstance(reason, str) else None))
    store.set_states(tx, [(state, v.id, why[v.id] or None) for v in changed])
    failpoints.reach("models.states_set")
    return len(changed)
