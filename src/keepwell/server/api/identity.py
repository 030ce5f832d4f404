"""Who is here: people, tokens and sessions."""

from __future__ import annotations

from datetime import datetime

import msgspec

from keepwell.core.errors import Denied
from keepwell.core.spans import parse_span
from keepwell.governance import identity
from keepwell.governance.identity_rules import PERMISSIONS, Credential, CredentialKind, Person, may
from keepwell.server.routing import Ask, Auth, Body, Name, Page, Paging, Route


class Me(msgspec.Struct, frozen=True):
    """Who asks.

    Attributes:
        actor: the id that the ledger records.
        name: what pages call them.
        role: what they may do.
        via: how they proved it.
        read_only: only permissions to read.
        auth: `none` when nobody has to sign in here.
        permissions: what they may do, by name, with the sentence.
    """

    actor: str
    name: str
    role: str
    via: str
    read_only: bool
    auth: Auth
    permissions: dict[str, str]


class TokensQuery(Paging, frozen=True, kw_only=True):
    """Of which kind; all if absent."""

    kind: CredentialKind | None = None


class NewToken(Body, frozen=True, kw_only=True):
    """A new token.

    Attributes:
        name: what it is called.
        read_only: it may only read.
        life: how long it is good, such as `30d`.
    """

    name: Name
    read_only: bool = False
    life: str = "365d"


class MadeToken(msgspec.Struct, frozen=True):
    """A new token; it is not kept and cannot be shown again."""

    id: str
    token: str
    expires_at: datetime


def me(ask: Ask[None, None]) -> Me:
    """Return who asks."""
    who = ask.who
    if who is None:
        raise Denied("Nobody is signed in.")
    granted = {name: sentence for name, sentence in PERMISSIONS.items() if may(who, name)}
    return Me(who.actor, who.name, who.role, who.via, who.read_only, ask.house.auth, granted)


def people(ask: Ask[Paging, None]) -> Page[Person]:
    """List who is known here."""
    with ask.read() as tx:
        return ask.page_of(identity.people(tx), lambda person: person.id)


def tokens(ask: Ask[TokensQuery, None]) -> Page[Credential]:
    """List tokens, sessions and links without their secrets, newest first."""
    kinds: tuple[CredentialKind, ...] = ("api", "session", "link") if ask.query.kind is None else (ask.query.kind,)
    with ask.read() as tx:
        found = identity.credentials(tx, kinds=kinds, after=ask.after(str), limit=ask.limit + 1)
    return ask.page(found, lambda one: one.id)


def new_token(ask: Ask[None, NewToken]) -> MadeToken:
    """Make a token for who asks."""
    said = ask.body
    with ask.write() as tx:
        made = identity.new_token(
            tx, ask.call(), ask.actor, said.name, read_only=said.read_only, life=parse_span(said.life)
        )
    return MadeToken(made.credential.id, made.secret, made.credential.expires_at)


def revoke(ask: Ask[None, None]) -> Credential:
    """Revoke a token, a session or a link."""
    with ask.write() as tx:
        return identity.revoke(tx, ask.call(), ask.path["token"])


ROUTES = (
    Route("GET", "/api/me", "pages.read", me, "Return who asks and what they may do.", answer=Me),
    Route("GET", "/api/people", "identity.read", people, "List who is known here.", query=Paging, answer=Page[Person]),
    Route("GET", "/api/tokens", "identity.read", tokens, "List tokens, sessions and links.",
          query=TokensQuery, answer=Page[Credential]),
    Route("POST", "/api/tokens", "identity.manage", new_token, "Make a token; its text is shown once.",
          body=NewToken, answer=MadeToken, status=201, secret=True),
    Route("POST", "/api/tokens/{token}/revoke", "identity.manage", revoke, "Revoke a token, session or link.",
          answer=Credential),
)  # fmt: skip
