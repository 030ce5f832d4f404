"""How a route is declared: one frozen value, for the API and for the pages alike.

A capability's file lists its routes; `server/api/__init__.py` and `server/ui/__init__.py` each export `ROUTES`:

    def versions(ask: Ask[VersionsQuery, None]) -> Page[ModelVersion]:
        with ask.read() as tx:
            found = models.versions(tx, ask.path["model"], limit=ask.limit + 1, after=ask.after(str))
        return ask.page(found, lambda v: v.id)

    ROUTES = (
        Route("GET", "/api/models/{model}/versions", "models.read", versions, "List versions.",
              query=VersionsQuery, answer=Page[ModelVersion]),
    )

and a page is the same with another answer:

    def overview(ask: Ask[None, None]) -> Html:
        return Html(templates.get_template("overview.html").render(signed_in=ask.who.name, house=ask.house))

    ROUTES = (Route("GET", "/", "pages.read", overview, "What needs a person today.", answer=Html),)

What the edge has done before a handler runs: checked host, origin, path, method, size and content type; found out who
asks and that they have `permission`; decoded the query into `query` and the body into `body`, both msgspec Structs that
refuse unknown fields (derive them from `Query` and `Body`). A path parameter is one segment, decoded once, without
slashes, control characters or `%`; one written `{path...}`, which comes last, is one segment or more, each of them
checked like that. Handlers are synchronous and run in a thread; they raise `core.errors`, and the edge
turns those into the JSON error or, on a route whose answer is `Html` or `SeeOther`, into a page.

A form posts `application/x-www-form-urlencoded` to a route with `form=True` (its body is decoded the same way: text
becomes numbers and booleans; a field `idempotency_key` is taken out and becomes the call's key) and answers with
`SeeOther("/where/to/go")`. A browser's session cookie and the Origin are checked by the edge; forms carry no token of
their own. Templates get `ask.house.auth`: when it is `"none"`, every page must say that nobody has to sign in.

Bytes come in two ways: `raw="application/x-thing"` hands a body of that media type over as bytes, `upload=True` stores
one of any size in the blob store while it comes and hands over an `Upload` (what `before` refuses is not read). They
leave as `File` or, when they are large, as `Download`, from which one range may be asked for. A route of another
system's protocol has a `dialect`, which reads its requests and writes its errors.

The policy sent with every answer is `default-src 'self'`: no inline script, no inline style attribute or element, no
data URL but for images; scripts, styles and fonts come from files that a route of the UI answers with `File`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Protocol, TypeVar

import msgspec

from keepwell.core.calls import Call
from keepwell.core.errors import InvalidInput
from keepwell.db import NotSerial, Transaction
from keepwell.flows.kit import Kit
from keepwell.governance.identity_rules import OPEN, PERMISSIONS, Principal
from keepwell.server.values import SHOWN, Download, File, Html, Reply, SeeOther, Shown, Upload

if TYPE_CHECKING:
    from keepwell.server.cursors import Cursors

__all__ = [
    "MAX_PAGE",
    "SHOWN",
    "Ask",
    "Auth",
    "Body",
    "Dialect",
    "Download",
    "File",
    "House",
    "Html",
    "Look",
    "Method",
    "Name",
    "Page",
    "Paging",
    "Problem",
    "Query",
    "Reason",
    "Reply",
    "Route",
    "SeeOther",
    "Shown",
    "Tick",
    "Upload",
    "check_routes",
]

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Auth = Literal["token", "none"]

MAX_PAGE = 500

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A name or id in a query or body; the service checks its grammar."""

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
"""Why a person does something, in their words."""


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The query parameters of a route."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The JSON body, or the form, of a route."""


class Paging(Query, frozen=True, kw_only=True):
    """Query of a listing: how many, and the token that an earlier answer gave as `next`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 50
    cursor: Annotated[str, msgspec.Meta(max_length=1000)] | None = None


Q = TypeVar("Q")
B = TypeVar("B")
T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a listing; `next` is the token for the page after it, or null on the last."""

    items: Sequence[T]
    next: str | None = None


class Tick(Protocol):
    """Runs the loop once; given by whoever runs the loop."""

    def __call__(self, model: str, actor: str) -> object:
        """Run the loop once for a model (or a fleet) and return what it recorded, as JSON."""


