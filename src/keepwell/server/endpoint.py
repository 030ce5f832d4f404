"""From an admitted request to a handler and back: permission, query, body, thread, answer, idempotency."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from starlette.types import Receive, Scope, Send

from keepwell import db
from keepwell.core.clock import iso
from keepwell.core.digests import digest_bytes, digest_parts
from keepwell.core.errors import Conflict, InvalidInput, TooLarge, Unauthenticated
from keepwell.governance.identity_rules import OPEN, Principal, demand
from keepwell.ledger import store as ledger_store
from keepwell.server import codec
from keepwell.server.answers import Answer, encode, send_answer
from keepwell.server.guard import Edge
from keepwell.server.routing import Ask, Route
from keepwell.server.security import SAFE

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
KEPT = 256 << 10
"""Larger answers are not kept for repeated calls: the service, which has the key too, gives the same one again."""


class Endpoint:
    """The ASGI app of one path: its methods and their routes."""

    def __init__(self, edge: Edge, routes: Sequence[Route], running: Running) -> None:
        self._edge = edge
        self._running = running
        self._routes = {route.method: route for route in routes}
        self._allow = sorted({*self._routes, *(["HEAD"] if "GET" in self._routes else [])})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        route = self._routes.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if route is None:
            scope["keepwell.allow"] = self._allow
            raise InvalidInput(f"This address answers to {', '.join(self._allow)} only.", code="method_not_allowed")
        scope["keepwell.route"] = route.path
        who: Principal | None = scope["keepwell.who"]
        if route.permission != OPEN:
            if who is None:
                raise Unauthenticated("You are not signed in.")
            demand(who, route.permission)
        raw = await self._body(route, scope["keepwell.headers"], receive)
        ask, request = _decode(self._edge, route, scope, who, raw)
        limits = self._edge.limits
        answer = await self._edge.threads.run(lambda: self._work(route, ask, request), limits.work_seconds)
        await send_answer(scope, send, answer)

    async def _body(self, route: Route, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the body.

        Raises:
            InvalidInput: it is of another media type, or came too slowly.
            TooLarge: it is larger than the route takes.
        """
        most = route.max_body if route.method not in SAFE else 0
        told = headers.get("content-length", "0")
        if not told.isdigit() or len(told) > 15 or int(told) > most:
            raise TooLarge(f"The body may have up to {most} bytes.", where="body")
        try:
            async with asyncio.timeout(self._edge.limits.body_seconds):
                body = await _receive(receive, most)
        except TimeoutError:
            raise InvalidInput("The body came too slowly.", code="slow_body", where="body") from None
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        wanted = FORM if route.form else JSON
        if body and media != wanted:
            raise InvalidInput(f"Send the body as {wanted}.", code="unsupported_media_type", where="content-type")
        if media and "charset=" in headers["content-type"].lower() and "utf-8" not in headers["content-type"].lower():
            raise InvalidInput("Send the body in UTF-8.", code="unsupported_media_type", where="content-type")
        return body

    def _work(self, route: Route, ask: Ask[Any, Any], request: str) -> Answer:
        """Run the handler, once for each idempotency key; runs in a thread."""
        if route.method in SAFE or ask.key is None or ask.who is None:
            return self._encode(route, ask, route.handler(ask))
        with self._running.one(ask.actor, ask.key):
            seen = _remembered(ask, request)
            if seen is not None:
                return seen
            answer = self._encode(route, ask, route.handler(ask))
            if len(answer.body) <= KEPT:
                _remember(route, ask, request, answer)
            return answer

    def _encode(self, route: Route, ask: Ask[Any, Any], value: object) -> Answer:
        return encode(route, value, ask.headers, self._edge.cookie, tls=self._edge.tls)


class Running:
    """The idempotency keys whose calls are running now."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def one(self, actor: str, key: str) -> Iterator[None]:
        """Hold a key while its call runs.

        Raises:
            Conflict: a call with this key is running.
        """
        with self._lock:
            if (actor, key) in self._keys:
                raise Conflict("A call with this idempotency key is still running; ask again soon.", code="in_progress")
            self._keys.add((actor, key))
        try:
            yield
        finally:
            with self._lock:
                self._keys.discard((actor, key))


async def _receive(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("The connection closed before the body was complete.", where="body")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise TooLarge(f"The body may have up to {most} bytes.", where="body")
        if not message.get("more_body", False):
            return b"".join(parts)


def _decode(edge: Edge, route: Route, scope: Scope, who: Principal | None, raw: bytes) -> tuple[Ask[Any, Any], str]:
    """Return the request as a value, and the digest that an idempotency key is bound to."""
    headers: Mapping[str, str] = scope["keepwell.headers"]
    if len(scope["query_string"]) > edge.limits.query:
        raise TooLarge("The query is too long.", code="path_too_long", where="query")
    query = codec.read_query(scope["query_string"], route.query)
    key = headers.get("idempotency-key")
    body: Any = None
    if route.form:
        body, form_key = codec.read_form(raw, route.body)
        key = key if key is not None else form_key
    elif route.body is not None:
        body = codec.read_json(raw if raw else b"{}", route.body)
    elif raw and codec.read_json(raw, dict[str, object]):
        raise InvalidInput("This call takes no body.", where="body")
    if key is not None and not (0 < len(key) <= 200 and key.isascii() and key.isprintable()):
        raise InvalidInput("An idempotency key has 1 to 200 printable ASCII characters.", where="Idempotency-Key")
    ask: Ask[Any, Any] = Ask(
        house=edge.house,
        who=who,
        path=scope["path_params"],
        query=query,
        body=body,
        key=key,
        route=route.path,
        at=scope["path"],
        origin=scope["keepwell.origin"],
        headers=headers,
    )
    return ask, digest_parts((route.method, scope["path"], scope["query_string"].decode("ascii"), digest_bytes(raw)))


def _remembered(ask: Ask[Any, Any], request: str) -> Answer | None:
    """Return the answer that this key got before."""
    with db.read(ask.kit.db) as tx:
        seen = ledger_store.remembered(tx, f"http:{ask.actor}", ask.key or "")
    if seen is None:
        return None
    digest, kept = seen
    if digest != request:
        raise Conflict("This idempotency key was used for another request; use a new key.", code="key_reused")
    if not isinstance(kept, dict):
        raise Conflict("This call was done; its answer held a secret and is not kept.", code="done")
    headers = [(name.encode(), value.encode()) for name, value in kept["headers"]]
    return Answer(kept["status"], [*headers, (b"idempotent-replay", b"true")], kept["body"].encode())


def _remember(route: Route, ask: Ask[Any, Any], request: str, answer: Answer) -> None:
    """Keep the answer under the key, unless it holds a secret or bytes that are not text."""
    kept: dict[str, object] | None = None
    if not route.secret:
        headers = [(name.decode(), value.decode()) for name, value in answer.headers]
        kept = {"status": answer.status, "headers": headers, "body": answer.body.decode()}
    with db.write(ask.kit.db) as tx:
        ledger_store.remember(tx, f"http:{ask.actor}", ask.key or "", request, kept, iso(ask.kit.clock.now()))
