"""`keepwell policy`: what each environment lets models do."""

from __future__ import annotations

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows


@click.group(cls=Verbs)
def command() -> None:
    """What each environment lets models do; nothing that runs code until somebody says so."""


@command.command()
@click.argument("environment", required=False)
@home_option
@json_option
def show(environment: str | None, home: str | None, as_json: bool) -> None:
    """Show what ENVIRONMENT lets models do, or every one of which something was said."""
    from keepwell.governance import policies

    with open_kit(home).read() as tx:
        found = policies.policies(tx) if environment is None else [policies.policy(tx, environment)]
    if as_json:
        print_json(found)
        return
    rows = [
        {
            "environment": policy.environment,
            "pickle": "allowed, in a process of its own" if policy.pickle else "refused",
            "code": ", ".join(policy.code) or "none",
            "since": policy.changed_at,
            "by": policy.changed_by,
        }
        for policy in found
    ]
    empty = "No environment has a policy: each refuses models whose format runs code (pickles), or that name code."
    print_rows(rows, ("environment", "pickle", "code", "since", "by"), empty)


@command.command("allow-pickle")
@click.argument("environment")
@click.option("--reason", required=True, help="Why, in words.")
@home_option
def allow_pickle(environment: str, reason: str, home: str | None) -> None:
    """Let models load in ENVIRONMENT whose format runs code, each in a process of its own and in the ledger."""
    _change(home, environment, reason, pickle=True)


@command.command("refuse-pickle")
@click.argument("environment")
@click.option("--reason", required=True, help="Why, in words.")
@home_option
def refuse_pickle(environment: str, reason: str, home: str | None) -> None:
    """Refuse models in ENVIRONMENT whose format runs code."""
    _change(home, environment, reason, pickle=False)


@command.command("allow-code")
@click.argument("environment")
@click.argument("modules", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why, in words.")
@home_option
def allow_code(environment: str, modules: tuple[str, ...], reason: str, home: str | None) -> None:
    """Let models in ENVIRONMENT name code of MODULES, beside those that are allowed."""
    _change(home, environment, reason, add=modules)


@command.command("refuse-code")
@click.argument("environment")
@click.argument("modules", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why, in words.")
@home_option
def refuse_code(environment: str, modules: tuple[str, ...], reason: str, home: str | None) -> None:
    """Let models in ENVIRONMENT no longer name code of MODULES."""
    _change(home, environment, reason, remove=modules)


def _change(
    home: str | None,
    environment: str,
    reason: str,
    *,
    pickle: bool | None = None,
    add: tuple[str, ...] = (),
    remove: tuple[str, ...] = (),
) -> None:
    from keepwell.governance import policies

    kit = open_kit(home)
    with kit.write() as tx:
        code = None
        if add or remove:
            code = sorted((set(policies.policy(tx, environment).code) | set(add)) - set(remove))
        made = policies.change_policy(tx, kit.call(me()), environment, reason=reason, pickle=pickle, code=code)
    modules = f", and name code of {', '.join(made.code)}" if made.code else ""
    verb = "may" if made.pickle else "may not"
    click.echo(f"Models in {made.environment} {verb} run code when they are loaded{modules}.")
