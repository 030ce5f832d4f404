"""Runs of pipelines: their graph, their steps and what the steps wrote."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from keepwell.core.errors import NotFound
from keepwell.core.ids import check_id
from keepwell.pipelines import service
from keepwell.pipelines.model import WHOLE, PipelineRun, RunState, StepRun, StepState
from keepwell.pipelines.service import Plan
from keepwell.server.routing import Ask, Name, Page, Paging, Query, Route

MOST_LOG = 200_000
Place = Annotated[int, msgspec.Meta(ge=WHOLE, le=1 << 31)]


class PipelineRunsQuery(Paging, frozen=True, kw_only=True):
    """Which runs."""

    pipeline: Name | None = None
    state: RunState | None = None


class StepsQuery(Paging, frozen=True, kw_only=True):
    """Which steps of a run."""

    name: Name | None = None
    state: StepState | None = None


class LogQuery(Query, frozen=True, kw_only=True):
    """Of which chunk of a mapped step; -1 for a step that is not mapped."""

    part: Place = WHOLE


class StepLog(msgspec.Struct, frozen=True):
    """What a step wrote to stdout and stderr; of a long log the end, and how many characters there are in all."""

    text: str
    characters: int


def pipeline_runs(ask: Ask[PipelineRunsQuery, None]) -> Page[PipelineRun]:
    """List runs of pipelines, newest first."""
    wanted = ask.query
    with ask.read() as tx:
        found = service.pipeline_runs(
            tx, pipeline=wanted.pipeline, state=wanted.state, before=ask.after(str), limit=ask.limit + 1
        )
    return ask.page(found, lambda run: run.id)


def pipeline_run(ask: Ask[None, None]) -> PipelineRun:
    """Return one run."""
    with ask.read() as tx:
        return service.pipeline_run(tx, _id(ask))


def plan(ask: Ask[None, None]) -> Plan:
    """Return the graph that a run ran."""
    with ask.read() as tx:
        return service.plan_of(tx, ask.kit.blobs, service.pipeline_run(tx, _id(ask)).id)


def steps(ask: Ask[StepsQuery, None]) -> Page[StepRun]:
    """List the steps of a run in the order of its graph."""
    wanted, after = ask.query, ask.after(list)
    place = (-1, WHOLE) if after is None else (int(after[0]), int(after[1]))
    with ask.read() as tx:
        found = service.steps(tx, _id(ask), name=wanted.name, state=wanted.state, after=place, limit=ask.limit + 1)
    return ask.page(found, lambda step: [step.position, step.part])


def log(ask: Ask[LogQuery, None]) -> StepLog:
    """Return what a step wrote."""
    part = ask.query.part
    with ask.read() as tx:
        name = ask.path["step"]
        first = service.steps(tx, _id(ask), name=name, limit=1)
        found = first if not first or part == WHOLE else service.steps(
            tx, _id(ask), name=name, after=(first[0].position, part - 1), limit=1
        )  # fmt: skip
        if not found or found[0].part != part:
            raise NotFound("This run has no such step, or the step has no such part.", where="step")
        text = service.log_of(tx, ask.kit.blobs, found[0])
    return StepLog(text[-MOST_LOG:], len(text))


def _id(ask: Ask[Any, Any]) -> str:
    return check_id(ask.path["run"], "prn")


_READ = "runs.read"
ROUTES = (
    Route("GET", "/api/pipeline-runs", _READ, pipeline_runs, "List runs of pipelines, newest first.",
          query=PipelineRunsQuery, answer=Page[PipelineRun]),
    Route("GET", "/api/pipeline-runs/{run}", _READ, pipeline_run, "Return a run of a pipeline.", answer=PipelineRun),
    Route("GET", "/api/pipeline-runs/{run}/plan", _READ, plan, "Return the graph that a run ran.", answer=Plan),
    Route("GET", "/api/pipeline-runs/{run}/steps", _READ, steps, "List the steps of a run.",
          query=StepsQuery, answer=Page[StepRun]),
    Route("GET", "/api/pipeline-runs/{run}/steps/{step}/log", _READ, log, "Return what a step wrote.",
          query=LogQuery, answer=StepLog),
)  # fmt: skip
