"""`keepwell fsck`: check that the stored state is whole."""

from __future__ import annotations

import sys

import click

from keepwell.cli.shared import home_option, json_option, open_kit, print_json


@click.command()
@click.option("--quick", is_flag=True, help="Hash no bytes and verify no chain: look at rows and at what is there.")
@home_option
@json_option
def command(quick: bool, home: str | None, as_json: bool) -> None:
    """Check that stored state is whole; exit code 8 when it is not."""
    from keepwell.flows.fsck import fsck, remarks

    kit = open_kit(home)
    problems, said = fsck(kit, quick=quick), remarks(kit)
    if as_json:
        print_json({"problems": problems, "remarks": said, "clean": not problems})
    else:
        for problem in problems:
            click.echo(f"{problem.invariant}  {problem.subject}: {problem.wrong}")
        found = f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}."
        click.echo(found if problems else "Clean: nothing is missing, changed or out of order.")
        for remark in said:
            click.echo(f"Note: {remark}")
    sys.exit(8 if problems else 0)
