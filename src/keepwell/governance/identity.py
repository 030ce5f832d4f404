"""People, their tokens, sign-in links and sessions."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from keepwell import ledger
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.errors import InvalidInput, NotFound, Unauthenticated
from keepwell.core.events import Event
from keepwell.core.ids import check_id
from keepwell.core.names import check_name
from keepwell.db import Transaction
from keepwell.governance import identity_rules as rules
from keepwell.governance import identity_store as store
from keepwell.governance.identity_rules import Credential, CredentialKind, Person, Principal, state_of

__all__ = [
    "Secret",
    "credentials",
    "ensure_owner",
    "new_link",
    "new_token",
    "people",
    "revoke",
    "sign_in",
    "state_of",
    "who_is",
]

LONGEST = timedelta(days=5 * 365)


@dataclass(frozen=True, slots=True)
class Secret:
    """A new credential with its secret, which is shown once and kept nowhere."""

    credential: Credential
    secret: str


def ensure_owner(tx: Transaction, call: Call) -> Person:
    """Return the person that the call's actor is, made an owner when nobody is known yet.

    Raises:
        InvalidInput: the actor is not a person with a usable name.
        Unauthenticated: others are known here, and this person is not.
    """
    kind, _, name = call.actor.partition(":")
    if kind != "person":
        raise InvalidInput("Only a person can own this installation.", where="actor")
    known = store.person(tx, call.actor)
    if known is not None:
        return known
    if store.all_people(tx):
        raise Unauthenticated(f"{check_name(name)!r} is not known here; ask an owner for a token.")
    person = Person(id=call.actor, name=check_name(name), role="owner", created_at=call.now)
    store.add_person(tx, person)
    failpoints.reach("identity.person_added")
    ledger.append(tx, call, Event("identity.owner_made", person.id, {"role": person.role}))
    return person


def people(tx: Transaction) -> list[Person]:
    """Return everyone who is known here."""
    return store.all_people(tx)


def new_token(
    tx: Transaction, call: Call, person: str, name: str, *, read_only: bool = False, life: timedelta | None = None
) -> Secret:
    """Make an API token for a person.

    Raises:
        InvalidInput: the name breaks the grammar, or the life is not between a minute and five years.
        NotFound: no such person.
    """
    span = rules.LIFE["api"] if life is None else life
    if not timedelta(minutes=1) <= span <= LONGEST:
        raise InvalidInput("A token lives between one minute and five years.", where="life")
    return _issue(tx, call, person, "api", check_name(name), span, read_only=read_only)


def new_link(tx: Transaction, call: Call, person: str) -> Secret:
    """Make a link that signs a person in once within 15 minutes.

    Raises:
        NotFound: no such person.
    """
    return _issue(tx, call, person, "link", "sign-in link", rules.LIFE["link"])


def sign_in(tx: Transaction, call: Call, code: str) -> Secret:
    """Use up a one-time link and open a session.

    Raises:
        Unauthenticated: the link is unknown, expired or used; of two at once, one gets a session.
    """
    link, person = _present(tx, call, "link", code)
    if not store.use_up(tx, link.id, call.now):
        raise Unauthenticated("This link was used; get a new one with 'keepwell token link'.")
    failpoints.reach("identity.link_used")
    return _issue(tx, Call(person.id, call.now, call.ids), person.id, "session", "browser", rules.LIFE["session"])


def who_is(tx: Transaction, call: Call, kind: CredentialKind, secret: str) -> Principal:
    """Return whose secret this is.

    Raises:
        Unauthenticated: it is not a good secret of that kind.
    """
    found, person = _present(tx, call, kind, secret)
    return Principal(
        actor=person.id,
        name=person.name,
        role=person.role,
        via="session" if kind == "session" else "token",
        credential=found.id,
        read_only=found.read_only,
    )


def revoke(tx: Transaction, call: Call, credential_id: str) -> Credential:
    """Revoke a token, a link or a session; doing it again changes nothing.

    Raises:
        InvalidInput: that is not the id of a credential.
        NotFound: no such credential.
    """
    found = store.credential(tx, check_id(credential_id, "tok"))
    if found is None:
        raise NotFound("No such token; 'keepwell token list' shows them.")
    if store.revoke(tx, found.id, call.now):
        failpoints.reach("identity.revoked")
        ledger.append(
            tx, call, Event(f"identity.{_NOUN[found.kind]}_revoked", f"token:{found.id}", {"of": found.person})
        )
        found = store.credential(tx, found.id) or found
    return found


def credentials(
    tx: Transaction,
    *,
    kinds: tuple[CredentialKind, ...] = ("api", "session", "link"),
    after: str | None = None,
    limit: int = 100,
) -> list[Credential]:
    """Return credentials without their secrets, the newest first."""
    return store.all_credentials(tx, kinds=kinds, after=after, limit=limit)


_NOUN: dict[CredentialKind, str] = {"api": "token", "session": "session", "link": "link"}


def _present(tx: Transaction, call: Call, kind: CredentialKind, secret: str) -> tuple[Credential, Person]:
    digest = rules.secret_digest(kind, secret)
    found = store.by_digest(tx, kind, digest)
    if found is None:
        raise rules.refusal(kind)
    credential, person, stored = found
    return rules.accept(credential, stored, digest, call.now), person


def _issue(
    tx: Transaction,
    call: Call,
    person: str,
    kind: CredentialKind,
    name: str,
    life: timedelta,
    *,
    read_only: bool = False,
) -> Secret:
    if store.person(tx, person) is None:
        raise NotFound(f"Nobody called {person.removeprefix('person:')!a} is known here.")
    secret = rules.secret_text(kind, secrets.token_bytes(32))
    credential = Credential(
        id=call.ids.new("tok"),
        person=person,
        kind=kind,
        name=name,
        read_only=read_only,
        created_at=call.now,
        expires_at=call.now + life,
    )
    store.add_credential(tx, credential, rules.secret_digest(kind, secret))
    failpoints.reach("identity.credential_added")
    facts = {"of": person, "expires_at": iso(credential.expires_at), "read_only": read_only}
    ledger.append(tx, call, Event(f"identity.{_NOUN[kind]}_made", f"token:{credential.id}", facts))
    return Secret(credential, secret)