@dataclass(frozen=True, slots=True)
class House:
    """What every handler can reach.

    Attributes:
        kit: stores, clock and ids.
        auth: `none` when nobody has to sign in, which every page says.
        version: of Keepwell.
        started_at: when this server started.
        cursors: signs and reads page tokens.
        tick: runs the loop once; None where this server cannot.
        heartbeat: when the loop last finished a tick; None when it never did or runs elsewhere.
    """

    kit: Kit
    auth: Auth
    version: str
    started_at: datetime
    cursors: Cursors
    tick: Tick | None = None
    heartbeat: Callable[[], datetime | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Ask(Generic[Q, B]):
    """One request, checked and decoded.

    Attributes:
        house: what this server has.
        who: who asks; on an open route that nobody signed in for, None.
        path: the path's parameters, decoded once.
        query: the query's parameters.
        body: the body.
        key: the idempotency key.
        route: the route's own path, with its placeholders.
        at: the request's path, for links back to it.
        origin: scheme and host by which the server was reached, for links that leave it.
        headers: the request's headers, names in lower case.
    """

    house: House
    who: Principal | None
    path: Mapping[str, str]
    query: Q
    body: B
    key: str | None = None
    route: str = ""
    at: str = "/"
    origin: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kit(self) -> Kit:
        """The opened stores, the clock and the ids."""
        return self.house.kit

    @property
    def actor(self) -> str:
        """The id that the ledger records."""
        return self.who.actor if self.who is not None else "anonymous"

    def call(self) -> Call:
        """Return the call that mutating services take: who, when, under which key."""
        return self.kit.call(self.actor, self.key)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a transaction that sees one snapshot."""
        with self.kit.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that changes state."""
        with self.kit.write() as tx:
            yield tx

    def log(self, work: Callable[[Transaction], T]) -> T:
        """Do what changes one run alone, beside other writers; alone after all when the ledger is to tell of it."""
        try:
            with self.kit.write(serial=False) as tx:
                return work(tx)
        except NotSerial:
            with self.kit.write() as tx:
                return work(tx)

    def after(self, kind: type[T]) -> T | None:
        """Return what the page token says the listing goes on after, or None on the first page.

        Raises:
            InvalidInput: the token is not one that this server gave to this caller for this listing.
        """
        token = getattr(self.query, "cursor", None)
        return None if token is None else self.house.cursors.read(token, self._scope(), kind)

    @property
    def limit(self) -> int:
        """How many items a page of this listing has."""
        return int(getattr(self.query, "limit", MAX_PAGE))

    def page(self, found: Sequence[T], mark: Callable[[T], object]) -> Page[T]:
        """Return one page of a listing that was asked for one item more than the limit."""
        shown = list(found[: self.limit])
        return Page(shown, self.token(mark(shown[-1])) if len(found) > self.limit else None)

    def page_of(self, everything: Iterable[T], mark: Callable[[T], str]) -> Page[T]:
        """Return one page of a short listing that is at hand whole, in the order of `mark`."""
        after = self.after(str)
        rest = sorted((item for item in everything if after is None or mark(item) > after), key=mark)
        return self.page(rest[: self.limit + 1], mark)

    def token(self, mark: object) -> str | None:
        """Return the token that says this listing goes on after a mark; None when it does not go on."""
        return None if mark is None else self.house.cursors.make(mark, self._scope())

    def _scope(self) -> str:
        named = msgspec.to_builtins(self.query)
        kept = {k: v for k, v in sorted(named.items()) if k not in ("cursor", "limit")}
        return f"{self.at} {self.actor} {msgspec.json.encode(kept).decode()}"


@dataclass(frozen=True, slots=True)
class Route:
    """One route. The app does not start with a route whose permission is not declared in `identity_rules`.

    Attributes:
        method: GET never changes anything; HEAD comes with it.
        path: such as `/api/models/{model}`; each placeholder is one segment, a last `{path...}` one or more.
        permission: a name of `identity_rules.PERMISSIONS`, or `OPEN`.
        handler: synchronous; takes an `Ask`, returns a value of `answer`.
        summary: one sentence for the published description.
        query: Struct of the query parameters; None: none are taken.
        body: Struct of the body; None: none is taken.
        answer: type of the answer: `Html`, `File`, `SeeOther`, or anything that is JSON.
        form: the body is a form and not JSON.
        status: of a good answer.
        max_body: largest body in bytes.
        secret: the answer holds a secret: it is not kept for repeated calls.
        raw: the media type of a body that is handed over as bytes.
        upload: the body is stored while it comes, and handed over as an `Upload`.
        before: asked before an upload is read; raises what refuses it.
        dialect: reads the request and writes errors, for another system's protocol.
        seconds: how long its handler may take, where that is longer than others may.
    """

    method: Method
    path: str
    permission: str
    handler: Callable[[Ask[Any, Any]], object]
    summary: str
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    answer: Any = None
    form: bool = False
    status: int = 200
    max_body: int = 1 << 20
    secret: bool = False
    raw: str | None = None
    upload: bool = False
    before: Callable[[Ask[Any, Any]], None] | None = None
    dialect: Dialect | None = None
    seconds: float | None = None

    @property
    def is_page(self) -> bool:
        """Whether errors are shown as a page and not as JSON."""
        return self.answer in (Html, SeeOther)

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The names between braces, in order."""
        return tuple(_PLACEHOLDER.findall(self.path))


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error page says.

    Attributes:
        status: the HTTP status.
        code: stable and machine readable.
        message: one sentence: what is wrong, what to do.
        where: a place in the caller's input.
        at: the path that was asked for.
        who: who asked, when anybody is signed in.
    """

    status: int
    code: str
    message: str
    where: str | None
    at: str
    who: Principal | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How the two pages look that the edge itself answers with.

    Attributes:
        problem: an error.
        sign_in: the page of a one-time link, given its code: a form that posts `code` to `/sign-in`.
    """

    problem: Callable[[Problem], str]
    sign_in: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How another system's protocol says things, where its clients expect it said their way.

    Attributes:
        prefixes: its addresses are these, and those below the ones that end with `/`; errors there are written by
            `problem`, also where no route is.
        read: the route, the raw query, the headers and the raw body -> what the handler gets as `ask.body`.
        problem: an error -> the status and the JSON that are sent.
    """

    prefixes: tuple[str, ...]
    read: Callable[[Route, bytes, Mapping[str, str], bytes], Any]
    problem: Callable[[Problem], tuple[int, bytes]]


_PLACEHOLDER = re.compile(r"{([a-z_]+)(?:\.\.\.)?}")
_PATH = re.compile(r"/(?:(?:[A-Za-z0-9._-]+|{[a-z_]+})(?:/(?:[A-Za-z0-9._-]+|{[a-z_]+}))*(?:/{[a-z_]+\.\.\.})?)?\Z")


def check_routes(routes: Sequence[Route]) -> None:
    """Refuse to start with a route that is not fully declared.

    Raises:
        InvalidInput: a route has no known permission, a path that is none, a double, or a GET that takes a body.
    """
    seen: set[tuple[str, str]] = set()
    for route in routes:
        name = f"{route.method} {route.path}"
        shape = (route.method, _PLACEHOLDER.sub(lambda found: "{...}" if "." in found[0] else "{}", route.path))
        if route.permission != OPEN and route.permission not in PERMISSIONS:
            raise InvalidInput(f"{name} does not declare a permission of identity_rules.PERMISSIONS.", where="routes")
        if not _PATH.match(route.path) or len(set(route.placeholders)) != len(route.placeholders):
            raise InvalidInput(f"{name} is not a path of a route.", where="routes")
        if shape in seen:
            raise InvalidInput(f"{name} is declared twice.", where="routes")
        if route.method == "GET" and (route.body is not None or not _reads(route.permission)):
            raise InvalidInput(f"{name} is a GET: it takes no body and needs a permission to read.", where="routes")
        if sum((route.upload, route.raw is not None, route.form or route.body is not None)) > 1:
            raise InvalidInput(f"{name} takes its body in two ways.", where="routes")
        if not route.summary.endswith("."):
            raise InvalidInput(f"{name} has no summary sentence.", where="routes")
        seen.add(shape)


def _reads(permission: str) -> bool:
    return permission == OPEN or permission.endswith(".read")
