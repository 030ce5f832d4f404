"""Batch scorings and their rows."""

from __future__ import annotations

from typing import Annotated

import msgspec

from keepwell.core.clock import iso
from keepwell.core.ids import check_id
from keepwell.datasets.parts import decode
from keepwell.governance.charters import current_charter
from keepwell.server.api.datasets import Rows
from keepwell.server.routing import MAX_PAGE, Ask, Page, Paging, Query, Route
from keepwell.serving import service
from keepwell.serving.model import Scoring


class ScoringRowsQuery(Query, frozen=True, kw_only=True):
    """Which rows: of one segment, from a place on."""

    segment: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 100


def scorings(ask: Ask[Paging, None]) -> Page[Scoring]:
    """List a model's scorings, newest first."""
    with ask.read() as tx:
        model = current_charter(tx, ask.path["model"]).charter.model
        found = service.scorings(tx, model, limit=ask.limit + 1, before=ask.after(str))
    return ask.page(found, lambda one: iso(one.at))


def scoring(ask: Ask[None, None]) -> Scoring:
    """Return one scoring."""
    with ask.read() as tx:
        return service.scoring(tx, check_id(ask.path["scoring"], "scr"))


def rows(ask: Ask[ScoringRowsQuery, None]) -> Rows:
    """Return rows of a scoring: what was forecast, by which version, who answered."""
    with ask.read() as tx:
        found = service.scoring(tx, check_id(ask.path["scoring"], "scr"))
    frame = decode(ask.kit.blobs.path(found.part))
    if ask.query.segment is not None:
        frame = frame.filter(frame["segment"] == ask.query.segment)
    return Rows(frame.height, frame.head(ask.query.limit).to_dicts())


ROUTES = (
    Route("GET", "/api/models/{model}/scorings", "monitoring.read", scorings, "List a model's scorings, newest first.",
          query=Paging, answer=Page[Scoring]),
    Route("GET", "/api/scorings/{scoring}", "monitoring.read", scoring, "Return a scoring.", answer=Scoring),
    Route("GET", "/api/scorings/{scoring}/rows", "monitoring.read", rows, "Return rows of a scoring.",
          query=ScoringRowsQuery, answer=Rows),
)  # fmt: skip
