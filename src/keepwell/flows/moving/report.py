"""What a moving in did, what it calls things here, and what it could not carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

MOST = 20_000
"""So many single things are named as not carried; beyond that they are counted."""


class NotCarried(msgspec.Struct, frozen=True):
    """Something that could not be carried, or not as it was, and why."""

    kind: str
    name: str
    why: str


class Renamed(msgspec.Struct, frozen=True):
    """Something that is called otherwise here."""

    kind: str
    there: str
    here: str


class Counts(msgspec.Struct, kw_only=True):
    """How much was carried; what was there and had not changed is counted apart."""

    experiments: int = 0
    runs: int = 0
    changed: int = 0
    unchanged: int = 0
    points: int = 0
    files: int = 0
    bytes: int = 0
    logged_models: int = 0
    models: int = 0
    versions: int = 0


class Report(msgspec.Struct, kw_only=True):
    """The report of one moving in.

    Attributes:
        source: what was read, without credentials.
        started_at: ISO 8601.
        finished_at: ISO 8601; None while it goes on.
        counts: what was carried by this call.
        renamed: what is called otherwise here.
        not_carried: what was not, each with the reason.
        more_not_carried: how many more there are of each kind than are named.
        others: how many there are of things that Keepwell does not have.
    """

    source: str
    started_at: str
    finished_at: str | None = None
    counts: Counts = msgspec.field(default_factory=Counts)
    renamed: list[Renamed] = []
    not_carried: list[NotCarried] = []
    more_not_carried: dict[str, int] = {}
    others: dict[str, int] = {}

    def encoded(self) -> bytes:
        """Return the report as the file that is kept of it; the ledger has its digest."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


Progress = Callable[[Counts, str], None]
"""Told how much is carried, and what is being carried now."""


@dataclass(slots=True)
class Notes:
    """Collects what a report tells; the readers hold it from the beginning."""

    lost: list[NotCarried] = field(default_factory=list)
    more: Counter[str] = field(default_factory=Counter)
    renamed: dict[tuple[str, str], str] = field(default_factory=dict)

    def __call__(self, kind: str, name: str, why: str) -> None:
        """Note what cannot be carried."""
        if len(self.lost) < MOST:
            self.lost.append(NotCarried(kind, shown(name), shown(why)))
        else:
            self.more[kind] += 1

    def name(self, kind: str, there: str, here: str) -> None:
        """Note that something is called otherwise here."""
        if there != here and len(self.renamed) < MOST:
            self.renamed[kind, there] = here


def shown(text: str) -> str:
    """Return a text on one line, of a length that can be read."""
    return "".join(c if c.isprintable() else " " for c in text)[:500]
