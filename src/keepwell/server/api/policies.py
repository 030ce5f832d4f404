"""What each environment lets models do."""

from __future__ import annotations

from typing import Annotated

import msgspec

from keepwell.governance import policies
from keepwell.governance.policies import EnvironmentPolicy
from keepwell.server.routing import Ask, Body, Name, Page, Paging, Reason, Route


class PolicyChange(Body, frozen=True, kw_only=True):
    """What an environment is to let models do; what is absent stays.

    Attributes:
        reason: why.
        pickle: whether formats that run code when they are loaded may load, in a process of their own.
        code: modules that models may name; the whole list.
    """

    reason: Reason
    pickle: bool | None = None
    code: Annotated[list[Name], msgspec.Meta(max_length=100)] | None = None


class UnsafeLoad(Body, frozen=True, kw_only=True):
    """A model that runs code when it is loaded, and is about to be.

    Attributes:
        digest: of the file that holds the code.
        flavor: its format.
        model: the name it is known by.
    """

    digest: Name
    flavor: Name
    model: Name | None = None


def every(ask: Ask[Paging, None]) -> Page[EnvironmentPolicy]:
    """List what was said of environments."""
    with ask.read() as tx:
        return ask.page_of(policies.policies(tx), lambda policy: policy.environment)


def one(ask: Ask[None, None]) -> EnvironmentPolicy:
    """Return an environment's policy."""
    with ask.read() as tx:
        return policies.policy(tx, ask.path["environment"])


def change(ask: Ask[None, PolicyChange]) -> EnvironmentPolicy:
    """Change an environment's policy."""
    said = ask.body
    with ask.write() as tx:
        return policies.change_policy(
            tx, ask.call(), ask.path["environment"], reason=said.reason, pickle=said.pickle, code=said.code
        )


def record(ask: Ask[None, UnsafeLoad]) -> EnvironmentPolicy:
    """Record an unsafe load."""
    said = ask.body
    with ask.write() as tx:
        return policies.record_unsafe_load(
            tx, ask.call(), ask.path["environment"], said.digest, said.flavor, said.model
        )


ROUTES = (
    Route("GET", "/api/policies", "policies.read", every, "List what was said of environments.",
          query=Paging, answer=Page[EnvironmentPolicy]),
    Route("GET", "/api/policies/{environment}", "policies.read", one, "Return what an environment lets models do.",
          answer=EnvironmentPolicy),
    Route("POST", "/api/policies/{environment}", "policies.change", change,
          "Change what an environment lets models do.", body=PolicyChange, answer=EnvironmentPolicy),
    Route("POST", "/api/policies/{environment}/unsafe-loads", "models.load_unsafe", record,
          "Record the load of a model that runs code; refused where the policy refuses it.",
          body=UnsafeLoad, answer=EnvironmentPolicy),
)  # fmt: skip
