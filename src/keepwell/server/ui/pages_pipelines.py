"""One run of a pipeline: its graph, how long each step took, what was cached, and what the steps wrote."""

from __future__ import annotations

from typing import Any

from keepwell.core.clock import from_iso
from keepwell.core.errors import NotFound
from keepwell.core.ids import check_id
from keepwell.db import Transaction
from keepwell.ledger import service as ledger
from keepwell.pipelines import service as pipelines
from keepwell.pipelines.model import WHOLE, PlannedStep
from keepwell.server.api.pipelines import LogQuery
from keepwell.server.routing import Ask, Html, Paging, Route
from keepwell.server.ui import links
from keepwell.server.ui.drawings import span
from keepwell.server.ui.listing import next_link
from keepwell.server.ui.render import page
from keepwell.server.ui.views_runs import pipeline_view

MOST_LOG = 200_000


class StepsQuery(Paging, frozen=True, kw_only=True):
    """From which step on."""


def pipeline_run(ask: Ask[StepsQuery, None]) -> Html:
    """Show one run of a pipeline."""
    after: Any = ask.after(list)
    place = (-1, WHOLE) if after is None else (int(after[0]), int(after[1]))
    with ask.read() as tx:
        found = pipelines.pipeline_run(tx, check_id(ask.path["run"], "prn"))
        steps = pipelines.steps(tx, found.id, after=place, limit=ask.limit + 1)
        every = pipelines.steps(tx, found.id, limit=1_000)
        plan = _plan(ask, tx, found.id)
        run = run_around(tx, found.id)
    shown = ask.page(steps, lambda step: [step.position, step.part])
    path = links.pipeline_run(found.id)
    view = pipeline_view(found, shown.items, plan)
    whole = pipeline_view(found, every, plan)
    return page(
        ask, "pipeline_run.html", title=f"{found.pipeline} pipeline", nav="runs", crumbs=[("Runs", "/runs")],
        json=f"/api/pipeline-runs/{found.id}", run=found, view=view, plan=plan, graph=whole.graph, saved=whole.saved,
        whole=whole.whole, around=run, span=span, moment_of=from_iso, path=path,
        next=next_link(ask, path, shown.next),
    )  # fmt: skip


def step_log(ask: Ask[LogQuery, None]) -> Html:
    """Show one step of a run: what it wrote, its keys, what went in and came out."""
    part, name = ask.query.part, ask.path["step"]
    with ask.read() as tx:
        run = pipelines.pipeline_run(tx, check_id(ask.path["run"], "prn"))
        first = pipelines.steps(tx, run.id, name=name, limit=1)
        found = first
        if first and part != WHOLE:
            found = pipelines.steps(tx, run.id, name=name, after=(first[0].position, part - 1), limit=1)
        if not found or found[0].part != part:
            raise NotFound("This run has no such step, or the step has no such chunk; its page lists them.")
        text = pipelines.log_of(tx, ask.kit.blobs, found[0])
    title = name if part == WHOLE else f"{name}, chunk {part + 1}"
    return page(
        ask, "step.html", title=title, nav="runs", run=run, step=found[0], text=text[-MOST_LOG:],
        cut=max(0, len(text) - MOST_LOG), moment_of=from_iso,
        crumbs=[("Runs", "/runs"), (f"{run.pipeline} pipeline", links.pipeline_run(run.id))],
        json=links.with_query(f"/api/pipeline-runs/{run.id}/steps/{name}/log", part=part),
    )  # fmt: skip


def run_around(tx: Transaction, run_id: str) -> str | None:
    """Return the recorded run that started a pipeline run, by the ledger: the newest not ended."""
    mine = ledger.entries(tx, subject=f"pipeline_run:{run_id}", kind="pipeline.run_started", limit=1)
    if not mine:
        return None
    for entry in ledger.entries(tx, kind="run.started", actor=mine[0].actor, before=mine[0].seq, limit=5):
        ended = ledger.entries(tx, subject=entry.subject, kind="run.finished", before=mine[0].seq, limit=1)
        if not ended:
            return entry.subject.partition(":")[2]
    return None


def _plan(ask: Ask[Any, Any], tx: Transaction, run_id: str) -> list[PlannedStep]:
    try:
        return pipelines.plan_of(tx, ask.kit.blobs, run_id).steps
    except NotFound:  # killed before its plan was stored
        return []


ROUTES = (
    Route("GET", "/pipeline-runs/{run}", "runs.read", pipeline_run, "Show a run of a pipeline.",
          query=StepsQuery, answer=Html),
    Route("GET", "/pipeline-runs/{run}/steps/{step}", "runs.read", step_log, "Show a step and what it wrote.",
          query=LogQuery, answer=Html),
)  # fmt: skip
