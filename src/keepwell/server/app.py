"""The ASGI app: every route, wrapped in the guard, wrapped in one error boundary."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any, TextIO

from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from keepwell import __version__
from keepwell.core.errors import InvalidInput
from keepwell.flows.kit import Kit
from keepwell.governance.identity_rules import OPEN
from keepwell.server import errors, health, security, sign_in
from keepwell.server.answers import dialect_at, problem_answer
from keepwell.server.cursors import load_cursors
from keepwell.server.denials import Denials
from keepwell.server.endpoint import Endpoint, Running
from keepwell.server.finding import Finder, nothing_here
from keepwell.server.guard import Edge, Guard
from keepwell.server.known import Known
from keepwell.server.limits import Limits
from keepwell.server.log import Log
from keepwell.server.openapi import describe
from keepwell.server.routing import Auth, Dialect, House, Look, Route, Tick, check_routes
from keepwell.server.threads import Threads

PLAIN = Look(problem=errors.as_page, sign_in=sign_in.plain_page)
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def all_routes(look: Look = PLAIN, pages: Sequence[Route] = ()) -> tuple[Route, ...]:
    """Return every route that is served, the description of all of them included.

    Raises:
        InvalidInput: one is not fully declared.
    """
    from keepwell.server import api  # here, as with it comes every capability, tables of numbers and all
    from keepwell.server.protocols import mlflow

    routes = (*health.ROUTES, *api.ROUTES, *sign_in.routes(look), *mlflow.ROUTES, *pages)
    whole = (*routes, describe(routes))
    check_routes(whole)
    return whole


def make_app(
    kit: Kit, *, auth: Auth, host: str, port: int, pages: Sequence[Route] = (), look: Look = PLAIN, **options: Any
) -> ASGIApp:
    """Return the app that serves a house, with all of its routes.

    Args:
        kit: the opened house.
        auth: as for `make_edge`, and so are `host` and `port`.
        host: the address it is bound to.
        port: its port.
        pages: the routes of the pages.
        look: how errors and the sign-in form look.
        options: what else `make_edge` takes.

    Raises:
        InvalidInput: a route is not fully declared, or `auth` is `none` off loopback.
    """
    return assemble(make_edge(kit, auth=auth, host=host, port=port, look=look, **options), all_routes(look, pages))


def make_edge(
    kit: Kit,
    *,
    auth: Auth,
    host: str,
    port: int,
    tls: bool = False,
    allow_hosts: Iterable[str] = (),
    look: Look = PLAIN,
    tick: Tick | None = None,
    heartbeat: Callable[[], datetime | None] = lambda: None,
    limits: Limits | None = None,
    log: TextIO | None = None,
) -> Edge:
    """Return what all routes of a server share.

    Args:
        kit: the opened house.
        auth: `token`: sign-in links and API tokens; `none`: everyone who reaches it may do everything.
        host: the address it is bound to.
        port: its port, for the session cookie's name.
        tls: whether clients reach it over TLS.
        allow_hosts: more host names under which it answers.
        look: how errors and the sign-in form look.
        tick: runs the loop once.
        heartbeat: when the loop last finished a tick.
        limits: bounds; the defaults if absent.
        log: where the log goes; stderr if absent.

    Raises:
        InvalidInput: `auth` is `none` off loopback.
    """
    if auth == "none" and not security.is_loopback(host):
        raise InvalidInput("'--auth none' is for this machine only; leave it away, or bind to 127.0.0.1.", where="auth")
    bounds = limits or Limits()
    written = Log(log or sys.stderr, kit.clock)
    house = House(
        kit=kit,
        auth=auth,
        version=__version__,
        started_at=kit.clock.now(),
        cursors=load_cursors(kit.home),
        tick=tick,
        heartbeat=heartbeat,
    )
    return Edge(
        house=house,
        limits=bounds,
        hosts=LOOPBACK | {host.lower(), *(name.lower() for name in allow_hosts)},
        any_address=host in ("0.0.0.0", "::"),  # noqa: S104  (compared, not bound)
        cookie=security.cookie_name(port, tls=tls),
        tls=tls,
        threads=Threads(bounds.threads, bounds.waiting),
        denials=Denials(kit, bounds, written),
        look=look,
        log=written,
        known=Known(),
        transfers=Threads(4, bounds.uploads),
    )


class Opening:
    """An app that tells its health at once, and answers the rest when all of its routes are loaded.

    Both are whole apps with a guard of their own; a request that comes in between waits.
    """

    def __init__(self, edge: Edge, build: Callable[[], ASGIApp]) -> None:
        self._early = assemble(edge, health.ROUTES)
        self._build = build
        self._whole: Future[ASGIApp] = Future()
        self._built: ASGIApp | None = None

    def open(self) -> None:
        """Load the routes; runs once, in a thread. An error is raised here and to every request that waits."""
        try:
            built = self._build()
            gc.collect()
            gc.freeze()  # what is loaded stays: looking through it again would cost a large page a tenth of a second
            self._built = built
            self._whole.set_result(built)
        except BaseException as error:
            self._whole.set_exception(error)
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._built is not None:
            await self._built(scope, receive, send)
        elif not self._whole.done() and scope.get("raw_path") == b"/health":
            await self._early(scope, receive, send)
        else:
            app = await asyncio.shield(asyncio.wrap_future(self._whole))
            await app(scope, receive, send)


def assemble(edge: Edge, routes: Sequence[Route]) -> ASGIApp:
    """Return the app of some routes: a router, wrapped in the guard, wrapped in the error boundary."""
    by_path: dict[str, list[Route]] = defaultdict(list)
    for route in routes:
        by_path[route.path].append(route)
    running = Running()
    finder = Finder({path: Endpoint(edge, declared, running) for path, declared in by_path.items()}, nothing_here)
    open_paths = [(route.method, tuple(route.path.split("/")[1:])) for route in routes if route.permission == OPEN]
    dialects = list(dict.fromkeys(route.dialect for route in routes if route.dialect is not None))
    guard = Guard(finder, edge, open_paths, dialects)
    return ServerErrorMiddleware(guard, handler=_unexpected(edge, dialects))


def _unexpected(edge: Edge, dialects: Sequence[Dialect]) -> Callable[[Request, Exception], Response]:
    """Return what answers when an error was not foreseen: a number for the caller, the rest for the log."""

    def answer(request: Request, error: Exception) -> Response:
        number = edge.house.kit.ids.new("err")
        edge.log.failure("request.failed", error, id=number, method=request.method, path=request.scope["path"])
        problem = errors.unexpected(number, request.scope["path"])
        page = not problem.at.startswith("/api") and "text/html" in request.headers.get("accept", "")
        made = problem_answer(problem, edge.look, dialect_at(dialects, problem.at), page=page)
        given = {name.decode(): value.decode() for name, value in (*made.headers, *security.HEADERS)}
        return Response(b"" if request.method == "HEAD" else made.body, made.status, given)

    return answer
