"""Today: what needs a person, worst first; and the form that settles an approval."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from keepwell.core.clock import from_iso
from keepwell.core.errors import NotFound
from keepwell.core.ids import check_id
from keepwell.db import Transaction
from keepwell.flows import promote as promoting
from keepwell.governance.charters import AppliedCharter, current_charter, current_charters
from keepwell.loop import service as loop
from keepwell.models import registry
from keepwell.models import service as models
from keepwell.monitoring import overview
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import SignalState
from keepwell.releases import service as releases
from keepwell.server.routing import Ask, Body, Html, Reason, Route, SeeOther
from keepwell.server.ui import links
from keepwell.server.ui.columns import seconds_of
from keepwell.server.ui.render import page
from keepwell.server.ui.views_today import FleetToday, Today, needs_of, next_due
from keepwell.serving import service as serving
from keepwell.tracking import service as tracking

WEEKS = 26
LATELY = 8
"""How many runs and models Today shows where no charter is in force."""
STATES: tuple[tuple[str, SignalState, str, str], ...] = (
    ("performance", "bad", "bad", "decaying"),
    ("guard", "bad", "bad", "doing harm"),
    ("staleness", "bad", "watch", "stale"),
    ("drift", "bad", "watch", "drifting"),
    ("performance", "unknown", "unknown", "of unknown quality"),
)
"""Kind and state of a signal, and the tone and word it has on Today."""


class Settle(Body, frozen=True, kw_only=True):
    """A person's decision on what one request asks for."""

    verdict: Literal["given", "refused"]
    reason: Reason


def today(ask: Ask[None, None]) -> Html:
    """Show what needs a person today."""
    now = ask.kit.clock.now()
    with ask.read() as tx:
        fleets = [fleet_today(tx, applied, now) for applied in current_charters(tx)]
        sizes = {one.name: one.members for one in fleets}
        needs = needs_of(
            monitoring.incidents(tx, state="open", limit=100),
            releases.waiting_approvals(tx),
            loop.needs_a_person(tx),
            sizes,
        )
        recent = [] if fleets else tracking.runs(tx, limit=LATELY)
        registered = (
            [] if fleets else registry.search_models(tx, order_by=["last_updated_timestamp DESC"], limit=LATELY)
        )
    fleets.sort(key=lambda one: (one.tone != "bad", one.tone != "watch", one.name))
    view = Today(needs, fleets, sum(sizes.values()), recent, registered)
    return page(
        ask, "today.html", title="Today", nav="today", json="/api/approvals", view=view, origin=ask.origin,
        moment_of=from_iso, seconds_of=seconds_of,
    )  # fmt: skip


def fleet_today(tx: Transaction, applied: AppliedCharter, now: datetime) -> FleetToday:
    """Read what Today and the list of fleets show of one fleet."""
    charter = applied.charter
    metric = charter.evaluate.metrics[0]
    counts = monitoring.signal_counts(tx, charter.model)
    try:
        name = models.model(tx, charter.model)
        versions = models.state_counts(tx, name)
    except NotFound:
        versions = {}
    answering = len(models.champion_ids(tx, charter.model, charter.release.environments[-1])) if versions else 0
    states: list[tuple[str, str, int]] = [
        (tone, word, counts[kind][state] if kind in counts else 0) for kind, state, tone, word in STATES
    ]
    states.append(("watch", "held", versions.get("held", 0)))
    weeks = [week for week in overview.by_window(tx, charter.model, metric) if week.complete][-WEEKS:]
    scored = serving.scorings(tx, charter.model, limit=1)
    return FleetToday(
        name=charter.model,
        purpose=charter.purpose,
        members=sum(versions.values()),
        answering=answering,
        states=[one for one in states if one[2]],
        metric=metric,
        error=weeks[-1].value if weeks else None,
        baseline=weeks[-1].baseline if weeks else None,
        limit=charter.monitor.performance.get(metric),
        trend=[week.value for week in weeks],
        scored_at=scored[0].at if scored else None,
        decided=next(iter(loop.ticks(tx, charter.model, limit=1)), None),
        due=next_due(applied, now),
    )


def settle(ask: Ask[None, Settle]) -> SeeOther:
    """Approve or refuse what one request asks for."""
    wanted = check_id(ask.path["approval"], "apr")
    with ask.read() as tx:
        found = next((one for one in releases.waiting_approvals(tx, limit=1_000) if one.id == wanted), None)
        if found is None:
            raise NotFound("This approval does not wait any more; Today shows those that do.")
        applied = current_charter(tx, found.model)
    promoting.approve(
        ask.kit,
        applied,
        found.environment,
        list(found.version_ids),
        ask.actor,
        role=found.role,
        refuse=ask.body.verdict == "refused",
        reason=ask.body.reason,
        key=ask.key,
    )
    return SeeOther(_back(ask, found.model))


def _back(ask: Ask[Any, Any], model: str) -> str:
    came_from = ask.headers.get("referer", "")
    return links.model(model) if links.model(model) in came_from else "/"


ROUTES = (
    Route("GET", "/", "pages.read", today, "Show what needs a person today.", answer=Html),
    Route("POST", "/approvals/{approval}", "models.approve", settle, "Approve or refuse what one request asks for.",
          body=Settle, form=True, answer=SeeOther),
)  # fmt: skip
