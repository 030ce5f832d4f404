"""Look pipeline runs up: runs, steps, graphs, logs, and what steps made."""

from __future__ import annotations

from typing import Any

import msgspec

from keepwell.blobs import Blobs
from keepwell.charter.findings import shown
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.ids import check_id
from keepwell.db import Transaction
from keepwell.pipelines import store
from keepwell.pipelines.model import RESULT, WHOLE, PipelineRun, PlannedStep, RunState, StepRun, StepState, Stored
from keepwell.pipelines.shelf import payload_of, value_bytes
from keepwell.pipelines.values import decode
from keepwell.pipelines.workplace import is_alive

MOST = 10_000
"""How many records one listing returns at most."""


GONE = "Its process ended before it did; resume it to go on."


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The graph that a run ran: its steps in order, and the values it was handed."""

    steps: list[PlannedStep]
    values: dict[str, Stored]


def pipeline_run(tx: Transaction, run_id: str) -> PipelineRun:
    """Return a run. One whose process is gone is returned as interrupted.

    Raises:
        NotFound: there is no such run.
    """
    return seen(*stored_run(tx, run_id))


def pipeline_runs(
    tx: Transaction,
    *,
    pipeline: str | None = None,
    state: RunState | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[PipelineRun]:
    """Return runs, newest first; `before` is the last id of the page before.

    Raises:
        InvalidInput: the limit is out of bounds, or `before` is not the id of a run.
    """
    _check_limit(limit)
    if before is not None:
        check_id(before, "prn")
    stored: tuple[RunState, ...] = () if state is None else (state,)
    if state == "interrupted":  # a run whose process is gone is still stored as running
        stored = ("interrupted", "running")
    found = store.find_runs(tx, pipeline=pipeline, states=stored, before=before, limit=limit)
    runs = [seen(run, place) for run, place in found]
    return [run for run in runs if state is None or run.state == state]


def steps(
    tx: Transaction,
    run_id: str,
    *,
    name: str | None = None,
    state: StepState | None = None,
    after: tuple[int, int] = (-1, WHOLE),
    limit: int = 1_000,
) -> list[StepRun]:
    """Return the step records of a run in the order of its graph; a mapped step is followed by its chunks.

    Raises:
        NotFound: there is no such run.
        InvalidInput: the limit is out of bounds.
    """
    _check_limit(limit)
    alive = pipeline_run(tx, run_id).state == "running"
    found = store.find_steps(tx, run_id, name=name, state=state, after=after, limit=limit)
    if alive:
        return found
    return [msgspec.structs.replace(s, state="interrupted") if s.state == "running" else s for s in found]


def step_counts(tx: Transaction, run_id: str) -> dict[int, dict[str, int]]:
    """Return for each position of a run's graph how many of its records are in which state."""
    found: dict[int, dict[str, int]] = {}
    for position, state, number, _ in store.summary(tx, run_id):
        found.setdefault(position, {})[state] = number
    return found


def plan_of(tx: Transaction, blobs: Blobs, run_id: str) -> Plan:
    """Return the graph that a run ran."""
    return msgspec.json.decode(value_bytes(tx, blobs, stored_run(tx, run_id)[0].plan), type=Plan)


def output(tx: Transaction, blobs: Blobs, run_id: str, name: str, kind: Any = None) -> Any:
    """Return what a step made, as a value: `step`, or `step.output` for one of several.

    Raises:
        NotFound: the run has no such step, or it has made nothing (yet).
        InvalidInput: the value is not of the type asked for.
    """
    for step, wanted in ((name, None), (name.rpartition(".")[0], name.rpartition(".")[2])):
        for one in store.find_steps(tx, run_id, name=step, state=None, after=(-1, WHOLE), limit=1):
            chosen = wanted or (RESULT if RESULT in one.outputs else next(iter(one.outputs), RESULT))
            if one.part == WHOLE and chosen in one.outputs:
                return decode(payload_of(tx, blobs, Stored(one.outputs[chosen], one.formats[chosen])), kind)
    raise NotFound(f"The run {run_id} has no output {name!r}; see `keepwell pipeline show {run_id}`.")


def step_of(tx: Transaction, run_id: str, name: str) -> StepRun:
    """Return one step record by name: `step`, or `step:chunk` for a chunk of a mapped one.

    Raises:
        NotFound: the run has no such step, or it has not started.
    """
    pipeline_run(tx, run_id)
    before, colon, chunk = name.rpartition(":")
    part = int(chunk) if colon and chunk.isdigit() and len(chunk) <= 9 else WHOLE
    found = store.find_steps(tx, run_id, name=name if part == WHOLE else before, state=None, after=(-1, WHOLE), limit=1)
    if found and part != WHOLE:
        found = store.find_steps(tx, run_id, name=before, state=None, after=(found[0].position, part - 1), limit=1)
    if not found or found[0].part != part:
        raise NotFound(f"The run {run_id} has no step {shown(name)} (yet); see `keepwell pipeline show {run_id}`.")
    return found[0]


def has_gone(tx: Transaction) -> bool:
    """Tell whether a run is stored as running whose process is gone."""
    found = store.find_runs(tx, pipeline=None, states=["running"], before=None, limit=MOST)
    return any(not is_alive(place) for _, place in found)


def log_of(tx: Transaction, blobs: Blobs, step: StepRun) -> str:
    """Return what a step wrote to stdout and stderr; empty when it wrote nothing."""
    return "" if step.log is None else value_bytes(tx, blobs, step.log).decode("utf-8", "replace")


def stored_run(tx: Transaction, run_id: str) -> tuple[PipelineRun, str]:
    """Return a run as it is stored, and its work folder.

    Raises:
        NotFound: there is no such run.
    """
    found = store.get_run(tx, check_id(run_id, "prn"))
    if found is None:
        raise NotFound(f"There is no pipeline run {run_id}; see `keepwell pipeline list`.")
    return found


def seen(run: PipelineRun, place: str) -> PipelineRun:
    """Return a run as it is: one that is stored as running and whose process is gone was interrupted."""
    if run.state == "running" and not is_alive(place):
        return msgspec.structs.replace(run, state="interrupted", error=GONE)
    return run


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"A listing has 1 to {MOST:,} records.", where="limit")
