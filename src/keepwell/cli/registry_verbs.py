"""`keepwell model`: the registry by name and number: models, versions, files, timeline, copies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepwell.cli.options import key_option
from keepwell.cli.registry_shared import named_tags, numbered, say, with_number, write
from keepwell.cli.shared import home_option, json_option, me, open_kit, print_json, print_rows
from keepwell.core.errors import NotFound

if TYPE_CHECKING:
    from keepwell.core.calls import Call
    from keepwell.db import Transaction
    from keepwell.models.registry_model import RegisteredVersion

_limit = click.option("--limit", type=int, default=50, show_default=True, help="How many, at most 1000.")
_tags = click.option("--tag", "tags", multiple=True, metavar="NAME=TEXT", help="A tag; repeat it for several.")


@click.command()
@click.argument("model")
@click.option("--description", help="What it is, in words.")
@_tags
@key_option
@home_option
@json_option
def create(
    model: str, description: str | None, tags: tuple[str, ...], key: str | None, home: str | None, as_json: bool
) -> None:
    """Make MODEL without versions."""
    from keepwell.models import registry

    made = write(home, key, lambda tx, call: registry.create_model(tx, call, model, description, named_tags(tags)))
    say(made, as_json, f"{made.name} is there.")


@click.command()
@click.argument("model")
@click.argument("source")
@click.option("--run", "run_id", metavar="RUN", help="The run that made it, where SOURCE does not say so.")
@click.option("--description", help="What it is, in words.")
@click.option("--alias", "aliases", multiple=True, help="Let an alias name it; repeat it for several.")
@_tags
@key_option
@home_option
@json_option
def register(
    model: str,
    source: str,
    run_id: str | None,
    description: str | None,
    aliases: tuple[str, ...],
    tags: tuple[str, ...],
    key: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Register the next version of MODEL from SOURCE: runs:/RUN/PATH, models:/m-ID or models:/NAME/N."""
    from keepwell.core.errors import NotFound
    from keepwell.flows.registering import register_from
    from keepwell.models import registry

    kit = open_kit(home)

    def do(tx: Transaction, call: Call) -> RegisteredVersion:
        try:
            registry.model_name(tx, model)
        except NotFound:
            registry.create_model(tx, call.under(f"{call.key}:model") if call.key else call, model)
        return register_from(
            tx, kit, call, model, source, run_id, description=description, tags=named_tags(tags), aliases=aliases
        )

    with kit.write() as tx:
        made = do(tx, kit.call(me(), key))
    say(made, as_json, f"{made.model} v{made.number} is registered: {made.id}")


@click.command()
@click.argument("model")
@home_option
@json_option
def info(model: str, home: str | None, as_json: bool) -> None:
    """Show MODEL: description, tags, aliases, newest versions."""
    from keepwell.models import registry

    with open_kit(home).read() as tx:
        found = registry.registered_model(tx, model)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.name}  since {found.created_at:%Y-%m-%d}, changed {found.updated_at:%Y-%m-%d %H:%M}")
    if found.description:
        click.echo(f"  {found.description}")
    for name, text in sorted(found.tags.items()):
        click.echo(f"  tag {name} = {text}")
    for alias, number in found.aliases.items():
        click.echo(f"  @{alias} is v{number}")
    _versions(found.latest, "  It has no version yet: `keepwell model register`.")


@click.command()
@click.argument("filter_", metavar="FILTER", default="")
@click.option("--versions", "of_versions", is_flag=True, help="Search versions, not models.")
@click.option("--order", "order_by", multiple=True, metavar="CLAUSE", help="Such as 'name DESC'; repeat it.")
@click.option("--offset", type=int, default=0, help="How many to skip.")
@_limit
@home_option
@json_option
def search(
    filter_: str, of_versions: bool, order_by: tuple[str, ...], offset: int, limit: int, home: str | None, as_json: bool
) -> None:
    """Search models, or versions: FILTER is like "name LIKE 'dem%' AND tags.team = 'retail'"."""
    from keepwell.models import registry

    with open_kit(home).read() as tx:
        if of_versions:
            found = registry.search_versions(tx, filter_, order_by, limit, offset)
            if as_json:
                print_json(found)
            else:
                _versions(found, "No version is like that.")
            return
        models = registry.search_models(tx, filter_, order_by, limit, offset)
    if as_json:
        print_json(models)
        return
    rows = [
        {"model": m.name, "newest": f"v{m.latest[0].number}" if m.latest else None, "changed": m.updated_at,
         "aliases": " ".join(f"{a}=v{n}" for a, n in m.aliases.items())}
        for m in models
    ]  # fmt: skip
    print_rows(rows, ("model", "newest", "changed", "aliases"), "No model is like that.")


@click.command()
@click.argument("name", metavar="MODEL[/vN]")
@click.argument("text")
@key_option
@home_option
@json_option
def describe(name: str, text: str, key: str | None, home: str | None, as_json: bool) -> None:
    """Write another description of a model or a version."""
    from keepwell.models import registry

    model, number = numbered(name)
    if number is None:
        changed = write(home, key, lambda tx, call: registry.update_model(tx, call, model, text))
        say(changed, as_json, f"{changed.name} is described.")
    else:
        version = write(home, key, lambda tx, call: registry.update_version(tx, call, model, number, text))
        say(version, as_json, f"{version.model} v{version.number} is described.")


