"""The outermost layer: an ASGI wrapper around everything that is served. What is not allowed here is denied.

In order: protocol, headers, path, host, who asks, whether a page of ours asked. Only then comes routing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keepwell import db
from keepwell.core.errors import KeepwellError, Unauthenticated, Unavailable
from keepwell.governance import identity
from keepwell.governance.identity_rules import CredentialKind, Principal
from keepwell.server import security
from keepwell.server.answers import send_problem
from keepwell.server.denials import Denials
from keepwell.server.errors import DENIALS, status_of
from keepwell.server.limits import Limits
from keepwell.server.log import Log
from keepwell.server.routing import House, Look, Problem
from keepwell.server.threads import Threads

NOBODY = Principal(actor="person:anyone", name="anyone", role="owner", via="none")
"""Who acts when nobody has to sign in: the ledger does not pretend to know."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What the guard and the endpoints share.

    Attributes:
        house: what handlers reach.
        limits: bounds.
        hosts: names and addresses, in lower case, under which the server answers.
        any_address: it also answers under any IP address (it is bound to all of them).
        cookie: name of the session's cookie.
        tls: it is reached over TLS.
        threads: where work runs.
        denials: records denied changes.
        look: how error pages look.
        log: the server's log.
    """

    house: House
    limits: Limits
    hosts: frozenset[str]
    any_address: bool
    cookie: str
    tls: bool
    threads: Threads
    denials: Denials
    look: Look
    log: Log


class Guard:
    """Wraps an ASGI app: only an allowed request, with `scope["keepwell.who"]` set, reaches it.

    Args:
        app: what is wrapped.
        edge: what the server shares.
        open_paths: method and path patterns that nobody needs to sign in for, as lists of segments.
    """

    def __init__(self, app: ASGIApp, edge: Edge, open_paths: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        self._app = app
        self._edge = edge
        self._open = tuple(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or close one websocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            async with asyncio.timeout(self._edge.limits.request_seconds):
                await self._http(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["keepwell.who"] = None
        scope["keepwell.route"] = None
        scope["keepwell.headers"] = {}
        scope["path"], scope["root_path"] = "/", ""
        try:
            await self._admit(scope)
            await self._app(scope, receive, send)
        except KeepwellError as error:
            await self._refuse(scope, send, error)

    async def _admit(self, scope: Scope) -> None:
        edge = self._edge
        headers = scope["keepwell.headers"] = security.read_headers(scope["headers"], edge.limits)
        scope["path"] = security.check_path(scope["raw_path"], edge.limits)
        host = security.check_host(headers, edge.hosts, any_address=edge.any_address)
        scope["keepwell.origin"] = f"{scope['scheme']}://{host}"
        is_open = self._is_open(scope["method"], scope["path"])
        who = await self._who(headers, is_open=is_open)
        if who is None and not is_open:
            raise Unauthenticated(
                "You are not signed in: use a sign-in link ('keepwell token link') or send a token "
                "('keepwell token new') as 'Authorization: Bearer ...'."
            )
        if scope["method"] not in security.SAFE:
            security.check_origin(headers, scope["scheme"], host, who.via if who else None)
        scope["keepwell.who"] = who

    async def _who(self, headers: Mapping[str, str], *, is_open: bool) -> Principal | None:
        """Return who asks; a credential that is not good is nobody on an open path, and refused elsewhere."""
        edge = self._edge
        if edge.house.auth == "none":
            return NOBODY
        bearer = security.read_bearer(headers)
        secret = bearer if bearer is not None else security.read_cookie(headers, edge.cookie)
        if secret is None:
            return None
        kit = edge.house.kit
        kind: CredentialKind = "api" if bearer is not None else "session"

        def ask() -> Principal:
            with db.read(kit.db) as tx:
                return identity.who_is(tx, kit.call("anonymous"), kind, secret)

        try:
            return await edge.threads.run(ask, edge.limits.work_seconds)
        except Unauthenticated:
            if is_open:
                return None
            raise

    def _is_open(self, method: str, path: str) -> bool:
        segments = tuple(path.split("/")[1:])
        asked = "GET" if method == "HEAD" else method
        return any(
            asked == allowed
            and len(segments) == len(pattern)
            and all(p.startswith("{") or p == s for p, s in zip(pattern, segments, strict=True))
            for allowed, pattern in self._open
        )

    async def _refuse(self, scope: Scope, send: Send, error: KeepwellError) -> None:
        edge = self._edge
        who: Principal | None = scope["keepwell.who"]
        method, actor = scope["method"], who.actor if who else "anonymous"
        if error.code in DENIALS and method not in security.SAFE:
            route: str | None = scope["keepwell.route"]
            record = functools.partial(edge.denials.record, actor, method, error.code, route)
            with contextlib.suppress(Unavailable):
                await edge.threads.run(record, edge.limits.work_seconds)
        status, path = status_of(error), scope["path"]
        edge.log.write("request.refused", method=method, path=path, status=status, code=error.code, actor=actor)
        problem = Problem(status, error.code, error.message, error.where, path, who)
        await send_problem(scope, send, problem, edge.look)


def _with_headers(send: Send) -> Send:
    """Add the headers of every answer that it does not bring itself."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message.get("headers", ())}
            message["headers"] = [
                *message.get("headers", ()),
                *((name, value) for name, value in security.HEADERS if name not in given),
            ]
        await send(message)

    return sending
