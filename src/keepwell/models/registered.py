"""Models and versions by name and number: make, describe, rename.

What a charter adds (who may set a stage, who may delete) is asked in `flows.registry`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import check_digest
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.core.names import check_name, name_key
from keepwell.core.segments import ALL
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.models import queries, registry_queries, registry_rules, registry_store, store
from keepwell.models.listing import told
from keepwell.models.model import Batch, Member
from keepwell.models.registry_model import RegisteredModel, RegisteredVersion


class Origin(msgspec.Struct, frozen=True):
    """Where the bytes of a new version come from, as `flows.registering` found out.

    Attributes:
        manifest: digest of the stored canonical list of its files.
        size: how many bytes that list has.
        files: how many files it lists; None when `manifest` is no list but the model's own bytes.
        source: as the caller wrote it.
        run_id: the run that made it.
        run_link: an address of that run somewhere else.
        logged_model: the logged model it is a version of.
        dataset_version: what it learned from.
        code: commit, or digest of the code.
        environment: digest of the environment it was made in.
    """

    manifest: str
    size: int
    files: int | None = None
    source: str | None = None
    run_id: str | None = None
    run_link: str | None = None
    logged_model: str | None = None
    dataset_version: str | None = None
    code: str | None = None
    environment: str | None = None


def registered_model(tx: Transaction, name: str) -> RegisteredModel:
    """Return a model with what is written on it.

    Raises:
        NotFound: no model is called that.
    """
    row = registry_queries.model_row(tx, name)
    if row is None:
        no_model(name)
    return registry_queries.whole_models(tx, [row])[0]


def registered_version(tx: Transaction, model: str, number: int) -> RegisteredVersion:
    """Return a model's version of that number.

    Raises:
        NotFound: there is no such model or version, or it is deleted.
    """
    found = registry_queries.by_number(tx, model, number)
    if found is None:
        found = registry_queries.by_number(tx, model_name(tx, model), number)  # asked in another case
    if found is None:
        no_version(model, number)
    return found


def version_by_id(tx: Transaction, version: str) -> RegisteredVersion:
    """Return a version of a model without segments by its id.

    Raises:
        NotFound: there is none, or it is deleted.
    """
    found = registry_queries.by_id(tx, version)
    if found is None:
        raise NotFound(f"There is no version {version[:60]}, or it was deleted.", code="no_version")
    return found


def model_name(tx: Transaction, name: str) -> str:
    """Return a model's name as it was registered.

    Raises:
        NotFound: no model is called that.
    """
    found = queries.model_name(tx, name) if isinstance(name, str) else None
    if found is None:
        no_model(name)
    return found


def create_model(
    tx: Transaction, call: Call, name: str, description: str | None = None, tags: Mapping[str, str] | None = None
) -> RegisteredModel:
    """Make a model without versions.

    Raises:
        InvalidInput: the name, the description or a tag cannot be used.
        Conflict: there is one of that name already (`code` is `already_exists`).
    """
    check_name(name, "model")
    description = registry_rules.check_description(description)
    labels = dict(registry_rules.check_tags(tags or {}))
    request = {"do": "models.create", "model": name, "description": description, "tags": labels}

    def effect() -> str:
        if (there := queries.model_name(tx, name)) is not None:
            raise Conflict(f"Registered Model (name={there}) already exists.", code="already_exists")
        at = iso(call.now)
        note = description or None
        append(tx, call, Event("model.created", f"model:{name}", {"tags": sorted(labels)}, note=note))
        registry_store.add_model(tx, name, at, description)
        registry_store.set_model_tags(tx, name, labels)
        failpoints.reach("models.created")
        return name

    return registered_model(tx, once(tx, call, request, effect, str))


def update_model(tx: Transaction, call: Call, name: str, description: str | None) -> RegisteredModel:
    """Write another description of a model.

    Raises:
        NotFound: no model is called that.
        InvalidInput: the description cannot be used.
    """
    description = registry_rules.check_description(description)
    request = {"do": "models.update", "model": name, "description": description}

    def effect() -> str:
        found = model_name(tx, name)
        append(tx, call, Event("model.described", f"model:{found}", note=description or None))
        registry_store.change_model(tx, found, iso(call.now), description=description)
        failpoints.reach("models.described")
        return found

    return registered_model(tx, once(tx, call, request, effect, str))


def rename_model(tx: Transaction, call: Call, name: str, new_name: str) -> RegisteredModel:
    """Give a model another name. What is made under the old name later goes on behind the numbers given there.

    Raises:
        NotFound: no model is called that.
        InvalidInput: the new name cannot be used.
        Conflict: the new name is taken, versions of another model once had it, or the model has or had champions,
            whose history is kept under its name.
    """
    check_name(new_name, "model")
    request = {"do": "models.rename", "model": name, "to": new_name}

    def effect() -> str:
        old = model_name(tx, name)
        same = name_key(old) == name_key(new_name)
        if not same and queries.model_name(tx, new_name) is not None:
            raise Conflict(f"Registered Model (name={new_name}) already exists.", code="already_exists")
        if not same and not registry_queries.is_free(tx, new_name, old):
            raise Conflict(f"Versions of another model were called {new_name!r}, now deleted; choose another name.")
        if registry_queries.ever_champion(tx, old):
            raise Conflict(f"{old} cannot be renamed: the history of its champions is kept under this name.")
        append(tx, call, Event("model.renamed", f"model:{old}", {"to": new_name}))
        if same:
            registry_store.spell(tx, old, new_name)
            registry_store.touch(tx, new_name, iso(call.now))
        else:
            registry_store.rename(tx, old, new_name, iso(call.now))
        failpoints.reach("models.renamed")
        return new_name

    return registered_model(tx, once(tx, call, request, effect, str))


def create_version(
    tx: Transaction,
    call: Call,
    model: str,
    origin: Origin,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    aliases: Sequence[str] = (),
) -> RegisteredVersion:
    """Register the next version of a model, and let aliases name it.

    Args:
        tx: a write transaction.
        call: who, when; `call.actor` is the author.
        model: name of the model, which is there.
        origin: its bytes, stored and verified, and where they come from.
        description: what a person wrote of it.
        tags: name to text.
        aliases: aliases that name it from now on.

    Raises:
        NotFound: no model is called that.
        InvalidInput: a text, tag or alias cannot be used.
    """
    check_digest(origin.manifest)
    if origin.size <= 0:
        raise InvalidInput("A version has bytes; this one has none.", where="source")
    description = registry_rules.check_description(description)
    origin = msgspec.structs.replace(
        origin,
        source=registry_rules.check_source(origin.source),
        run_link=registry_rules.check_source(origin.run_link, "run_link"),
    )
    labels = dict(registry_rules.check_tags(tags or {}))
    names = list(dict.fromkeys(registry_rules.check_alias(alias) for alias in aliases))
    request = {
        "do": "models.create_version",
        "model": model,
        "manifest": origin.manifest,
        "origin": msgspec.to_builtins(origin),
        "description": description,
        "tags": labels,
        "aliases": names,
    }
    new: list[RegisteredVersion] = []

    def effect() -> str:
        new.append(_create_version(tx, call, model_name(tx, model), origin, description, labels, names))
        return new[0].id

    version = once(tx, call, request, effect, str)
    return new[0] if new else version_by_id(tx, version)


def update_version(tx: Transaction, call: Call, model: str, number: int, description: str | None) -> RegisteredVersion:
    """Write another description of a version.

    Raises:
        NotFound: there is no such version.
        InvalidInput: the description cannot be used.
    """
    description = registry_rules.check_description(description)

    def effect() -> str:
        found = registered_version(tx, model, number)
        body = {"version": found.id, "number": found.number}
        append(tx, call, Event("model.version_described", f"model:{found.model}", body, note=description or None))
        detail(tx, [found])
        registry_store.change_details(tx, found.id, iso(call.now), description=description)
        failpoints.reach("models.version_described")
        return found.id

    request = {"do": "models.update_version", "model": model, "number": number, "description": description}
    return version_by_id(tx, once(tx, call, request, effect, str))


def detail(tx: Transaction, found: Sequence[RegisteredVersion]) -> None:
    """See to it that versions have details to write on; those that trainings registered begin without."""
    there = registry_queries.stages_of(tx, [one.id for one in found])
    lacking = [one for one in found if one.id not in there]
    registry_store.add_details(tx, [{"version": one.id, "updated_at": iso(one.created_at)} for one in lacking])


def no_model(name: object) -> NoReturn:
    """Say that no model is called that."""
    raise NotFound(f"Registered Model with name={str(name)[:200]} not found", code="no_model")


def no_version(model: str, number: int) -> NoReturn:
    """Say that a model has no version of that number."""
    raise NotFound(f"Model Version (name={model}, version={number}) not found", code="no_version")


def _create_version(
    tx: Transaction,
    call: Call,
    model: str,
    origin: Origin,
    description: str | None,
    tags: Mapping[str, str],
    names: Sequence[str],
) -> RegisteredVersion:
    at = iso(call.now)
    version, batch = call.ids.new("ver"), call.ids.new("bat")
    last = queries.last_number(tx, model, ALL)
    known, number = ({} if last is None else {ALL: last}), (last or 0) + 1
    member = Member(ALL, origin.manifest, 0, origin.size)
    members = told([[version, ALL, number, origin.manifest, 0, origin.size]], None, 4)
    made = Batch(
        id=batch, model=model, count=1, run_id=origin.run_id, dataset_version=origin.dataset_version, code=origin.code,
        environment=origin.environment, pack=origin.manifest, members=str(members["members"]), trained_at=call.now,
        trained_until="", created_at=call.now, created_by=call.actor,
    )  # fmt: skip
    body = {
        **members, "batch": batch, "pack": origin.manifest, "run": origin.run_id,
        "dataset_version": origin.dataset_version, "code": origin.code, "environment": origin.environment,
        "trained_at": at, "trained_until": "", "logged_model": origin.logged_model, "tags": sorted(tags),
    }  # fmt: skip
    before = {alias: registry_queries.alias_now(tx, model, alias) for alias in names}
    events = [Event("model.batch_registered", f"model:{model}", body, note=description or None)]
    events += [alias_event(model, alias, version, number, row.number if row else None) for alias, row in before.items()]
    entries = append(tx, call, *events)
    store.add_batch(tx, made, entries[0].seq)
    failpoints.reach("models.batch_stored")
    store.add_versions(tx, made, [(version, member, number)], known)
    failpoints.reach("models.versions_stored")
    row = {"version": version, "description": description, "source": origin.source, "run_link": origin.run_link,
           "logged_model": origin.logged_model, "files": origin.files, "updated_at": at}  # fmt: skip
    registry_store.add_details(tx, [row])
    registry_store.set_version_tags(tx, version, tags, new=True)
    for entry, (alias, held) in zip(entries[1:], before.items(), strict=True):
        if held is not None:
            registry_store.end_aliases(tx, [held.seq], at, call.actor, entry.seq)
        registry_store.open_alias(tx, entry.seq, model, alias, version, number, at, call.actor)
    registry_store.touch(tx, model, at)
    failpoints.reach("models.version_detailed")
    return RegisteredVersion(
        id=version, model=model, number=number, manifest=origin.manifest, size=origin.size, files=origin.files,
        source=origin.source, run_id=origin.run_id, run_link=origin.run_link, logged_model=origin.logged_model,
        dataset_version=origin.dataset_version, code=origin.code, environment=origin.environment, state="registered",
        stage="None", status="ready", status_message=None, description=description, created_at=call.now,
        created_by=call.actor, updated_at=call.now, tags=dict(sorted(tags.items())),
        aliases=sorted(names, key=registry_rules.alias_key),
    )  # fmt: skip


def alias_event(model: str, alias: str, version: str, number: int, before: int | None) -> Event:
    """Return the event that an alias names a version from now on."""
    body = {"alias": alias, "version": version, "number": number, "before": before}
    return Event("model.alias_set", f"model:{model}", body)
