"""The page of a charter: what it says, what that makes happen, and how it changed."""

from __future__ import annotations

import difflib
from typing import Annotated

import msgspec

from keepwell.charter.explain import explain
from keepwell.governance import charters
from keepwell.server.routing import Ask, Html, Query, Route
from keepwell.server.ui import links
from keepwell.server.ui.render import page


class CharterQuery(Query, frozen=True, kw_only=True):
    """Which of the model's charters; the one in force if absent."""

    number: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] | None = None


def charter(ask: Ask[CharterQuery, None]) -> Html:
    """Show a charter."""
    with ask.read() as tx:
        shown = charters.charter_version(tx, ask.path["model"], ask.query.number)
        history = charters.charter_history(tx, ask.path["model"])
    before = next((one for one in history if one.number == shown.number - 1), None)
    said: dict[str, list[str]] = {}
    for heading, sentence in explain(shown.charter, ask.kit.clock.now()):
        said.setdefault(heading, []).append(sentence)
    name = shown.charter.model
    return page(
        ask,
        "charter.html",
        title="Charter",
        nav="models",
        crumbs=[("Fleets and models", "/models"), (name, links.model(name))],
        json=links.with_query(f"/api/charters/{links.model(name).rpartition('/')[2]}", number=ask.query.number),
        shown=shown,
        history=history,
        said=said,
        changes=changes(before.text, shown.text) if before is not None else [],
    )


def changes(before: str, after: str) -> list[tuple[str, str]]:
    """Return the lines that differ, with two lines around them, each with `+`, `-`, a space, or `…` for a gap."""
    found = []
    for line in list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]:
        found.append(("…", "") if line.startswith("@@") else (line[:1] or " ", line[1:]))
    return found


ROUTES = (
    Route("GET", "/models/{model}/charter", "pages.read", charter, "Show a model's charter.",
          query=CharterQuery, answer=Html),
)  # fmt: skip
