"""Copy a version to another name, or to the registry of another installation, with its bytes and where it came from."""

from __future__ import annotations

from collections.abc import Sequence

from keepwell.core.digests import digest_json
from keepwell.core.errors import Damaged, NotFound
from keepwell.flows.kit import Kit
from keepwell.flows.registering import files_of
from keepwell.flows.registry import check_aliases
from keepwell.models import registry
from keepwell.models.registry import Origin
from keepwell.models.registry_model import RegisteredVersion


def copy_version(
    source: Kit, model: str, number: int, target: Kit, new_model: str, actor: str, *, aliases: Sequence[str] = ()
) -> RegisteredVersion:
    """Copy a version; where its model is not there, it is made. Copying the same again returns the same copy.

    Description, tags and the bytes go with it; evidence, approvals and champions do not: a copy proves itself where it
    goes. Within one house the copy keeps its run; elsewhere the run is told as a link, for reading.

    Args:
        source: the house that has the version.
        model: the model's name there.
        number: the version's number.
        target: the house to copy to; may be the same one.
        new_model: the model's name there.
        actor: who copies.
        aliases: aliases that name the copy from now on.

    Raises:
        NotFound: there is no such version, or a file of it is not stored.
        Damaged: a file is not what was registered.
        Conflict: a charter decides what an alias names, or the other model has segments.
    """
    with source.read() as tx:
        version = registry.registered_version(tx, model, number)
    _carry(source, version, target)
    same = source.home == target.home
    origin = Origin(
        manifest=version.manifest,
        size=version.size,
        files=version.files,
        source=f"models:/{version.model}/{version.number}",
        run_id=version.run_id if same else None,
        run_link=version.run_link or (None if same or version.run_id is None else f"run:{version.run_id}"),
        logged_model=version.logged_model if same else None,
        dataset_version=version.dataset_version if same else None,
        code=version.code,
        environment=version.environment if same else None,
    )
    key = f"copy:{digest_json([version.id, new_model, sorted(aliases)])}"
    with target.write() as tx:
        check_aliases(tx, new_model, aliases)
        target.blobs.keep(version.manifest, *(file.digest for file in files_of(target, version)))
        try:
            name = registry.model_name(tx, new_model)
        except NotFound:
            name = registry.create_model(tx, target.call(actor), new_model).name
        return registry.create_version(
            tx, target.call(actor, key), name, origin, description=version.description, tags=version.tags,
            aliases=aliases,
        )  # fmt: skip


def _carry(source: Kit, version: RegisteredVersion, target: Kit) -> None:
    """Store the bytes of a version in another house, verified on both sides."""
    if source.home == target.home:
        return
    for digest in (version.manifest, *(file.digest for file in files_of(source, version))):
        if not target.blobs.has(digest) and target.blobs.put_file(source.blobs.path(digest)) != digest:
            raise Damaged(f"The bytes {digest} changed while they were copied; copy again.")
