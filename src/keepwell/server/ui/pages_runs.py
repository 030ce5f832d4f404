"""The table of runs, of one experiment or of all: filter, sort, choose columns, group, and act on chosen ones."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from keepwell.core.clock import from_iso
from keepwell.core.errors import InvalidInput
from keepwell.core.filters import advised
from keepwell.db import Transaction
from keepwell.server.routing import Ask, Body, Html, Query, Route, SeeOther
from keepwell.server.ui import columns, links, words
from keepwell.server.ui.columns import Column
from keepwell.server.ui.grouping import grouped
from keepwell.server.ui.render import page
from keepwell.server.ui.views_compare import MOST as MOST_COMPARED
from keepwell.server.ui.views_table import (
    Asked,
    choices,
    completions,
    groupings,
    header,
    headers,
    note_of,
    pages,
    rows_of,
    spans,
)
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Experiment

PATH = "/runs"
NAMED = 30
"""Names for columns and completion are those of so many experiments: of the runs that are shown, then the newest."""
Text = Annotated[str, msgspec.Meta(max_length=4_000)]
Back = Annotated[str, msgspec.Meta(pattern=r"^/(runs|experiments/[0-9]{1,18})(\?.*)?$", max_length=8_000)]
Path = Annotated[str, msgspec.Meta(pattern=r"^/(runs|experiments/[0-9]{1,18})$")]
FIXED = (Column("attributes", "run_name"), Column("attributes", "status"), Column("attributes", "start_time"))


class TableQuery(Query, frozen=True, kw_only=True):
    """Which runs, and how they are shown; see `views_table.Asked`."""

    filter: Text = ""
    sort: Annotated[str, msgspec.Meta(max_length=300)] = ""
    columns: Text = ""
    group: Annotated[str, msgspec.Meta(max_length=300)] = ""
    view: Literal["active", "deleted", "all"] = "active"
    page: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class Compared(Body, frozen=True, kw_only=True):
    """Runs that were chosen to be compared. The fields of the other buttons of the form are let through."""

    run: Annotated[tuple[str, ...], msgspec.Meta(max_length=500)] = ()
    tag: Text = ""
    value: Annotated[str, msgspec.Meta(max_length=5_000)] = ""
    back: Back = PATH


class Kept(Compared, frozen=True, kw_only=True):
    """Runs that were chosen to be deleted or restored."""

    do: Literal["delete", "restore"]


class ColumnsForm(Body, frozen=True, kw_only=True):
    """Columns that were chosen for a table, and what else its address holds."""

    path: Path
    column: Annotated[tuple[str, ...], msgspec.Meta(max_length=columns.MOST)] = ()
    filter: Text = ""
    sort: Annotated[str, msgspec.Meta(max_length=300)] = ""
    group: Annotated[str, msgspec.Meta(max_length=300)] = ""
    view: Literal["active", "deleted", "all"] = "active"
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


def runs(ask: Ask[TableQuery, None]) -> Html:
    """Show the runs of all experiments."""
    with ask.read() as tx:
        found = tracking.search_experiments(tx, view="active", limit=10_000)
        return show_table(ask, tx, {one.id: one for one in found}, None)


def experiment(ask: Ask[TableQuery, None]) -> Html:
    """Show the runs of one experiment."""
    with ask.read() as tx:
        one = tracking.experiment(tx, experiment_id(ask.path["experiment"]))
        return show_table(ask, tx, {one.id: one}, one)


def experiment_id(text: str) -> int:
    """Return an experiment's id out of an address.

    Raises:
        InvalidInput: it is none.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("The id of an experiment is a whole number; /experiments lists them.", where="experiment")
    return int(text)


def show_table(
    ask: Ask[TableQuery, None], tx: Transaction, scope: dict[int, Experiment], one: Experiment | None
) -> Html:
    """Show a table of runs.

    Args:
        ask: the request.
        tx: a transaction to read in.
        scope: the experiments whose runs are shown.
        one: the experiment that the page is about; None for all.
    """
    wanted = ask.query
    asked = Asked(links.experiment(one.id) if one else PATH, **msgspec.structs.asdict(wanted))
    context: dict[str, Any] = {"rows": [], "heads": [], "fixed": [], "groups": None, "where": None, "problem": None}
    try:
        context |= grouped(tx, asked, scope) if asked.group else _listed(tx, asked, scope)
    except InvalidInput as error:
        context["problem"] = str(advised(error))
    shown = [run.experiment for run, _ in context["rows"]]
    known = tracking.run_columns(tx, list(dict.fromkeys([*shown, *scope]))[:NAMED])
    total = context["where"].total if context["where"] else 0
    filtered = bool(asked.filter or asked.group or asked.view != "active")
    whole = total if not filtered else tracking.count_runs(tx, list(scope), "", "active")
    running = tracking.count_runs(tx, list(scope), "attributes.status = 'RUNNING'", "active") if whole else 0
    return page(
        ask, "runs.html", title=one.name if one else "Runs", nav="runs", status=400 if context["problem"] else 200,
        crumbs=[("Runs", PATH), ("Experiments", "/experiments")] if one else (),
        json=f"/api/experiments/{one.id}" if one else "/api/runs", asked=asked, experiment=one,
        experiments=None if one else {number: found.name for number, found in scope.items()},
        note=note_of(one.tags) if one else "", whole=whole, answer=answer_of(whole, running, len(scope), one),
        groupings=groupings(known, whole=one is None) if whole else [], completions=completions(known),
        menu=choices(known, [h.column for h in context["heads"]]) if whole and not asked.group else {},
        shown=[h.column for h in context["heads"]], moment_of=from_iso, seconds_of=columns.seconds_of,
        origin=ask.origin, **context,
    )  # fmt: skip


