"""Runs side by side: their learning curves, how params and metrics hang together, and what they differ in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from keepwell.core.errors import InvalidInput
from keepwell.db import Transaction
from keepwell.server.routing import Ask, Html, Query, Route
from keepwell.server.ui import charts, columns, curves, differences, links, relations, views_compare
from keepwell.server.ui.reading_curves import Live, live_of, mark_of, names_with_steps, read_curves
from keepwell.server.ui.render import page
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Experiment, Run

PATH = "/compare"
POINTS = 300
"""So many points of a run are drawn without scripts; of many runs together ten times as many."""
Runs = Annotated[str, msgspec.Meta(max_length=4_000)]
Text = Annotated[str, msgspec.Meta(max_length=300)]


class CurveLook(Query, frozen=True, kw_only=True):
    """How learning curves are drawn.

    Attributes:
        x: along steps, time since the first point, or the clock.
        smooth: weight of the moving average.
        logx: the axis across is logarithmic.
        logy: the axis up is logarithmic.
        metric: only metrics with this in their name.
    """

    x: Literal["step", "relative", "time"] = "step"
    smooth: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    logx: bool = False
    logy: bool = False
    metric: Text = ""


class CompareQuery(CurveLook, frozen=True, kw_only=True):
    """Which runs, and what of them.

    Attributes:
        runs: their ids, joined by commas.
        tab: what is compared.
        all: also what they have in common.
        across: for the scatter plot, what is on the axis across; `up` on the other.
        up: see `across`.
        bar: the metric of the bars.
        axes: of the parallel coordinates; empty: those that tell most.
    """

    runs: Runs = ""
    tab: Literal["curves", "relations", "differences"] = "curves"
    all: bool = False
    across: Text = ""
    up: Text = ""
    bar: Text = ""
    axes: Annotated[str, msgspec.Meta(max_length=2_000)] = ""


class CurvesQuery(Query, frozen=True, kw_only=True):
    """Which curves: of which runs and metrics, sampled to how many points, of which steps."""

    runs: Runs
    names: Annotated[str, msgspec.Meta(max_length=6_000)]
    points: Annotated[int, msgspec.Meta(ge=2, le=5_000)] = 600
    start: int | None = None
    end: int | None = None


class LiveQuery(Query, frozen=True, kw_only=True):
    """Of which runs what is new, after what was known."""

    runs: Runs
    after: Annotated[str, msgspec.Meta(max_length=100)] = ""


class CurvesAnswer(msgspec.Struct, frozen=True):
    """Curves by metric."""

    curves: dict[str, list[curves.Curve]]


def compare(ask: Ask[CompareQuery, None]) -> Html:
    """Show runs side by side."""
    wanted = ask.query
    ids = run_ids(wanted.runs)
    with ask.read() as tx:
        runs = tracking.runs_by_id(tx, ids)
        experiments = {n: tracking.experiment(tx, n) for n in sorted({run.experiment for run in runs})}
        context = _tab(tx, wanted, runs)
        mark = mark_of(tx, ids)
    named = views_compare.labels(runs)
    return page(
        ask, "compare.html", title="Compare runs", nav="runs", crumbs=_crumbs(experiments), runs=runs, labels=named,
        answer=views_compare.answer_of(runs) if runs else "Choose runs in a table to see them side by side.",
        experiments=experiments, query=wanted, style_of=curves.style_of, compare_link=links.compare,
        tab_link=lambda tab: links.with_query(PATH, runs=wanted.runs, tab="" if tab == "curves" else tab),
        without=lambda run: links.compare(one for one in ids if one != run),
        script=script_of(runs, named, wanted, mark), looks=("runs", "tab"), **context,
    )  # fmt: skip


def run_ids(text: str) -> list[str]:
    """Return the ids of runs that an address lists.

    Raises:
        InvalidInput: there are too many.
    """
    ids = list(dict.fromkeys(part for part in text.split(",") if part))
    if len(ids) > views_compare.MOST:
        raise InvalidInput(f"At most {views_compare.MOST} runs are compared at once; choose fewer.", where="runs")
    return ids


def script_of(runs: Sequence[Run], named: Sequence[str], look: CurveLook, mark: str) -> dict[str, Any]:
    """Return what our script needs to draw the curves, and to follow them while a run is running."""
    ids = ",".join(run.id for run in runs)
    return {
        "curves": links.with_query("/curves", runs=ids),
        "runs": [{"id": run.id, "label": named[at], "slot": at} for at, run in enumerate(runs)],
        "x": look.x, "smooth": look.smooth, "logX": look.logx, "logY": look.logy, "mark": mark,
        "live": links.with_query("/live", runs=ids) if any(run.status == "running" for run in runs) else None,
    }  # fmt: skip


def _crumbs(experiments: dict[int, Experiment]) -> list[tuple[str, str]]:
    if len(experiments) != 1:
        return [("Runs", "/runs")]
    (one,) = experiments.values()
    return [("Runs", "/runs"), (one.name, links.experiment(one.id))]


def _tab(tx: Transaction, wanted: CompareQuery, runs: Sequence[Run]) -> dict[str, Any]:
    named = views_compare.labels(runs)
    match wanted.tab:
        case "curves":
            every = views_compare.metric_names(runs, text=wanted.metric)
            stepped = names_with_steps(tx, runs)
            names = [name for name in every if name in stepped]
            single = {
                name: charts.bars(views_compare.bars_of(runs, named, name)) for name in every if name not in stepped
            }
            now = names[: views_compare.DRAWN_AT_ONCE]
            found = read_curves(tx, runs, named, now, max(60, min(POINTS, 10 * POINTS // max(1, len(runs)))))
            return {"names": names, "single": single, "drawn": {name: drawn(found[name], name, wanted) for name in now}}
        case "relations":
            return _relations(wanted, runs, named)
        case _:
            return {"sections": differences.sections(runs, everything=wanted.all)}


def drawn(found: Sequence[curves.Curve], name: str, look: CurveLook) -> object:
    """Return the curves of one metric as the server draws them."""
    return curves.draw(found, label=name, axis=look.x, smooth=look.smooth, log_x=look.logx, log_y=look.logy)


def _relations(wanted: CompareQuery, runs: Sequence[Run], named: Sequence[str]) -> dict[str, Any]:
    offered = views_compare.comparable(runs)
    axes = relations.axes_of(runs, columns.parse_all(wanted.axes))
    metrics = [one for one in offered if one.kind == "metrics"]
    up = views_compare.chosen_axis(wanted.up, offered) or (metrics[0] if metrics else None)
    first = next((axis.column for axis in axes if axis.column.kind == "params" and not axis.categories), None)
    across = views_compare.chosen_axis(wanted.across, offered) or first or (metrics[-1] if metrics else None)
    x = relations.axis_of(runs, across) if across else None
    y = relations.axis_of(runs, up) if up else None
    bar = wanted.bar or (metrics[0].name if metrics else "")
    return {
        "offered": offered, "parallel": relations.parallel(runs, axes),
        "across": across, "up": up, "scatter": relations.scatter(runs, x, y) if x and y else None,
        "metrics": [one.name for one in metrics], "bar": bar,
        "bars": charts.bars(views_compare.bars_of(runs, named, bar)),
    }  # fmt: skip


def curves_of(ask: Ask[CurvesQuery, None]) -> CurvesAnswer:
    """Return learning curves, sampled to what can be seen."""
    wanted = ask.query
    with ask.read() as tx:
        runs = tracking.runs_by_id(tx, run_ids(wanted.runs))
        named = views_compare.labels(runs)
        names = columns.names_of(wanted.names)[:50]
        found = read_curves(tx, runs, named, names, wanted.points, start=wanted.start, end=wanted.end)
    return CurvesAnswer(found)


def live(ask: Ask[LiveQuery, None]) -> Live:
    """Return what changed of some runs since a mark; only the mark when nothing did."""
    ids = run_ids(ask.query.runs)
    with ask.read() as tx:
        return live_of(tx, ids, ask.query.after)


ROUTES = (
    Route("GET", PATH, "runs.read", compare, "Show runs side by side.", query=CompareQuery, answer=Html),
    Route("GET", "/curves", "runs.read", curves_of, "Return learning curves of runs, sampled.", query=CurvesQuery,
          answer=CurvesAnswer),
    Route("GET", "/live", "runs.read", live, "Return what changed of runs since a mark.", query=LiveQuery,
          answer=Live),
)  # fmt: skip
