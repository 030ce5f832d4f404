"""Register what is stored here: from a run's artifacts, a logged model, or another version.

A source is a name of something in our own store; no path and no address is ever opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from keepwell.core.calls import Call
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.manifests import File, read_manifest, write_manifest
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.flows.registry import by_alias, check_aliases
from keepwell.ledger import once
from keepwell.models import registry
from keepwell.models.registry import Origin
from keepwell.models.registry_model import RegisteredVersion
from keepwell.models.sources import LoggedSource, RunSource, VersionSource, parse_source
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Artifact, LoggedModel, Run


def register_from(
    tx: Transaction,
    kit: Kit,
    call: Call,
    model: str,
    source: str,
    run_id: str | None = None,
    *,
    logged_model: str | None = None,
    run_link: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    aliases: Sequence[str] = (),
    empty: bool = False,
) -> RegisteredVersion:
    """Register the next version of a model from what a source names.

    Args:
        tx: a write transaction.
        kit: the opened house.
        call: who, when.
        model: name of the model, which is there.
        source: see `models.sources`.
        run_id: the run that made it; must be the source's, where that names one.
        logged_model: the logged model it is a version of; must be the source's, where that names one.
        run_link: an address of the run somewhere else, for reading.
        description: what a person wrote of it.
        tags: name to text.
        aliases: aliases that name it from now on.
        empty: register also what has no files.

    Raises:
        InvalidInput: the source names nothing of ours, or not what `run_id` or `logged_model` say, or has no files.
        NotFound: there is no such model, run, logged model or version.
        Conflict: the model has segments, or the run or logged model is deleted.
    """
    parse_source(source)
    request = {
        "do": "register_from", "model": model, "source": source, "run": run_id, "logged_model": logged_model,
        "link": run_link, "description": description, "tags": dict(tags or {}), "aliases": list(aliases),
    }  # fmt: skip

    def effect() -> str:
        name = registry.model_name(tx, model)
        check_aliases(tx, name, aliases)
        origin = origin_of(tx, kit, source, run_id, logged_model, run_link=run_link, empty=empty)
        made.append(
            registry.create_version(tx, call, name, origin, description=description, tags=tags, aliases=aliases)
        )
        return made[0].id

    made: list[RegisteredVersion] = []
    version = once(tx, call, request, effect, str)
    return made[0] if made else registry.version_by_id(tx, version)


def origin_of(
    tx: Transaction,
    kit: Kit,
    source: str,
    run_id: str | None = None,
    logged_model: str | None = None,
    *,
    run_link: str | None = None,
    empty: bool = False,
) -> Origin:
    """Return the bytes that a source names, stored as a manifest, and where they come from; as `register_from`.

    The bytes are kept from the garbage collector long enough to be registered.
    """
    found = parse_source(source)
    run: Run | None
    match found:
        case VersionSource():
            return _of_version(tx, kit, found, source, run_id, logged_model, run_link)
        case RunSource():
            _same("run_id", run_id, found.run, source)
            run = of = _run(tx, found.run)
            files, logged = _of_run(tx, kit, of, found.path)
            if logged is not None:
                _same("model_id", logged_model, logged.id, source)
            elif logged_model is not None:
                _made_by(tx, logged_model, found.run, source)
            named = logged.id if logged is not None else logged_model
        case LoggedSource():
            _same("model_id", logged_model, found.model, source)
            model = tracking.logged_model(tx, found.model)
            run_id = run_id or model.run
            run = _run(tx, run_id) if run_id is not None else None
            files = _files(kit, tracking.all_artifacts(tx, model.id, found.path), found.path)
            named = model.id
        case _:
            assert_never(found)
    if not files and not empty:
        raise InvalidInput(f"Nothing is stored as {source!r}: log the model's files first, then register it.",
                           where="source", code="no_files")  # fmt: skip
    return _stored(kit, files, source, run, run_link, named)


def source_files(tx: Transaction, kit: Kit, source: str) -> list[File]:
    """Return the files that a source names, by path: of a run, a logged model or a version; deleted runs too.

    Raises:
        InvalidInput: the source names nothing of ours.
        NotFound: there is no such run, logged model or version, or it has no such files.
    """
    found = parse_source(source)
    match found:
        case VersionSource():
            return files_of(kit, named_version(tx, found))
        case RunSource():
            files, _ = _of_run(tx, kit, tracking.run(tx, found.run), found.path)
        case LoggedSource():
            model = tracking.logged_model(tx, found.model)
            files = _files(kit, tracking.all_artifacts(tx, model.id, found.path), found.path)
        case _:
            assert_never(found)
    if not files:
        raise NotFound(f"Nothing is stored as {source!r}.", where="source")
    return files


def _of_run(tx: Transaction, kit: Kit, run: Run, path: str) -> tuple[list[File], LoggedModel | None]:
    """Return what a run has below a path: its own files, else those of the logged model of that name, and this one."""
    files = _files(kit, tracking.all_artifacts(tx, run.id, path), path)
    if not files and path:
        files = _file(kit, tx, run.id, path)
    logged = [] if files else logged_by(tx, run, path, most=1)
    return (_files(kit, tracking.all_artifacts(tx, logged[0].id), ""), logged[0]) if logged else (files, None)


def files_of(kit: Kit, version: RegisteredVersion) -> list[File]:
    """Return the files of a version, by path; one that is no folder is one file, called `model`.

    Raises:
        NotFound: its manifest is not stored.
        Damaged: its manifest is not what was registered.
    """
    if version.files is None:
        return [File("model", version.manifest, version.size)]
    return read_manifest(kit.blobs.get(version.manifest))


def _of_version(
    tx: Transaction,
    kit: Kit,
    found: VersionSource,
    source: str,
    run_id: str | None,
    logged_model: str | None,
    run_link: str | None,
) -> Origin:
    version = named_version(tx, found)
    _same("run_id", run_id, version.run_id, source)
    _same("model_id", logged_model, version.logged_model, source)
    kit.blobs.keep(version.manifest, *(file.digest for file in files_of(kit, version)))
    return Origin(
        manifest=version.manifest,
        size=version.size,
        files=version.files,
        source=source,
        run_id=version.run_id,
        run_link=run_link or version.run_link,
        logged_model=version.logged_model,
        dataset_version=version.dataset_version,
        code=version.code,
        environment=version.environment,
    )


def named_version(tx: Transaction, named: VersionSource) -> RegisteredVersion:
    """Return the version that a `models:/` name names.

    Raises:
        NotFound: there is none.
        InvalidInput: it names a stage that is none.
    """
    if named.number is not None:
        return registry.registered_version(tx, named.name, named.number)
    if named.alias is not None:
        return by_alias(tx, named.name, named.alias)
    stages = () if named.stage is None else (named.stage,)
    newest = registry.latest_registered(tx, named.name, stages)
    if not newest:
        where = f" in the stage {named.stage}" if named.stage else ""
        raise NotFound(f"{named.name} has no version{where}.", code="no_version")
    return newest[0]


def _run(tx: Transaction, run_id: str) -> Run:
    run = tracking.run(tx, run_id)
    if run.lifecycle != "active":
        raise Conflict(f"The run {run_id} is deleted; restore it first.", code="not_active")
    return run


def logged_by(tx: Transaction, run: Run, name: str | None = None, most: int = 1000) -> list[LoggedModel]:
    """Return the logged models that a run made, of that name where one is given, the newest first.

    Clients spell `runs:/RUN/NAME` for the first of them.
    """
    text = f"attributes.source_run_id = '{run.id}'"
    if name is not None:
        quoted = name.replace("'", "''")
        text += f" AND attributes.name = '{quoted}'"
    return tracking.search_logged_models(tx, [run.experiment], text, limit=most)


def _files(kit: Kit, artifacts: Sequence[Artifact], folder: str) -> list[File]:
    start = len(folder) + 1 if folder else 0
    return [
        File(one.path[start:], one.digest, _size(kit, one.digest, one.size))
        for one in artifacts
        if one.digest is not None
    ]


def _file(kit: Kit, tx: Transaction, owner: str, path: str) -> list[File]:
    """Return the one file that a path names itself."""
    try:
        one = tracking.artifact(tx, owner, path)
    except NotFound:
        return []
    return _files(kit, [one], path.rpartition("/")[0])


def _size(kit: Kit, digest: str, size: int | None) -> int:
    return size if size is not None else kit.blobs.size(digest) or 0


def _stored(
    kit: Kit, files: Sequence[File], source: str, run: Run | None, run_link: str | None, logged_model: str | None
) -> Origin:
    kit.blobs.keep(*(file.digest for file in files))
    data = write_manifest(files)
    return Origin(
        manifest=kit.blobs.put(data),
        size=len(data),
        files=len(files),
        source=source,
        run_id=run.id if run is not None else None,
        run_link=run_link,
        logged_model=logged_model,
        dataset_version=_dataset(run),
        code=run.code.commit if run is not None else None,
        environment=run.environment if run is not None else None,
    )


def _dataset(run: Run | None) -> str | None:
    """Return the version of a dataset of ours that a run read, when it read one."""
    read = [one.id for one in run.inputs if one.id is not None and one.id.startswith("dsv_")] if run else []
    return read[0] if len(read) == 1 else None


def _made_by(tx: Transaction, logged_model: str, run: str, source: str) -> None:
    """Refuse a logged model that a run did not make."""
    try:
        maker = tracking.logged_model(tx, logged_model).run
    except NotFound:
        maker = None
    _same("model_id", logged_model, logged_model if maker == run else None, source)


def _same(what: str, given: str | None, found: str | None, source: str) -> None:
    """Refuse a run or a logged model that is not the one that the source belongs to: lineage is never taken on trust.

    The sentence is that of MLflow's server.
    """
    if given is not None and given != found:
        raise InvalidInput(
            f"Invalid model version source: {source!r}. The {what} request parameter must identify the resource that "
            "contains the source.",
            where="source",
            code="invalid_source",
        )
