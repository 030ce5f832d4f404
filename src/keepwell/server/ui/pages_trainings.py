"""How trainings and pipelines of the loop went in the last weeks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from keepwell.core.clock import from_iso, iso
from keepwell.db import Transaction
from keepwell.ledger import service as ledger
from keepwell.models import service as models
from keepwell.pipelines import service as pipelines
from keepwell.pipelines import store as pipeline_store
from keepwell.pipelines.model import PipelineRun
from keepwell.server.routing import Ask, Html, Paging, Route
from keepwell.server.ui.listing import chosen, first_link, next_link
from keepwell.server.ui.render import page
from keepwell.server.ui.views_runs import WEEKS, dashboard_of, monday, took_of, worked_of
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Run

_PATH = "/trainings"
MOST = 2_000
"""So many runs of pipelines, at most, are looked at for the dashboard."""
Text = Annotated[str, msgspec.Meta(max_length=200)]


class TrainingsQuery(Paging, frozen=True, kw_only=True):
    """Which runs."""

    model: Text = ""
    kind: Text = ""
    status: Literal["running", "finished", "failed", "interrupted", ""] = ""
    parent: Text = ""


def trainings(ask: Ask[TrainingsQuery, None]) -> Html:
    """Show the training dashboard and the newest runs of the loop."""
    wanted, now = ask.query, ask.kit.clock.now()
    since = monday(now) - timedelta(weeks=WEEKS - 1)
    with ask.read() as tx:
        trained = tracking.runs(tx, kind="train", model=wanted.model or None, limit=1_000)
        found = tracking.runs(
            tx,
            model=wanted.model or None,
            kind=wanted.kind or None,
            status=wanted.status or None,
            parent=wanted.parent or None,
            before=ask.after(str),
            limit=ask.limit + 1,
        )
        piped = pipelines.pipeline_runs(tx, limit=8)
        recent = pipeline_store.brief_runs(tx, iso(since), MOST)
        worked = _worked(tx, recent, [*found, *trained[-1:]])
        names = [one.name for one in models.models(tx, limit=200)]
    steps: Counter[str] = Counter()
    for one in recent:
        steps.update(one.counts)
    shown = ask.page(found, lambda run: run.id)
    return page(
        ask, "trainings.html", title="Trainings and pipelines", nav="runs", crumbs=[("Runs", "/runs")],
        json="/api/runs", view=dashboard_of(trained, now, steps, worked),
        weeks=WEEKS, runs=shown.items, piped=piped, names=names, query=wanted,
        filtered=chosen(ask, "model", "kind", "status", "parent"), moment_of=from_iso,
        seconds_of=lambda run: took_of(run, worked), next=next_link(ask, _PATH, shown.next),
        first=first_link(ask, _PATH),
    )  # fmt: skip


def _worked(tx: Transaction, recent: Sequence[PipelineRun], runs: Sequence[Run]) -> dict[str, float]:
    """Return the working time of the pipelines of runs, by the ledger's order of starts and ends."""
    if not runs or not recent:
        return {}
    first = ledger.entries(tx, subject=f"run:{min(run.id for run in runs)}", kind="run.started", limit=1)
    after = first[0].seq - 1 if first else 0
    entries = [
        entry
        for kind in ("run.started", "run.finished", "pipeline.run_started")
        for entry in ledger.entries(tx, kind=kind, after=after, limit=MOST)
    ]
    return worked_of(sorted(entries, key=lambda one: one.seq), {one.id: one.seconds for one in recent})


ROUTES = (
    Route("GET", _PATH, "runs.read", trainings, "Show how trainings and pipelines went.", query=TrainingsQuery,
          answer=Html),
)  # fmt: skip
