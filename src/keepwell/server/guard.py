"""The outermost layer: an ASGI wrapper around everything that is served. What is not allowed here is denied.

In order: protocol, headers, path, host, who asks, whether a page of ours asked. Only then comes routing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keepwell.core.errors import KeepwellError, Unauthenticated, Unavailable
from keepwell.governance.identity_rules import Principal, demand
from keepwell.server import security
from keepwell.server.answers import dialect_at, send_problem
from keepwell.server.denials import Denials
from keepwell.server.errors import DENIALS, status_of
from keepwell.server.known import Known
from keepwell.server.limits import Limits
from keepwell.server.log import Log
from keepwell.server.routing import Dialect, House, Look, Problem
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
        known: who asked before.
        transfers: where blocks of uploads and downloads are written and read.
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
    known: Known
    transfers: Threads


def recheck(scope: Scope, permission: str | None = None) -> None:
    """Ask again whether a credential that was good before still is; runs in a thread, before anything is done.

    Raises:
        Unauthenticated: it is not.
        Denied: its owner has not the permission any more.
    """
    again = scope["keepwell.again"]
    if again is not None:
        scope["keepwell.again"] = None
        before, scope["keepwell.who"] = scope["keepwell.who"], None
        who = scope["keepwell.who"] = again()
        if permission is not None and who != before:
            demand(who, permission)


class Guard:
    """Wraps an ASGI app: only an allowed request, with `scope["keepwell.who"]` set, reaches it.

    Args:
        app: what is wrapped.
        edge: what the server shares.
        open_paths: method and path patterns that nobody needs to sign in for, as lists of segments.
        dialects: protocols whose errors are said their way at their addresses.
    """

    def __init__(
        self,
        app: ASGIApp,
        edge: Edge,
        open_paths: Sequence[tuple[str, tuple[str, ...]]],
        dialects: Sequence[Dialect] = (),
    ) -> None:
        self._app = app
        self._edge = edge
        self._dialects = tuple(dialects)
        self._open = tuple(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or close one websocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            async with asyncio.timeout(self._edge.limits.request_seconds) as deadline:
                scope["keepwell.deadline"] = deadline
                await self._http(scope, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["keepwell.who"] = None
        scope["keepwell.route"] = None
        scope["keepwell.headers"] = {}
        scope["keepwell.again"] = None
        scope["path"], scope["root_path"] = "/", ""
        try:
            await self._admit(scope)
            await self._app(scope, receive, send)
        except KeepwellError as error:
            await self._refuse(scope, send, await self._still_good(scope) or error)

    async def _admit(self, scope: Scope) -> None:
        edge = self._edge
        headers = scope["keepwell.headers"] = security.read_headers(scope["headers"], edge.limits)
        scope["path"] = security.check_path(scope["raw_path"], edge.limits)
        host = security.check_host(headers, edge.hosts, any_address=edge.any_address)
        scope["keepwell.origin"] = f"{scope['scheme']}://{host}"
        is_open = self._is_open(scope["method"], scope["path"])
        who = await self._who(scope, security.read_credential(headers, edge.cookie), is_open=is_open)
        if who is None and not is_open:
            raise Unauthenticated(
                "You are not signed in: use a sign-in link ('keepwell token link') or send a token "
                "('keepwell token new') as 'Authorization: Bearer ...'."
            )
        if scope["method"] not in security.SAFE:
            security.check_origin(headers, scope["scheme"], host, who.via if who else None)
        scope["keepwell.who"] = who

    async def _who(self, scope: Scope, given: security.Presented | None, *, is_open: bool) -> Principal | None:
        """Return who asks; a credential that is not good is nobody on an open path, and refused elsewhere.

        Asking the database costs a thread. One whose credential was good before is let on to the endpoint, which asks
        again (`recheck`) in the thread of the work, before it: what was revoked meanwhile is refused there.
        """
        edge = self._edge
        if edge.house.auth == "none":
            return NOBODY
        if given is None:
            return None
        known = None if is_open else edge.known.get(given)
        if known is not None:
            scope["keepwell.again"] = functools.partial(edge.known.ask, edge.house.kit, given)
            return known
        try:
            return await edge.threads.run(
                functools.partial(edge.known.ask, edge.house.kit, given), edge.limits.work_seconds
            )
        except Unauthenticated:
            if is_open:
                return None
            raise

    async def _still_good(self, scope: Scope) -> KeepwellError | None:
        """Ask again also where nothing was done: an address that is missing is not told to those who are not known."""
        if scope["keepwell.again"] is not None:
            try:
                await self._edge.threads.run(functools.partial(recheck, scope), self._edge.limits.work_seconds)
            except KeepwellError as error:
                return error
        return None

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
        path = scope["path"]
        problem = Problem(status_of(error), error.code, error.message, error.where, path, who)
        asked = path if error.code != "bad_path" else scope["raw_path"].decode("latin-1")
        status = await send_problem(scope, send, problem, edge.look, dialect_at(self._dialects, asked))
        edge.log.write("request.refused", method=method, path=path, status=status, code=error.code, actor=actor)


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
