"""`keepwell token`: API tokens and sign-in links."""

from __future__ import annotations

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows


@click.group(cls=Verbs)
def command() -> None:
    """API tokens and sign-in links."""


@command.command()
@click.argument("name")
@click.option("--read-only", is_flag=True, help="The token may only read.")
@click.option("--life", default="365d", show_default=True, help="How long it is good, such as 30d.")
@json_option
@home_option
def new(name: str, read_only: bool, life: str, as_json: bool, home: str | None) -> None:
    """Make an API token called NAME and print it; it is not kept and cannot be shown again."""
    from keepwell import db
    from keepwell.core.spans import parse_span
    from keepwell.governance import identity

    span = parse_span(life)
    kit = open_kit(home)
    with db.write(kit.db) as tx:
        call = kit.call(me())
        owner = identity.ensure_owner(tx, call)
        made = identity.new_token(tx, call, owner.id, name, read_only=read_only, life=span)
    if as_json:
        print_json({"id": made.credential.id, "token": made.secret, "expires_at": made.credential.expires_at})
    else:
        click.echo(made.secret)
        click.echo(
            f"{made.credential.id}, good until {made.credential.expires_at:%Y-%m-%d}; keep it, it is shown once.",
            err=True,
        )


@command.command(name="list")
@json_option
@home_option
def list_(as_json: bool, home: str | None) -> None:
    """List tokens, sessions and links, the newest first."""
    from keepwell import db
    from keepwell.governance import identity

    kit = open_kit(home)
    with db.read(kit.db) as tx:
        found = identity.credentials(tx, limit=500)
    now = kit.clock.now()
    rows = [
        {
            "id": c.id,
            "kind": c.kind,
            "name": c.name,
            "person": c.person,
            "access": "read" if c.read_only else "all",
            "state": identity.state_of(c, now),
            "expires": f"{c.expires_at:%Y-%m-%d %H:%M}",
        }
        for c in found
    ]
    if as_json:
        print_json(rows)
    else:
        columns = ("id", "kind", "name", "person", "access", "state", "expires")
        print_rows(rows, columns, "No tokens yet; make one with 'keepwell token new NAME'.")


@command.command()
@click.argument("token_id", metavar="ID")
@home_option
def revoke(token_id: str, home: str | None) -> None:
    """Revoke a token, session or link by its ID; it is refused from the next request on."""
    from keepwell import db
    from keepwell.governance import identity

    kit = open_kit(home)
    with db.write(kit.db) as tx:
        call = kit.call(me())
        identity.ensure_owner(tx, call)
        done = identity.revoke(tx, call, token_id)
    click.echo(f"{done.id} is revoked.")


@command.command()
@click.option("--address", default="http://127.0.0.1:8400", show_default=True, help="Where the server is reached.")
@home_option
def link(address: str, home: str | None) -> None:
    """Print a link that signs you in once within 15 minutes."""
    from keepwell import db
    from keepwell.governance import identity

    kit = open_kit(home)
    with db.write(kit.db) as tx:
        call = kit.call(me())
        owner = identity.ensure_owner(tx, call)
        made = identity.new_link(tx, call, owner.id)
    click.echo(f"{address.rstrip('/')}/sign-in?code={made.secret}")
