"""Incidents: the list, one with what it touches and its way, and the form that closes it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from keepwell.core.ids import check_id
from keepwell.ledger import service as ledger
from keepwell.monitoring import service as monitoring
from keepwell.server.routing import Ask, Body, Html, Name, Paging, Reason, Route, SeeOther
from keepwell.server.ui import links
from keepwell.server.ui.listing import chosen, first_link, next_link
from keepwell.server.ui.render import page
from keepwell.server.ui.views_incidents import facts_of, summary_of, timeline_of

_PATH = "/incidents"


class IncidentsQuery(Paging, frozen=True, kw_only=True):
    """Which incidents."""

    state: Literal["open", "closed", ""] = ""
    model: Annotated[str, msgspec.Meta(max_length=200)] = ""
    dataset: Annotated[str, msgspec.Meta(max_length=200)] = ""
    q: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Close(Body, frozen=True, kw_only=True):
    """Why an incident is over, and what shows it."""

    reason: Reason
    shown_by: Name


def incidents(ask: Ask[IncidentsQuery, None]) -> Html:
    """Show incidents, newest first."""
    wanted = ask.query
    with ask.read() as tx:
        standing = monitoring.incidents(tx, state="open", limit=500)
        found = monitoring.incidents(
            tx,
            state=wanted.state or None,
            model=wanted.model or None,
            dataset=wanted.dataset or None,
            q=wanted.q or None,
            before=ask.after(str),
            limit=ask.limit + 1,
        )
    shown = ask.page(found, lambda one: one.id)
    return page(
        ask, "incidents.html", title="Incidents", json="/api/incidents", shown=shown.items, open=standing,
        summary=summary_of(standing), query=wanted, filtered=chosen(ask, "state", "model", "dataset", "q"),
        next=next_link(ask, _PATH, shown.next), first=first_link(ask, _PATH),
    )  # fmt: skip


def incident(ask: Ask[None, None]) -> Html:
    """Show one incident."""
    with ask.read() as tx:
        found = monitoring.incident(tx, check_id(ask.path["incident"], "inc"))
        entries = ledger.entries(tx, subject=f"incident:{found.id}", limit=50)
    return page(
        ask, "incident.html", title="Incident", crumbs=[("Incidents", _PATH)], json=f"/api/incidents/{found.id}",
        one=found, facts=facts_of(found.facts), evidence=facts_of(found.evidence or {}), timeline=timeline_of(entries),
    )  # fmt: skip


def close(ask: Ask[None, Close]) -> SeeOther:
    """Close an incident on evidence that it is over."""
    wanted = check_id(ask.path["incident"], "inc")
    with ask.write() as tx:
        monitoring.close_incident(tx, ask.call(), wanted, ask.body.reason, {"shown by": ask.body.shown_by})
    return SeeOther(links.incident(wanted))


ROUTES = (
    Route("GET", _PATH, "monitoring.read", incidents, "Show incidents.", query=IncidentsQuery, answer=Html),
    Route("GET", "/incidents/{incident}", "monitoring.read", incident, "Show an incident.", answer=Html),
    Route("POST", "/incidents/{incident}", "incidents.close", close, "Close an incident on evidence.",
          body=Close, form=True, answer=SeeOther),
)  # fmt: skip
