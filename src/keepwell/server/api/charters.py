"""Charters: what is in force, what was, what a text says; and a changed text of one that is applied."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec

from keepwell.charter.explain import explain
from keepwell.charter.findings import Finding
from keepwell.charter.model import Charter, Owner
from keepwell.charter.parse import check_charter, read_charter
from keepwell.charter.schema import charter_schema
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Conflict, Denied, InvalidInput
from keepwell.governance import charters
from keepwell.governance.charters import AppliedCharter
from keepwell.server.routing import Ask, Body, Page, Paging, Query, Route

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000_000)]


@dataclass(frozen=True, slots=True)
class CharterFacts:
    """One charter without its text.

    Attributes:
        model: the model or fleet that it is for.
        number: 1 for the model's first.
        digest: of the text.
        applied_at: when it was put in force.
        applied_by: by whom.
        purpose: what the model is for.
        owner: who answers for it.
        segments: columns that make the fleet; empty for a single model.
        dataset: what it learns from.
        environments: in order; the last is production.
    """

    model: str
    number: int
    digest: str
    applied_at: datetime
    applied_by: str
    purpose: str
    owner: Owner
    segments: tuple[str, ...]
    dataset: str
    environments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WholeCharter:
    """A charter with its text and its values, defaults filled in."""

    facts: CharterFacts
    text: str
    charter: Charter


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with a text; `ok` when nothing of it stops."""

    ok: bool
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence of an explanation, under its heading."""

    heading: str
    sentence: str


class WhichCharter(Query, frozen=True, kw_only=True):
    """Which of a model's charters; the one in force if absent."""

    number: Annotated[int, msgspec.Meta(ge=1)] | None = None


class CharterText(Body, frozen=True, kw_only=True):
    """The YAML text of a charter."""

    text: Text


class CharterChange(Body, frozen=True, kw_only=True):
    """A changed text, and the digest of the text that it changes (compare and set)."""

    text: Text
    replaces: str


def in_force(ask: Ask[Paging, None]) -> Page[CharterFacts]:
    """List the charters in force."""
    with ask.read() as tx:
        found = charters.current_charters(tx)
    return ask.page_of([_facts(one) for one in found], lambda facts: facts.model)


def one(ask: Ask[WhichCharter, None]) -> WholeCharter:
    """Return a charter."""
    applied = _applied(ask)
    return WholeCharter(_facts(applied), applied.text, applied.charter)


def history(ask: Ask[Paging, None]) -> Page[CharterFacts]:
    """List a model's charters, newest first."""
    before = ask.after(int)
    with ask.read() as tx:
        found = charters.charter_history(tx, ask.path["model"])
    rest = [_facts(a) for a in found if before is None or a.number < before]
    return ask.page(rest[: ask.limit + 1], lambda facts: facts.number)


def explanation(ask: Ask[WhichCharter, None]) -> list[Said]:
    """Say in plain words what a charter makes happen."""
    return [Said(*said) for said in explain(_applied(ask).charter, ask.kit.clock.now())]


def check(ask: Ask[None, CharterText]) -> Checked:
    """Check a text; nothing is kept of it."""
    charter, findings = check_charter(ask.body.text)
    return Checked(charter is not None, findings)


def explain_text(ask: Ask[None, CharterText]) -> list[Said]:
    """Say in plain words what a text would make happen; nothing is kept of it."""
    return [Said(*said) for said in explain(read_charter(ask.body.text), ask.kit.clock.now())]


def apply(ask: Ask[None, CharterChange]) -> CharterFacts:
    """Put a changed text in force. What files and code it names was named on this machine and stays."""
    charter = read_charter(ask.body.text)
    if charter.model != ask.path["model"]:
        raise InvalidInput("The text is a charter of another model than the address names.", where="text")
    with ask.write() as tx:
        standing = charters.current_charter(tx, ask.path["model"])
        if standing.digest not in (ask.body.replaces, digest_bytes(ask.body.text.encode())):
            raise Conflict("The charter was changed in the meantime; look at it and try again.", where="replaces")
        if _named(charter) != _named(standing.charter):
            raise Denied(
                "Which files and code a charter names is decided on the machine that holds them: "
                "change those with 'keepwell charter apply'.",
                where="text",
            )
        return _facts(charters.apply_charter(tx, ask.call(), ask.body.text, standing.folder))


def schema(ask: Ask[None, None]) -> dict[str, Any]:
    """Return the JSON Schema of charters."""
    return charter_schema()


def _applied(ask: Ask[WhichCharter, None]) -> AppliedCharter:
    with ask.read() as tx:
        return charters.charter_version(tx, ask.path["model"], ask.query.number)


def _named(charter: Charter) -> tuple[object, ...]:
    """Return every file, folder and function that a charter names."""
    data = charter.data
    contract = data.contract if isinstance(data.contract, str) else None
    joined = tuple(join.source for join in data.joins)
    return (data.source, joined, contract, charter.pipeline, tuple(sorted(charter.forecast.own.items())))


def _facts(applied: AppliedCharter) -> CharterFacts:
    charter = applied.charter
    return CharterFacts(
        model=charter.model,
        number=applied.number,
        digest=applied.digest,
        applied_at=applied.applied_at,
        applied_by=applied.applied_by,
        purpose=charter.purpose,
        owner=charter.owner,
        segments=charter.segments,
        dataset=charter.data.dataset,
        environments=charter.release.environments,
    )


_READ = "charters.read"
ROUTES = (
    Route("GET", "/api/charters", _READ, in_force, "List the charters in force.",
          query=Paging, answer=Page[CharterFacts]),
    Route("GET", "/api/charter-schema", _READ, schema, "Return the JSON Schema of charters.", answer=dict[str, Any]),
    Route("POST", "/api/charters/check", _READ, check, "Check a text; nothing is kept of it.",
          body=CharterText, answer=Checked),
    Route("POST", "/api/charters/explain", _READ, explain_text, "Say what a text would make happen.",
          body=CharterText, answer=list[Said]),
    Route("GET", "/api/charters/{model}", _READ, one, "Return a model's charter.",
          query=WhichCharter, answer=WholeCharter),
    Route("POST", "/api/charters/{model}", "charters.apply", apply, "Put a changed text in force.",
          body=CharterChange, answer=CharterFacts),
    Route("GET", "/api/charters/{model}/history", _READ, history, "List a model's charters, newest first.",
          query=Paging, answer=Page[CharterFacts]),
    Route("GET", "/api/charters/{model}/explanation", _READ, explanation, "Say what a charter makes happen, and when.",
          query=WhichCharter, answer=list[Said]),
)  # fmt: skip
