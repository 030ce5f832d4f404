"""Models and versions go, and come back as long as their bytes are there.

What a charter adds (who may delete) is asked in `flows.registry`.
"""

from __future__ import annotations

from collections.abc import Sequence

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.core.segments import ALL
from keepwell.core.texts import check_text
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.models import queries, registry_queries, registry_rules, registry_store
from keepwell.models.listing import told
from keepwell.models.model import Standing
from keepwell.models.registered import model_name, registered_version


def delete_model(tx: Transaction, call: Call, name: str) -> int:
    """Delete a model with its versions, tags and aliases; `keepwell gc` gives their bytes back later.

    The name may be used again: numbers go on behind those given, and nothing that was written on or decided about the
    deleted versions counts for the new ones.

    Returns:
        How many versions were deleted with it.

    Raises:
        NotFound: no model is called that.
        Conflict: one of its versions is a champion.
    """

    def effect() -> int:
        found = model_name(tx, name)
        registry_rules.check_free(found, ", ".join(registry_queries.standing(tx, found)))
        ids = registry_queries.ids_of(tx, found)
        at = iso(call.now)
        body = told([[one.segment, one.number, one.id] for one in queries.standings(tx, ids)], None)
        seq = append(tx, call, Event("model.deleted", f"model:{found}", body))[0].seq
        _unlabel(tx, call, found, ids, seq)
        registry_store.drop_model_tags(tx, found)
        registry_store.delete_versions(tx, found, ids, at)
        failpoints.reach("models.versions_deleted")
        registry_store.change_model(tx, found, at, description=None, deleted_at=at)
        failpoints.reach("models.deleted")
        return len(ids)

    return once(tx, call, {"do": "models.delete", "model": name}, effect, int)


def delete_version(tx: Transaction, call: Call, model: str, number: int) -> int:
    """Delete a version of a model without segments; return 1. As `delete_versions`."""

    def effect() -> int:
        return delete_versions(tx, call, [registered_version(tx, model, number).id], "")

    return once(tx, call, {"do": "models.delete_version", "model": model, "number": number}, effect, int)


def delete_versions(tx: Transaction, call: Call, version_ids: Sequence[str], reason: str) -> int:
    """Delete versions of one model or fleet: their aliases and stages end, their numbers are never given again.

    `keepwell gc` gives their bytes back later; until then `restore_version` brings a version back.

    Returns:
        How many were deleted.

    Raises:
        NotFound: a version is not there.
        InvalidInput: there are none, or they are of several models.
        Conflict: one is a champion.
    """
    wanted = sorted(set(version_ids))
    check_text(reason)

    def effect() -> int:
        chosen = _of_one_model(tx, wanted)
        name = chosen[0].model
        labels = f"{name} v{chosen[0].number}" if len(chosen) == 1 else f"{len(chosen)} versions of {name}"
        registry_rules.check_free(labels, ", ".join(registry_queries.standing(tx, name, wanted)))
        body = told(sorted([one.segment, one.number, one.id] for one in chosen), None)
        event = Event("model.versions_deleted", f"model:{name}", body, note=reason or None)
        seq = append(tx, call, event)[0].seq
        _unlabel(tx, call, name, wanted, seq)
        registry_store.delete_versions(tx, name, wanted, iso(call.now))
        failpoints.reach("models.versions_deleted")
        registry_store.touch(tx, name, iso(call.now))
        return len(chosen)

    return once(tx, call, {"do": "models.delete_versions", "versions": wanted}, effect, int)


def restore_version(tx: Transaction, call: Call, model: str, number: int, segment: str = ALL) -> str:
    """Bring a deleted version back, whose bytes were not given back yet; return its id.

    Raises:
        NotFound: no such version is deleted, or its bytes are given back.
    """

    def effect() -> str:
        name = model_name(tx, model)
        row = registry_queries.deleted_version(tx, name, segment, number)
        if row is None:
            raise NotFound(f"{name} has no deleted version {number}; `keepwell model versions` lists what is there.")
        if row.freed_at is not None:
            raise NotFound(f"The bytes of {name} v{number} were given back at {row.freed_at}; register it anew.")
        body = {"version": row.id, "segment": segment, "number": number}
        append(tx, call, Event("model.version_restored", f"model:{name}", body))
        registry_store.restore_versions(tx, name, [row.id])
        registry_store.touch(tx, name, iso(call.now))
        failpoints.reach("models.version_restored")
        return str(row.id)

    request = {"do": "models.restore_version", "model": model, "segment": segment, "number": number}
    return once(tx, call, request, effect, str)


def _unlabel(tx: Transaction, call: Call, model: str, ids: Sequence[str], seq: int) -> None:
    """End aliases and stages of versions that go."""
    at = iso(call.now)
    held = registry_queries.aliases_of(tx, model, ids)
    registry_store.end_aliases(tx, [row.seq for row in held], at, call.actor, seq)
    staged = [(version, 0, "None") for version, stage in registry_queries.stages_of(tx, ids).items() if stage != "None"]
    registry_store.set_stages(tx, seq, model, staged, at, call.actor, fresh="None")


def _of_one_model(tx: Transaction, ids: Sequence[str]) -> list[Standing]:
    if not ids:
        raise InvalidInput("Name at least one version.", where="versions")
    chosen = queries.standings(tx, ids)
    if len(chosen) < len(ids):
        missing = sorted(set(ids) - {one.id for one in chosen})[0]
        raise NotFound(f"There is no version {missing[:60]}; `keepwell model versions MODEL` lists those there are.")
    if len({one.model for one in chosen}) > 1:
        raise InvalidInput("Versions of several models are named; name those of one.", where="versions")
    return chosen
