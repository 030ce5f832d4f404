"""`keepwell gc`: say what would be freed, free it, and say what was freed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, plural, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.flows.gc import Rows

_retention = click.option(
    "--retention", default="30d", show_default=True, metavar="SPAN", help="What was deleted can come back so long."
)
_grace = click.option(
    "--grace", default="1d", show_default=True, metavar="SPAN", help="Bytes that nothing refers to stay so long."
)


@click.group(cls=Verbs)
def command() -> None:
    """Free what was deleted longer ago than the retention, and bytes that nothing refers to."""


@command.command()
@_retention
@_grace
@home_option
@json_option
def plan(retention: str, grace: str, home: str | None, as_json: bool) -> None:
    """Say what `keepwell gc run` would free; change nothing."""
    from keepwell.flows.gc import plan as plan_of

    found = plan_of(open_kit(home), _span(retention), _span(grace))
    if as_json:
        print_json(found)
        return
    _show_rows("Would give up for good", found.rows)
    files = plural(found.blobs, "file")
    click.echo(f"Would remove {files}, {_size(found.bytes)} of {_size(found.stored)} that are stored.")
    if found.young:
        click.echo(f"{found.young:,} more files that nothing refers to were put within the last {grace}.")
    if found.largest:
        print_rows([{"bytes": size, "digest": d} for d, size in found.largest], ("bytes", "digest"), "")


@command.command()
@_retention
@_grace
@click.option("--key", metavar="KEY", help="Idempotency key: doing it again changes nothing more.")
@home_option
@json_option
def run(retention: str, grace: str, key: str | None, home: str | None, as_json: bool) -> None:
    """Free it, and say what was freed."""
    from keepwell.flows.gc import run as run_it

    freed = run_it(open_kit(home), me(), _span(retention), _span(grace), key=key)
    if as_json:
        print_json(freed)
        return
    _show_rows("Gave up for good", freed.rows)
    click.echo(f"Removed {plural(freed.blobs, 'file')}, {_size(freed.bytes)}.")
    if freed.spared:
        click.echo(f"Spared {freed.spared:,} files that were stored again meanwhile.")


@command.command()
@click.option("--limit", type=int, default=50, show_default=True, help="How many entries, at most 1000.")
@home_option
@json_option
def report(limit: int, home: str | None, as_json: bool) -> None:
    """Say what was freed before, newest first, from the ledger."""
    from keepwell.core.paging import check_limit
    from keepwell.flows.gc import history

    with open_kit(home).read() as tx:
        found = history(tx, check_limit(limit))
    if as_json:
        print_json(found)
        return
    rows = [
        {"entry": e.seq, "at": e.at, "by": e.actor, "what": e.kind.removeprefix("gc."),
         **{name: e.body.get(name) for name in ("versions", "runs", "blobs", "bytes")}}
        for e in found
    ]  # fmt: skip
    columns = ("entry", "at", "by", "what", "versions", "runs", "blobs", "bytes")
    print_rows(rows, columns, "Nothing was freed yet: `keepwell gc plan` says what would be.")


def _span(text: str) -> timedelta:
    from keepwell.core.spans import parse_span

    return timedelta(0) if text in ("0", "0d") else parse_span(text)


def _show_rows(said: str, rows: Rows) -> None:
    parts = [
        plural(count, what)
        for count, what in (
            (rows.versions, "version"), (rows.runs, "run"), (rows.experiments, "experiment"),
            (rows.logged_models, "logged model"),
        )
        if count
    ]  # fmt: skip
    click.echo(f"{said}: {', '.join(parts) or 'nothing'}; {rows.waiting:,} deleted can still come back.")


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