@click.command()
@click.argument("model")
@click.argument("new_name")
@key_option
@home_option
@json_option
def rename(model: str, new_name: str, key: str | None, home: str | None, as_json: bool) -> None:
    """Give MODEL another name; the numbers it gave under the old one are never given again."""
    from keepwell.flows import registry

    done = write(home, key, lambda tx, call: registry.rename_model(tx, call, model, new_name))
    say(done, as_json, f"It is called {done.name} now.")


@click.command()
@click.argument("name", metavar="MODEL[/vN]")
@click.option("--yes", is_flag=True, help="Delete a whole model without asking.")
@key_option
@home_option
@json_option
def delete(name: str, yes: bool, key: str | None, home: str | None, as_json: bool) -> None:
    """Delete a version, or a whole model. `keepwell gc` frees the bytes later; until then a version can come back."""
    from keepwell.flows import registry as governed
    from keepwell.models import registry

    model, number = numbered(name)
    if number is None:
        if not yes:
            click.confirm(f"Delete {model} with all its versions?", abort=True, err=True)
        count = write(home, key, lambda tx, call: governed.delete_model(tx, call, model))
    else:
        count = write(home, key, lambda tx, call: registry.delete_version(tx, call, model, number))
    say({"versions": count}, as_json, f"{count} versions are deleted.")


@click.command()
@click.argument("name", metavar="MODEL/vN")
@key_option
@home_option
@json_option
def restore(name: str, key: str | None, home: str | None, as_json: bool) -> None:
    """Bring a deleted version back, as long as its bytes are not freed."""
    from keepwell.models import registry

    model, number = with_number(name)
    version = write(home, key, lambda tx, call: registry.restore_version(tx, call, model, number))
    say({"version": version}, as_json, f"{model} v{number} is back.")


@click.command()
@click.argument("name", metavar="MODEL/vN")
@home_option
@json_option
def files(name: str, home: str | None, as_json: bool) -> None:
    """List the files of a version."""
    from keepwell.flows.registering import files_of
    from keepwell.models import registry

    model, number = with_number(name)
    kit = open_kit(home)
    with kit.read() as tx:
        found = files_of(kit, registry.registered_version(tx, model, number))
    if as_json:
        print_json([{"path": f.path, "digest": f.digest, "size": f.size} for f in found])
    else:
        print_rows([f._asdict() for f in found], ("path", "size", "digest"), "It has no files.")


@click.command()
@click.argument("model")
@click.option("--segment", help="Champions of this segment only.")
@_limit
@home_option
@json_option
def timeline(model: str, segment: str | None, limit: int, home: str | None, as_json: bool) -> None:
    """Say which version of MODEL held which place when: environments, aliases, stages."""
    from keepwell.models import registry

    with open_kit(home).read() as tx:
        spans = registry.timeline(tx, model, segment=segment, limit=limit)
    if as_json:
        print_json([span._asdict() for span in spans])
        return
    rows = [{**s._asdict(), "version": f"v{s.number}", "from": s.since, "entry": s.seq} for s in spans]
    columns = ("kind", "lane", "segment", "version", "from", "until", "cause", "by", "entry")
    print_rows(rows, columns, "No version held any place yet.")


@click.command()
@click.argument("name", metavar="MODEL/vN")
@click.argument("new_model", metavar="MODEL")
@click.option("--to", "target", metavar="DIR", help="The other installation's folder; this one by default.")
@click.option("--alias", "aliases", multiple=True, help="Let an alias name the copy; repeat it for several.")
@home_option
@json_option
def copy(
    name: str, new_model: str, target: str | None, aliases: tuple[str, ...], home: str | None, as_json: bool
) -> None:
    """Copy a version to another name or another installation's registry; copying again changes nothing."""
    from keepwell.flows.copying import copy_version

    model, number = with_number(name)
    kit = open_kit(home)
    if target and not Path(target).expanduser().absolute().parent.is_dir():
        raise NotFound(f"There is no folder {str(Path(target).parent)!r} that {target!r} could be in.", where="to")
    other = open_kit(target) if target else kit
    made = copy_version(kit, model, number, other, new_model, me(), aliases=aliases)
    place = f" in {other.home}" if target else ""
    say(made, as_json, f"{made.model} v{made.number}{place} is the copy: {made.id}")


VERBS = (
    create, register, info, search, describe, rename, delete, restore, files,
    timeline, copy,
)  # fmt: skip


def _versions(found: Sequence[RegisteredVersion], empty: str) -> None:
    rows = [
        {"version": f"{v.model} v{v.number}", "state": v.state, "stage": v.stage, "aliases": " ".join(v.aliases),
         "source": v.source, "run": v.run_id, "created": v.created_at}
        for v in found
    ]  # fmt: skip
    print_rows(rows, ("version", "state", "stage", "aliases", "source", "run", "created"), empty)
