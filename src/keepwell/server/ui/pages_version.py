"""The page of a version: what its gates said, what was measured, where it comes from, who approved it."""

from __future__ import annotations

from keepwell.core.errors import NotFound
from keepwell.core.segments import ALL
from keepwell.flows import trace as tracing
from keepwell.governance.charters import current_charter
from keepwell.models.model import ModelVersion
from keepwell.releases import service as releases
from keepwell.server.routing import Ask, Html, Route
from keepwell.server.ui import links, views_fleet, views_version
from keepwell.server.ui.render import page
from keepwell.server.ui.words import segment_words


def version(ask: Ask[None, None]) -> Html:
    """Show one version."""
    found = tracing.trace(ask.kit, ask.path["version"])
    one = found.version
    with ask.read() as tx:
        try:
            charter = current_charter(tx, one.model).charter
        except NotFound:
            charter = None
        waiting = [w for w in releases.waiting_approvals(tx, one.model) if one.id in w.version_ids]
    metrics = charter.evaluate.metrics if charter is not None else ()
    verdict = next((v for v in found.verdicts if v.void is None), None)
    return page(
        ask,
        "version.html",
        title=f"{segment_words(one.segment)} v{one.number}" if charter is not None else f"{one.model} v{one.number}",
        nav="models",
        crumbs=_crumbs(one, governed=charter is not None),
        json=f"/api/versions/{one.id}/lineage",
        trace=found,
        version=one,
        waiting=waiting,
        verdict=verdict,
        standing=views_version.standing(found),
        gates=views_version.gates_in_words(verdict),
        numbers_of=views_version.numbers_of,
        evidence=views_version.evidenced(found.evidence, metrics),
        graph=views_version.graph_of(found),
        weights=views_fleet.weights_of([one.facts]),
    )


def _crumbs(one: ModelVersion, *, governed: bool) -> list[tuple[str, str]]:
    outer = [("Fleets and models", "/models"), (one.model, links.model(one.model))]
    if governed:
        return [*outer, (segment_words(one.segment), links.segment(one.model, one.segment))]
    return (
        [*outer, (f"v{one.number}", links.registered_version(one.model, one.number))] if one.segment == ALL else outer
    )


ROUTES = (Route("GET", "/versions/{version}", "pages.read", version, "Show a version.", answer=Html),)