def answer_of(whole: int, running: int, experiments: int, one: Experiment | None) -> str:
    """Return what the page says first."""
    if not whole:
        return "No run is recorded here yet."
    said = words.plural(whole, "run") + ("" if one else f" in {words.plural(experiments, 'experiment')}")
    return f"{said}; {running:,} running now." if running else f"{said}; none is running."


def _listed(tx: Transaction, asked: Asked, scope: dict[int, Experiment]) -> dict[str, Any]:
    text, ids = columns.as_filter(asked.filter), list(scope)
    order = columns.order_clauses(asked.sort)
    found = tracking.search_runs(
        tx,
        ids,
        text,
        asked.view,
        order,
        limit=asked.limit,
        offset=(asked.page - 1) * asked.limit,
    )
    total = len(found)
    if asked.page > 1 or total == asked.limit:
        total = tracking.count_runs(tx, ids, text, asked.view)
    shown = columns.parse_all(asked.columns) or columns.usual(found)
    return {
        "rows": rows_of(found, shown),
        "heads": headers(asked, shown, found),
        "spans": spans(shown),
        "fixed": [header(asked, column) for column in FIXED],
        "where": pages(asked, len(found), total),
    }


def compare(ask: Ask[None, Compared]) -> SeeOther:
    """Go to the page that compares the chosen runs."""
    runs = _chosen(ask.body)
    if len(runs) > MOST_COMPARED:
        raise InvalidInput(f"At most {MOST_COMPARED} runs are compared at once; choose fewer.", where="run")
    return SeeOther(links.compare(runs))


def tag(ask: Ask[None, Compared]) -> SeeOther:
    """Set a tag of the chosen runs, all in one transaction."""
    name, runs = ask.body.tag.strip(), _chosen(ask.body)
    if not name:
        raise InvalidInput("Name the tag that the runs shall have.", where="tag")
    with ask.write() as tx:
        for run in runs:
            tracking.set_tags(tx, ask.call(), run, {name: ask.body.value})
    return SeeOther(ask.body.back)


def keep(ask: Ask[None, Kept]) -> SeeOther:
    """Delete or restore the chosen runs, all in one transaction."""
    act = tracking.delete_run if ask.body.do == "delete" else tracking.restore_run
    runs = _chosen(ask.body)
    with ask.write() as tx:
        for run in runs:
            act(tx, ask.call(), run)
    return SeeOther(ask.body.back)


def _chosen(body: Compared) -> list[str]:
    runs = list(dict.fromkeys(body.run))
    if not runs:
        raise InvalidInput("No run was chosen; go back and tick some of the table.", where="run")
    return runs


def choose_columns(ask: Ask[None, ColumnsForm]) -> SeeOther:
    """Go to the table with the chosen columns in its address."""
    given = msgspec.structs.asdict(ask.body)
    picked = [one for text in given.pop("column") if (one := columns.parse(text)) is not None]
    return SeeOther(Asked(**given).link(columns=columns.written(picked)))


ROUTES = (
    Route("GET", PATH, "runs.read", runs, "Show the runs of all experiments.", query=TableQuery, answer=Html),
    Route("GET", "/experiments/{experiment}", "runs.read", experiment, "Show the runs of an experiment.",
          query=TableQuery, answer=Html),
    Route("POST", "/runs/compare", "runs.read", compare, "Compare runs that were chosen in a table.", body=Compared,
          form=True, answer=SeeOther),
    Route("POST", "/runs/tag", "runs.write", tag, "Set a tag of runs that were chosen in a table.", body=Compared,
          form=True, answer=SeeOther),
    Route("POST", "/runs/keeping", "runs.delete", keep, "Delete or restore runs that were chosen in a table.",
          body=Kept, form=True, answer=SeeOther),
    Route("POST", "/runs/columns", "runs.read", choose_columns, "Choose the columns of a table of runs.",
          body=ColumnsForm, form=True, answer=SeeOther),
)  # fmt: skip
