"""`keepwell model`: versions, champions, lineage; promote, roll back, approve, hold and discard single versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from keepwell.cli import model_files
from keepwell.cli.model_text import interval, show_promotion, show_trace, show_version
from keepwell.cli.registry_verbs import VERBS
from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.db import Transaction
    from keepwell.flows.kit import Kit
    from keepwell.governance.charters import AppliedCharter

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(cls=Verbs)
def command() -> None:
    """Models, versions, champions and lineage.

    A VERSION is its id, MODEL/SEGMENT/vN, or MODEL/SEGMENT for the newest one; MODEL/vN for a model without segments.
    """


for _verb in (*VERBS, *model_files.VERBS):
    command.add_command(_verb)


def page_options(most: int = 1000) -> Callable[[Command], Command]:
    """Add `--limit` and `--after`."""

    def add(of: Command) -> Command:
        limit = click.option("--limit", type=int, default=50, show_default=True, help=f"How many, at most {most}.")
        after = click.option("--after", metavar="PLACE", help="Go on after this place, which the page before named.")
        return limit(after(of))

    return add


def environment_option(of: Command) -> Command:
    """Add `--environment`."""
    return click.option("--environment", metavar="ENV", help="By default the charter's last: production.")(of)


def reason_option(required: bool = True) -> Callable[[Command], Command]:
    """Add `--reason`."""
    return click.option("--reason", required=required, default=None if required else "", help="Why, in words.")


def key_option(of: Command) -> Command:
    """Add `--key`."""
    return click.option("--key", metavar="KEY", help="Idempotency key: doing it again changes nothing more.")(of)


@command.command("list")
@page_options()
@home_option
@json_option
def list_(limit: int, after: str | None, home: str | None, as_json: bool) -> None:
    """List the models and fleets that have versions."""
    from keepwell.models.service import models

    with open_kit(home).read() as tx:
        rows = models(tx, limit=limit, after=after)
    if as_json:
        print_json(rows)
        return
    print_rows(
        [{"model": m.name, "members": m.members, "versions": m.versions, "since": m.created_at} for m in rows],
        ("model", "members", "versions", "since"),
        "No model is registered yet: log one with `keepwell.log_model`, register one with `keepwell model register`, or"
        " apply a charter and run `keepwell loop tick`.",
    )


@command.command()
@click.argument("version")
@home_option
@json_option
def show(version: str, home: str | None, as_json: bool) -> None:
    """Show VERSION: its state, evidence, gates and approvals."""
    from keepwell.governance.charters import current_charters
    from keepwell.models.service import champion_history, named_version
    from keepwell.releases import service as releases

    with open_kit(home).read() as tx:
        found = named_version(tx, version)
        verdict = releases.verdicts(tx, [found.id]).get(found.id)
        evidence = releases.evidence(tx, found.id)
        approvals = releases.approvals(tx, [found.id])[found.id]
        champion = champion_history(tx, found.model, version_id=found.id)
        governed = any(one.charter.model == found.model for one in current_charters(tx))
    if as_json:
        print_json(
            {
                "version": found, "verdict": verdict, "evidence": evidence, "approvals": approvals,
                "champion": champion,
            }
        )  # fmt: skip
        return
    show_version(found)
    for gate in verdict.gates if verdict else ():
        click.echo(f"  {gate.outcome:<10} {gate.clause}: {gate.reason}")
    if verdict is None and governed:
        click.echo("  Its gates were not judged yet: run `keepwell fleet gate`.")
    elif verdict is None:
        click.echo("  Its model has no charter, so there are no gates.")
    for approval in approvals:
        click.echo(f"  approval by {approval.role} for {approval.environment}: {approval.state}")
    for held in champion:
        click.echo(f"  {interval(held)}")
    print_rows(
        [{"slice": e.slice, "subject": e.subject, "metric": e.metric, "value": e.value, "n": e.n} for e in evidence],
        ("slice", "subject", "metric", "value", "n"),
        "  No evidence is kept of it.",
    )


@command.command()
@click.argument("model")
@click.option("--segment", help="Of this segment only.")
@click.option("--state", help="registered, held, promoted, retired or discarded.")
@click.option("--q", "query", help="Parts of the segment's key, a state, a number like v3.")
@page_options()
@home_option
@json_option
def versions(
    model: str,
    segment: str | None,
    state: str | None,
    query: str | None,
    limit: int,
    after: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """List the versions of MODEL by segment, newest first."""
    from keepwell.models import service as registry

    with open_kit(home).read() as tx:
        name = registry.model(tx, model)
        page = registry.versions(tx, name, segment=segment, state=state, q=query, limit=limit, after=after)
    if as_json:
        print_json(page)
        return
    columns = ("segment", "number", "state", "trained_until", "id", "reason")
    print_rows(
        [{c: getattr(v, c) for c in columns} for v in page.versions],
        columns,
        "No version is like that.",
    )
    _say_more(page.after)


@command.command()
@click.argument("model")
@click.option("--segment", help="Of this segment only.")
@click.option("--environment", metavar="ENV", help="In this environment only.")
@click.option("--limit", type=int, default=50, show_default=True, help="How many, at most 1000.")
@click.option("--after", type=int, metavar="ENTRY", help="Only those before this entry of the ledger.")
@home_option
@json_option
def history(
    model: str,
    segment: str | None,
    environment: str | None,
    limit: int,
    after: int | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Say who was champion of MODEL when, newest first."""
    from keepwell.models import service as registry

    with open_kit(home).read() as tx:
        name = registry.model(tx, model)
        found = registry.champion_history(tx, name, segment, environment, before=after, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        {
            "segment": c.segment, "environment": c.environment, "version": f"v{c.number}", "from": c.since,
            "until": c.until, "cause": c.cause, "by": c.by, "entry": c.seq,
        }
        for c in found
    ]  # fmt: skip
    columns = ("segment", "environment", "version", "from", "until", "cause", "by", "entry")
    print_rows(rows, columns, "No version was champion yet.")


@command.command()
@click.argument("version")
@home_option
@json_option
def trace(version: str, home: str | None, as_json: bool) -> None:
    """Say where VERSION comes from: run, data, files, code, charter, gates, approvals."""
    from keepwell.flows.trace import trace_in
    from keepwell.models.service import named_version

    kit = open_kit(home)
    with kit.read() as tx:
        found = trace_in(tx, kit.blobs, named_version(tx, version).id)
    if as_json:
        print_json(found)
    else:
        show_trace(found)


@command.command()
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


@command.command()
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


@command.command()
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


@command.command()
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


@command.command()
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


@command.command()
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


@command.command()
@click.argument("version", nargs=-1, required=True)
@reason_option()
@key_option
@home_option
def discard(version: tuple[str, ...], reason: str, key: str | None, home: str | None) -> None:
    """Give up each VERSION for good; a champion must be replaced first."""
    _set_state(version, "discarded", reason, key, home)


@command.command()
@click.argument("version", nargs=-1, required=True)
@reason_option()
@key_option
@home_option
def hold(version: tuple[str, ...], reason: str, key: str | None, home: str | None) -> None:
    """Keep each VERSION back."""
    _set_state(version, "held", reason, key, home)


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


def _say_more(after: str | None) -> None:
    if after is not None:
        click.echo(f"More: --after '{after}'")
