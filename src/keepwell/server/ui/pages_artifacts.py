"""Files of runs and of logged models: shown in a picture or a sandboxed frame of their page, or saved."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from keepwell.core.errors import InvalidInput, NotFound, TooLarge
from keepwell.server.routing import Ask, Download, Query, Route, Shown
from keepwell.server.ui import previews
from keepwell.tracking import service as tracking


class PathQuery(Query, frozen=True, kw_only=True):
    """Which artifact."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=600)]


def shown(ask: Ask[PathQuery, None]) -> Shown:
    """Return a picture, or a document for a sandboxed frame.

    Raises:
        InvalidInput: it is neither.
        TooLarge: it is too large for a page.
    """
    path = ask.query.path
    media = previews.media_of(path)
    if media is None:
        raise InvalidInput("Only pictures and documents are shown; save the others.", where="path")
    digest = _digest(ask)
    largest = previews.LARGEST["document" if previews.kind_of(path) == "document" else "picture"]
    if (ask.kit.blobs.size(digest) or 0) > largest:
        raise TooLarge("It is too large to be shown on a page; save it.", where="path")
    return Shown(ask.kit.blobs.get(digest), media, path.rpartition("/")[2])


def saved(ask: Ask[PathQuery, None]) -> Download:
    """Return what a run made, to be saved."""
    digest = _digest(ask)
    return Download(ask.kit.blobs.path(digest), digest, ask.query.path.rpartition("/")[2])


def _digest(ask: Ask[PathQuery, Any]) -> str:
    with ask.read() as tx:
        model = ask.path.get("model")
        owner = (
            tracking.run(tx, ask.path["run"]).id if model is None else tracking.logged_model(tx, model, deleted=True).id
        )
        found = tracking.artifact(tx, owner, ask.query.path)
    if found.digest is None:
        raise NotFound("That is a folder; its page lists what is in it.", where="path")
    return found.digest


ROUTES = (
    Route("GET", "/runs/{run}/shown", "runs.read", shown, "Show a picture or document that a run made.",
          query=PathQuery, answer=Shown),
    Route("GET", "/runs/{run}/saved", "runs.read", saved, "Save what a run made.", query=PathQuery, answer=Download),
    Route("GET", "/logged-models/{model}/shown", "runs.read", shown, "Show a picture or document of a logged model.",
          query=PathQuery, answer=Shown),
    Route("GET", "/logged-models/{model}/saved", "runs.read", saved, "Save a file of a logged model.", query=PathQuery,
          answer=Download),
)  # fmt: skip
