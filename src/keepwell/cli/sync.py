"""`keepwell sync`: send what processes that have ended could not."""

from __future__ import annotations

import sys

import click

from keepwell.cli.shared import home_option, json_option, print_json, print_rows


@click.command()
@click.option("--url", metavar="URL", help="Send everything here, whatever the spools name (http(s)://host:port).")
@click.option("--list", "only_list", is_flag=True, help="Say what waits; send nothing.")
@home_option
@json_option
def command(url: str | None, only_list: bool, home: str | None, as_json: bool) -> None:
    """Send what is left of processes that logged runs and have ended.

    Each spool says where it belongs; a token is read from KEEPWELL_TOKEN. Spools of processes that still run are left
    to them. Ends with code 7 while something waits.
    """
    from keepwell.client import syncing
    from keepwell.core.errors import InvalidInput
    from keepwell.settings import read_client_settings

    if url is not None and not url.startswith(("http://", "https://")):
        raise InvalidInput("--url is http(s)://host:port.", where="url")
    settings = read_client_settings(url, home) if url else read_client_settings(home, home)
    if only_list:
        _list(settings, as_json)
        return
    done = []
    for one in syncing.sync(settings, override=url is not None):
        done.append(one)
        if not as_json:
            click.echo(_sentence(one))
    if as_json:
        print_json(done)
    elif not done:
        click.echo(f"Nothing waits in {settings.spool}.")
    if any(one.state == "waiting" for one in done):
        sys.exit(7)


def _list(settings: object, as_json: bool) -> None:
    from keepwell.client import spool, syncing
    from keepwell.settings import ClientSettings

    assert isinstance(settings, ClientSettings)  # noqa: S101
    rows = []
    for folder in spool.sessions(settings.spool):
        target, left = spool.target_of(folder), syncing.waiting(folder)
        uri = target.uri if target else None
        rows.append({"session": folder.name, "target": uri, "records": left.records, "bytes": left.bytes})
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ("session", "target", "records", "bytes"), f"Nothing waits in {settings.spool}.")


def _sentence(one: object) -> str:
    from keepwell.client.syncing import Synced

    assert isinstance(one, Synced)  # noqa: S101
    match one.state:
        case "live":
            return f"{one.session}: its process runs and sends by itself"
        case "waiting":
            return f"{one.session}: waits, {one.records:,} records sent; {one.error}"
        case _:
            told = f"{one.session}: {one.records:,} records sent to {one.target}"
            if one.refused:
                told += f"; {one.refused:,} refused ({'; '.join(one.reasons[:3])})"
            if one.unreadable:
                told += f"; {one.unreadable:,} bytes at a cut end could not be read"
            return told
