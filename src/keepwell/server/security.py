"""What a request must look like before anything is done for it, and the headers of every answer. Pure."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_to_bytes

from keepwell.core.errors import Denied, InvalidInput, TooLarge
from keepwell.server.limits import Limits

POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'; "
    "img-src 'self' data:"
)
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with no-referrer, browsers send forms with `Origin: null`
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
    (b"cache-control", b"no-store"),
)
"""Headers that an answer has unless it brings its own under the same name."""

SAFE = frozenset({"GET", "HEAD"})
ONCE = frozenset({"host", "origin", "authorization", "content-type", "content-length", "cookie", "idempotency-key"})

_RAW_PATH = re.compile(rb"/(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-Fa-f]{2})*\Z")
_BAD_DECODED = re.compile("[\x00-\x1f\x7f-\x9f/\\\\%;\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def read_headers(pairs: Iterable[tuple[bytes, bytes]], limits: Limits) -> dict[str, str]:
    """Return the headers by lower-case name; of one that stands several times, the values joined by a comma.

    Raises:
        TooLarge: there are too many, or too much of them.
        InvalidInput: one that may stand once stands twice.
    """
    found: dict[str, str] = {}
    size = 0
    for count, (name, value) in enumerate(pairs, start=1):
        size += len(name) + len(value) + 4
        if size > limits.headers or count > limits.header_lines:
            raise TooLarge("The request's headers are too large.", code="headers_too_large")
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        if key in found and key in ONCE:
            raise InvalidInput("A header stands twice that may stand once.", where=key)
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def check_path(raw: bytes, limits: Limits) -> str:
    """Return the path, decoded once, when nothing in it can be read in two ways.

    Raises:
        TooLarge: it is too long.
        InvalidInput: it holds an empty or dot segment, an encoded slash, a backslash, a semicolon, a control character,
            something encoded twice, or bytes that are not UTF-8.
    """
    if len(raw) > limits.path:
        raise TooLarge("The address is too long.", code="path_too_long", where="path")
    if not _RAW_PATH.match(raw):
        raise _bad_path()
    if raw == b"/":
        return "/"
    segments = []
    for part in raw.split(b"/")[1:]:
        try:
            segment = unquote_to_bytes(part).decode("utf-8") if b"%" in part else part.decode("ascii")
        except UnicodeDecodeError:
            raise _bad_path() from None
        if segment in ("", ".", "..") or _BAD_DECODED.search(segment):
            raise _bad_path()
        segments.append(segment)
    return "/" + "/".join(segments)


def check_host(headers: Mapping[str, str], allowed: frozenset[str], *, any_address: bool) -> str:
    """Return the Host header in lower case when this server is meant by it.

    A name that is not on the list may be one that someone else's name server points here (DNS rebinding); an IP
    address cannot be.

    Raises:
        InvalidInput: the header is missing, malformed, or names another host.
    """
    given = headers.get("host", "").lower()
    name, _, port = given.rpartition(":") if re.search(r":[0-9]*\Z", given) else (given, "", "")
    bare = name.removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[a-z0-9._:\[\]-]{1,260}", name) or (port and not port.isdigit()):
        raise InvalidInput("The Host header is missing or malformed.", code="bad_host", where="host")
    if bare in allowed or (any_address and _is_address(bare)):
        return given
    raise InvalidInput(
        "This server does not answer under that host name; start it with --allow-host NAME to let it.",
        code="bad_host",
        where="host",
    )


def check_origin(
    headers: Mapping[str, str], scheme: str, host: str, via: Literal["token", "session", "none"] | None
) -> None:
    """Refuse a change that another site's page asks a browser for.

    An Origin that is sent must be ours. A session's cookie is sent by browsers on their own, so it needs proof that our
    page sent the request: an Origin or `Sec-Fetch-Site`. Without a cookie, a client that sends neither is no browser.

    Raises:
        Denied: the request came from elsewhere, or may have.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    ours = {f"{scheme}://{host}", f"https://{host}"}
    if (
        (origin is not None and origin not in ours)
        or (site is not None and site not in ("same-origin", "none"))
        or (via == "session" and origin is None and site is None)
    ):
        raise Denied(
            "This change was asked for by a page of another site; use Keepwell's own pages, or a token.",
            code="bad_origin",
            where="origin",
        )


def read_cookie(headers: Mapping[str, str], name: str) -> str | None:
    """Return the value of the one cookie of that name; two of them are none."""
    values = [
        value.strip()
        for key, equals, value in (part.partition("=") for part in headers.get("cookie", "").split(";"))
        if equals and key.strip() == name
    ]
    return values[0] if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class Presented:
    """A credential as it was presented, not yet looked at.

    Attributes:
        kind: what it must be: a token, or a browser's session.
        secret: its text; empty when what was sent is no credential of ours.
        user: the name that was given with it (`Authorization: Basic`).
    """

    kind: Literal["api", "session"]
    secret: str
    user: str | None = None


def read_credential(headers: Mapping[str, str], cookie: str) -> Presented | None:
    """Return what proves who asks: the Authorization header, else the session's cookie; None without either.

    `Basic` carries an API token as the password; its user is the person's name, or `token`.
    """
    given = headers.get("authorization")
    if given is None:
        session = read_cookie(headers, cookie)
        return None if session is None else Presented("session", session)
    scheme, _, value = given.partition(" ")
    match scheme.lower():
        case "bearer":
            return Presented("api", value.strip())
        case "basic":
            user, secret = _read_basic(value.strip())
            return Presented("api", secret, user)
        case _:
            return Presented("api", "")


def _read_basic(value: str) -> tuple[str, str]:
    try:
        user, colon, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
    except ValueError:
        return "", ""
    return (user, password) if colon else ("", "")


def cookie_name(port: int, *, tls: bool) -> str:
    """Return the session cookie's name; browsers do not tell the ports of one host apart, so it holds the port."""
    return f"{'__Host-' if tls else ''}keepwell-{port}"


def set_cookie(name: str, value: str, seconds: int, *, tls: bool) -> str:
    """Return a Set-Cookie header that scripts cannot read and other sites cannot send."""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{'; Secure' if tls else ''}"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server bound to that host."""
    if host == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _bad_path() -> InvalidInput:
    return InvalidInput(
        "The address is not one of ours: no empty, '.' or '..' parts, no encoded slashes, no ';'.",
        code="bad_path",
        where="path",
    )
