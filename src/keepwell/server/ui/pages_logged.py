"""A model that a run logged: what it takes and gives, what was measured of it, its files, where it is registered."""

from __future__ import annotations

from typing import Annotated

import msgspec

from keepwell.core.clock import from_iso
from keepwell.core.errors import KeepwellError
from keepwell.models import registry
from keepwell.server.routing import Ask, Html, Query, Route
from keepwell.server.ui import links, views_registry
from keepwell.server.ui.columns import number_cell
from keepwell.server.ui.pages_registry import described
from keepwell.server.ui.reading_artifacts import listing, preview
from keepwell.server.ui.render import page
from keepwell.server.ui.views_table import shown_tags
from keepwell.tracking import service as tracking


class LoggedQuery(Query, frozen=True, kw_only=True):
    """Which of its files is looked at."""

    path: Annotated[str, msgspec.Meta(max_length=600)] = ""


def logged_model(ask: Ask[LoggedQuery, None]) -> Html:
    """Show a model that a run logged."""
    with ask.read() as tx:
        found = tracking.logged_model(tx, ask.path["model"], deleted=True)
        here = links.logged_model(found.id)
        where = listing(tx, found.id, ask.query.path)
        files = tracking.all_artifacts(tx, found.id)
        experiment = tracking.experiment(tx, found.experiment)
        run = next(iter(tracking.runs_by_id(tx, [found.run])), None) if found.run else None
        versions = registry.search_versions(tx, f"run_id = '{found.run}'", limit=200) if found.run else []
    told = [(one.path, one.digest or "", one.size or 0) for one in files]
    try:
        signature = views_registry.signature_of(described(ask.kit.blobs, told))
    except KeepwellError:
        signature = views_registry.signature_of({})
    return page(
        ask, "logged_model.html", title=found.name, nav="runs",
        crumbs=[("Runs", "/runs"), (experiment.name, links.experiment(experiment.id)),
                *([(run.name, links.run(run.id))] if run else [])],
        model=found, run=run, where=where, shown=preview(ask.kit.blobs, where.file, here) if where.file else None,
        signature=signature, versions=[one for one in versions if one.logged_model == found.id], moment_of=from_iso,
        tags=shown_tags(found.tags), number_cell=number_cell,
        artifact_link=lambda path: links.with_query(here, path=path),
    )  # fmt: skip


ROUTES = (
    Route("GET", "/logged-models/{model}", "runs.read", logged_model, "Show a model that a run logged.",
          query=LoggedQuery, answer=Html),
)  # fmt: skip
