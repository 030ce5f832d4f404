"""Who may do what, and what a credential looks like. Pure.

Secrets are 256 random bits, written `<prefix><43 characters of base64url>`; the prefix says what the secret is for, so
that one kind is never accepted as another. Only the sha256 of a secret is stored: with 256 random bits a slow hash
would add nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, assert_never

from keepwell.core.errors import Denied, InvalidInput, Unauthenticated

CredentialKind = Literal["api", "session", "link"]
Role = Literal["owner"]

OPEN = "open"
"""The permission of a route that nobody needs to sign in for."""

PERMISSIONS: dict[str, str] = {
    "pages.read": "Look at the pages.",
    "charters.read": "Read charters and check their text.",
    "charters.apply": "Apply a changed text of a charter that is applied.",
    "datasets.read": "Read datasets, versions, profiles and arrivals.",
    "datasets.settle": "Release or reject a quarantined arrival.",
    "runs.read": "Read runs, pipeline runs and their logs.",
    "runs.write": "Record runs: parameters, metrics, tags and artifacts; make and rename experiments.",
    "runs.delete": "Delete and restore runs, experiments and artifacts.",
    "models.read": "Read models, versions, evidence and champions.",
    "models.write": "Register models and versions; their descriptions, tags, aliases and stages.",
    "models.delete": "Delete registered models and versions.",
    "models.load_unsafe": "Load models that run code when they are loaded, where the policy allows it.",
    "models.gate": "Judge versions against the gates.",
    "models.promote": "Promote and roll back.",
    "models.approve": "Approve or refuse a version.",
    "monitoring.read": "Read signals, performance and incidents.",
    "incidents.close": "Close an incident.",
    "loop.read": "Read ticks and decisions.",
    "loop.tick": "Run the loop once.",
    "loop.wish": "Ask the loop to train.",
    "ledger.read": "Read and verify the ledger.",
    "ledger.checkpoint": "Sign a checkpoint of the ledger.",
    "policies.read": "Read what environments let models do.",
    "policies.change": "Change what environments let models do.",
    "identity.read": "See people, tokens and sessions.",
    "identity.manage": "Make and revoke tokens.",
    "session.end": "Sign out.",
}
ROLES: dict[str, frozenset[str]] = {"owner": frozenset(PERMISSIONS)}
READING = frozenset(name for name in PERMISSIONS if name.endswith(".read"))

PREFIXES: dict[CredentialKind, str] = {"api": "kwt_", "session": "kws_", "link": "kwl_"}
LIFE: dict[CredentialKind, timedelta] = {
    "api": timedelta(days=365),
    "session": timedelta(days=7),
    "link": timedelta(minutes=15),
}
_SECRET = re.compile(r"kw[tsl]_[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who can sign in.

    Attributes:
        id: the stable id that is written in the ledger, `person:<name>`.
        name: what the person is called here.
        role: what the person may do.
        created_at: when Keepwell first knew of them.
    """

    id: str
    name: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credential:
    """A stored credential, without its secret.

    Attributes:
        id: `tok_...`.
        person: whose it is.
        kind: an API token, a browser's session, or a one-time sign-in link.
        name: what the person called it.
        read_only: it may only read.
        created_at: when it was made.
        expires_at: from when on it is refused.
        used_at: when a one-time link was used.
        revoked_at: when it was revoked.
    """

    id: str
    person: str
    kind: CredentialKind
    name: str
    read_only: bool
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a call.

    Attributes:
        actor: the id that the ledger records.
        name: what pages call them.
        role: what they may do.
        via: how they proved it: an API token, a browser's session, or not at all (`--auth none`).
        credential: id of the credential; None without one.
        read_only: only permissions to read.
    """

    actor: str
    name: str
    role: Role
    via: Literal["token", "session", "none"]
    credential: str | None = None
    read_only: bool = False


def may(who: Principal, permission: str) -> bool:
    """Tell whether a principal has a permission; an unknown permission is nobody's."""
    granted = ROLES.get(who.role, frozenset())
    return permission in granted and (not who.read_only or permission in READING or permission == "session.end")


def demand(who: Principal, permission: str) -> None:
    """Let a principal pass that has the permission.

    Raises:
        Denied: they have not; the sentence names what is missing.
    """
    if not may(who, permission):
        reason = "This token may only read" if who.read_only else f"The role {who.role!r} may not do this"
        raise Denied(f"{reason}: {permission!r} is needed; ask an owner for it.", where=permission)


def secret_text(kind: CredentialKind, randomness: bytes) -> str:
    """Return the text of a secret made of 32 random bytes."""
    if len(randomness) != 32:
        raise InvalidInput("A secret is made of exactly 32 random bytes.")
    return PREFIXES[kind] + base64.urlsafe_b64encode(randomness).rstrip(b"=").decode()


def secret_digest(kind: CredentialKind, secret: str) -> str:
    """Return the hex sha256 under which a secret of that kind is stored.

    Raises:
        Unauthenticated: the text is not a secret of that kind; nothing of it is repeated.
    """
    if not _SECRET.match(secret) or not secret.startswith(PREFIXES[kind]):
        raise refusal(kind)
    return hashlib.sha256(secret.encode()).hexdigest()


def accept(credential: Credential, stored: str, presented: str, now: datetime) -> Credential:
    """Return the credential when it is good now.

    Args:
        credential: what was found under the presented digest.
        stored: the digest that is stored with it, hex.
        presented: the digest of what was presented, hex.
        now: the moment of the call.

    Raises:
        Unauthenticated: expired, used up or revoked.
    """
    if not hmac.compare_digest(stored.encode(), presented.encode()) or state_of(credential, now) != "good":
        raise refusal(credential.kind)
    return credential


def refusal(kind: CredentialKind) -> Unauthenticated:
    """Return the one sentence for every reason, so that a guess learns nothing."""
    match kind:
        case "api":
            text = "This token is unknown, expired or revoked; make a new one with 'keepwell token new'."
        case "session":
            text = "This session is over; get a new sign-in link with 'keepwell token link'."
        case "link":
            text = "This link is unknown, expired or was used; get a new one with 'keepwell token link'."
        case _:
            assert_never(kind)
    return Unauthenticated(text)


def state_of(credential: Credential, now: datetime) -> Literal["good", "used", "revoked", "expired"]:
    """Return what a credential is at a moment."""
    if credential.revoked_at is not None:
        return "revoked"
    if credential.used_at is not None:
        return "used"
    return "expired" if now >= credential.expires_at else "good"
