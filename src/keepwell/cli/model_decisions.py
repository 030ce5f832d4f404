"""`keepwell model`: what a person decides of single versions: promote, roll back, approve, hold, discard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keepwell.cli.model_text import show_promotion
from keepwell.cli.options import environment_option, key_option, reason_option
from keepwell.cli.shared import home_option, json_option, me, open_kit, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.db import Transaction
    from keepwell.flows.kit import Kit
    from keepwell.governance.charters import AppliedCharter


@click.command()
@click.argument("version", nargs=-1, required=True)
@environment_option
@reason_option()
@key_option
@home_option
@json_option
def promote(
    version: tuple[str, ...], environment: str | None, reason: str, key: str | None, home: str | None, as_json: bool
) -> None:
    """Make each VERSION the champion of its segment, when its gates and approvals allow it."""
    from keepwell.core.errors import Conflict
    from keepwell.flows.promote import promote_fleet

    kit = open_kit(home)
    applied, ids = _named(kit, version)
    where = environment or applied.charter.release.environments[-1]
    done = promote_fleet(kit, applied, where, ids, me(), reason, key=key)
    show_promotion(done, as_json)
    if not done.promoted:
        held = done.held[0]
        raise Conflict(f"Nothing was promoted: {held.segment}: {held.reason}", code=held.code)


@click.command()
@click.argument("model")
@click.option("--segment", "segments", multiple=True, required=True, help="Which; repeat it for several.")
@environment_option
@reason_option()
@key_option
@home_option
@json_option
def rollback(
    model: str,
    segments: tuple[str, ...],
    environment: str | None,
    reason: str,
    key: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Return segments of MODEL to the champion before the present one."""
    from keepwell.core.errors import Conflict
    from keepwell.flows.promote import roll_back_fleet

    kit = open_kit(home)
    with kit.read() as tx:
        applied = applied_of(tx, model)
    where = environment or applied.charter.release.environments[-1]
    done = roll_back_fleet(kit, applied, where, segments, me(), reason, key=key)
    show_promotion(done, as_json)
    if not done.promoted:
        raise Conflict(
            f"Nothing was rolled back: {done.held[0].segment}: {done.held[0].reason}", code=done.held[0].code
        )


@click.command()
@click.argument("version", nargs=-1, required=True)
@environment_option
@click.option("--role", help="In which role; by default every one that the charter asks.")
@click.option("--refuse", is_flag=True, help="Refuse instead.")
@reason_option(required=False)
@key_option
@home_option
@json_option
def approve(
    version: tuple[str, ...],
    environment: str | None,
    role: str | None,
    refuse: bool,
    reason: str,
    key: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Approve (or refuse) each VERSION for an environment."""
    from keepwell.flows.promote import approve as decide

    kit = open_kit(home)
    applied, ids = _named(kit, version)
    where = environment or applied.charter.release.environments[-1]
    given = decide(kit, applied, where, ids, me(), role=role, refuse=refuse, reason=reason, key=key)
    if as_json:
        print_json(given)
        return
    for approval in given:
        click.echo(f"{approval.version_id}: {approval.state} by {approval.role} for {approval.environment}")


@click.command()
@click.argument("version", nargs=-1, required=True)
@environment_option
@key_option
@home_option
def ask(version: tuple[str, ...], environment: str | None, key: str | None, home: str | None) -> None:
    """Ask for the approvals that each VERSION needs for an environment."""
    from keepwell.flows.promote import ask as ask_for

    kit = open_kit(home)
    applied, ids = _named(kit, version)
    where = environment or applied.charter.release.environments[-1]
    asked = ask_for(kit, applied, where, ids, me(), key=key)
    click.echo(f"{where} wants no approval: promote it." if asked is None else f"Asked: {asked}")


@click.command()
@click.argument("version", nargs=-1, required=True)
@environment_option
@reason_option()
@key_option
@home_option
def withdraw(version: tuple[str, ...], environment: str | None, reason: str, key: str | None, home: str | None) -> None:
    """Take back what you asked for or decided on each VERSION."""
    from keepwell.releases.service import withdraw_approval

    kit = open_kit(home)
    applied, ids = _named(kit, version)
    where = environment or applied.charter.release.environments[-1]
    with kit.write() as tx:
        count = withdraw_approval(tx, kit.call(me(), key), ids, where, reason)
    click.echo(f"{count} taken back.")


@click.command()
@click.argument("model", required=False)
@click.option("--limit", type=int, default=50, show_default=True, help="How many, at most 1000.")
@home_option
@json_option
def approvals(model: str | None, limit: int, home: str | None, as_json: bool) -> None:
    """List the approvals that wait for a person."""
    from keepwell.releases.service import waiting_approvals

    with open_kit(home).read() as tx:
        found = waiting_approvals(tx, model, limit=limit)
    if as_json:
        print_json(found)
        return
    columns = ("id", "model", "environment", "role", "count", "asked_at")
    print_rows([{c: getattr(w, c) for c in columns} for w in found], columns, "No approval waits for anyone.")


@click.command()
@click.argument("version", nargs=-1, required=True)
@reason_option()
@key_option
@home_option
def discard(version: tuple[str, ...], reason: str, key: str | None, home: str | None) -> None:
    """Give up each VERSION for good; a champion must be replaced first."""
    _set_state(version, "discarded", reason, key, home)


@click.command()
@click.argument("version", nargs=-1, required=True)
@reason_option()
@key_option
@home_option
def hold(version: tuple[str, ...], reason: str, key: str | None, home: str | None) -> None:
    """Keep each VERSION back."""
    _set_state(version, "held", reason, key, home)


VERBS = (promote, rollback, approve, ask, withdraw, approvals, discard, hold)


def applied_of(tx: Transaction, model: str) -> AppliedCharter:
    """Return the charter in force for a model."""
    from keepwell.governance.charters import current_charter

    return current_charter(tx, model)


def _named(kit: Kit, texts: tuple[str, ...]) -> tuple[AppliedCharter, list[str]]:
    """Return the charter in force and the ids of the versions that a person names; all of one model."""
    from keepwell.models.service import named_version

    with kit.read() as tx:
        found = [named_version(tx, text) for text in texts]
        return applied_of(tx, found[0].model), [v.id for v in found]


def _set_state(texts: tuple[str, ...], state: str, reason: str, key: str | None, home: str | None) -> None:
    from keepwell.models.service import named_version, set_state

    kit = open_kit(home)
    with kit.write() as tx:
        ids = [named_version(tx, text).id for text in texts]
        changed = set_state(tx, kit.call(me(), key), ids, state, reason)
    click.echo(f"{changed} {state}.")
