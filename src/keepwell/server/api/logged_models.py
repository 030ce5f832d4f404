"""Models that runs logged, and their files: what the SDK reads and writes of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from keepwell.core.digests import check_digest
from keepwell.flows import record as recording
from keepwell.flows.registering import logged_by
from keepwell.server.api.tracking import FolderQuery
from keepwell.server.routing import Ask, Download, Query, Route, Upload
from keepwell.tracking import service
from keepwell.tracking.model import Artifact, LoggedModel


class NameQuery(Query, frozen=True, kw_only=True):
    """Which of them; without a name, all."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=250)] | None = None


def of_run(ask: Ask[NameQuery, None]) -> list[LoggedModel]:
    """List the models that a run logged, the newest first."""
    with ask.read() as tx:
        return logged_by(tx, service.run(tx, ask.path["run"]), ask.query.name)


def logged_model(ask: Ask[None, None]) -> LoggedModel:
    """Return a logged model."""
    with ask.read() as tx:
        return service.logged_model(tx, ask.path["model"])


def files(ask: Ask[FolderQuery, None]) -> list[Artifact]:
    """List a folder of a logged model's files, folders first."""
    with ask.read() as tx:
        return service.artifacts(tx, service.logged_model(tx, ask.path["model"]).id, ask.query.folder)


def file(ask: Ask[None, None]) -> Download:
    """Return the bytes of a logged model's file."""
    path = ask.path["path"]
    with ask.read() as tx:
        found = service.artifact(tx, service.logged_model(tx, ask.path["model"]).id, path)
    digest = check_digest(found.digest)
    return Download(ask.kit.blobs.path(digest), digest, path.rpartition("/")[2])


def check_file(ask: Ask[None, Any]) -> None:
    """Refuse a file for a logged model that is not there, or under a path that cannot be."""
    with ask.read() as tx:
        service.check_place(tx, service.logged_model(tx, ask.path["model"]).id, ask.path["path"])


def put_file(ask: Ask[None, Upload]) -> dict[str, object]:
    """Store a file of a logged model; the bytes that were under the path are replaced."""
    sent = ask.body
    recording.keep(ask.kit, ask.call(), ask.path["model"], ask.path["path"], sent.digest, sent.size)
    return {"path": ask.path["path"], "digest": sent.digest, "size": sent.size}


_MODEL = "/api/logged-models/{model}"
ROUTES = (
    Route("GET", "/api/runs/{run}/models", "runs.read", of_run, "List the models that a run logged.", query=NameQuery,
          answer=list[LoggedModel]),
    Route("GET", _MODEL, "runs.read", logged_model, "Return a logged model.", answer=LoggedModel),
    Route("GET", _MODEL + "/artifacts", "runs.read", files, "List a folder of a logged model's files.",
          query=FolderQuery, answer=list[Artifact]),
    Route("GET", _MODEL + "/artifacts/{path...}", "runs.read", file, "Return a file of a logged model, as bytes.",
          answer=Download),
    Route("PUT", _MODEL + "/artifacts/{path...}", "runs.write", put_file, "Store a file of a logged model.",
          upload=True, before=check_file, answer=dict[str, object], max_body=1 << 40),
)  # fmt: skip
