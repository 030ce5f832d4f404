"""How a call of the protocol is declared: once, and served under each of its prefixes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.ids import check_id
from keepwell.server.protocols.mlflow.errors import missing, say
from keepwell.server.protocols.mlflow.fields import Field, Given, read_fields, read_request
from keepwell.server.routing import Ask, Dialect, Method, Reply, Route
from keepwell.tracking import foreign

PREFIXES = ("/api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/2.0/mlflow", "/ajax-api/3.0/mlflow")
FILES = ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts")

PLACES = ("/api/2.0/", "/api/3.0/", "/ajax-api/", "/v1/traces", "/version", "/graphql")
"""All addresses of MLflow's clients; what is not served there is refused in their form too."""

MLFLOW = Dialect(PLACES, read_request, say)
UNREAD = Dialect(PLACES, lambda _route, _query, _headers, _raw: {}, say)
"""For calls that are refused whatever they say."""

Handler: TypeAlias = Callable[[Ask[None, Any], Given], object]
"""Takes the request and its checked fields, returns what is sent as JSON."""

EMPTY = Reply(b"{}")
_FOREIGN = re.compile(r"[0-9a-f]{32}\Z")
"""Ids of runs as MLflow makes them; none made here looks so."""


def call(
    method: Method,
    path: str,
    permission: str,
    handler: Handler,
    summary: str,
    fields: Sequence[Field] = (),
    *,
    prefixes: Sequence[str] = PREFIXES,
    max_body: int = 2 << 20,
    seconds: float | None = None,
    secret: bool = False,
) -> tuple[Route, ...]:
    """Return the routes of one call.

    Args:
        method: its method.
        path: its path behind the prefixes.
        permission: what its caller needs.
        handler: what it does.
        summary: one sentence.
        fields: its fields, in the order in which they are checked.
        prefixes: where it is served.
        max_body: largest body in bytes.
        seconds: how long it may take, where that is longer than others may.
        secret: its answer is not kept for repeated calls.
    """
    run = functools.partial(_run, handler, tuple(fields))
    return tuple(
        Route(
            method,
            prefix + path,
            permission,
            run,
            summary,
            dialect=MLFLOW,
            max_body=max_body,
            seconds=seconds,
            secret=secret,
        )
        for prefix in prefixes
    )


def _run(handler: Handler, fields: tuple[Field, ...], ask: Ask[None, Any]) -> Reply:
    found = read_fields({**ask.body, **ask.path} if ask.path else ask.body, fields)
    run_id = found.get("run_id")
    if run_id is not None:
        found["run_id"] = run_id = _carried(ask, run_id)
        check_known(run_id)
    try:
        answer = handler(ask, found)
    except NotFound as error:
        if run_id and error.where == "run_id":
            raise missing(f"Run with id={run_id} not found") from None
        raise
    if isinstance(answer, Reply):
        return answer
    return EMPTY if answer is None else Reply(msgspec.json.encode(answer))


def _carried(ask: Ask[None, Any], run_id: str) -> str:
    """Return the id here of a run that was carried from a store of MLflow, when that is what is asked for."""
    if not _FOREIGN.match(run_id):
        return run_id
    with ask.read() as tx:
        there = foreign.known(tx, "mlflow", "run", [run_id]).get(run_id)
    return run_id if there is None else there.ours


def check_known(run_id: str) -> None:
    """Refuse what is not the id of a run as the id of a run that is not there."""
    try:
        check_id(run_id, "run")
    except InvalidInput:
        raise missing(f"Run with id={run_id[:300]} not found") from None
