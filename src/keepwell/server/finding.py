"""Which app answers a path: one look-up for a path without placeholders, a walk over its segments for the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from keepwell.core.errors import NotFound


@dataclass(slots=True)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    here: tuple[ASGIApp, tuple[str, ...]] | None = None
    tail: tuple[ASGIApp, tuple[str, ...]] | None = None


class Finder:
    """An ASGI app that hands a request to the app of its path and sets `path_params`.

    A segment that is written out wins over a placeholder, and a placeholder over a tail (`{path...}`), which takes one
    segment or more.
    """

    def __init__(self, apps: Mapping[str, ASGIApp], missing: ASGIApp) -> None:
        self._plain = {path: app for path, app in apps.items() if "{" not in path}
        self._root = _Node()
        self._missing = missing
        for path, app in apps.items():
            if "{" in path:
                self._add(path.split("/")[1:], app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app, scope["path_params"] = self.find(scope["path"])
        await app(scope, receive, send)

    def find(self, path: str) -> tuple[ASGIApp, dict[str, str]]:
        """Return the app of a checked and decoded path, and what its placeholders are."""
        plain = self._plain.get(path)
        if plain is not None:
            return plain, {}
        values: list[str] = []
        found = _walk(self._root, path.split("/")[1:], 0, values)
        return (self._missing, {}) if found is None else (found[0], dict(zip(found[1], values, strict=True)))

    def _add(self, parts: list[str], app: ASGIApp) -> None:
        node, names = self._root, list[str]()
        for part in parts:
            if part.endswith("...}"):
                node.tail = node.tail or (app, (*names, part[1:-4]))
                return
            if part.startswith("{"):
                names.append(part[1:-1])
                node.any = node = node.any or _Node()
            else:
                node = node.literal.setdefault(part, _Node())
        node.here = node.here or (app, tuple(names))


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """Say that there is nothing.

    Raises:
        NotFound: always.
    """
    raise NotFound("There is nothing at this address.")


def _walk(node: _Node, parts: list[str], at: int, values: list[str]) -> tuple[ASGIApp, tuple[str, ...]] | None:
    if at == len(parts):
        return node.here
    after = node.literal.get(parts[at])
    found = _walk(after, parts, at + 1, values) if after is not None else None
    if found is None and node.any is not None:
        values.append(parts[at])
        found = _walk(node.any, parts, at + 1, values)
        if found is None:
            values.pop()
    if found is None and node.tail is not None:
        values.append("/".join(parts[at:]))
        return node.tail
    return found
