"""What commands share: the `--home` and `--json` options, opening the house, printing rows."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from keepwell.flows.kit import Kit

Command = TypeVar("Command", bound=Callable[..., Any])


class Verbs(click.Group):
    """A group that lists its commands with their first sentence whole, wrapped and never cut."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, one.get_short_help_str(1000)) for name, one in found if one is not None and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def home_option(command: Command) -> Command:
    """Add `--home DIR`."""
    return click.option("--home", metavar="DIR", help="The installation's folder (KEEPWELL_HOME, else ~/.keepwell).")(
        command
    )


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def open_kit(home: str | None) -> Kit:
    """Open the house that `--home` and the environment name; say so when the SDK logs to a server instead."""
    from keepwell.bootstrap import open_house
    from keepwell.settings import read_client_settings, read_settings

    if home is None and (client := read_client_settings()).remote:
        click.echo(f"Note: this is about {client.home} on this machine, not {client.uri}.", err=True)
    return open_house(read_settings(home))


def me() -> str:
    """Return the actor that a command of this machine's user acts as; `person:local-user` where that has no name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = ""
    return f"person:{name}" if name and not name.isdigit() else "person:local-user"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def print_json(value: object) -> None:
    """Print any value of ours as JSON, on one line."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[str], empty: str) -> None:
    """Print rows as an aligned table, or the sentence that says why there are none and what to do."""
    if not rows:
        click.echo(empty)
        return
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(c), *(len(line[i]) for line in cells)) for i, c in enumerate(columns)]
    click.echo("  ".join(c.upper().ljust(w) for c, w in zip(columns, widths, strict=True)).rstrip())
    for line in cells:
        click.echo("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    return "".join(c if c.isprintable() else "?" for c in str(value))
