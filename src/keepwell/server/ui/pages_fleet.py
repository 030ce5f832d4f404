"""The list of fleets and models, and the page of one: its map, its worst first, its trend, who answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from keepwell.core.clock import from_iso
from keepwell.core.errors import NotFound
from keepwell.db import Transaction
from keepwell.flows.registry import charter_of
from keepwell.governance.charters import AppliedCharter, current_charter, current_charters
from keepwell.ledger import service as ledger
from keepwell.loop import service as loop
from keepwell.models import registry
from keepwell.models import service as models
from keepwell.monitoring import service as monitoring
from keepwell.releases import service as releases
from keepwell.server.routing import Ask, Html, Query, Route
from keepwell.server.ui import charts, links, tiles, views_fleet, views_registry, views_segment, words
from keepwell.server.ui.pages_registry import show_model
from keepwell.server.ui.pages_today import fleet_today
from keepwell.server.ui.reading import Fleet, read_fleet
from keepwell.server.ui.render import page
from keepwell.server.ui.views_today import next_due
from keepwell.serving import service as serving

PATH = "/models/{model}"
TOLD = tuple(kind for kind in loop.KINDS if kind not in ("hold", "score", "condition"))
"""Kinds of decisions that the page of a fleet lists: what is done each week without saying is left out."""
MARKS = (
    ("model.batch_registered", "trained"),
    ("model.promoted", "promoted"),
    ("model.rolled_back", "promoted"),
)


A_PAGE = 50
"""So many registered names without a charter are listed at once."""


class ModelsQuery(Query, frozen=True, kw_only=True):
    """Which registered names: with a text in their name, on which page."""

    q: Annotated[str, msgspec.Meta(max_length=200)] = ""
    page: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1


class FleetQuery(Query, frozen=True, kw_only=True):
    """Which segments are listed, and how.

    Attributes:
        q: parts of the key.
        state: a colour of state.
        word: a word of state, such as `stale`.
        sort: what comes first.
        page: from 1.
    """

    q: Annotated[str, msgspec.Meta(max_length=200)] = ""
    state: Literal["", "bad", "watch", "unknown", "ok"] = ""
    word: Annotated[str, msgspec.Meta(max_length=40)] = ""
    sort: Literal["worst", "error", "age", "volume", "segment", "version"] = "worst"
    page: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1


def fleets(ask: Ask[ModelsQuery, None]) -> Html:
    """List fleets and models, and registered names without a charter."""
    wanted, now = ask.query, ask.kit.clock.now()
    text = wanted.q.strip().replace("'", "''")
    with ask.read() as tx:
        found = [fleet_today(tx, applied, now) for applied in current_charters(tx)]
        named = registry.search_models(
            tx, f"name ILIKE '%{text}%'" if text else "", ["last_updated_timestamp DESC"], A_PAGE + 1,
            (wanted.page - 1) * A_PAGE,
        )  # fmt: skip
    found.sort(key=lambda one: (words.TONES.get(one.tone) != "bad", one.name))
    here = links.with_query("/models", q=wanted.q, page=wanted.page + 1)
    return page(
        ask, "models.html", title="Fleets and models", nav="models", json="/api/models", fleets=found, query=wanted,
        registered=views_registry.lines_of(named[:A_PAGE], frozenset(one.name for one in found)),
        next=here if len(named) > A_PAGE else None,
        first=links.with_query("/models", q=wanted.q) if wanted.page > 1 else None,
    )  # fmt: skip


def fleet(ask: Ask[FleetQuery, None]) -> Html:
    """Show one fleet or model."""
    wanted = ask.query
    now = ask.kit.clock.now()
    with ask.read() as tx:
        if charter_of(tx, ask.path["model"]) is None and _is_registered(tx, ask.path["model"]):
            return show_model(ask, 1)
        applied = current_charter(tx, ask.path["model"])
        name = applied.charter.model
        found = read_fleet(ask.kit.db, tx, applied)
        context: dict[str, Any] = {
            "fleet": found,
            "charter": applied.charter,
            "registered": _is_registered(tx, name),
            "waiting": releases.waiting_approvals(tx, name),
            "scored": next(iter(serving.scorings(tx, name, limit=1)), None),
            "batch": next(iter(models.batches(tx, model=name, limit=1)), None),
            "batches": len(models.batches(tx, model=name, limit=1_000)),
            "ticks": loop.ticks(tx, name, limit=1),
            "decisions": views_segment.distinct(loop.decisions(tx, model=name, kinds=TOLD, limit=60)),
            "whole": [s for s in monitoring.signals(tx, name, segment="all") if s.kind in ("freshness", "quality")],
            "marks": _marks(tx, name, found.weeks[0].key if found.weeks else None),
        }
    shown = views_fleet.listed(
        found.rows, q=wanted.q, state=wanted.state, word=wanted.word, sort=wanted.sort, page=wanted.page
    )
    return page(
        ask,
        "fleet.html",
        title=name,
        nav="models",
        crumbs=[("Fleets and models", "/models")],
        json=f"/api{links.model(name)}/members",
        **context,
        query=wanted,
        listed=shown,
        answer=views_fleet.answer_of(found.rows),
        counts=views_fleet.counts_of(found.rows),
        states=views_fleet.words_of(found.rows),
        trend=_trend(found, context["marks"]),
        map=_map(found),
        due=next_due(applied, now),
        pooled=_pooled(found),
        ages=_ages(found, now),
        path=links.model(name),
    )


def _is_registered(tx: Transaction, name: str) -> bool:
    try:
        return bool(registry.model_name(tx, name))
    except NotFound:
        return False


def map_names(ask: Ask[None, None]) -> list[dict[str, object]]:
    """Return what the tiles of a large map are, for the pointer."""
    with ask.read() as tx:
        found = read_fleet(ask.kit.db, tx, current_charter(tx, ask.path["model"]))
    return tiles.hover_names(found.groups, found.rows, _map_words(found).said)


def _map(found: Fleet) -> object:
    return tiles.draw(
        found.rows,
        found.groups,
        label=f"Map of {words.plural(len(found.rows), 'segment')} of {found.applied.charter.model}",
        words=_map_words(found),
    )


def _map_words(found: Fleet) -> tiles.Words:
    name, rows = found.applied.charter.model, found.rows

    def note(place: int) -> str:
        error = rows[place].error
        said = words.metric(error, found.metric) if error is not None else "no outcomes"
        return f"{words.SIGNS[rows[place].tone]} {said}"

    return tiles.Words(
        href=lambda key: links.segment(name, key),
        group_href=lambda key: links.with_query(links.model(name), q=key.replace(",", " ")) + "#segments",
        name=lambda key, group: words.segment_words(key.removeprefix(group).removeprefix(",") if group else key),
        note=note,
        said=lambda place: views_fleet.said_of(rows[place], found.metric),
    )


def _trend(found: Fleet, marks: list[charts.Mark]) -> dict[str, object] | None:
    if not found.weeks:
        return None
    return charts.series(
        [from_iso(week.key).timestamp() for week in found.weeks],
        [
            charts.Line(f"{words.metric_name(found.metric)} of what answered", [w.value for w in found.weeks]),
            charts.Line("baseline", [w.baseline for w in found.weeks], "quiet"),
        ],
        limit=found.limit,
        marks=marks,
        ratio=found.metric in words.RATIOS,
    )


def _marks(tx: Transaction, name: str, since: str | None) -> list[charts.Mark]:
    """Return what happened to the fleet, for the time axis."""
    if since is None:
        return []
    start = from_iso(since)
    told: list[tuple[datetime, str, str, int]] = []
    for kind, word in MARKS:
        for entry in ledger.entries(tx, subject=f"model:{name}", kind=kind, limit=500):
            told.append((entry.at, word, "", int(str(entry.body.get("count", 1)))))
    for incident in monitoring.incidents(tx, model=name, limit=200):
        told.append((incident.opened_at, "incident", incident.title, 1))
    return views_fleet.marks_of([one for one in told if one[0] >= start], start)


def _pooled(found: Fleet) -> tuple[float | None, float | None]:
    """Return the fleet's error and its baseline's over the windows that the charter judges together."""
    weeks = [week for week in found.weeks if found.since is None or from_iso(week.key) >= found.since]
    known = [week for week in weeks if week.value is not None]
    total = sum(week.volume for week in known)
    if not known or not total:
        return None, None
    error = sum((week.value or 0.0) * week.volume for week in known) / total
    based = [week for week in known if week.baseline is not None]
    base = sum((week.baseline or 0.0) * week.volume for week in based)
    return error, base / sum(week.volume for week in based) if based else None


def _ages(found: Fleet, now: datetime) -> tuple[float, float] | None:
    """Return the median and the greatest age in days of what answers."""
    trained = sorted(row.trained_at for row in found.rows)
    if not trained:
        return None
    days = [(now - from_iso(trained[place])).total_seconds() / 86_400 for place in (len(trained) // 2, 0)]
    return days[0], days[1]


def applied_of(ask: Ask[Any, Any], tx: Transaction) -> AppliedCharter:
    """Return the charter of the model that the address names."""
    return current_charter(tx, ask.path["model"])


ROUTES = (
    Route("GET", "/models", "pages.read", fleets, "List fleets and models.", query=ModelsQuery,
          answer=Html),
    Route("GET", PATH, "pages.read", fleet, "Show a fleet or model.", query=FleetQuery, answer=Html),
    Route("GET", PATH + "/map", "pages.read", map_names, "Return what the tiles of a map are.",
          answer=list[dict[str, Any]]),
)  # fmt: skip
