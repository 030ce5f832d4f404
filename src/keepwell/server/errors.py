"""The one table from errors to HTTP, and how an error is written."""

from __future__ import annotations

import html

from keepwell.core import errors
from keepwell.server.codec import write_json
from keepwell.server.routing import Problem

STATUSES: tuple[tuple[type[errors.KeepwellError], int], ...] = (
    (errors.TooLarge, 413),
    (errors.InvalidInput, 400),
    (errors.Unauthenticated, 401),
    (errors.Denied, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.NotInstalled, 501),
    (errors.NotSupported, 501),
    (errors.Unavailable, 503),
    (errors.Damaged, 500),
    (errors.KeepwellError, 500),
)
"""The first class that fits."""

CODES: dict[str, int] = {
    "bad_path": 400,
    "bad_host": 400,
    "bad_origin": 403,
    "method_not_allowed": 405,
    "slow_body": 408,
    "path_too_long": 414,
    "unsupported_media_type": 415,
    "headers_too_large": 431,
}
"""What only HTTP knows: the code says more than the class."""

DENIALS = frozenset({"unauthenticated", "denied", "bad_origin", "bad_host", "bad_path"})
"""Codes of calls that someone tried and was not allowed: a mutating one leaves a row in the ledger."""


def status_of(error: errors.KeepwellError) -> int:
    """Return the HTTP status of an error."""
    return CODES.get(error.code) or next(status for kind, status in STATUSES if isinstance(error, kind))


def as_json(problem: Problem) -> bytes:
    """Return an error as JSON: `{"error": {"code", "message", "where"}}`."""
    return write_json({"error": {"code": problem.code, "message": problem.message, "where": problem.where}})


def as_page(problem: Problem) -> str:
    """Return an error as a plain page, used until the pages bring their own."""
    link = f'<p><a href="{html.escape(problem.at)}">Try again</a></p>' if problem.at.startswith("/") else ""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{problem.status} - Keepwell</title><h1>{problem.status}</h1>"
        f"<p>{html.escape(problem.message)}</p>{link}</html>"
    )


def unexpected(number: str, at: str) -> Problem:
    """Return what a caller is told of an error that nobody foresaw."""
    return Problem(
        500, "unexpected", f"Something went wrong inside Keepwell; its log tells more under {number}.", None, at
    )
