"""`keepwell server`: pages and API, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from keepwell.cli.shared import home_option, me, open_kit

if TYPE_CHECKING:
    from keepwell.server.run import Served


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8400, show_default=True, type=click.IntRange(0, 65_535), help="Port; 0 takes a free one."
)
@click.option("--auth", type=click.Choice(["token", "none"]), default="token", show_default=True,
              help="'none': nobody has to sign in; on this machine only.")  # fmt: skip
@click.option("--insecure", is_flag=True, help="Listen off this machine without TLS; the ledger records it.")
@click.option("--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="TLS certificate chain (PEM).")
@click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="Its private key (PEM).")
@click.option("--allow-host", multiple=True, metavar="NAME", help="Another host name to answer under; repeatable.")
@home_option
def command(
    host: str,
    port: int,
    auth: Literal["token", "none"],
    insecure: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    allow_host: tuple[str, ...],
    home: str | None,
) -> None:
    """Serve pages and API until it is stopped (Ctrl-C or SIGTERM)."""
    from keepwell.server.run import Binding, check_binding, serve

    binding = Binding(host, port, auth, insecure, tls_cert, tls_key, allow_host)
    check_binding(binding)
    serve(open_kit(home), binding, owner=me(), on_start=announce)


def announce(served: Served) -> None:
    """Print where the server is and how to sign in."""
    click.echo(f"Keepwell is at {served.address}")
    if served.sign_in is not None:
        click.echo(f"Sign in (once, within 15 minutes): {served.sign_in}")
    for warning in served.warnings:
        click.echo(f"Warning: {warning}", err=True)
