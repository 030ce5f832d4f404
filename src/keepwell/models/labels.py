"""What persons write on models and versions: tags, aliases, stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.models import registry_queries, registry_rules, registry_store
from keepwell.models.registered import alias_event, detail, model_name, registered_version
from keepwell.models.registry_model import RegisteredVersion, Stage


def set_model_tags(tx: Transaction, call: Call, model: str, tags: Mapping[str, str]) -> None:
    """Write tags of a model, over those of the same name.

    Raises:
        NotFound: no model is called that.
        InvalidInput: a tag cannot be used.
    """
    labels = dict(registry_rules.check_tags(tags))

    def effect() -> int:
        name = model_name(tx, model)
        append(tx, call, Event("model.tags_set", f"model:{name}", {"tags": sorted(labels)}, note=_note(labels)))
        registry_store.set_model_tags(tx, name, labels)
        failpoints.reach("models.tags_set")
        return len(labels)

    once(tx, call, {"do": "models.set_tags", "model": model, "tags": labels}, effect, int)


def delete_model_tag(tx: Transaction, call: Call, model: str, tag: str) -> bool:
    """Remove a tag of a model; return whether it was there.

    Raises:
        NotFound: no model is called that.
        InvalidInput: no tag can be called that.
    """
    registry_rules.check_tag_name(tag)

    def effect() -> bool:
        name = model_name(tx, model)
        if registry_store.drop_model_tags(tx, name, tag) == 0:
            return False
        append(tx, call, Event("model.tag_deleted", f"model:{name}", {"tag": tag}))
        failpoints.reach("models.tag_deleted")
        return True

    return once(tx, call, {"do": "models.delete_tag", "model": model, "tag": tag}, effect, bool)


def set_version_tags(tx: Transaction, call: Call, model: str, number: int, tags: Mapping[str, str]) -> None:
    """Write tags of a version, over those of the same name.

    Raises:
        NotFound: there is no such version.
        InvalidInput: a tag cannot be used.
    """
    labels = dict(registry_rules.check_tags(tags))

    def effect() -> int:
        found = registered_version(tx, model, number)
        body = {"version": found.id, "number": found.number, "tags": sorted(labels)}
        append(tx, call, Event("model.version_tags_set", f"model:{found.model}", body, note=_note(labels)))
        registry_store.set_version_tags(tx, found.id, labels)
        failpoints.reach("models.version_tags_set")
        return len(labels)

    once(tx, call, {"do": "models.set_version_tags", "model": model, "number": number, "tags": labels}, effect, int)


def delete_version_tag(tx: Transaction, call: Call, model: str, number: int, tag: str) -> bool:
    """Remove a tag of a version; return whether it was there.

    Raises:
        NotFound: there is no such version.
        InvalidInput: no tag can be called that.
    """
    registry_rules.check_tag_name(tag)

    def effect() -> bool:
        found = registered_version(tx, model, number)
        if registry_store.drop_version_tag(tx, found.id, tag) == 0:
            return False
        body = {"version": found.id, "number": found.number, "tag": tag}
        append(tx, call, Event("model.version_tag_deleted", f"model:{found.model}", body))
        failpoints.reach("models.version_tag_deleted")
        return True

    request = {"do": "models.delete_version_tag", "model": model, "number": number, "tag": tag}
    return once(tx, call, request, effect, bool)


def set_alias(tx: Transaction, call: Call, model: str, alias: str, number: int) -> None:
    """Let an alias name a version of a model from now on; what it named before it names no more.

    Raises:
        NotFound: there is no such version.
        InvalidInput: the alias cannot be used, or there are too many.
    """
    registry_rules.check_alias(alias)

    def effect() -> int:
        found = registered_version(tx, model, number)
        held = registry_queries.alias_now(tx, found.model, alias)
        if held is not None and held.version == found.id and held.alias == alias:
            return 0
        if held is None and len(registry_queries.aliases_of(tx, found.model)) >= registry_rules.MOST_ALIASES:
            raise InvalidInput(f"A model has at most {registry_rules.MOST_ALIASES:,} aliases; delete one.",
                               where="alias")  # fmt: skip
        event = alias_event(found.model, alias, found.id, found.number, held.number if held else None)
        seq = append(tx, call, event)[0].seq
        at = iso(call.now)
        if held is not None:
            registry_store.end_aliases(tx, [held.seq], at, call.actor, seq)
        failpoints.reach("models.alias_ended")
        registry_store.open_alias(tx, seq, found.model, alias, found.id, found.number, at, call.actor)
        failpoints.reach("models.alias_set")
        return seq

    once(tx, call, {"do": "models.set_alias", "model": model, "alias": alias, "number": number}, effect, int)


def delete_alias(tx: Transaction, call: Call, model: str, alias: str) -> bool:
    """Let an alias of a model name nothing any more; return whether it named something.

    Raises:
        NotFound: no model is called that.
        InvalidInput: nothing can be an alias of that form.
    """
    registry_rules.check_alias(alias)

    def effect() -> bool:
        name = model_name(tx, model)
        held = registry_queries.alias_now(tx, name, alias)
        if held is None:
            return False
        body = {"alias": held.alias, "version": held.version, "number": held.number}
        seq = append(tx, call, Event("model.alias_deleted", f"model:{name}", body))[0].seq
        registry_store.end_aliases(tx, [held.seq], iso(call.now), call.actor, seq)
        failpoints.reach("models.alias_deleted")
        return True

    return once(tx, call, {"do": "models.delete_alias", "model": model, "alias": alias}, effect, bool)


def by_alias(tx: Transaction, model: str, alias: str) -> RegisteredVersion:
    """Return the version that an alias of a model names; `latest` names the newest.

    Raises:
        NotFound: no model is called that (`code` is `no_model`), or nothing is named so (`no_alias`).
    """
    found = registry_queries.by_alias(tx, model, alias)
    if found is not None:
        return found
    name = model_name(tx, model)
    if alias.casefold() == "latest":
        newest = latest_registered(tx, name)
        if newest:
            return max(newest, key=lambda one: one.number)
        raise NotFound(f"Latest version not found for model {name}.", code="no_version")
    found = registry_queries.by_alias(tx, name, alias) if name != model else None
    if found is None:
        raise NotFound(f"Registered model alias {alias[:200]} not found.", code="no_alias")
    return found


def transition_stage(
    tx: Transaction, call: Call, model: str, number: int, stage: str, archive_existing: bool = False
) -> RegisteredVersion:
    """Set the stage of a version, and archive the others of that stage when asked to.

    Raises:
        NotFound: there is no such version.
        InvalidInput: it is no stage, or one whose holders cannot be archived.
    """
    wanted = registry_rules.check_stage(stage)
    registry_rules.check_archiving(wanted, archive_existing)

    def effect() -> str:
        found = registered_version(tx, model, number)
        others = registry_queries.in_stage(tx, found.model, wanted) if archive_existing else []
        moved: list[tuple[str, int, str]] = [(v, n, "Archived") for v, n in others if v != found.id]
        if found.stage != wanted:
            moved.insert(0, (found.id, found.number, wanted))
        at = iso(call.now)
        detail(tx, [found])
        if moved:
            body = {"version": found.id, "number": found.number, "stage": wanted, "before": found.stage,
                    "archived": [n for _, n, where in moved if where == "Archived" and n != found.number]}  # fmt: skip
            seq = append(tx, call, Event("model.stage_set", f"model:{found.model}", body))[0].seq
            registry_store.set_stages(tx, seq, found.model, moved, at, call.actor, fresh="None")
            failpoints.reach("models.stage_set")
            registry_store.touch(tx, found.model, at)
        return found.id

    request = {"do": "models.set_stage", "model": model, "number": number, "stage": wanted, "archive": archive_existing}
    version = once(tx, call, request, effect, str)
    there = registry_queries.by_id(tx, version)
    return there if there is not None else registered_version(tx, model, number)


def latest_registered(tx: Transaction, model: str, stages: Sequence[str] = ()) -> list[RegisteredVersion]:
    """Return the newest version of a model in each of those stages, or in each stage; newest first.

    Raises:
        NotFound: no model is called that.
        InvalidInput: one is no stage.
    """
    wanted: set[Stage] = {registry_rules.check_stage(stage) for stage in stages} or set(registry_rules.STAGES)
    name = model_name(tx, model)
    found = registry_queries.by_ids(tx, registry_queries.latest_ids(tx, [name])[name])
    return sorted((one for one in found if one.stage in wanted), key=lambda one: -one.number)


def _note(tags: Mapping[str, str]) -> str | None:
    return msgspec.json.encode(tags, order="sorted").decode() if tags else None
