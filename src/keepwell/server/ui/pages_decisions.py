"""Decisions: what the loop decided, tick by tick; one tick; why a segment was retrained, promoted or held."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from keepwell.core.errors import NotFound, NotSupported
from keepwell.core.ids import check_id
from keepwell.governance.charters import current_charter, current_charters
from keepwell.loop import service as loop
from keepwell.loop.ticks import Recorded
from keepwell.server.routing import Ask, Html, Paging, Route, SeeOther
from keepwell.server.ui import links
from keepwell.server.ui.listing import chosen, first_link, next_link
from keepwell.server.ui.render import page
from keepwell.server.ui.views_decisions import VERBS, counts_in_words, explain, ticks_of

_PATH = "/decisions"
Text = Annotated[str, msgspec.Meta(max_length=200)]


class DecisionsQuery(Paging, frozen=True, kw_only=True):
    """Which decisions: of a model, of a kind, with a text in the reason; of one segment of a model."""

    model: Text = ""
    kind: Text = ""
    q: Text = ""
    segment: Annotated[str, msgspec.Meta(max_length=1000)] = ""


def decisions(ask: Ask[DecisionsQuery, None]) -> Html:
    """Show decisions, newest tick first."""
    wanted = ask.query
    by_segment = bool(wanted.segment and wanted.model)
    found, token, problem = _of_segment(ask) if by_segment else _all(ask)
    with ask.read() as tx:
        names = sorted(applied.charter.model for applied in current_charters(tx))
        newest = loop.ticks(tx, wanted.model or None, limit=1)
    return page(
        ask, "decisions.html", title="Decisions", nav="decisions", json=_json(wanted, by_segment=by_segment),
        ticks=ticks_of(found), names=names, kinds=VERBS, query=wanted, by_segment=by_segment, problem=problem,
        newest=newest[0] if newest else None, words=counts_in_words(newest[0].counts) if newest else [],
        filtered=chosen(ask, "model", "kind", "q", "segment"), can_tick=ask.house.tick is not None,
        next=next_link(ask, _PATH, token), first=first_link(ask, _PATH),
    )  # fmt: skip


def tick(ask: Ask[None, None]) -> Html:
    """Show one tick with all of its decisions."""
    with ask.read() as tx:
        found = loop.tick(tx, check_id(ask.path["tick"], "tick"))
    explained = [explain(d, found.model, d.scope.size(found.size), found.size) for d in found.decisions]
    return page(
        ask, "tick.html", title=f"Tick {found.number} of {found.model}", nav="decisions",
        crumbs=[("Decisions", _PATH), (found.model, links.with_query(_PATH, model=found.model))],
        json=f"/api/ticks/{found.id}", tick=found, decisions=explained, words=counts_in_words(found.counts),
    )  # fmt: skip


def run(ask: Ask[None, None]) -> SeeOther:
    """Run the loop once for a model, and show what it decided."""
    with ask.read() as tx:
        model = current_charter(tx, ask.path["model"]).charter.model
    if ask.house.tick is None:
        raise NotSupported("This server does not run the loop: 'keepwell up' does, or 'keepwell loop tick'.")
    ask.house.tick(model, ask.actor)
    return SeeOther(links.with_query(_PATH, model=model))


def _all(ask: Ask[DecisionsQuery, None]) -> tuple[list[Recorded], str | None, str]:
    wanted, after = ask.query, ask.after(list)
    with ask.read() as tx:
        found = loop.decisions(
            tx,
            model=wanted.model or None,
            kinds=(wanted.kind,) if wanted.kind else (),
            q=wanted.q or None,
            before=None if after is None else (int(after[0]), int(after[1])),
            limit=ask.limit + 1,
        )
    shown = ask.page(found, lambda one: [one.seq, one.place])
    return list(shown.items), shown.next, ""


def _of_segment(ask: Ask[DecisionsQuery, None]) -> tuple[list[Recorded], str | None, str]:
    wanted = ask.query
    asked: Any = loop.actions if wanted.kind == "actions" else loop.why
    try:
        with ask.read() as tx:
            found = asked(tx, wanted.model, wanted.segment, before=ask.after(int), limit=ask.limit)
    except NotFound as error:
        return [], None, error.message
    return found, ask.token(found[-1].seq if len(found) == ask.limit else None), ""


def _json(wanted: DecisionsQuery, *, by_segment: bool) -> str:
    if by_segment:
        return links.with_query(f"/api{links.model(wanted.model)}/why", segment=wanted.segment)
    return links.with_query("/api/decisions", model=wanted.model, kind=wanted.kind, q=wanted.q)


ROUTES = (
    Route("GET", _PATH, "loop.read", decisions, "Show what the loop decided.", query=DecisionsQuery, answer=Html),
    Route("GET", "/decisions/{tick}", "loop.read", tick, "Show a tick with its decisions.", answer=Html),
    Route("POST", "/models/{model}/tick", "loop.tick", run, "Run the loop once for a model.",
          form=True, answer=SeeOther),
)  # fmt: skip
