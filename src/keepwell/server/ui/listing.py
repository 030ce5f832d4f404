"""Links from one page of a listing to the next, with the filters that were chosen."""

from __future__ import annotations

from typing import Any

import msgspec

from keepwell.server.routing import Ask
from keepwell.server.ui import links


def next_link(ask: Ask[Any, Any], path: str, token: str | None) -> str | None:
    """Return the address of the next page of a listing, or None on the last."""
    return None if token is None else filtered(ask, path, cursor=token)


def first_link(ask: Ask[Any, Any], path: str) -> str | None:
    """Return the address of the first page of a listing, or None when this is it."""
    return filtered(ask, path) if getattr(ask.query, "cursor", None) else None


def filtered(ask: Ask[Any, Any], path: str, **changes: object) -> str:
    """Return a listing's address with the filters of this request, some of them changed."""
    usual = type(ask.query)().limit
    kept = {k: v for k, v in msgspec.to_builtins(ask.query).items() if k != "cursor" and (k, v) != ("limit", usual)}
    return links.with_query(path, **{**kept, **changes})


def chosen(ask: Ask[Any, Any], *names: str) -> bool:
    """Tell whether any of some filters is set."""
    return any(getattr(ask.query, name, None) for name in names)
