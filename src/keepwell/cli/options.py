"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def page_options(most: int = 1000) -> Callable[[Command], Command]:
    """Add `--limit` and `--after`."""

    def add(of: Command) -> Command:
        limit = click.option("--limit", type=int, default=50, show_default=True, help=f"How many, at most {most}.")
        after = click.option("--after", metavar="PLACE", help="Go on after this place, which the page before named.")
        return limit(after(of))

    return add


def environment_option(of: Command) -> Command:
    """Add `--environment`."""
    return click.option("--environment", metavar="ENV", help="By default the charter's last: production.")(of)


def reason_option(required: bool = True) -> Callable[[Command], Command]:
    """Add `--reason`."""
    return click.option("--reason", required=required, default=None if required else "", help="Why, in words.")


def key_option(of: Command) -> Command:
    """Add `--key`."""
    return click.option("--key", metavar="KEY", help="Idempotency key: doing it again changes nothing more.")(of)
