"""`keepwell model`: versions, champions, lineage; the other verbs are in files of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keepwell.cli import model_decisions, model_files, registry_labels, registry_verbs
from keepwell.cli.model_text import interval, show_trace, show_version
from keepwell.cli.options import page_options
from keepwell.cli.shared import Verbs, home_option, json_option, open_kit, print_json, print_rows

if TYPE_CHECKING:
    pass


@click.group(cls=Verbs)
def command() -> None:
    """Models, versions, champions and lineage.

    A VERSION is its id, MODEL/SEGMENT/vN, or MODEL/SEGMENT for the newest one; MODEL/vN for a model without segments.
    """


for _verb in (*registry_verbs.VERBS, *registry_labels.VERBS, *model_files.VERBS, *model_decisions.VERBS):
    command.add_command(_verb)


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


def _say_more(after: str | None) -> None:
    if after is not None:
        click.echo(f"More: --after '{after}'")
