"""The ledger: search it, verify it, sign a checkpoint of it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from keepwell.core.errors import InvalidInput
from keepwell.ledger import checkpoints, service, store
from keepwell.ledger import export as exporting
from keepwell.ledger.model import Checkpoint, Entry
from keepwell.server.routing import Ask, Page, Paging, Route

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class EntriesQuery(Paging, frozen=True, kw_only=True):
    """Which entries.

    Attributes:
        subject: of this subject, such as `model:demand`.
        kind: of this kind, or of kinds that start so, such as `dataset.`.
        actor: by this actor.
        q: with this text in subject, kind or actor.
    """

    subject: Text | None = None
    kind: Text | None = None
    actor: Text | None = None
    q: Text | None = None


class Verified(msgspec.Struct, frozen=True):
    """What verifying the whole ledger found.

    Attributes:
        ok: every entry is as it was written.
        entries: good entries from the first on.
        signed: how many of them a verified checkpoint covers.
        key: id of the key that vouches for them.
        first_bad: number of the first entry that is not as it was written.
        sentences: all there is to say; the last one sums it up.
    """

    ok: bool
    entries: int
    signed: int
    key: str
    first_bad: int | None
    sentences: list[str]


class Signed(msgspec.Struct, frozen=True):
    """The newest checkpoint, if there is one, and how many entries there are."""

    entries: int
    checkpoint: Checkpoint | None


def entries(ask: Ask[EntriesQuery, None]) -> Page[Entry]:
    """Search the ledger, newest first."""
    wanted = ask.query
    with ask.read() as tx:
        found = service.entries(
            tx,
            subject=wanted.subject,
            kind=wanted.kind,
            actor=wanted.actor,
            q=wanted.q,
            before=ask.after(int),
            limit=ask.limit + 1,
        )
    return ask.page(found, lambda entry: entry.seq)


def entry(ask: Ask[None, None]) -> Entry:
    """Return one entry."""
    text = ask.path["seq"]
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidInput("An entry has a whole number.", where="seq")
    with ask.read() as tx:
        return service.entry(tx, int(text))


def verify(ask: Ask[None, None]) -> Verified:
    """Verify every entry and every checkpoint."""
    with ask.read() as tx:
        report = exporting.check(tx)
    return Verified(report.ok, report.entries, report.signed, report.key, report.first_bad, report.lines())


def checkpoint(ask: Ask[None, None]) -> Signed:
    """Return the newest checkpoint."""
    with ask.read() as tx:
        return Signed(service.size(tx), store.last_checkpoint(tx))


def sign(ask: Ask[None, None]) -> Checkpoint:
    """Sign a checkpoint over all entries."""
    return checkpoints.checkpoint(ask.kit.db, ask.kit.home, ask.call())


ROUTES = (
    Route("GET", "/api/ledger", "ledger.read", entries, "Search the ledger, newest first.",
          query=EntriesQuery, answer=Page[Entry]),
    Route("GET", "/api/ledger/verification", "ledger.read", verify, "Verify every entry and checkpoint.",
          answer=Verified),
    Route("GET", "/api/ledger/checkpoint", "ledger.read", checkpoint, "Return the newest checkpoint.", answer=Signed),
    Route("POST", "/api/ledger/checkpoint", "ledger.checkpoint", sign, "Sign a checkpoint over all entries.",
          answer=Checkpoint),
    Route("GET", "/api/ledger/{seq}", "ledger.read", entry, "Return an entry.", answer=Entry),
)  # fmt: skip
