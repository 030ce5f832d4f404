"""`keepwell audit`: look at the ledger, export it, verify it, hand out checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, plural, print_json, print_rows


@click.group(cls=Verbs)
def command() -> None:
    """Export the ledger, and verify an export."""


@command.command("export")
@click.argument("out", type=click.Path(path_type=Path), metavar="DIR|FILE.zip")
@click.option("--no-notes", is_flag=True, help="Leave out the reasons that people typed; their commitments stay.")
@home_option
@json_option
def export_command(out: Path, no_notes: bool, home: str | None, as_json: bool) -> None:
    """Write the whole ledger, with all that a stranger needs to verify it."""
    from keepwell.ledger.export import export

    kit = open_kit(home)
    from keepwell.ledger.checkpoints import signing_key

    summary = export(kit.db, out, signing_key(kit.db, kit.home), kit.call(me()), notes=not no_notes)
    if as_json:
        print_json(summary)
        return
    counts = (plural(summary.entries, "entry", "entries"), plural(summary.notes, "note"))
    click.echo(f"Wrote {', '.join(counts)} and {plural(summary.checkpoints, 'checkpoint')} to {out}.")
    folder = str(out).removesuffix(".zip")
    where = f"after unzip {out} -d {folder}," if str(out) != folder else "with"
    words = f"python -I {folder}/verify.py {folder} --checkpoint FILE"
    click.echo(f"Anyone can verify it, {where} {words} (a checkpoint kept elsewhere).")


@command.command()
@click.argument("export", type=click.Path(path_type=Path), required=False)
@click.option("--checkpoint", "held", type=click.Path(path_type=Path), metavar="FILE", help="One kept elsewhere.")
@home_option
@json_option
def verify(export: Path | None, held: Path | None, home: str | None, as_json: bool) -> None:
    """Verify an export, or without one the ledger of this installation; exit code 1 names the first bad entry."""
    from keepwell.ledger import verify as verifier

    if export is not None:
        report = verifier.verify(export, held)
    else:
        from keepwell.db import read
        from keepwell.ledger.export import check

        kept = None if held is None else _held(held)
        with read(open_kit(home).db) as tx:
            report = check(tx, kept)
    if as_json:
        print_json(report)
    else:
        click.echo("\n".join(report.lines()))
    sys.exit(0 if report.ok else 1)


@command.command()
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to write it; else it is printed.")
@home_option
def checkpoint(out: Path | None, home: str | None) -> None:
    """Sign a checkpoint over all entries, for somebody else to keep."""
    import json

    from keepwell.core.errors import InvalidInput
    from keepwell.db import read
    from keepwell.ledger import checkpoints

    kit = open_kit(home)
    signed = checkpoints.checkpoint(kit.db, kit.home, kit.call(me()))
    with read(kit.db) as tx:
        kept = checkpoints.held(tx, signed)
    if out is None:
        click.echo(json.dumps(kept, sort_keys=True))
        return
    try:
        out.write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}.", where="--out") from error
    click.echo(
        f"Signed {signed.size} entries with key {signed.key}. Give {out} to somebody who does not run this house."
    )


@command.command()
@click.option("--lost", is_flag=True, help="The key in use is lost: start one without its introduction.")
@home_option
@json_option
def rotate(lost: bool, home: str | None, as_json: bool) -> None:
    """Start a new signing key, introduced by the one in use."""
    from keepwell.ledger.checkpoints import rotate_key

    kit = open_kit(home)
    key = rotate_key(kit.db, kit.home, kit.call(me()), lost=lost)
    if as_json:
        print_json(key)
    else:
        by = (
            f"introduced by {key.introduced_by}" if key.introduced_by else "introduced by none: every audit will say so"
        )
        click.echo(f"Checkpoints are signed by key {key.key} from entry {key.seq} on, {by}.")


@command.command("list")
@click.option("--subject", help="Only this subject, such as model:demand.")
@click.option("--kind", help="Only this kind, or kinds that start with it.")
@click.option("--actor", help="Only this actor.")
@click.option("--search", help="Only entries with this text in subject, kind or actor.")
@click.option("--before", type=click.IntRange(min=1), help="Only entries before this number.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@home_option
@json_option
def list_command(
    subject: str | None,
    kind: str | None,
    actor: str | None,
    search: str | None,
    before: int | None,
    limit: int,
    home: str | None,
    as_json: bool,
) -> None:
    """List entries, newest first."""
    from keepwell.core.clock import iso
    from keepwell.db import read
    from keepwell.ledger.service import entries

    with read(open_kit(home).db) as tx:
        found = entries(tx, subject=subject, kind=kind, actor=actor, q=search, before=before, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        {"seq": e.seq, "at": iso(e.at)[:19], "actor": e.actor, "kind": e.kind, "subject": e.subject, "note": e.note}
        for e in found
    ]
    print_rows(rows, ("seq", "at", "actor", "kind", "subject", "note"), "The ledger has no such entry.")


def _held(place: Path) -> dict[str, object]:
    from keepwell.core.errors import InvalidInput
    from keepwell.ledger import verify as verifier

    try:
        return verifier.check_held(verifier.read_held(place))
    except verifier.Bad as bad:
        raise InvalidInput(f"{bad.what}.", where="--checkpoint") from None
