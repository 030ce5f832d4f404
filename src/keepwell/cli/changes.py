"""`keepwell changes`: the feed of what happened, from any point on."""

from __future__ import annotations

import time

import click

from keepwell.cli.shared import home_option, json_option, open_kit, print_json


@click.command()
@click.option("--after", type=int, default=0, show_default=True, metavar="ENTRY", help="The last entry you know.")
@click.option("--subject", help="Only of this subject, such as model:iris.")
@click.option("--kind", help="Only of this kind, or of kinds that start so, such as model.")
@click.option("--limit", type=int, default=100, show_default=True, help="How many at once, at most 1000.")
@click.option("--follow", is_flag=True, help="Go on telling what happens, until interrupted.")
@home_option
@json_option
def command(
    after: int, subject: str | None, kind: str | None, limit: int, follow: bool, home: str | None, as_json: bool
) -> None:
    """Say what happened after an entry of the ledger, oldest first."""
    from keepwell.ledger.feed import LONGEST, wait_for_changes

    kit = open_kit(home)
    while True:
        found = wait_for_changes(
            kit.db, after, LONGEST if follow else 0.0, subject=subject, kind=kind, limit=limit, now=time.monotonic,
            sleep=time.sleep,
        )  # fmt: skip
        if as_json and not follow:
            print_json(found)
        for entry in found.items:
            if as_json and follow:
                print_json(entry)
            elif not as_json:
                click.echo(f"{entry.seq}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.kind}  {entry.subject}  {entry.actor}")
        after = found.after
        if not follow:
            if not as_json:
                click.echo(f"Go on with --after {after}", err=True)
            return
