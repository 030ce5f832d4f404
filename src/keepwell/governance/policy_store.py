"""The table of environments' policies, and its queries."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Integer, Row, String, Table, Text, delete, insert, select

from keepwell.core.clock import from_iso, iso
from keepwell.core.names import name_key
from keepwell.db import Transaction, metadata
from keepwell.db.schema import Json
from keepwell.governance.policy_rules import EnvironmentPolicy

policies = Table(
    "environment_policies",
    metadata,
    Column("key", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("pickle", Boolean, nullable=False),
    Column("code", Json, nullable=False),
    Column("number", Integer, nullable=False),
    Column("changed_at", String(27), nullable=False),
    Column("changed_by", Text, nullable=False),
)


def put(tx: Transaction, policy: EnvironmentPolicy) -> None:
    """Write an environment's policy in the place of the one that was there."""
    assert policy.changed_at is not None and policy.changed_by is not None  # noqa: S101  (set by the service)
    tx.execute(delete(policies).where(policies.c.key == name_key(policy.environment)))
    tx.execute(
        insert(policies).values(
            key=name_key(policy.environment),
            environment=policy.environment,
            pickle=policy.pickle,
            code=list(policy.code),
            number=policy.number,
            changed_at=iso(policy.changed_at),
            changed_by=policy.changed_by,
        )
    )


def find(tx: Transaction, environment: str) -> EnvironmentPolicy | None:
    """Return the policy of an environment, or None when none was ever said."""
    row = tx.execute(select(policies).where(policies.c.key == name_key(environment))).first()
    return None if row is None else _policy(row)


def every(tx: Transaction) -> list[EnvironmentPolicy]:
    """Return all policies, by name of the environment."""
    return [_policy(row) for row in tx.execute(select(policies).order_by(policies.c.key))]


def _policy(row: Row[Any]) -> EnvironmentPolicy:
    return EnvironmentPolicy(
        row.environment, row.pickle, tuple(row.code), row.number, from_iso(row.changed_at), row.changed_by
    )
