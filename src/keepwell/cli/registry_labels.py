"""`keepwell model`: tags, aliases and stages."""

from __future__ import annotations

import click

from keepwell.cli.options import key_option
from keepwell.cli.registry_shared import named_tags, numbered, say, with_number, write
from keepwell.cli.shared import home_option, json_option


@click.command()
@click.argument("name", metavar="MODEL[/vN]")
@click.argument("tags", nargs=-1, required=True, metavar="NAME=TEXT...")
@key_option
@home_option
@json_option
def tag(name: str, tags: tuple[str, ...], key: str | None, home: str | None, as_json: bool) -> None:
    """Write tags of a model or a version."""
    from keepwell.models import registry

    model, number = numbered(name)
    labels = named_tags(tags)
    if number is None:
        write(home, key, lambda tx, call: registry.set_model_tags(tx, call, model, labels))
    else:
        write(home, key, lambda tx, call: registry.set_version_tags(tx, call, model, number, labels))
    say({"tags": labels}, as_json, f"{len(labels)} tags are written.")


@click.command()
@click.argument("name", metavar="MODEL[/vN]")
@click.argument("tag_name", metavar="NAME")
@key_option
@home_option
@json_option
def untag(name: str, tag_name: str, key: str | None, home: str | None, as_json: bool) -> None:
    """Remove a tag of a model or a version."""
    from keepwell.models import registry

    model, number = numbered(name)
    if number is None:
        was = write(home, key, lambda tx, call: registry.delete_model_tag(tx, call, model, tag_name))
    else:
        was = write(home, key, lambda tx, call: registry.delete_version_tag(tx, call, model, number, tag_name))
    say({"was_there": was}, as_json, "It is removed." if was else "There was no such tag.")


@click.command()
@click.argument("name", metavar="MODEL/vN")
@click.argument("alias_name", metavar="ALIAS")
@key_option
@home_option
@json_option
def alias(name: str, alias_name: str, key: str | None, home: str | None, as_json: bool) -> None:
    """Let ALIAS name a version from now on."""
    from keepwell.flows import registry

    model, number = with_number(name)
    write(home, key, lambda tx, call: registry.set_alias(tx, call, model, alias_name, number))
    say({"alias": alias_name, "number": number}, as_json, f"{model}@{alias_name} is v{number}.")


@click.command()
@click.argument("model")
@click.argument("alias_name", metavar="ALIAS")
@key_option
@home_option
@json_option
def unalias(model: str, alias_name: str, key: str | None, home: str | None, as_json: bool) -> None:
    """Let ALIAS of MODEL name nothing any more."""
    from keepwell.flows import registry

    was = write(home, key, lambda tx, call: registry.delete_alias(tx, call, model, alias_name))
    say({"was_there": was}, as_json, "It is removed." if was else "There was no such alias.")


@click.command()
@click.argument("name", metavar="MODEL/vN")
@click.argument("stage_name", metavar="STAGE")
@click.option("--archive", is_flag=True, help="Archive the other versions of that stage.")
@key_option
@home_option
@json_option
def stage(name: str, stage_name: str, archive: bool, key: str | None, home: str | None, as_json: bool) -> None:
    """Set the stage of a version of a model without a charter: None, Staging, Production or Archived."""
    from keepwell.flows import registry

    model, number = with_number(name)
    done = write(home, key, lambda tx, call: registry.transition_stage(tx, call, model, number, stage_name, archive))
    say(done, as_json, f"{done.model} v{done.number} is {done.stage}.")


VERBS = (tag, untag, alias, unalias, stage)
