"""What the verbs of the registry share: one transaction a verb, names as people write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from keepwell.cli.shared import me, open_kit, print_json

if TYPE_CHECKING:
    from keepwell.core.calls import Call
    from keepwell.db import Transaction

Answer = TypeVar("Answer")


def write(home: str | None, key: str | None, do: Callable[[Transaction, Call], Answer]) -> Answer:
    """Do something in a write transaction, as the person who types."""
    kit = open_kit(home)
    with kit.write() as tx:
        return do(tx, kit.call(me(), key))


def say(value: object, as_json: bool, sentence: str) -> None:
    """Print a value as JSON, or a sentence."""
    if as_json:
        print_json(value)
    else:
        click.echo(sentence)


def named_tags(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return tags that are written NAME=TEXT."""
    from keepwell.core.errors import InvalidInput

    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InvalidInput(f"{pair[:60]!r} is not a tag: write NAME=TEXT.", where="tag")
        found[name] = text
    return found


def numbered(name: str) -> tuple[str, int | None]:
    """Return the model and the number that MODEL or MODEL/vN name."""
    model, _, last = name.rpartition("/")
    if model and last[:1] == "v" and last[1:].isascii() and last[1:].isdigit() and len(last) <= 10:
        return model, int(last[1:])
    return name, None


def with_number(name: str) -> tuple[str, int]:
    """Return the model and the number that MODEL/vN names."""
    from keepwell.core.errors import InvalidInput

    model, number = numbered(name)
    if number is None:
        raise InvalidInput(f"{ascii(name)[:80]} names no version: write MODEL/vN.", where="version")
    return model, number
