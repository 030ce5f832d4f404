"""Scripts and styles, ours and vendored, read once; each address names the content's hash, so browsers keep it."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources

from keepwell.core.errors import NotFound
from keepwell.governance.identity_rules import OPEN
from keepwell.server.routing import Ask, File, Query, Route

MEDIA = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
DAY, YEAR = 86_400, 31_536_000


class StaticQuery(Query, frozen=True, kw_only=True):
    """`v` is the start of the content's hash."""

    v: str | None = None


@functools.cache
def _files() -> dict[str, bytes]:
    folder = resources.files(__package__) / "static"
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name.rpartition(".")[2] in MEDIA}


@functools.cache
def asset(name: str) -> str:
    """Return the address of a static file, with its hash.

    Raises:
        NotFound: there is no such file.
    """
    if name not in _files():
        raise NotFound(f"There is no file {name[:80]!a}.")
    return f"/static/{name}?v={hashlib.sha256(_files()[name]).hexdigest()[:12]}"


def static(ask: Ask[StaticQuery, None]) -> File:
    """Return a script, style or picture."""
    name = ask.path["name"]
    known = asset(name)
    return File(_files()[name], MEDIA[name.rpartition(".")[2]], cache=YEAR if known.endswith(f"={ask.query.v}") else 0)


def icon(ask: Ask[None, None]) -> File:
    """Return the picture that browsers ask for beside answers that are no pages."""
    return File(_files()["keepwell.svg"], MEDIA["svg"], cache=DAY)


ROUTES = (
    Route("GET", "/favicon.ico", OPEN, icon, "Return the picture of a tab.", answer=File),
    Route("GET", "/static/{name}", OPEN, static, "Return a script, style or picture.", query=StaticQuery, answer=File),
)
