"""The command line: one file a command, imported only when it is used, so that `--help` costs an interpreter and click.

A command's file `keepwell/cli/<name>.py` holds a click command or group called `command`. Errors of `core.errors` end
with one sentence on stderr and the exit code of `EXIT_CODES`.
"""

from __future__ import annotations

import sys

import click

from keepwell import __version__
from keepwell.core import errors

COMMANDS = {
    "audit": "Export the ledger, and verify an export.",
    "backtest": "Measure a charter's forecasts over its newest history.",
    "changes": "What happened, from any point on.",
    "charter": "Check, explain, publish and apply charters.",
    "data": "Dataset versions, arrivals and their contracts.",
    "decisions": "What the loop decided, and why.",
    "demo": "Run the loop over the bundled example.",
    "fleet": "Fleets: members, search, gate, promote.",
    "fsck": "Check that stored state is whole.",
    "gc": "Free what was deleted, and say what.",
    "import": "Move in from an MLflow server, folder or database.",
    "incidents": "Data and model incidents.",
    "loop": "Run the loop once, or look at what it would do.",
    "model": "Models, versions, champions and lineage.",
    "pipeline": "Run pipelines and look at their runs.",
    "policy": "What environments let models do.",
    "runs": "Recorded runs.",
    "score": "Score a fleet now.",
    "server": "Serve pages and API.",
    "sync": "Send what logging processes left.",
    "token": "API tokens and sign-in links.",
    "up": "Server, loop and workers in one process tree.",
}

EXIT_CODES: tuple[tuple[type[errors.KeepwellError], int], ...] = (
    (errors.InvalidInput, 2),
    (errors.NotFound, 3),
    (errors.Unauthenticated, 4),
    (errors.Denied, 4),
    (errors.Conflict, 5),
    (errors.NotInstalled, 6),
    (errors.NotSupported, 6),
    (errors.Unavailable, 7),
    (errors.Damaged, 8),
    (errors.KeepwellError, 1),
)


def module_of(command: str) -> str:
    """Return the name of the module of a command."""
    return f"keepwell.cli.{command}{'_' if command == 'import' else ''}"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of one command."""
        if cmd_name not in COMMANDS:
            return None
        import importlib

        found = importlib.import_module(module_of(cmd_name)).command
        assert isinstance(found, click.Command)  # noqa: S101
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keepwell")
def cli() -> None:
    """Keep production models in good standing."""


def main() -> None:
    """Run the command line and end the process with the right exit code."""
    try:
        cli.main(prog_name="keepwell", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted; run the same command again to go on.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except errors.KeepwellError as error:
        click.echo(f"keepwell: {error}", err=True)
        sys.exit(next(code for kind, code in EXIT_CODES if isinstance(error, kind)))
    except OSError as error:
        if error.filename is None:
            raise
        click.echo(f"keepwell: {error.filename} cannot be used: {error.strerror}.", err=True)
        sys.exit(1)
