"""What each environment lets models do: refused until a person says otherwise, with a reason; every use is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.digests import check_digest
from keepwell.core.errors import InvalidInput
from keepwell.core.events import Event
from keepwell.core.names import check_name
from keepwell.core.texts import check_text
from keepwell.db import Transaction
from keepwell.governance import policy_rules as rules
from keepwell.governance import policy_store as store
from keepwell.governance.policy_rules import EnvironmentPolicy
from keepwell.ledger import append, once

__all__ = ["EnvironmentPolicy", "change_policy", "policies", "policy", "record_unsafe_load"]


def policy(tx: Transaction, environment: str) -> EnvironmentPolicy:
    """Return what an environment lets models do; nothing while nothing was said.

    Raises:
        InvalidInput: the name cannot be one of an environment.
    """
    name = check_name(environment, "environment")
    return store.find(tx, name) or EnvironmentPolicy(name)


def policies(tx: Transaction) -> list[EnvironmentPolicy]:
    """Return what was said of every environment, by name."""
    return store.every(tx)


def change_policy(
    tx: Transaction,
    call: Call,
    environment: str,
    *,
    reason: str,
    pickle: bool | None = None,
    code: Sequence[str] | None = None,
) -> EnvironmentPolicy:
    """Say what an environment lets models do. What is None stays; the same again changes nothing.

    Args:
        tx: a write transaction.
        call: who, when.
        environment: which.
        reason: why, in words.
        pickle: whether formats that run code when they are loaded may load, in a process of their own.
        code: modules that models may name; the whole list.

    Raises:
        InvalidInput: a name or the reason cannot be used.
    """
    name = check_name(environment, "environment")
    if not check_text(reason).strip():
        raise InvalidInput("Say why, with a reason.", where="reason")
    modules = None if code is None else rules.check_modules(code)
    request = {"do": "policy.change", "environment": name, "pickle": pickle, "code": modules and list(modules)}
    once(tx, call, request, lambda: _change(tx, call, name, pickle, modules, reason), int)
    return policy(tx, name)


def record_unsafe_load(
    tx: Transaction, call: Call, environment: str, digest: str, flavor: str, model: str | None = None
) -> EnvironmentPolicy:
    """Record that a model which runs code is loaded, before it is; refused where the policy does not allow it.

    Args:
        tx: a write transaction.
        call: who, when.
        environment: where it is loaded.
        digest: of the file that holds the code.
        flavor: its format.
        model: the name it is known by, if it has one.

    Raises:
        Denied: the environment's policy, as it stands in this transaction, refuses it.
        InvalidInput: a name or the digest cannot be used.
    """
    standing = policy(tx, environment)
    rules.demand_pickle(standing)
    body: dict[str, object] = {
        "environment": standing.environment,
        "digest": check_digest(digest),
        "flavor": check_name(flavor, "flavor"),
        "model": None if model is None else check_name(model, "model"),
        "policy": standing.number,
    }
    request = {"do": "policy.record_unsafe_load", **body}
    once(tx, call, request, lambda: _record(tx, call, body), bool)
    return standing


def _change(
    tx: Transaction, call: Call, name: str, pickle: bool | None, code: tuple[str, ...] | None, reason: str
) -> int:
    before = policy(tx, name)
    after = replace(
        before, pickle=before.pickle if pickle is None else pickle, code=before.code if code is None else code
    )
    if after == before:
        return before.number
    made = replace(after, number=before.number + 1, changed_at=call.now, changed_by=call.actor)
    store.put(tx, made)
    failpoints.reach("policy.written")
    body = {
        "environment": made.environment,
        "number": made.number,
        "pickle": made.pickle,
        "code": list(made.code),
        "before": {"pickle": before.pickle, "code": list(before.code)},
    }
    append(tx, call, Event("policy.changed", f"environment:{made.environment}", body, note=reason))
    return made.number


def _record(tx: Transaction, call: Call, body: dict[str, object]) -> bool:
    append(tx, call, Event("model.unsafe_loaded", f"environment:{body['environment']}", body))
    return True
