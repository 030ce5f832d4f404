"""Jump to anything by name or id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import msgspec

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.datasets import service as datasets
from keepwell.db import Transaction
from keepwell.governance.charters import current_charters
from keepwell.models import registry
from keepwell.models import service as models
from keepwell.monitoring import service as monitoring
from keepwell.server.routing import Ask, Html, Query, Route, SeeOther
from keepwell.server.ui import links
from keepwell.server.ui.render import page
from keepwell.server.ui.words import segment_words
from keepwell.tracking import service as tracking

MOST = 20
_ID = re.compile(r"(?:[a-z]{2,8}_[0-9a-z]{26}|m-[0-9a-f]{32})\Z")


class SearchQuery(Query, frozen=True, kw_only=True):
    """What is looked for."""

    q: Annotated[str, msgspec.Meta(max_length=200)] = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found: what kind of thing, its name, its page, and a few words more."""

    kind: str
    name: str
    href: str
    more: str = ""


def search(ask: Ask[SearchQuery, None]) -> Html | SeeOther:
    """Go to the one thing that a name or id means, or list what may be meant."""
    q = " ".join(ask.query.q.split())
    if _ID.match(q) and (known := links.of_id(q)) is not None:
        return SeeOther(known)
    with ask.read() as tx:
        hits = found(tx, q) if q else []
    exact = [hit for hit in hits if hit.name.casefold() == q.casefold()]
    exact = [hit for hit in exact if hit.kind == exact[0].kind]  # a fleet before its experiment of the same name
    if len(exact) == 1 or len(hits) == 1:
        return SeeOther((exact or hits)[0].href)
    return page(ask, "search.html", title="Search", q=q, hits=hits, most=MOST)


def found(tx: Transaction, q: str) -> list[Hit]:
    """Return what a text may mean: fleets, models, datasets, experiments, runs, segments, incidents."""
    text = q.casefold()
    hits = []
    fleets = [applied.charter for applied in current_charters(tx)]
    for charter in fleets:
        if text in charter.model.casefold() or text in charter.purpose.casefold():
            hits.append(Hit("fleet", charter.model, links.model(charter.model), charter.purpose))
    hits += [Hit("dataset", d.name, links.dataset(d.name)) for d in datasets.datasets(tx) if text in d.name.casefold()]
    hits += _registered(tx, q, frozenset(charter.model for charter in fleets)) + _recorded(tx, q)
    for charter in fleets:
        hits += _segments(tx, charter.model, charter.release.environments[-1], q)
    hits += [
        Hit("incident", one.title, links.incident(one.id), one.state)
        for one in monitoring.incidents(tx, q=q, limit=MOST)
    ]
    return hits


def _registered(tx: Transaction, q: str, governed: frozenset[str]) -> list[Hit]:
    found = registry.search_models(tx, f"name ILIKE '%{_quoted(q)}%'", limit=MOST)
    return [
        Hit("model", one.name, links.model(one.name), one.description or "")
        for one in found
        if one.name not in governed
    ]


def _recorded(tx: Transaction, q: str) -> list[Hit]:
    """Return experiments and runs by a part of their name, the newest first."""
    experiments = tracking.search_experiments(tx, f"name ILIKE '%{_quoted(q)}%'", limit=MOST)
    every = [one.id for one in tracking.search_experiments(tx, limit=10_000)]
    runs = tracking.search_runs(tx, every, f"attributes.run_name ILIKE '%{_quoted(q)}%'", limit=MOST)
    hits = [Hit("experiment", one.name, links.experiment(one.id)) for one in experiments]
    return hits + [Hit("run", one.name, links.run(one.id), f"{one.status}, {one.started_at[:10]}") for one in runs]


def _quoted(q: str) -> str:
    return q.replace("'", "''")


def _segments(tx: Transaction, name: str, environment: str, q: str) -> list[Hit]:
    try:
        members = models.fleet(tx, name, environment, q=q, limit=MOST).members
    except (InvalidInput, NotFound):
        return []
    return [Hit("segment", segment_words(one.segment), links.segment(name, one.segment), name) for one in members]


ROUTES = (
    Route("GET", "/search", "pages.read", search, "Jump to anything by name or id.", query=SearchQuery, answer=Html),
)
