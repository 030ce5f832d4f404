"""Signing in with a one-time link, and out. Looking at a link does not use it up: only the form's POST does."""

from __future__ import annotations

import html
from typing import Annotated

import msgspec

from keepwell.core.errors import Unauthenticated
from keepwell.governance import identity
from keepwell.governance.identity_rules import OPEN
from keepwell.server.routing import Ask, Body, Html, Look, Query, Route, SeeOther

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class LinkQuery(Query, frozen=True, kw_only=True):
    """The code of a link."""

    code: Code | None = None


class LinkForm(Body, frozen=True, kw_only=True):
    """The code of a link."""

    code: Code


def routes(look: Look) -> tuple[Route, ...]:
    """Return the routes of signing in and out."""

    def show(ask: Ask[LinkQuery, None]) -> Html | SeeOther:
        if ask.house.auth == "none" or (ask.who is not None and ask.query.code is None):
            return SeeOther("/")
        if ask.query.code is None:
            raise Unauthenticated("Open a sign-in link: 'keepwell token link' prints one.")
        return Html(look.sign_in(ask.query.code))

    return (
        Route("GET", "/sign-in", OPEN, show, "Show the form of a one-time link.", query=LinkQuery, answer=Html),
        Route(
            "POST", "/sign-in", OPEN, _sign_in, "Use up a one-time link and open a session.",
            body=LinkForm, form=True, answer=SeeOther, secret=True, max_body=1_000,
        ),
        Route("POST", "/sign-out", "session.end", _sign_out, "End this session.", form=True, answer=SeeOther),
    )  # fmt: skip


def plain_page(code: str) -> str:
    """Return the form as a plain page, used until the pages bring their own."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>Sign in - Keepwell</title><h1>Keepwell</h1>"
        f'<form method="post" action="/sign-in"><input type="hidden" name="code" value="{html.escape(code)}">'
        "<p>This link signs you in once.</p><button>Sign in</button></form></html>"
    )


def _sign_in(ask: Ask[None, LinkForm]) -> SeeOther:
    if ask.house.auth == "none":
        return SeeOther("/")
    with ask.write() as tx:
        opened = identity.sign_in(tx, ask.call(), ask.body.code)
    return SeeOther("/", session=opened.secret)


def _sign_out(ask: Ask[None, None]) -> SeeOther:
    if ask.who is not None and ask.who.via == "session" and ask.who.credential is not None:
        with ask.write() as tx:
            identity.revoke(tx, ask.call(), ask.who.credential)
    return SeeOther("/sign-in", session="")
