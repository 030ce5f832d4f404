"""Carries registered models: versions under the numbers they have, their labels, aliases and stages."""

from __future__ import annotations

import re

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import LATEST_MS, iso_ms
from keepwell.core.digests import digest_json
from keepwell.core.errors import Conflict, InvalidInput, KeepwellError, NotFound
from keepwell.core.manifests import File, write_manifest
from keepwell.core.names import name_key
from keepwell.core.secrets import hide_credentials
from keepwell.core.segments import ALL
from keepwell.db import Transaction
from keepwell.flows import registry as governed
from keepwell.flows.moving import names
from keepwell.flows.moving.context import ORIGIN, Carrying, Kept, store_files
from keepwell.flows.moving.source import Place, Registered, Version
from keepwell.models import queries, registry
from keepwell.models.registry import Origin
from keepwell.models.registry_model import RegisteredVersion
from keepwell.tracking import foreign
from keepwell.tracking import service as tracking
from keepwell.tracking.foreign import Known

KIND, VERSION = "registered", "version"
_PROMPT = "mlflow.prompt.is_prompt"
_IN_RUN = re.compile(r"(?:^runs:/|/)([0-9a-f]{32}|run_[0-9a-z]{26})(?:/artifacts)?(?:/(.*))?\Z")
_REFUSED = (InvalidInput, NotFound, Conflict)


def carry_registered(carrying: Carrying) -> None:
    """Carry the registered models."""
    for model in carrying.source.registered():
        if model.tags.get(_PROMPT, "").casefold() == "true":
            carrying.notes("prompt", model.name, "Keepwell has no prompts.")
            continue
        try:
            name = _model(carrying, model)
        except _REFUSED as error:
            carrying.notes("registered model", model.name, error.message)
            continue
        for version in model.versions:
            try:
                _version(carrying, model, name, version)
            except _REFUSED as error:
                carrying.notes("version", f"{model.name}/{version.number}", error.message)
            carrying.tell(f"versions of {name}")
        _aliases(carrying, model, name)


def _model(carrying: Carrying, model: Registered) -> str:
    """Make a model, or write what has changed of it; return its name here."""
    key = f"{carrying.source.address}#{model.name}"
    tags, refused = names.registry_tags(model.tags)
    for name in refused:
        carrying.notes("tag", f"{model.name}/{name}", "A tag of a model cannot be called so here.")
    stamp = digest_json([model.description, tags])
    with carrying.kit.write() as tx:
        call = carrying.call()
        known = foreign.known(tx, ORIGIN, KIND, [key]).get(key)
        name = known.ours if known is not None else _called(carrying, tx, model)
        if known is not None and _is_there(tx, name) is None:
            raise NotFound(f"It was carried before, and {name} is deleted here since.")
        if _is_there(tx, name) is None:
            if name != model.name:
                tags = {**tags, names.NAME_TAG: model.name}
            registry.create_model(tx, call, name, model.description, tags)
            carrying.counts.models += 1
        elif known is None or known.stamp != stamp:
            registry.set_model_tags(tx, call, name, tags)
            if model.description and registry.registered_model(tx, name).description != model.description:
                registry.update_model(tx, call, name, model.description)
        if known is None or known.stamp != stamp:
            foreign.remember(tx, call, ORIGIN, KIND, Known(key, name, stamp))
    failpoints.reach("moving.registered_written")
    carrying.notes.name("registered model", model.name, name)
    return name


def _is_there(tx: Transaction, name: str) -> str | None:
    try:
        return registry.model_name(tx, name)
    except NotFound:
        return None


def _called(carrying: Carrying, tx: Transaction, model: Registered) -> str:
    """Return what a model is called here: one of its name may be there already, and be the same or another one."""
    taken: set[str] = set()
    while (there := _is_there(tx, name := names.model_name(model.name, taken))) is not None:
        if _is_same(tx, model, there):
            return there
        taken.add(name_key(name))
        taken.add(name.casefold())
    return name


def _is_same(tx: Transaction, model: Registered, name: str) -> bool:
    """Tell whether a model here is the same: its versions are of the same runs, or neither has any."""
    runs = foreign.known(tx, ORIGIN, "run", (v.run for v in model.versions if v.run))
    if not model.versions and queries.numbers(tx, name, [ALL]).get(ALL, 0) == 0:
        return True
    alike = 0
    for version in model.versions:
        try:
            here = registry.registered_version(tx, name, version.number)
        except NotFound:
            continue
        wanted = runs.get(version.run or "")
        if wanted is None or here.run_id != wanted.ours:
            return False
        alike += 1
    return alike > 0


def _version(carrying: Carrying, model: Registered, name: str, version: Version) -> None:
    shown = f"{model.name}/{version.number}"
    key = f"{name}/{version.number}"
    tags, refused = names.registry_tags(version.tags)
    for one in refused:
        carrying.notes("tag", f"{shown}/{one}", "A tag of a version cannot be called so here.")
    stamp = digest_json([version.description, tags, version.stage, version.status])
    with carrying.kit.read() as tx:
        known = foreign.known(tx, ORIGIN, VERSION, [key]).get(key)
        there = _registered(tx, name, version.number)
    if known is not None and known.stamp == stamp:
        return
    if known is not None and there is None:
        carrying.notes("version", shown, f"It was carried before, and {key} is deleted here since.")
        return
    files = None if there is not None else _files(carrying, version, shown)
    with carrying.kit.write() as tx:
        call = carrying.call()
        if files is not None:
            _fill_up(carrying, tx, call, name, version.number)
            _register(carrying, tx, call, name, version, files, tags)
            carrying.counts.versions += 1
        else:
            registry.set_version_tags(tx, call, name, version.number, tags)
            if version.description:
                registry.update_version(tx, call, name, version.number, version.description)
        if version.stage != "None":
            _stage(carrying, tx, call, name, version, shown)
        foreign.remember(tx, call, ORIGIN, VERSION, Known(key, key, stamp))
    failpoints.reach("moving.version_written")
    if version.status != "READY":
        carrying.notes("status", shown, f"Its status there is {version.status}; here it is ready.")


