"""One run: what it is and how it went, its charts, what it made, and the machine it ran on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from keepwell.core.clock import from_iso
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.db import Transaction
from keepwell.ledger import service as ledger
from keepwell.models import service as models
from keepwell.pipelines import service as pipelines
from keepwell.server.routing import Ask, Body, Html, Route, SeeOther
from keepwell.server.ui import columns, curves, links, views_compare, views_run
from keepwell.server.ui.pages_compare import POINTS, CurveLook, drawn, script_of
from keepwell.server.ui.pages_experiments import Keeping
from keepwell.server.ui.reading_artifacts import listing, preview
from keepwell.server.ui.reading_curves import mark_of, read_curves
from keepwell.server.ui.render import page
from keepwell.server.ui.views_runs import took_of
from keepwell.server.ui.views_table import NOTE, note_of, shown_tags
from keepwell.tracking import service as tracking
from keepwell.tracking.model import LoggedModel, Run

PATH = "/runs/{run}"
OVERVIEW = 6
"""So many charts stand on the overview."""
AT_ONCE = 12
"""So many charts are drawn by the server; scripts draw the others as they come into sight."""


class RunQuery(CurveLook, frozen=True, kw_only=True):
    """What of a run is shown, and how.

    Attributes:
        tab: the part of it.
        path: of an artifact or a folder of them.
    """

    tab: Literal["overview", "charts", "artifacts", "system"] = "overview"
    path: Annotated[str, msgspec.Meta(max_length=600)] = ""


class RunForm(Body, frozen=True, kw_only=True):
    """What a person changes of a run: its name and note, or a tag."""

    do: Literal["save", "tag", "untag"]
    name: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    note: Annotated[str, msgspec.Meta(max_length=8_000)] = ""
    tag: Annotated[str, msgspec.Meta(max_length=250)] = ""
    value: Annotated[str, msgspec.Meta(max_length=5_000)] = ""


def run(ask: Ask[RunQuery, None]) -> Html:
    """Show one run."""
    wanted = ask.query
    with ask.read() as tx:
        found = tracking.run(tx, ask.path["run"])
        experiment = tracking.experiment(tx, found.experiment)
        piped = pipelines_within(tx, found)
        worked = {found.id: sum(pipelines.pipeline_run(tx, one).seconds for one in piped)}
        context = _tab(ask, tx, found)
        mark = mark_of(tx, [found.id])
        system = views_compare.metric_names([found], system=True)
    return page(
        ask, "run.html", title=found.name, nav="runs", json=f"/api/runs/{found.id}",
        crumbs=[("Runs", "/runs"), (experiment.name, links.experiment(experiment.id))],
        run=found, experiment=experiment, piped=piped, took=took_of(found, worked), query=wanted, system=system,
        charted=len(views_compare.metric_names([found])), made=len(found.artifacts), moment_of=from_iso,
        note=note_of(found.tags), tags=shown_tags(found.tags), style_of=curves.style_of,
        number_cell=columns.number_cell, read_words=views_run.read_words,
        script=script_of([found], [found.name], wanted, mark), path=links.run(found.id), **context,
        artifact_link=lambda name: links.with_query(links.run(found.id), tab="artifacts", path=name),
        tab_link=lambda tab: links.with_query(links.run(found.id), tab="" if tab == "overview" else tab),
    )  # fmt: skip


def _tab(ask: Ask[RunQuery, None], tx: Transaction, found: Run) -> dict[str, Any]:
    wanted = ask.query
    match wanted.tab:
        case "charts":
            return _charts(tx, found, wanted, views_compare.metric_names([found], text=wanted.metric), AT_ONCE)
        case "system":
            names = views_compare.metric_names([found], text=wanted.metric, system=True)
            return _charts(tx, found, wanted, names, AT_ONCE)
        case "artifacts":
            where = listing(tx, found.id, wanted.path)
            shown = preview(ask.kit.blobs, where.file, links.run(found.id)) if where.file else None
            return {"where": where, "shown": shown}
        case _:
            return _overview(tx, found, wanted)


def _charts(tx: Transaction, found: Run, wanted: RunQuery, names: Sequence[str], most: int) -> dict[str, Any]:
    now = names[:most]
    told = read_curves(tx, [found], [found.name], now, POINTS)
    return {"names": names, "drawn": {name: drawn(told[name], name, wanted) for name in now}}


def _overview(tx: Transaction, found: Run, wanted: RunQuery) -> dict[str, Any]:
    latest = tracking.latest(tx, found.id)
    within = views_run.charted(latest)
    children = tracking.runs(tx, parent=found.id, limit=50)
    made = [model for one in found.outputs[:50] if (model := _model(tx, one.model)) is not None]
    return {
        **_charts(tx, found, wanted, within[:OVERVIEW], OVERVIEW),
        "more_charts": max(0, len(within) - OVERVIEW),
        "latest": [one for one in latest if not one.name.startswith(views_compare.SYSTEM)],
        "parent": tracking.run(tx, found.parent) if found.parent else None,
        "children": children,
        "child_columns": columns.usual(children),
        "cell": columns.cell,
        "batches": models.batches(tx, run_id=found.id, limit=20),
        "entries": list(ledger.entries(tx, subject=f"run:{found.id}", limit=20)),
        "logged": made,
        "facts": views_run.facts_of(found),
        "sizes": {one.path: one.size for one in tracking.all_artifacts(tx, found.id)},
        "seconds_of": columns.seconds_of,
    }


def _model(tx: Transaction, model_id: str) -> LoggedModel | None:
    """Return a logged model, deleted or not; None when the run names one that never was here."""
    try:
        return tracking.logged_model(tx, model_id, deleted=True)
    except NotFound:
        return None


def pipelines_within(tx: Transaction, found: Run) -> list[str]:
    """Return the pipeline runs that a run started, by the ledger: the same actor's, between its start and its end."""
    if found.model is None:
        return []
    mine = ledger.entries(tx, subject=f"run:{found.id}", limit=10)
    if not mine:
        return []
    end = max(entry.seq for entry in mine) if found.finished_at else None
    within = ledger.entries(
        tx, kind="pipeline.run_", actor=found.actor, after=min(entry.seq for entry in mine), before=end, limit=50
    )
    return list(dict.fromkeys(entry.subject.partition(":")[2] for entry in within))


