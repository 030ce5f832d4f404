"""uvicorn's HTTP/1.1 protocol with the bounds that it leaves to a proxy: size and time of a request's head.

Refusals before there is a request are answered in our form, and the connection closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from keepwell.server import security
from keepwell.server.errors import as_json
from keepwell.server.limits import Limits
from keepwell.server.routing import Problem

LIMITS = Limits()
MALFORMED = Problem(400, "bad_request", "This is not a well-formed HTTP request.", None, "/")
LARGE = Problem(431, "headers_too_large", "The request's head is too large.", None, "/")
SLOW = Problem(408, "slow_head", "The request's head came too slowly.", None, "/")
NOT_ORIGIN = Problem(400, "bad_path", "The request's target must be a path that starts with one '/'.", "path", "/")


class Joined:
    """A transport that sends an answer's head together with the first of its body: one call of the system, not two."""

    def __init__(self, transport: asyncio.Transport, then: Callable[[], None]) -> None:
        self._transport = transport
        self._then = then
        self._head = b""
        self._begun = False

    def write(self, data: bytes) -> None:
        """Keep the first bytes until more come."""
        if self._begun:
            self._transport.write(self._head + data if self._head else data)
            self._head = b""
        else:
            self._begun, self._head = True, data

    def done(self) -> None:
        """The answer is whole: send what is kept, as it had no body."""
        self._flush()
        self._then()

    def close(self) -> None:
        """Send what is kept and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._problem = MALFORMED

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came, unless the head grows too large."""
        if self.transport.is_closing():
            return
        if self._in_head:
            if self._head_timer is None:
                self._await_head()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > LIMITS.headers + LIMITS.path + LIMITS.query:
            self._refuse(LARGE)

    def on_message_begin(self) -> None:
        """Count a new head from nothing."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request on with the path as it was sent, not as it was parsed."""
        self._in_head = False
        self._cancel_timer()
        if not self.url.startswith(b"/"):
            self._problem = NOT_ORIGIN
            raise httptools.HttpParserInvalidURLError("the target is not a path")
        path, _, query = self.url.partition(b"?")
        self.url = b"/"  # what the parser of URLs is given: it reads '//host' as a host
        super().on_headers_complete()
        joined = self.cycle.transport = Joined(self.transport, self.cycle.on_response)  # type: ignore[assignment]
        self.cycle.on_response = joined.done
        self.scope["raw_path"] = path
        self.scope["path"] = "/"
        self.scope["query_string"] = query

    def on_message_complete(self) -> None:
        """Wait for the next head."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be read as a request."""
        self._refuse(self._problem)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(LIMITS.head_seconds, self._slow)

    def _cancel_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(SLOW)

    def _refuse(self, problem: Problem) -> None:
        """Answer and close; into the middle of another answer nothing is written. A request being read is dropped."""
        pending = self.cycle is not None and not self.cycle.response_complete
        if pending:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not (pending and self.cycle.response_started):
            body = as_json(problem)
            head = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
                *security.HEADERS,
            ]
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in head)
            self.transport.write(STATUS_LINE[problem.status] + lines + b"\r\n" + body)
        self.transport.close()
