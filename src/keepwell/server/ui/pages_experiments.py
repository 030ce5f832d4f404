"""Experiments: their list, and what a person changes of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from keepwell.core.clock import from_iso
from keepwell.db import Transaction
from keepwell.server.routing import Ask, Body, Html, Query, Route, SeeOther
from keepwell.server.ui import links, words
from keepwell.server.ui.pages_runs import experiment_id
from keepwell.server.ui.render import page
from keepwell.server.ui.views_table import NOTE, note_of, shown_tags
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Experiment, Run

PATH = "/experiments"
A_PAGE = 50
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Note = Annotated[str, msgspec.Meta(max_length=8_000)]


class ExperimentsQuery(Query, frozen=True, kw_only=True):
    """Which experiments: with a text in their name, kept or deleted, on which page."""

    q: Annotated[str, msgspec.Meta(max_length=200)] = ""
    view: Literal["active", "deleted", "all"] = "active"
    page: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1


class NewExperiment(Body, frozen=True, kw_only=True):
    """An experiment to make."""

    name: Name
    note: Note = ""


class ExperimentForm(Body, frozen=True, kw_only=True):
    """What a person changes of an experiment."""

    name: Name
    note: Note = ""


class Keeping(Body, frozen=True, kw_only=True):
    """Whether something is kept. The other fields of the form are let through."""

    do: Literal["delete", "restore"]
    name: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    note: Note = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One experiment in the list: how many runs it has, how many of them run, its newest run."""

    experiment: Experiment
    runs: int
    running: int
    newest: Run | None

    @property
    def note(self) -> str:
        """What people wrote of it."""
        return note_of(self.experiment.tags)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags for people."""
        return shown_tags(self.experiment.tags)


def experiments(ask: Ask[ExperimentsQuery, None]) -> Html:
    """List experiments, the newest first."""
    wanted = ask.query
    text = wanted.q.strip().replace("'", "''")
    with ask.read() as tx:
        found = tracking.search_experiments(
            tx, f"name ILIKE '%{text}%'" if text else "", ["creation_time DESC"], wanted.view, limit=A_PAGE + 1,
            offset=(wanted.page - 1) * A_PAGE,
        )  # fmt: skip
        lines = [line_of(tx, one) for one in found[:A_PAGE]]
    running = sum(one.running for one in lines)
    said = words.plural(sum(one.runs for one in lines), "run") + " in " + words.plural(len(lines), "experiment")
    return page(
        ask, "experiments.html", title="Experiments", nav="runs", crumbs=[("Runs", "/runs")], json="/api/experiments",
        lines=lines, query=wanted, moment_of=from_iso,
        answer=f"{said}{' on this page' if len(found) > A_PAGE or wanted.page > 1 else ''}; {running:,} running now."
        if lines else "An experiment holds runs that belong together.",
        before=_at(wanted, wanted.page - 1) if wanted.page > 1 else None,
        next=_at(wanted, wanted.page + 1) if len(found) > A_PAGE else None,
    )  # fmt: skip


def _at(wanted: ExperimentsQuery, number: int) -> str:
    view = "" if wanted.view == "active" else wanted.view
    return links.with_query(PATH, q=wanted.q, view=view, page=number if number > 1 else "")


def line_of(tx: Transaction, one: Experiment) -> Line:
    """Return an experiment with what its runs are up to."""
    newest = tracking.search_runs(tx, [one.id], limit=1)
    running = tracking.count_runs(tx, [one.id], "attributes.status = 'RUNNING'") if newest else 0
    return Line(one, tracking.count_runs(tx, [one.id]) if newest else 0, running, newest[0] if newest else None)


def make(ask: Ask[None, NewExperiment]) -> SeeOther:
    """Make an experiment."""
    note = ask.body.note.strip()
    with ask.write() as tx:
        made = tracking.create_experiment(tx, ask.call(), ask.body.name.strip(), {NOTE: note} if note else {})
    return SeeOther(links.experiment(made.id))


def change(ask: Ask[None, ExperimentForm]) -> SeeOther:
    """Rename an experiment, or write its note."""
    wanted, number = ask.body, experiment_id(ask.path["experiment"])
    with ask.write() as tx:
        found = tracking.experiment(tx, number)
        if wanted.name.strip() != found.name:
            tracking.update_experiment(tx, ask.call(), number, wanted.name.strip())
        if wanted.note.strip() != note_of(found.tags):
            tracking.set_experiment_tag(tx, ask.call(), number, NOTE, wanted.note.strip())
    return SeeOther(links.experiment(number))


def keep(ask: Ask[None, Keeping]) -> SeeOther:
    """Delete an experiment with its runs, or restore it."""
    number = experiment_id(ask.path["experiment"])
    with ask.write() as tx:
        act = tracking.delete_experiment if ask.body.do == "delete" else tracking.restore_experiment
        act(tx, ask.call(), number)
    return SeeOther(links.experiment(number))


ROUTES = (
    Route("GET", PATH, "runs.read", experiments, "List experiments.", query=ExperimentsQuery, answer=Html),
    Route("POST", PATH, "runs.write", make, "Make an experiment.", body=NewExperiment, form=True, answer=SeeOther),
    Route("POST", "/experiments/{experiment}", "runs.write", change, "Rename an experiment, or write its note.",
          body=ExperimentForm, form=True, answer=SeeOther),
    Route("POST", "/experiments/{experiment}/keeping", "runs.delete", keep, "Delete or restore an experiment.",
          body=Keeping, form=True, answer=SeeOther),
)  # fmt: skip