def change(ask: Ask[None, RunForm]) -> SeeOther:
    """Change what a person may say of a run."""
    wanted, run_id = ask.body, ask.path["run"]
    with ask.write() as tx:
        call = ask.call()
        match wanted.do:
            case "save":
                found = tracking.run(tx, run_id)
                if wanted.name.strip() and wanted.name != found.name:
                    tracking.update_run(tx, call, run_id, name=wanted.name.strip())
                if wanted.note.strip() != note_of(found.tags):
                    tracking.set_tags(tx, call, run_id, {NOTE: wanted.note.strip()})
            case "tag":
                if not wanted.tag.strip():
                    raise InvalidInput("Name the tag.", where="tag")
                tracking.set_tags(tx, call, run_id, {wanted.tag.strip(): wanted.value})
            case _:
                tracking.delete_tag(tx, call, run_id, wanted.tag)
    return SeeOther(links.run(run_id))


def keep(ask: Ask[None, Keeping]) -> SeeOther:
    """Delete a run, or restore it."""
    with ask.write() as tx:
        act = tracking.delete_run if ask.body.do == "delete" else tracking.restore_run
        act(tx, ask.call(), ask.path["run"])
    return SeeOther(links.run(ask.path["run"]))


ROUTES = (
    Route("GET", PATH, "runs.read", run, "Show a run.", query=RunQuery, answer=Html),
    Route("POST", PATH, "runs.write", change, "Change a run's name, note or tags.", body=RunForm, form=True,
          answer=SeeOther),
    Route("POST", PATH + "/keeping", "runs.delete", keep, "Delete or restore a run.", body=Keeping, form=True,
          answer=SeeOther),
)  # fmt: skip
