"""Scorings: the batches that were published, and one with who answered and what happened."""

from __future__ import annotations

from typing import Annotated

import msgspec

from keepwell.core.clock import iso
from keepwell.core.errors import Damaged, NotFound
from keepwell.core.ids import check_id
from keepwell.datasets import service as datasets
from keepwell.datasets.parts import decode
from keepwell.flows.frames import frame_of
from keepwell.governance.charters import current_charter, current_charters
from keepwell.server.routing import MAX_PAGE, Ask, Html, Paging, Query, Route
from keepwell.server.ui import links
from keepwell.server.ui.listing import first_link, next_link
from keepwell.server.ui.render import page
from keepwell.server.ui.views_scorings import answer_bar, answered_words, scoring_view
from keepwell.serving import service as serving

_PATH = "/scorings"


class ScoringsQuery(Paging, frozen=True, kw_only=True):
    """Of which model; of the first one if absent."""

    model: Annotated[str, msgspec.Meta(max_length=200)] = ""


class RowsQuery(Query, frozen=True, kw_only=True):
    """Which rows: of one segment; how many."""

    segment: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 50


def scorings(ask: Ask[ScoringsQuery, None]) -> Html:
    """Show the scorings of a model, newest first."""
    with ask.read() as tx:
        names = sorted(applied.charter.model for applied in current_charters(tx))
        model = current_charter(tx, ask.query.model).charter.model if ask.query.model else next(iter(names), "")
        found = serving.scorings(tx, model, limit=ask.limit + 1, before=ask.after(str)) if model else []
    shown = ask.page(found, lambda one: iso(one.at))
    return page(
        ask, "scorings.html", title="Scorings", nav="models", names=names, model=model, shown=shown.items,
        crumbs=[("Fleets", "/models"), *([(model, links.model(model))] if model else [])],
        json=f"/api{links.model(model)}/scorings" if model else None, bar=answer_bar, words=answered_words,
        next=next_link(ask, _PATH, shown.next), first=first_link(ask, _PATH),
    )  # fmt: skip


def scoring(ask: Ask[RowsQuery, None]) -> Html:
    """Show one scoring."""
    with ask.read() as tx:
        found = serving.scoring(tx, check_id(ask.path["scoring"], "scr"))
        data = current_charter(tx, found.model).charter.data
        newest = datasets.latest(tx, data.dataset)
    rows = decode(ask.kit.blobs.path(found.part))
    known = newest.id if newest else found.input
    try:
        truth = frame_of(ask.kit, known)
    except (NotFound, Damaged):
        truth = None
    view = scoring_view(rows, truth, data.time, data.target, limit=ask.query.limit, segment=ask.query.segment or None)
    return page(
        ask, "scoring.html", title=f"Scoring of {found.slot:%d %b %Y}", nav="models", json=f"/api/scorings/{found.id}",
        crumbs=[("Fleets", "/models"), (found.model, links.model(found.model)),
                ("Scorings", links.with_query(_PATH, model=found.model))],
        one=found, view=view, bar=answer_bar(found), words=answered_words(found), segment=ask.query.segment,
        target=data.target, path=links.scoring(found.id),
    )  # fmt: skip


ROUTES = (
    Route("GET", _PATH, "monitoring.read", scorings, "Show scorings.", query=ScoringsQuery, answer=Html),
    Route("GET", "/scorings/{scoring}", "monitoring.read", scoring, "Show a scoring.", query=RowsQuery, answer=Html),
)
