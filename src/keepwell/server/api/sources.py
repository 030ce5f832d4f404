"""Files of what has no registered name yet: a folder of a run, or a logged model, named as registering names it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.manifests import File
from keepwell.flows.registering import source_files
from keepwell.models.sources import VersionSource, parse_source
from keepwell.server.routing import Ask, Download, Query, Route


class SourceQuery(Query, frozen=True, kw_only=True):
    """What is meant: `runs:/RUN/PATH`, `runs:/RUN/NAME` of a logged model, or `models:/m-ID`."""

    source: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


def files(ask: Ask[SourceQuery, None]) -> list[File]:
    """List the files of a folder of a run, or of a logged model."""
    return _files(ask)


def file(ask: Ask[SourceQuery, None]) -> Download:
    """Return a file of a folder of a run, or of a logged model."""
    path = ask.path["path"]
    digest = next((one.digest for one in _files(ask) if one.path == path), None)
    if digest is None:
        raise NotFound(f"{ask.query.source!r} has no file {path!r}.", where="path")
    return Download(ask.kit.blobs.path(digest), digest, path.rpartition("/")[2])


def _files(ask: Ask[SourceQuery, None]) -> list[File]:
    if isinstance(parse_source(ask.query.source), VersionSource):
        raise InvalidInput("The files of a version are below /api/registry/models.", where="source")
    with ask.read() as tx:
        return source_files(tx, ask.kit, ask.query.source)


ROUTES = (
    Route("GET", "/api/sources/files", "runs.read", files,
          "List the files of a folder of a run, or of a logged model.", query=SourceQuery, answer=list[File]),
    Route("GET", "/api/sources/files/{path...}", "runs.read", file,
          "Return a file of a folder of a run, or of a logged model.", query=SourceQuery, answer=Download),
)  # fmt: skip
