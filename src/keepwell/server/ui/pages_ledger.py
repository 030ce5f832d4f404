"""The ledger: search it, look at an entry, verify it, sign a checkpoint, and how to verify it without Keepwell."""

from __future__ import annotations

from typing import Annotated

import msgspec

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.ledger import checkpoints, store
from keepwell.ledger import export as exporting
from keepwell.ledger import service as ledger
from keepwell.server.routing import Ask, Html, Paging, Route, SeeOther
from keepwell.server.ui.listing import chosen, first_link, next_link
from keepwell.server.ui.render import page
from keepwell.server.ui.views_ledger import MOST, lines_of, signed_words

_PATH = "/ledger"
Text = Annotated[str, msgspec.Meta(max_length=300)]


class LedgerQuery(Paging, frozen=True, kw_only=True):
    """Which entries: with a text, of a subject, of a kind or of kinds that start so, by an actor."""

    q: Text = ""
    subject: Text = ""
    kind: Text = ""
    actor: Text = ""


def entries(ask: Ask[LedgerQuery, None]) -> Html:
    """Search the ledger, newest first."""
    wanted = ask.query
    with ask.read() as tx:
        found = ledger.entries(
            tx,
            q=wanted.q or None,
            subject=wanted.subject or None,
            kind=wanted.kind or None,
            actor=wanted.actor or None,
            before=ask.after(int),
            limit=ask.limit + 1,
        )
        size, last = ledger.size(tx), store.last_checkpoint(tx)
        signed = store.all_checkpoints(tx)[-5:]
    shown = ask.page(found, lambda entry: entry.seq)
    return page(
        ask, "ledger.html", title="Ledger", nav="ledger", json="/api/ledger", entries=shown.items, size=size, last=last,
        signed=signed[::-1], words=signed_words(size, last), query=wanted,
        filtered=chosen(ask, "q", "subject", "kind", "actor"), next=next_link(ask, _PATH, shown.next),
        first=first_link(ask, _PATH),
    )  # fmt: skip


def entry(ask: Ask[None, None]) -> Html:
    """Show one entry."""
    text = ask.path["seq"]
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidInput("An entry has a whole number; the ledger's page lists them.", where="seq")
    with ask.read() as tx:
        found = ledger.entry(tx, int(text))
        size, last = ledger.size(tx), store.last_checkpoint(tx)
        about = [one for one in ledger.entries(tx, subject=found.subject, limit=21) if one.seq != found.seq][:20]
    lines = lines_of(found.body)
    return page(
        ask, "entry.html", title=f"Entry {found.seq}", nav="ledger", crumbs=[("Ledger", _PATH)],
        json=f"/api/ledger/{found.seq}", one=found, lines=lines[:MOST], left_out=max(0, len(lines) - MOST), size=size,
        signed=last is not None and last.size >= found.seq, about=about,
    )  # fmt: skip


def verification(ask: Ask[None, None]) -> Html:
    """Verify every entry and every checkpoint, and show what was found."""
    with ask.read() as tx:
        report = exporting.check(tx)
    return page(
        ask, "verification.html", title="Verification", nav="ledger", crumbs=[("Ledger", _PATH)],
        json="/api/ledger/verification", report=report,
    )  # fmt: skip


def sign(ask: Ask[None, None]) -> SeeOther:
    """Sign a checkpoint over all entries."""
    with ask.read() as tx:
        if ledger.size(tx) == 0:
            raise NotFound("The ledger has no entry yet, so there is nothing to sign.")
    checkpoints.checkpoint(ask.kit.db, ask.kit.home, ask.call())
    return SeeOther(_PATH)


ROUTES = (
    Route("GET", _PATH, "ledger.read", entries, "Search the ledger.", query=LedgerQuery, answer=Html),
    Route("GET", "/ledger/verification", "ledger.read", verification, "Verify the ledger.", answer=Html),
    Route("GET", "/ledger/{seq}", "ledger.read", entry, "Show an entry of the ledger.", answer=Html),
    Route("POST", "/ledger/checkpoint", "ledger.checkpoint", sign, "Sign a checkpoint over all entries.",
          form=True, answer=SeeOther),
)  # fmt: skip
