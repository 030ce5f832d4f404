"""Page tokens: base64 of `{"offset": n}`, as MLflow's; that of logged models is bound to what was asked."""

from __future__ import annotations

import base64
import json
from typing import Any

from keepwell.server.protocols.mlflow.errors import invalid

FARTHEST = 1_000_000_000


def read_token(token: str | None) -> int:
    """Return how many results are skipped.

    Raises:
        Refusal: it is not a token.
    """
    if not token:
        return 0
    parsed = _decode(token)
    offset = parsed.get("offset") if isinstance(parsed, dict) else None
    if not offset:
        raise invalid(f"Invalid page token, parsed value={str(parsed)[:200]}")
    return _offset(offset)


def make_token(offset: int) -> str:
    """Return the token of the page that skips so many."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()


def read_bound_token(token: str | None, asked: dict[str, Any]) -> int:
    """Return how many results are skipped, when the token is one for what is asked.

    Raises:
        Refusal: it is not a token, or one of another search.
    """
    if not token:
        return 0
    parsed = _decode(token)
    if not isinstance(parsed, dict):
        raise invalid(f"Invalid page token: {token[:200]}.")
    for name, said in (
        ("experiment_ids", "Experiment IDs"),
        ("filter_string", "Filter string"),
        ("order_by", "Order by"),
    ):
        if (parsed.get(name) or None) != (asked[name] or None):
            what = said.lower().replace("ids", "IDs")
            raise invalid(
                f"{said} in the page token do{'es' if not said.endswith('s') else ''} not match the requested {what}. "
                f"Expected: {asked[name]}. Found: {parsed.get(name)}"
            )
    return _offset(parsed.get("offset") or 0)


def make_bound_token(offset: int, asked: dict[str, Any]) -> str:
    """Return the token of the page of a search that skips so many."""
    return base64.b64encode(json.dumps({**asked, "offset": offset}).encode()).decode()


def _decode(token: str) -> Any:
    try:
        decoded = base64.b64decode(token)
    except ValueError:
        raise invalid("Invalid page token, could not base64-decode") from None
    try:
        return json.loads(decoded)
    except (ValueError, RecursionError):
        raise invalid(f"Invalid page token, decoded value={decoded[:200]!r}") from None


def _offset(given: object) -> int:
    try:
        offset = int(str(given)[:20])
    except ValueError:
        raise invalid(f"Invalid page token, not stringable {str(given)[:100]}") from None
    if not 0 <= offset <= FARTHEST:
        raise invalid(f"Invalid page token, parsed value={{'offset': {offset}}}")
    return offset


def page(name: str, found: list[Any], most: int, offset: int) -> dict[str, Any]:
    """Return one page of a search that was asked for one result more than `most`; no results are not named."""
    told: dict[str, Any] = {name: found[:most]} if found[:most] else {}
    if len(found) > most:
        told["next_page_token"] = make_token(offset + most)
    return told
