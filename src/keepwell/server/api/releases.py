"""Gate, promote, roll back and approve: what changes who answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from keepwell.core.errors import InvalidInput
from keepwell.flows import certify as certifying
from keepwell.flows import promote as promoting
from keepwell.flows.promote import Promotion
from keepwell.governance.charters import AppliedCharter, current_charter
from keepwell.models import service as models
from keepwell.releases.model import Approval, Verdict
from keepwell.releases.rules import Refusal
from keepwell.server.routing import Ask, Body, Name, Reason, Route

MOST = 20_000
Versions = Annotated[list[Annotated[str, msgspec.Meta(max_length=40)]], msgspec.Meta(min_length=1, max_length=MOST)]
Segments = Annotated[list[Annotated[str, msgspec.Meta(max_length=1000)]], msgspec.Meta(min_length=1, max_length=MOST)]


class These(Body, frozen=True, kw_only=True):
    """Some versions of the model."""

    versions: Versions


class Into(Body, frozen=True, kw_only=True):
    """Some versions, and where they are to go."""

    environment: Name
    versions: Versions


class PromoteBody(Into, frozen=True, kw_only=True):
    """Some versions, where they are to answer, and why."""

    reason: Reason


class RollBackBody(Body, frozen=True, kw_only=True):
    """Segments that are to return to the champion before, where, and why."""

    environment: Name
    segments: Segments
    reason: Reason


class ApproveBody(PromoteBody, frozen=True, kw_only=True):
    """A decision on some versions.

    Attributes:
        role: in which role; by default every one that the charter asks.
        verdict: `given` approves, `refused` refuses.
    """

    role: Name | None = None
    verdict: Literal["given", "refused"] = "given"


class State(These, frozen=True, kw_only=True):
    """Hold, reopen or discard some versions, and why."""

    state: Literal["held", "registered", "discarded"]
    reason: Reason


class Asked(msgspec.Struct, frozen=True):
    """The id of what was asked for; null when the charter wants no approval there."""

    approval: str | None


class Changed(msgspec.Struct, frozen=True):
    """How many versions changed."""

    changed: int


def gate(ask: Ask[None, These]) -> list[Verdict]:
    """Judge versions by the gates in force; those that do not pass are held."""
    return certifying.certify(ask.kit, _charter(ask), ask.body.versions, ask.actor, key=ask.key)


def stand(ask: Ask[None, Into]) -> list[Refusal]:
    """Say what stands between versions and an environment; nothing changes."""
    applied = _charter(ask)
    with ask.read() as tx:
        return promoting.refusals(tx, applied, ask.body.environment, ask.body.versions)


def promote(ask: Ask[None, PromoteBody]) -> Promotion:
    """Make champions of the versions that may be, and hold the others."""
    said = ask.body
    return promoting.promote_fleet(
        ask.kit, _charter(ask), said.environment, said.versions, ask.actor, said.reason, key=ask.key
    )


def roll_back(ask: Ask[None, RollBackBody]) -> Promotion:
    """Return segments to the champion before the present one."""
    said = ask.body
    return promoting.roll_back_fleet(
        ask.kit, _charter(ask), said.environment, said.segments, ask.actor, said.reason, key=ask.key
    )


def ask_approval(ask: Ask[None, Into]) -> Asked:
    """Ask for the approvals that the charter wants."""
    said = ask.body
    return Asked(promoting.ask(ask.kit, _charter(ask), said.environment, said.versions, ask.actor, key=ask.key))


def approve(ask: Ask[None, ApproveBody]) -> list[Approval]:
    """Approve or refuse versions."""
    said = ask.body
    return promoting.approve(
        ask.kit,
        _charter(ask),
        said.environment,
        said.versions,
        ask.actor,
        role=said.role,
        refuse=said.verdict == "refused",
        reason=said.reason,
        key=ask.key,
    )


def set_state(ask: Ask[None, State]) -> Changed:
    """Hold, reopen or discard versions of this model."""
    said = ask.body
    with ask.write() as tx:
        if any(one.model != ask.path["model"] for one in models.standings(tx, said.versions)):
            raise InvalidInput("A version is of another model than the address names.", where="versions")
        return Changed(models.set_state(tx, ask.call(), said.versions, said.state, said.reason))


def _charter(ask: Ask[Any, Any]) -> AppliedCharter:
    with ask.read() as tx:
        return current_charter(tx, ask.path["model"])


ROUTES = (
    Route("POST", "/api/models/{model}/gate", "models.gate", gate, "Judge versions by the gates in force.",
          body=These, answer=list[Verdict]),
    Route("POST", "/api/models/{model}/refusals", "models.read", stand, "Say what stands before a promotion.",
          body=Into, answer=list[Refusal]),
    Route("POST", "/api/models/{model}/promote", "models.promote", promote, "Promote the versions that may be.",
          body=PromoteBody, answer=Promotion),
    Route("POST", "/api/models/{model}/roll-back", "models.promote", roll_back, "Return to the champions before.",
          body=RollBackBody, answer=Promotion),
    Route("POST", "/api/models/{model}/ask-approval", "models.gate", ask_approval, "Ask for approvals.",
          body=Into, answer=Asked),
    Route("POST", "/api/models/{model}/approve", "models.approve", approve, "Approve or refuse versions.",
          body=ApproveBody, answer=list[Approval]),
    Route("POST", "/api/models/{model}/state", "models.promote", set_state, "Hold, reopen or discard versions.",
          body=State, answer=Changed),
)  # fmt: skip
