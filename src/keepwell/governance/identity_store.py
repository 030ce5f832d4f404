"""The tables of people and credentials, and their queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Row,
    String,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from keepwell.core.clock import from_iso, iso
from keepwell.db import Transaction, metadata
from keepwell.db.quick import first
from keepwell.governance.identity_rules import Credential, CredentialKind, Person

people = Table(
    "identity_people",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", String(20), nullable=False),
    Column("created_at", String(27), nullable=False),
)
credentials = Table(
    "identity_credentials",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person", Text, ForeignKey("identity_people.id"), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("read_only", Boolean, nullable=False),
    Column("created_at", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
    Column("used_at", String(27)),
    Column("revoked_at", String(27)),
    Index(None, "person", "kind", "created_at"),
)


def add_person(tx: Transaction, person: Person) -> None:
    """Write a person."""
    tx.execute(
        insert(people).values(id=person.id, name=person.name, role=person.role, created_at=iso(person.created_at))
    )


def person(tx: Transaction, person_id: str) -> Person | None:
    """Return a person."""
    row = tx.execute(select(people).where(people.c.id == person_id)).first()
    return _person(row) if row else None


def all_people(tx: Transaction) -> list[Person]:
    """Return everyone, the first known first."""
    return [_person(row) for row in tx.execute(select(people).order_by(people.c.created_at, people.c.id))]


def add_credential(tx: Transaction, credential: Credential, digest: str) -> None:
    """Write a credential under the digest of its secret."""
    tx.execute(
        insert(credentials).values(
            id=credential.id,
            person=credential.person,
            kind=credential.kind,
            name=credential.name,
            digest=digest,
            read_only=credential.read_only,
            created_at=iso(credential.created_at),
            expires_at=iso(credential.expires_at),
        )
    )


_BY_DIGEST = (
    select(credentials, people.c.name.label("person_name"), people.c.role, people.c.created_at.label("since"))
    .join(people, people.c.id == credentials.c.person)
    .where(credentials.c.digest == bindparam("digest"), credentials.c.kind == bindparam("kind"))
)
"""Made once: every request asks it."""


_COLUMNS = tuple(column.name for column in _BY_DIGEST.selected_columns)


def by_digest(tx: Transaction, kind: CredentialKind, digest: str) -> tuple[Credential, Person, str] | None:
    """Return the credential of a kind under a digest, whose it is, and the digest as it is stored."""
    row = first(tx, _BY_DIGEST, {"digest": digest, "kind": kind})
    if row is None:
        return None
    found = dict(zip(_COLUMNS, row, strict=True))
    owner = Person(found["person"], found["person_name"], found["role"], from_iso(found["since"]))
    return _credential(SimpleNamespace(**found)), owner, found["digest"]


def credential(tx: Transaction, credential_id: str) -> Credential | None:
    """Return a credential by its id."""
    row = tx.execute(select(credentials).where(credentials.c.id == credential_id)).first()
    return _credential(row) if row else None


def all_credentials(
    tx: Transaction, *, kinds: Sequence[CredentialKind], after: str | None, limit: int
) -> list[Credential]:
    """Return credentials, the newest first (ids sort by the time they were made)."""
    query = select(credentials).where(credentials.c.kind.in_(kinds))
    if after is not None:
        query = query.where(credentials.c.id < after)
    return [_credential(row) for row in tx.execute(query.order_by(credentials.c.id.desc()).limit(limit))]


def use_up(tx: Transaction, credential_id: str, now: datetime) -> bool:
    """Mark a one-time link as used; False when it was used or revoked already."""
    changed = tx.execute(
        update(credentials)
        .where(credentials.c.id == credential_id, credentials.c.used_at.is_(None), credentials.c.revoked_at.is_(None))
        .values(used_at=iso(now))
    )
    return changed.rowcount == 1


def revoke(tx: Transaction, credential_id: str, now: datetime) -> bool:
    """Mark a credential as revoked; False when it was already."""
    changed = tx.execute(
        update(credentials)
        .where(credentials.c.id == credential_id, credentials.c.revoked_at.is_(None))
        .values(revoked_at=iso(now))
    )
    return changed.rowcount == 1


def _person(row: Row[Any]) -> Person:
    return Person(row.id, row.name, row.role, from_iso(row.created_at))


def _credential(row: Row[Any] | SimpleNamespace) -> Credential:
    return Credential(
        id=row.id,
        person=row.person,
        kind=row.kind,
        name=row.name,
        read_only=bool(row.read_only),
        created_at=from_iso(row.created_at),
        expires_at=from_iso(row.expires_at),
        used_at=from_iso(row.used_at) if row.used_at else None,
        revoked_at=from_iso(row.revoked_at) if row.revoked_at else None,
    )
