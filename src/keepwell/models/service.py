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
from keepwell.core.texts import check_text
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.models import queries, registry_store, rules, store
from keepwell.models.championship import ever_champions, previous_versions, promote, roll_back
from keepwell.models.listing import told
from keepwell.models.model import Batch, Member, ModelVersion
from keepwell.models.packs import artifact, artifacts, pack, verify
from keepwell.models.reading import (
    batch,
    batches,
    champion,
    champion_history,
    champion_ids,
    champions,
    fleet,
    fleet_columns,
    fleet_standing,
    found_versions,
    ids_of_batch,
    latest_versions,
    model,
    models,
    named_version,
    packs,
    standings,
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
    "batches",
    "champion",
    "champion_history",
    "champion_ids",
    "champions",
    "ever_champions",
    "fleet",
    "fleet_columns",
    "fleet_standing",
    "found_versions",
    "ids_of_batch",
    "latest_versions",
    "model",
    "models",
    "named_version",
    "pack",
    "packs",
    "previous_versions",
    "promote",
    "register",
    "register_batch",
    "roll_back",
    "set_state",
    "standings",
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
    """Register a new version of each member, as `register_batch` does; return the versions, by segment."""
    batch_id = register_batch(
        tx,
        call,
        model,
        members,
        pack=pack,
        run_id=run_id,
        dataset_version=dataset_version,
        code=code,
        environment=environment,
        trained_at=trained_at,
        trained_until=trained_until,
        blobs=blobs,
    )
    return queries.of_batch(tx, batch_id)


def register_batch(
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
) -> str:
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
        blobs: where the pack is and the canonical list of the batch is kept: the members' bytes are verified. Without
            it nothing is verified, and the list can be rebuilt from the table.

    Returns:
        The id of the batch; `ids_of_batch` and `versions_of_batch` tell what is in it.

    Raises:
        InvalidInput: a name, segment or number cannot be used.
        NotFound: the pack is not stored.
        Damaged: a member's bytes are not what its digest says.
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
    return once(tx, call, request, lambda: _register(tx, call, made, ordered, blobs), str)


def set_state(
    tx: Transaction, call: Call, version_ids: Sequence[str], state: str, reason: str | Mapping[str, str]
) -> int:
    """Hold, reopen or discard versions; those that are in that state already only get the new reason.

    Args:
        tx: a write transaction.
        call: who, when.
        version_ids: which.
        state: `held`, `registered` or `discarded`; champions are made and ended by `promote` and `roll_back`.
        reason: why, in words: one for all, or one by version.

    Returns:
        How many changed.

    Raises:
        NotFound: a version is not there.
        InvalidInput: the state is one that only promotions give.
        Conflict: a version cannot become that.
    """
    if rules.check_state(state) in ("promoted", "retired"):
        raise InvalidInput(f"A version becomes {state} by a promotion or a roll-back only.", where="state")
    if isinstance(reason, str):
        check_text(reason)
    request = {"do": "models.set_state", "versions": sorted(version_ids), "state": state}
    return once(tx, call, request, lambda: _set_state(tx, call, version_ids, state, reason), int)


def _register(tx: Transaction, call: Call, made: Batch, ordered: list[Member], blobs: Blobs | None) -> str:
    if blobs is not None:
        verify(blobs, made.pack, ordered)
    there = queries.model_name(tx, made.model)
    if there is None:
        registry_store.add_model(tx, made.model, iso(call.now))
    elif there != made.model:
        raise Conflict(f"There is a model called {there!r}; names that differ in case only are one, use that.")
    known = queries.numbers(tx, made.model, [member.segment for member in ordered])
    new_ids = sorted(call.ids.new("ver") for _ in ordered)
    new = [(v, m, known.get(m.segment, 0) + 1) for v, m in zip(new_ids, ordered, strict=True)]
    listed: list[list[object]] = [[v, m.segment, number, m.artifact, m.offset, m.length] for v, m, number in new]
    members = told(listed, blobs, 4)
    made = replace(made, members=str(members["members"]))
    failpoints.reach("models.listed")
    body = {
        **members,
        "batch": made.id,
        "pack": made.pack,
        "run": made.run_id,
        "dataset_version": made.dataset_version,
        "code": made.code,
        "environment": made.environment,
        "trained_at": iso(made.trained_at),
        "trained_until": made.trained_until,
    }
    entry = append(tx, call, Event("model.batch_registered", f"model:{made.model}", body))[0]
    store.add_batch(tx, made, entry.seq)
    failpoints.reach("models.batch_stored")
    store.add_versions(tx, made, new, known)
    failpoints.reach("models.versions_stored")
    return made.id


def _set_state(
    tx: Transaction, call: Call, version_ids: Sequence[str], state: str, reason: str | Mapping[str, str]
) -> int:
    chosen = standings(tx, version_ids)
    for one in chosen:
        rules.check_transition(f"{one.model} {one.segment} v{one.number}", one.state, state)
    why = {one.id: reason if isinstance(reason, str) else reason.get(one.id, "") for one in chosen}
    changed = [one for one in chosen if (one.state, one.reason) != (state, why[one.id] or None)]
    by_model: dict[str, list[list[object]]] = {}
    for one in changed:
        by_model.setdefault(one.model, []).append([one.segment, one.number, one.id])
    for name, listed in by_model.items():
        body = told(sorted(listed), None)
        note = reason if isinstance(reason, str) else None
        append(tx, call, Event(_STATED[state], f"model:{name}", body, note=note or None))
    store.set_states(tx, [(state, one.id, why[one.id] or None) for one in changed])
    failpoints.reach("models.states_set")
    return len(changed)