def _registered(tx: Transaction, name: str, number: int) -> RegisteredVersion | None:
    try:
        return registry.registered_version(tx, name, number)
    except NotFound:
        return None


def _register(
    carrying: Carrying, tx: Transaction, call: Call, name: str, version: Version, files: list[Kept],
    tags: dict[str, str],
) -> None:  # fmt: skip
    carrying.kit.blobs.keep(*(digest for _, digest, _ in files))
    manifest = write_manifest(File(*one) for one in files)
    digest = carrying.kit.blobs.put(manifest)
    run = foreign.known(tx, ORIGIN, "run", [version.run]).get(version.run) if version.run else None
    told = {"mlflow.imported.user": names.label(version.user or "")}
    if version.created is not None and 0 <= version.created <= LATEST_MS:
        told["mlflow.imported.created_at"] = iso_ms(version.created)
    origin = Origin(
        manifest=digest, size=len(manifest), files=len(files), source=_one_line(version.source),
        run_id=run.ours if run else None, run_link=_one_line(version.run_link), logged_model=version.model,
    )  # fmt: skip
    made = registry.create_version(
        tx, call, name, origin, description=version.description,
        tags={**tags, **{label: text for label, text in told.items() if text}},
    )  # fmt: skip
    if made.number != version.number:
        raise Conflict(f"The number {version.number} is given already; it would become {made.number}.")


def _fill_up(carrying: Carrying, tx: Transaction, call: Call, name: str, number: int) -> None:
    """Give the numbers before this one to versions that are deleted at once, as they are deleted where they were.

    Raises:
        Conflict: the number is given already.
    """
    last = queries.numbers(tx, name, [ALL]).get(ALL, 0)
    if last >= number:
        raise Conflict(f"The number {number} is given here already, to a version that is deleted.")
    if last + 1 < number:
        digest = carrying.kit.blobs.put(write_manifest(()))
        made = [registry.create_version(tx, call, name, Origin(manifest=digest, size=2, files=0)).id
                for _ in range(last + 1, number)]  # fmt: skip
        registry.delete_versions(tx, call, made, "It is deleted where it came from.")


def _one_line(text: str | None) -> str | None:
    return None if not text else hide_credentials(names.label(text, 2000))


def _files(carrying: Carrying, version: Version, shown: str) -> list[Kept]:
    """Return the files of a version: those of its run or logged model, else those at its own address.

    Raises:
        NotFound: none of them is there.
    """
    with carrying.kit.read() as tx:
        files = _logged(tx, version) or _of_run(tx, version)
    if not files:
        files = store_files(carrying, Place("version", shown, version.uri), {})
    if not files:
        raise NotFound(f"None of its files is there ({names.label(version.uri, 200)}), so it cannot be registered.")
    return files


def _logged(tx: Transaction, version: Version) -> list[Kept]:
    if version.model is None:
        return []
    return [(one.path, one.digest, one.size or 0) for one in tracking.all_artifacts(tx, version.model) if one.digest]


def _of_run(tx: Transaction, version: Version) -> list[Kept]:
    found = _IN_RUN.search(version.uri) or _IN_RUN.search(version.source)
    if found is None:
        return []
    known = foreign.known(tx, ORIGIN, "run", [found[1], version.run or ""])
    run = known.get(found[1]) or known.get(version.run or "")  # a store that was moved in itself names older ids
    if run is None:
        return []
    folder = names.path_of(found[2].strip("/")) if found[2] and found[2].strip("/") else ""
    start = len(folder) + 1 if folder else 0
    files = [(one.path[start:], one.digest, one.size or 0)
             for one in tracking.all_artifacts(tx, run.ours, folder) if one.digest]  # fmt: skip
    if files or not folder:
        return files
    try:
        only = tracking.artifact(tx, run.ours, folder)
    except NotFound:
        return []
    return [(folder.rsplit("/", 1)[-1], only.digest or "", only.size or 0)]


def _stage(carrying: Carrying, tx: Transaction, call: Call, name: str, version: Version, shown: str) -> None:
    try:
        if registry.registered_version(tx, name, version.number).stage != version.stage:
            governed.transition_stage(tx, call, name, version.number, version.stage)
    except KeepwellError as error:
        carrying.notes("stage", shown, error.message)


def _aliases(carrying: Carrying, model: Registered, name: str) -> None:
    for there, number in model.aliases.items():
        shown = f"{model.name}@{there}"
        try:
            with carrying.kit.write() as tx:
                alias = names.alias_of(there)
                if registry.registered_model(tx, name).aliases.get(alias) != number:
                    governed.set_alias(tx, carrying.call(), name, alias, number)
            carrying.notes.name("alias", f"{name}@{there}", f"{name}@{alias}")
        except _REFUSED as error:
            carrying.notes("alias", shown, error.message)
    failpoints.reach("moving.aliases_written")
