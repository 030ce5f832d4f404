"""How answers are sent: JSON, pages, files, redirects and problems."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.types import Scope, Send

from keepwell.core.errors import InvalidInput
from keepwell.governance.identity_rules import LIFE
from keepwell.server import ranges, security
from keepwell.server.codec import write_json
from keepwell.server.errors import as_json
from keepwell.server.routing import (
    SHOWN,
    Dialect,
    Download,
    File,
    Html,
    Look,
    Problem,
    Reply,
    Route,
    SeeOther,
    Shown,
)

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as bytes, or as a part of a file."""

    status: int
    headers: Headers
    body: bytes
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file."""

    file: Path
    start: int
    size: int


def encode(route: Route, value: object, headers: Mapping[str, str], cookie: str, *, tls: bool) -> Answer:
    """Return what a handler's value is on the wire.

    Args:
        route: the route that was asked.
        value: what its handler returned.
        headers: the request's headers, for `If-None-Match`.
        cookie: name of the session's cookie.
        tls: whether the cookie must not leave TLS.
    """
    match value:
        case Html():
            return _answer(value.status, "text/html; charset=utf-8", value.text.encode())
        case File() | Download() | Shown():
            return _bytes(value, headers)
        case Reply():
            answer = _answer(value.status, value.media, value.data)
            answer.headers.extend(value.headers)
            return answer
        case SeeOther():
            return _see_other(value, cookie, tls=tls)
        case _:
            return _answer(route.status, "application/json", write_json(value))


def dialect_at(dialects: Sequence[Dialect], path: str) -> Dialect | None:
    """Return the protocol that an address belongs to."""
    return next(
        (
            dialect
            for dialect in dialects
            if any(path == prefix or (prefix.endswith("/") and path.startswith(prefix)) for prefix in dialect.prefixes)
        ),
        None,
    )


def problem_answer(problem: Problem, look: Look, dialect: Dialect | None = None, *, page: bool) -> Answer:
    """Return an error as JSON, ours or a protocol's, or as a page."""
    if dialect is not None:
        status, body = dialect.problem(problem)
        answer = _answer(status, "application/json", body)
    elif page:
        answer = _answer(problem.status, "text/html; charset=utf-8", look.problem(problem).encode())
    else:
        answer = _answer(problem.status, "application/json", as_json(problem))
    if answer.status == 401:
        answer.headers.append((b"www-authenticate", b'Bearer realm="keepwell"'))
    elif answer.status == 503:
        answer.headers.append((b"retry-after", b"5"))
    return answer


async def send_problem(scope: Scope, send: Send, problem: Problem, look: Look, dialect: Dialect | None = None) -> int:
    """Send an error, as a page to a browser that looks at a page, as JSON to all others; return its status."""
    given = dict(scope["headers"])
    page = not problem.at.startswith("/api") and b"text/html" in given.get(b"accept", b"")
    answer = problem_answer(problem, look, dialect, page=page)
    if given.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in given:
        answer.headers.append((b"connection", b"close"))  # what is left of the body is not read
    if problem.status == 405:
        answer.headers.append((b"allow", ", ".join(scope.get("keepwell.allow", ())).encode()))
    await send_whole(scope, send, answer)
    return answer.status


async def send_whole(scope: Scope, send: Send, answer: Answer) -> None:
    """Send an answer; to HEAD without its body."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})


def _answer(status: int, media: str, body: bytes) -> Answer:
    headers = [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode())]
    return Answer(status, headers, body)


def _bytes(value: File | Download | Shown, headers: Mapping[str, str]) -> Answer:
    match value:
        case File():
            return _file(value, headers)
        case Download():
            return _download(value, headers)
        case _:
            return _shown(value, headers)


def _file(file: File, headers: Mapping[str, str]) -> Answer:
    tag = f'"{hashlib.sha256(file.data).hexdigest()[:32]}"'
    cache = f"private, max-age={file.cache}" if file.cache else "private, no-cache"
    own = [(b"etag", tag.encode()), (b"cache-control", cache.encode())]
    if file.name is not None:
        own += _saved(file.name)
    if _has(headers, tag):
        return Answer(304, own, b"")
    answer = _answer(200, file.media, file.data)
    answer.headers.extend(own)
    return answer


def _download(value: Download, headers: Mapping[str, str]) -> Answer:
    size = value.file.stat().st_size
    tag = f'"{value.digest.removeprefix("sha256:")[:32]}"'
    shown = value.show and value.media in SHOWN
    own = [(b"etag", tag.encode()), (b"cache-control", b"private, no-cache"), (b"accept-ranges", b"bytes")]
    own += _saved(value.name, "inline" if shown else "attachment")
    if _has(headers, tag):
        return Answer(304, own, b"")
    start, count, status = 0, size, 200
    asked = ranges.read_range(headers.get("range"), size) if headers.get("if-range", tag) == tag else None
    if asked is not None:
        start, count = asked
        status = 206 if count else 416
        where = f"bytes {start}-{start + count - 1}/{size}" if count else f"bytes */{size}"
        own.append((b"content-range", where.encode()))
    own += [(b"content-type", value.media.encode()), (b"content-length", str(count).encode())]
    return Answer(status, own, b"", Part(value.file, start, count))


def _saved(name: str, how: str = "attachment") -> Headers:
    """Return the headers under which a user's bytes are saved, and run nothing where they are shown."""
    return [
        (b"content-disposition", f"{how}; filename*=UTF-8''{quote(name, safe='')}".encode()),
        (b"content-security-policy", b"default-src 'none'; sandbox; frame-ancestors 'none'"),
    ]


def _has(headers: Mapping[str, str], tag: str) -> bool:
    return tag in (part.strip() for part in headers.get("if-none-match", "").split(","))


SANDBOX = (
    b"sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob: data:; "
    b"style-src 'unsafe-inline'; img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'; "
    b"frame-ancestors 'self'"
)
"""For documents that users gave: scripts of theirs run in an origin of its own and reach nothing over the network."""


def _shown(value: Shown, headers: Mapping[str, str]) -> Answer:
    """Show bytes where a browser says that it wants them for a frame or a picture; hand them out to save otherwise."""
    answer = _file(File(value.data, value.media, name=value.name), headers)
    if headers.get("sec-fetch-dest") not in ("iframe", "image"):
        return answer
    kept = [(k, v) for k, v in answer.headers if k not in (b"content-disposition", b"content-security-policy")]
    own = [(b"content-security-policy", SANDBOX), (b"x-frame-options", b"SAMEORIGIN"), (b"vary", b"sec-fetch-dest")]
    return Answer(answer.status, [*kept, *own], answer.body)


def _see_other(value: SeeOther, cookie: str, *, tls: bool) -> Answer:
    if not value.location.startswith("/") or value.location.startswith(("//", "/\\")):
        raise InvalidInput("A redirect stays on this server.", where="location")
    headers: Headers = [(b"location", quote(value.location, safe="/?&=#%:,+-._~").encode()), (b"content-length", b"0")]
    if value.session is not None:
        seconds = int(LIFE["session"].total_seconds()) if value.session else 0
        headers.append((b"set-cookie", security.set_cookie(cookie, value.session, seconds, tls=tls).encode()))
    return Answer(303, headers, b"")
