"""Registered models, from the house in this process or from a server."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import IO, Any, Protocol
from urllib.parse import quote

import msgspec

from keepwell.client.transports.home import Home
from keepwell.client.transports.web import Web
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.manifests import File
from keepwell.models.registry_model import RegisteredVersion
from keepwell.models.sources import VersionSource


class Shelf(Protocol):
    """Registers and hands out versions of models."""

    def register(
        self, name: str, source: str, run_id: str | None, description: str | None, tags: Mapping[str, str],
        aliases: Sequence[str],
    ) -> RegisteredVersion:  # fmt: skip
        """Register what a source names as the next version; the model is made when it is not there."""

    def find(self, wanted: VersionSource) -> RegisteredVersion:
        """Return the version that a source names."""

    def files(self, version: RegisteredVersion) -> list[str]:
        """Return the paths of a version's files."""

    def fetch(self, version: RegisteredVersion, path: str, into: IO[bytes]) -> None:
        """Write the bytes of a version's file into a file."""

    def source_files(self, source: str) -> list[str]:
        """Return the paths of the files of a run's folder or of a logged model."""

    def fetch_source(self, source: str, path: str, into: IO[bytes]) -> None:
        """Write the bytes of such a file into a file."""


class _Versions(msgspec.Struct, frozen=True):
    items: list[RegisteredVersion]


class WebShelf:
    """A server's registry."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def register(
        self, name: str, source: str, run_id: str | None, description: str | None, tags: Mapping[str, str],
        aliases: Sequence[str],
    ) -> RegisteredVersion:  # fmt: skip
        """Register what a source names as the next version; the model is made when it is not there."""
        body = {
            "source": source,
            "run_id": run_id,
            "description": description,
            "tags": dict(tags),
            "aliases": list(aliases),
        }
        at = f"{_model(name)}/versions"
        try:
            return self._web.ask("POST", at, kind=RegisteredVersion, body=body)
        except NotFound as error:
            if error.code != "no_model":
                raise
        try:
            self._web.raw("POST", "/api/registry/models", body={"name": name})
        except Conflict as error:
            if error.code != "already_exists":
                raise
        return self._web.ask("POST", at, kind=RegisteredVersion, body=body)

    def find(self, wanted: VersionSource) -> RegisteredVersion:
        """Return the version that a source names."""
        if wanted.number is not None:
            return self._web.ask("GET", f"{_model(wanted.name)}/versions/{wanted.number}", kind=RegisteredVersion)
        if wanted.stage is None:
            alias = quote(wanted.alias or "latest", safe="")
            return self._web.ask("GET", f"{_model(wanted.name)}/aliases/{alias}", kind=RegisteredVersion)
        text = wanted.name.replace("'", "")
        query = {"filter": f"name = '{text}'", "limit": 500}
        found = self._web.ask("GET", "/api/registry/versions", kind=_Versions, query=query).items
        staged = [v for v in found if v.stage.casefold() == wanted.stage.casefold()]
        if not staged:
            raise NotFound(f"{wanted.name} has no version in the stage {wanted.stage!r}.", where="stage")
        return max(staged, key=lambda v: v.number)

    def files(self, version: RegisteredVersion) -> list[str]:
        """Return the paths of a version's files."""
        return [file.path for file in self._web.ask("GET", f"{_version(version)}/files", kind=list[File])]

    def fetch(self, version: RegisteredVersion, path: str, into: IO[bytes]) -> None:
        """Write the bytes of a version's file into a file."""
        self._web.download(f"{_version(version)}/files/{_below(path)}", into)

    def source_files(self, source: str) -> list[str]:
        """Return the paths of the files of a run's folder or of a logged model."""
        found = self._web.ask("GET", "/api/sources/files", kind=list[File], query={"source": source})
        return [file.path for file in found]

    def fetch_source(self, source: str, path: str, into: IO[bytes]) -> None:
        """Write the bytes of such a file into a file."""
        self._web.download(f"/api/sources/files/{_below(path)}?source={quote(source, safe='')}", into)


class HomeShelf:
    """The registry of the house in this process."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def register(
        self, name: str, source: str, run_id: str | None, description: str | None, tags: Mapping[str, str],
        aliases: Sequence[str],
    ) -> RegisteredVersion:  # fmt: skip
        """Register what a source names as the next version; the model is made when it is not there."""
        from keepwell.flows.registering import register_from
        from keepwell.models import registry

        kit = self._home.kit
        call = kit.call(self._home.actor)
        with kit.write() as tx:
            try:
                registry.model_name(tx, name)
            except NotFound:
                registry.create_model(tx, call, name)
            return register_from(
                tx, kit, call, name, source, run_id, description=description, tags=tags, aliases=aliases
            )

    def find(self, wanted: VersionSource) -> RegisteredVersion:
        """Return the version that a source names."""
        from keepwell.flows.registering import named_version

        with self._home.kit.read() as tx:
            return named_version(tx, wanted)

    def files(self, version: RegisteredVersion) -> list[str]:
        """Return the paths of a version's files."""
        from keepwell.flows.registering import files_of

        return [file.path for file in files_of(self._home.kit, version)]

    def fetch(self, version: RegisteredVersion, path: str, into: IO[bytes]) -> None:
        """Write the bytes of a version's file into a file."""
        from keepwell.flows.registering import files_of

        self._copy(files_of(self._home.kit, version), path, into)

    def source_files(self, source: str) -> list[str]:
        """Return the paths of the files of a run's folder or of a logged model."""
        return [file.path for file in self._of_source(source)]

    def fetch_source(self, source: str, path: str, into: IO[bytes]) -> None:
        """Write the bytes of such a file into a file."""
        self._copy(self._of_source(source), path, into)

    def _of_source(self, source: str) -> list[File]:
        from keepwell.flows.registering import source_files

        with self._home.kit.read() as tx:
            return source_files(tx, self._home.kit, source)

    def _copy(self, files: Sequence[File], path: str, into: IO[bytes]) -> None:
        digest = next((file.digest for file in files if file.path == path), None)
        if digest is None:
            raise NotFound(f"There is no file {path!r}.", where="path")
        with self._home.kit.blobs.path(digest).open("rb") as file:
            shutil.copyfileobj(file, into, 1 << 20)


def shelf_of(transport: Any) -> Shelf:
    """Return the registry behind a transport."""
    return WebShelf(transport) if isinstance(transport, Web) else HomeShelf(transport)


def _below(path: str) -> str:
    return "/".join(quote(segment, safe="") for segment in path.split("/"))


def _model(name: str) -> str:
    return f"/api/registry/models/{quote(name, safe='')}"


def _version(version: RegisteredVersion) -> str:
    return f"{_model(version.model)}/versions/{version.number}"
