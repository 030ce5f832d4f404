"""Which app answers which path."""

from __future__ import annotations

from typing import Any

import pytest

from keepwell.server.finding import Finder


def found(path: str) -> tuple[str, dict[str, str]]:
    paths = (
        "/",
        "/a",
        "/a/b",
        "/a/{x}",
        "/a/{x}/c",
        "/a/{y}/d",
        "/{z}/b",
        "/f/{x}/{tail...}",
        "/f/{x}/list",
        "/g/{t...}",
    )
    apps: dict[str, Any] = {path: path for path in paths}
    missing: Any = "missing"
    app, given = Finder(apps, missing).find(path)
    return str(app), given


@pytest.mark.parametrize(
    ("path", "app", "given"),
    [
        ("/", "/", {}),
        ("/a", "/a", {}),
        ("/a/b", "/a/b", {}),
        ("/a/{x}", "/a/{x}", {"x": "{x}"}),
        ("/a/1", "/a/{x}", {"x": "1"}),
        ("/a/b/c", "/a/{x}/c", {"x": "b"}),
        ("/a/1/d", "/a/{y}/d", {"y": "1"}),
        ("/q/b", "/{z}/b", {"z": "q"}),
        ("/q/c", "missing", {}),
        ("/a/1/e", "missing", {}),
        ("/a/1/c/d", "missing", {}),
        ("/f/1", "missing", {}),
        ("/f/1/list", "/f/{x}/list", {"x": "1"}),
        ("/f/1/list/b", "/f/{x}/{tail...}", {"x": "1", "tail": "list/b"}),
        ("/f/1/a b/ü/c", "/f/{x}/{tail...}", {"x": "1", "tail": "a b/ü/c"}),
        ("/g", "missing", {}),
        ("/g/b", "/g/{t...}", {"t": "b"}),
    ],
)
def test_a_path_finds_its_app(path: str, app: str, given: dict[str, str]) -> None:
    assert found(path) == (app, given)
