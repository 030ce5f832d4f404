"""What the pages about runs show: the training dashboard, and one run of a pipeline as a graph with durations. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keepwell.core.clock import from_iso
from keepwell.ledger.model import Entry
from keepwell.pipelines.model import WHOLE, PipelineRun, PlannedStep, StepRun
from keepwell.server.ui import links
from keepwell.server.ui.charts import Bar
from keepwell.server.ui.drawings import Stack
from keepwell.server.ui.words import duration, plural, tone_of
from keepwell.tracking.model import Run

WEEKS = 16
_WEEK = timedelta(weeks=1)


def seconds_of(run: Run) -> float | None:
    """Return how long a run took; None while it runs."""
    if run.finished_at is None:
        return None
    return (from_iso(run.finished_at) - from_iso(run.started_at)).total_seconds()


def took_of(run: Run, worked: Mapping[str, float]) -> float | None:
    """Return how long a run really took: its pipelines' working time where there is some, else by its clock."""
    return worked.get(run.id) or seconds_of(run)


def worked_of(entries: Sequence[Entry], seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the working time of the pipelines that each run started, in seconds.

    A pipeline belongs to the run that the same actor had started before and not finished yet.

    Args:
        entries: the ledger's entries of runs and of pipeline runs, oldest first.
        seconds: pipeline run to its working time.
    """
    standing: dict[str, str] = {}
    worked: dict[str, float] = {}
    for one in entries:
        name = one.subject.partition(":")[2]
        if one.kind == "run.started":
            standing[one.actor] = name
        elif one.kind == "run.finished" and standing.get(one.actor) == name:
            del standing[one.actor]
        elif one.kind == "pipeline.run_started" and one.actor in standing:
            run = standing[one.actor]
            worked[run] = worked.get(run, 0.0) + seconds.get(name, 0.0)
    return worked


def cause_of(run: Run) -> str:
    """Return why a run was made, as far as it says."""
    return str(run.params.get("cause") or run.tags.get("trigger") or "not said")


def fits_of(run: Run) -> int:
    """Return how many segments a training fitted, as far as it says."""
    told = run.params.get("segments")
    return told if isinstance(told, int) else len(told) if isinstance(told, list) else 1


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The training dashboard.

    Attributes:
        runs: how many trainings it is about; `failed` how many of them did not finish.
        fits: segments fitted in them.
        weekly_runs, weekly_fits: columns by week.
        causes: fits by why they were made.
        typical: median duration, seconds; None when none ended.
        longest: the run that took longest.
        cached: share of steps whose result was there already; None when no step is known.
        passed: share of fitted versions that passed their gates; None when that is not recorded.
        durations: one bar a run, newest first.
    """

    runs: int
    failed: int
    fits: int
    weekly_runs: Sequence[Stack]
    weekly_fits: Sequence[Stack]
    causes: Sequence[Bar]
    typical: float | None
    longest: Run | None
    cached: float | None
    passed: float | None
    durations: Sequence[Bar]


def dashboard_of(
    trainings: Sequence[Run], now: datetime, steps: Mapping[str, int], worked: Mapping[str, float]
) -> Dashboard:
    """Sum up trainings of the last weeks.

    Args:
        trainings: newest first.
        now: the present moment.
        steps: state to number of pipeline steps of the same weeks.
        worked: run to the working time of its pipelines, seconds.
    """
    since = monday(now) - (WEEKS - 1) * _WEEK
    recent = [run for run in trainings if from_iso(run.started_at) >= since]
    took = sorted(s for run in recent if (s := took_of(run, worked)) is not None)
    why: Counter[str] = Counter()
    for run in recent:
        if run.status == "finished":
            why[cause_of(run)] += fits_of(run)
    gates = _sum(recent, "gates_passed"), _sum(recent, "gates_passed", "gates_failed", "gates_undecided")
    known = sum(n for state, n in steps.items() if state in ("done", "cached", "failed"))
    return Dashboard(
        runs=len(recent),
        failed=sum(run.status in ("failed", "interrupted") for run in recent),
        fits=sum(why.values()),
        weekly_runs=_weekly(recent, since, by="run"),
        weekly_fits=_weekly(recent, since, by="fit"),
        causes=[Bar(cause.replace("_", " "), n, plural(n, "fit")) for cause, n in why.most_common(8)],
        typical=took[len(took) // 2] if took else None,
        longest=max(recent, key=lambda run: took_of(run, worked) or 0.0, default=None),
        cached=steps.get("cached", 0) / known if known else None,
        passed=gates[0] / gates[1] if gates[1] else None,
        durations=[_duration_bar(run, took_of(run, worked)) for run in recent[:8]],
    )


def monday(moment: datetime) -> datetime:
    """Return the start of a moment's week."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def _weekly(runs: Sequence[Run], since: datetime, *, by: str) -> list[Stack]:
    found = []
    for week in range(WEEKS):
        start = since + week * _WEEK
        mine = [run for run in runs if start <= from_iso(run.started_at) < start + _WEEK]
        good = [run for run in mine if run.status in ("finished", "running")]
        bad = len(mine) - len(good)
        if by == "run":
            parts = [("", len(good), plural(len(good), "run")), ("bad", bad, f"{plural(bad, 'run')} failed")]
        else:
            fits = sum(map(fits_of, good))
            parts = [("", fits, plural(fits, "model") + " fitted")]
        tick = start.strftime("%d %b").lstrip("0") if week % 4 == 0 else ""
        found.append(Stack(f"week of {start.strftime('%d %b').lstrip('0')}", parts, tick))
    return found


def _duration_bar(run: Run, took: float | None) -> Bar:
    tone = "bad" if run.status in ("failed", "interrupted") else ""
    label = from_iso(run.started_at).strftime("%d %b %Y").lstrip("0")
    return Bar(label, took or 0.0, duration(took) if took is not None else "running", tone, links.run(run.id))


def _sum(runs: Sequence[Run], *names: str) -> float:
    return sum(v for run in runs for name in names if isinstance(v := run.metrics.get(name), int | float))


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step of a pipeline run, or one of its chunks.

    Attributes:
        step: the record.
        label: its name, with the number of the chunk.
        tone: class of its bar.
        start: seconds after the run's start; None when it did not start.
        length: seconds from its start to its end.
        words: what is said on hover.
        chunk: whether it is one chunk of a mapped step.
    """

    step: StepRun
    label: str
    tone: str
    start: float | None
    length: float
    words: str
    chunk: bool


@dataclass(frozen=True, slots=True)
class PipelineView:
    """A run of a pipeline: its lines on one axis of `whole` seconds, and its graph."""

    lines: Sequence[StepLine]
    whole: float
    graph: Mapping[str, Any]
    saved: float


def pipeline_view(run: PipelineRun, steps: Sequence[StepRun], plan: Sequence[PlannedStep]) -> PipelineView:
    """Return how a run's page draws it.

    Args:
        run: the run.
        steps: its records, in the order of its graph.
        plan: the steps of its graph; empty when it is not known.
    """
    began = from_iso(run.started_at)
    spans = [_span(one, steps, began) for one in steps]
    whole = max([0.001, *(start + length for start, length in filter(None, spans))])
    lines = [
        StepLine(
            step=one,
            label=one.name if one.part == WHOLE else f"{one.name} · chunk {one.part + 1}",
            tone="cached" if one.state == "cached" else tone_of(one.state) if tone_of(one.state) != "ok" else "",
            start=span[0] if span else None,
            length=span[1] if span else 0.0,
            words=f"{one.name}: {one.state}, {duration(one.seconds)}",
            chunk=one.part != WHOLE,
        )
        for one, span in zip(steps, spans, strict=True)
    ]
    saved = sum(one.seconds for one in steps if one.state == "cached")
    return PipelineView(lines, whole, graph_of(plan, steps), saved)


def graph_of(plan: Sequence[PlannedStep], steps: Sequence[StepRun]) -> dict[str, Any]:
    """Return the graph as keepwell.js draws it: a node a step, coloured by its worst record."""
    worst: dict[str, str] = {}
    order = ("failed", "interrupted", "running", "waiting", "skipped", "done", "cached")
    for one in steps:
        worst[one.name] = min(worst.get(one.name, one.state), one.state, key=order.index)
    nodes = [
        {"id": str(place), "kind": worst.get(one.name, "waiting") + (", in chunks" if one.map_over else ""),
         "label": one.name, "tone": tone_of(worst.get(one.name, "waiting")), "href": f"#step-{one.name}"}
        for place, one in enumerate(plan)
    ]  # fmt: skip
    edges = [[str(before), str(place)] for place, one in enumerate(plan) for before in one.after]
    return {"nodes": nodes, "edges": edges}


def _span(one: StepRun, steps: Sequence[StepRun], began: datetime) -> tuple[float, float] | None:
    """Return when a step started and how long it took, in seconds; a mapped step spans its chunks."""
    if not _ran(one):
        return None
    chunks = [s for s in steps if s.position == one.position and s.part != WHOLE and _ran(s)]
    mine = chunks if one.part == WHOLE and chunks else [one]
    starts = [(from_iso(s.started_at or "") - began).total_seconds() for s in mine]
    end = max(start + s.seconds for start, s in zip(starts, mine, strict=True))
    return min(starts), end - min(starts)


def _ran(step: StepRun) -> bool:
    return step.state in ("done", "failed", "running", "interrupted") and step.started_at is not None
