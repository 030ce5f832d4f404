"""The registry under charters: what persons may set by hand, and what only a promotion sets.

A model that has a charter is governed: who is champion where is decided by gates and approvals. For it the stages and
the aliases `champion` and `challenger` are answers, not settings: `champion` is who answers in the last environment,
`challenger` the newest version that wants to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from keepwell.charter.model import Charter
from keepwell.core.calls import Call
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.segments import ALL
from keepwell.db import Transaction
from keepwell.governance.charters import current_charter
from keepwell.models import registry
from keepwell.models import service as models
from keepwell.models.registry_model import RegisteredModel, RegisteredVersion

DECIDED = frozenset({"champion", "challenger"})
"""Aliases that a charter decides."""


def charter_of(tx: Transaction, model: str) -> Charter | None:
    """Return the charter in force for a model, or None."""
    try:
        return current_charter(tx, model).charter
    except NotFound:
        return None


def set_alias(tx: Transaction, call: Call, model: str, alias: str, number: int) -> None:
    """Let an alias name a version, unless the model's charter decides what it names.

    Raises:
        Conflict: the charter decides it.
        NotFound, InvalidInput: as `registry.set_alias`.
    """
    _refuse_decided(tx, model, alias, f"promote {model}/v{number}")
    registry.set_alias(tx, call, model, alias, number)


def delete_alias(tx: Transaction, call: Call, model: str, alias: str) -> bool:
    """Let an alias name nothing any more, unless the model's charter decides what it names.

    Raises:
        Conflict: the charter decides it.
        NotFound, InvalidInput: as `registry.delete_alias`.
    """
    _refuse_decided(tx, model, alias, f"rollback {model}")
    return registry.delete_alias(tx, call, model, alias)


def transition_stage(
    tx: Transaction, call: Call, model: str, number: int, stage: str, archive_existing: bool = False
) -> RegisteredVersion:
    """Set the stage of a version of a model without a charter.

    Raises:
        Conflict: the model has a charter.
        NotFound, InvalidInput: as `registry.transition_stage`.
    """
    if (charter := charter_of(tx, model)) is not None:
        registry.registered_version(tx, model, number)
        environments = ", ".join(charter.release.environments)
        raise Conflict(
            f"{model} has a charter, whose release.environments ({environments}) stand in place of stages: use "
            f"`keepwell model promote {model}/v{number} --environment ENV`.",
            code="governed",
        )
    return registry.transition_stage(tx, call, model, number, stage, archive_existing)


def rename_model(tx: Transaction, call: Call, name: str, new_name: str) -> RegisteredModel:
    """Give a model without a charter another name.

    Raises:
        Conflict: the model, or the new name, has a charter.
        NotFound, InvalidInput: as `registry.rename_model`.
    """
    for one in (name, new_name):
        if charter_of(tx, one) is not None:
            raise Conflict(f"{one} has a charter, which names it: apply a charter of the other name instead.",
                           code="governed")  # fmt: skip
    return registry.rename_model(tx, call, name, new_name)


def delete_model(tx: Transaction, call: Call, name: str) -> int:
    """Delete a model without a charter, with its versions.

    Raises:
        Conflict: the model has a charter, or a champion.
        NotFound: no model is called that.
    """
    if charter_of(tx, name) is not None:
        registry.model_name(tx, name)
        raise Conflict(f"{name} has a charter, which keeps it in being: delete single versions instead.",
                       code="governed")  # fmt: skip
    return registry.delete_model(tx, call, name)


def by_alias(tx: Transaction, model: str, alias: str) -> RegisteredVersion:
    """Return the version that an alias names; for a model with a charter, who `champion` and `challenger` are.

    Raises:
        NotFound: no model is called that, or nothing is named so.
        Conflict: the model has segments, each with its own champion.
    """
    if alias.casefold() in DECIDED and (charter := charter_of(tx, model)) is not None:
        return _decided(tx, charter, registry.model_name(tx, model), alias.casefold())
    return registry.by_alias(tx, model, alias)


def check_aliases(tx: Transaction, model: str, aliases: Iterable[str]) -> None:
    """Refuse to register by hand what a charter decides or its training registers.

    Raises:
        Conflict: the model's charter decides what an alias names, or the model has segments.
    """
    charter = charter_of(tx, model)
    if charter is None:
        return
    if charter.segments:
        raise Conflict(f"{model} has a version for each segment, which its training registers.", code="has_segments")
    for alias in aliases:
        _refuse_decided(tx, model, alias, f"promote {model}/vN")


def _decided(tx: Transaction, charter: Charter, model: str, alias: str) -> RegisteredVersion:
    if charter.segments:
        raise Conflict(f"{model} has a {alias} for each segment; see `keepwell fleet members {model}`.",
                       code="has_segments")  # fmt: skip
    last = charter.release.environments[-1]
    champion = models.champion(tx, model, ALL, last)
    if alias == "champion":
        if champion is None:
            no_alias(alias)
        return registry.registered_version(tx, model, champion.number)
    newest = registry.latest_registered(tx, model)
    if not newest or (champion is not None and newest[0].number <= champion.number) or newest[0].state == "discarded":
        no_alias(alias)
    return newest[0]


def _refuse_decided(tx: Transaction, model: str, alias: str, instead: str) -> None:
    if alias.casefold() in DECIDED and (charter := charter_of(tx, model)) is not None:
        where = charter.release.environments[-1]
        raise Conflict(
            f"{model} has a charter: its gates and approvals decide who is {alias}, so it is not set by hand. Use "
            f"`keepwell model {instead} --environment {where}`.",
            code="governed",
        )


def no_alias(alias: str) -> NoReturn:
    """Say that nothing is named so."""
    raise NotFound(f"Registered model alias {alias[:200]} not found.", code="no_alias")
