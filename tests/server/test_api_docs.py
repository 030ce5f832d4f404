"""The page about the API names every route that is there, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

from keepwell.server.app import all_routes
from keepwell.server.errors import CODES, STATUSES
from keepwell.server.routing import Route

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def table(routes: tuple[Route, ...]) -> list[str]:
    return [
        f"| `{route.method}` | `{route.path}` | `{route.permission}` | {route.summary} |"
        for route in sorted(routes, key=lambda route: (route.path, route.method))
        if route.dialect is None
    ]


def test_the_page_lists_every_route_as_it_is_declared() -> None:
    written = [line for line in PAGE.read_text().splitlines() if re.match(r"\| `(GET|POST|PUT|PATCH|DELETE)`", line)]
    assert written == table(all_routes()), "\n".join(table(all_routes()))


def test_the_page_lists_every_status() -> None:
    text = PAGE.read_text()
    for status in {status for _, status in STATUSES} | set(CODES.values()):
        assert f"| {status} |" in text, status
