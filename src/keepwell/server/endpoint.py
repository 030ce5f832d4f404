"""From an admitted request to a handler and back: permission, query, body, thread, answer, idempotency."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from starlette.types import Receive, Scope, Send

from keepwell import db
from keepwell.core.clock import iso
from keepwell.core.digests import digest_bytes, digest_parts
from keepwell.core.errors import Conflict, InvalidInput, TooLarge, Unauthenticated
from keepwell.governance.identity_rules import OPEN, Principal, demand
from keepwell.ledger import store as ledger_store
from keepwell.server import codec
from keepwell.server.answers import Answer, encode, send_whole
from keepwell.server.guard import Edge, recheck
from keepwell.server.routing import Ask, Route, Upload
from keepwell.server.security import SAFE
from keepwell.server.streams import send_part, store_body, told_size

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
        if route.upload:
            work = await self._upload(route, scope, receive)
        else:
            raw = await self._body(route, scope["keepwell.headers"], receive)
            work = functools.partial(self._ask_and_work, route, scope, raw)
        answer = await self._edge.threads.run(work, route.seconds or self._edge.limits.work_seconds)
        await send_answer(self._edge, scope, send, answer)

    async def _upload(self, route: Route, scope: Scope, receive: Receive) -> Callable[[], Answer]:
        """Store the body, and return what is left to do with it."""
        threads, seconds = self._edge.threads, self._edge.limits.work_seconds

        def admit() -> None:
            recheck(scope, route.permission)
            ask, _ = _decode(self._edge, route, scope, None)
            if route.before is not None:
                route.before(ask)

        await threads.run(admit, seconds)
        stored = await store_body(self._edge, scope, receive, route.max_body)
        return lambda: self._work(route, *_decode(self._edge, route, scope, stored))

    def _ask_and_work(self, route: Route, scope: Scope, raw: bytes) -> Answer:
        recheck(scope, route.permission)
        return self._work(route, *_decode(self._edge, route, scope, raw))

    async def _body(self, route: Route, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Return the body.

        Raises:
            InvalidInput: it is of another media type, or came too slowly.
            TooLarge: it is larger than the route takes.
        """
        most = route.max_body if route.method not in SAFE else 0
        told = told_size(headers, most)
        if told == 0 and "transfer-encoding" not in headers and (most == 0 or "content-length" in headers):
            return b""
        try:
            async with asyncio.timeout(self._edge.limits.body_seconds):
                body = await _receive(receive, most)
        except TimeoutError:
            raise InvalidInput("The body came too slowly.", code="slow_body", where="body") from None
        if route.dialect is not None or not (body or "content-type" in headers):
            return body
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        wanted = FORM if route.form else route.raw or JSON
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


async def send_answer(edge: Edge, scope: Scope, send: Send, answer: Answer) -> None:
    """Send an answer, whole or block by block."""
    if answer.part is None or scope["method"] == "HEAD":
        await send_whole(scope, send, answer)
    else:
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send_part(edge, scope, send, answer.part)


def _decode(edge: Edge, route: Route, scope: Scope, raw: bytes | Upload | None) -> tuple[Ask[Any, Any], str]:
    """Return the request as a value, and the digest that an idempotency key is bound to."""
    headers: Mapping[str, str] = scope["keepwell.headers"]
    if len(scope["query_string"]) > edge.limits.query:
        raise TooLarge("The query is too long.", code="path_too_long", where="query")
    query, body, key = _read(route, scope["query_string"], headers, raw)
    if key is not None and not (0 < len(key) <= 200 and key.isascii() and key.isprintable()):
        raise InvalidInput("An idempotency key has 1 to 200 printable ASCII characters.", where="Idempotency-Key")
    ask: Ask[Any, Any] = Ask(
        house=edge.house,
        who=scope["keepwell.who"],
        path=scope["path_params"],
        query=query,
        body=body,
        key=key,
        route=route.path,
        at=scope["path"],
        origin=scope["keepwell.origin"],
        headers=headers,
    )
    return ask, "" if key is None else _request_digest(route, scope, raw)


def _read(
    route: Route, query: bytes, headers: Mapping[str, str], raw: bytes | Upload | None
) -> tuple[Any, Any, str | None]:
    """Return the query, the body and the idempotency key."""
    key = headers.get("idempotency-key")
    if route.dialect is not None:
        body = raw if route.upload else route.dialect.read(route, query, headers, cast(bytes, raw))
        return None, body, key
    asked = codec.read_query(query, route.query)
    if route.upload or route.raw is not None:
        return asked, raw, key
    told = cast(bytes, raw)
    if route.form:
        body, form_key = codec.read_form(told, route.body)
        return asked, body, key if key is not None else form_key
    if route.body is not None:
        return asked, codec.read_json(told if told else b"{}", route.body), key
    if told and codec.read_json(told, dict[str, object]):
        raise InvalidInput("This call takes no body.", where="body")
    return asked, None, key


def _request_digest(route: Route, scope: Scope, raw: bytes | Upload | None) -> str:
    held = digest_bytes(raw) if isinstance(raw, bytes) else raw.digest if raw is not None else ""
    return digest_parts((route.method, scope["path"], scope["query_string"].decode("ascii"), held))


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
