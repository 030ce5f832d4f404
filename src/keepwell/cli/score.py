"""`keepwell score`: score a fleet now, and list what was scored."""

from __future__ import annotations

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows


@click.group(cls=Verbs)
def command() -> None:
    """Score a fleet now, and list what was scored."""


@command.command("run")
@click.argument("model")
@home_option
@json_option
def run_command(model: str, home: str | None, as_json: bool) -> None:
    """Score MODEL for the newest moment of its schedule; once for each moment."""
    from keepwell.charter.crons import last_moment
    from keepwell.flows.score import score
    from keepwell.governance.charters import current_charter

    kit = open_kit(home)
    with kit.read() as tx:
        applied = current_charter(tx, model)
    slot = last_moment(applied.charter.consumed.schedule, kit.clock.now()) or kit.clock.now()
    done = score(kit, applied, slot, me())
    if as_json:
        print_json(done)
        return
    by = ", ".join(f"{count:,} by {who.replace('_', ' ')}" for who, count in done.answered.items() if count)
    click.echo(f"{done.rows:,} rows for {done.first} to {done.last}: {by}.")
    click.echo(f"Scoring {done.id}, published as {done.output}.")


@command.command("list")
@click.argument("model")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@home_option
@json_option
def list_command(model: str, limit: int, home: str | None, as_json: bool) -> None:
    """List the scorings of MODEL, newest first."""
    from keepwell.governance.charters import current_charter
    from keepwell.serving.service import scorings

    kit = open_kit(home)
    with kit.read() as tx:
        current_charter(tx, model)
        found = scorings(tx, model, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [{"id": s.id, "slot": f"{s.slot:%Y-%m-%d %H:%M}", "rows": s.rows, "from": s.first, "to": s.last,
             "outcomes": s.joined} for s in found]  # fmt: skip
    print_rows(rows, ["id", "slot", "rows", "from", "to", "outcomes"],
               f"{model} was not scored yet; run `keepwell score run {model}` or `keepwell loop tick`.")  # fmt: skip
