"""`keepwell decisions`: what the loop decided, and why a segment got what it got."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import Verbs, home_option, json_option, open_kit, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.loop.decisions import Decision, Scope
    from keepwell.loop.ticks import Recorded

EMPTY = "The loop has not decided anything like that yet; run `keepwell loop tick`."


@click.group(cls=Verbs)
def command() -> None:
    """What the loop decided, and why."""


@command.command("list")
@click.option("--model", help="Only this model's.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind, such as train; may be repeated.")
@click.option("-q", "--search", "q", metavar="TEXT", help="A part of the reason.")
@click.option("--before", metavar="SEQ.PLACE", help="The last `at` of the page before: the next page.")
@click.option("--limit", type=int, default=50, show_default=True)
@home_option
@json_option
def list_(
    model: str | None,
    kinds: tuple[str, ...],
    q: str | None,
    before: str | None,
    limit: int,
    home: str | None,
    as_json: bool,
) -> None:
    """List decisions, newest first."""
    from keepwell.db import read
    from keepwell.loop import service

    cursor = _cursor(before)
    with read(open_kit(home).db) as tx:
        found = service.decisions(tx, model=model, kinds=kinds, q=q, before=cursor, limit=limit)
    if as_json:
        print_json(found)
        return
    columns = ("at", "time", "model", "decision", "segments", "reason")
    print_rows([_row(r) for r in found], columns, EMPTY)


@command.command()
@click.argument("tick")
@home_option
@json_option
def show(tick: str, home: str | None, as_json: bool) -> None:
    """Show everything that was decided in TICK, an id, or the newest one of a model when it is a model's name."""
    from keepwell.core.errors import NotFound
    from keepwell.db import read
    from keepwell.loop import service

    with read(open_kit(home).db) as tx:
        found = service.tick(tx, tick) if tick.startswith("tick_") else service.latest(tx, tick)
    if found is None:
        raise NotFound("The loop has not decided for this model yet; run `keepwell loop tick`.", where=tick[:60])
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.id}  {found.model}, tick {found.number}, {found.at:%Y-%m-%d %H:%M} UTC, {found.size} segments")
    for decision in found.decisions:
        click.echo(f"\n{_kind(decision)}: {_scope(decision.scope, found.size)}")
        _explain(decision)


@command.command()
@click.argument("model")
@click.argument("segment", default="all")
@click.option("--limit", type=int, default=10, show_default=True, help="How many ticks to look at.")
@click.option("--actions", is_flag=True, help="Only ticks in which it was not held, however long ago.")
@home_option
@json_option
def why(model: str, segment: str, limit: int, actions: bool, home: str | None, as_json: bool) -> None:
    """Say why SEGMENT of MODEL retrained, was promoted or held, tick by tick."""
    from keepwell.db import read
    from keepwell.loop import service

    with read(open_kit(home).db) as tx:
        found = service.actions(tx, model, segment, limit=limit) if actions else (
            service.why(tx, model, segment, limit=limit)
        )  # fmt: skip
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo("It was held in every tick so far.")
    for recorded in found:
        click.echo(f"{recorded.at:%Y-%m-%d %H:%M}  {_kind(recorded.decision)}")
        _explain(recorded.decision)


def _explain(decision: Decision) -> None:
    click.echo(f"  {decision.reason}")
    click.echo(f"  clause: {decision.clause}")
    click.echo(f"  facts: {', '.join(f'{f.what} {f.id}' for f in decision.facts)}")
    until = getattr(decision, "until", "")
    if until:
        click.echo(f"  what would change it: {until}")


def _row(recorded: Recorded) -> dict[str, object]:
    return {
        "at": f"{recorded.seq}.{recorded.place}",
        "time": f"{recorded.at:%Y-%m-%d %H:%M}",
        "model": recorded.model,
        "decision": _kind(recorded.decision),
        "segments": f"{recorded.size} of {recorded.fleet_size}",
        "reason": recorded.decision.reason,
    }


def _kind(decision: Decision) -> str:
    from keepwell.loop.decisions import kind_of

    return kind_of(decision).replace("_", " ")


def _scope(scope: Scope, fleet_size: int) -> str:
    if scope.others and not scope.segments:
        return f"all {fleet_size} segments"
    names = ", ".join(scope.segments[:8]) + (f" and {len(scope.segments) - 8} more" if len(scope.segments) > 8 else "")
    return f"all but {names}" if scope.others else names


def _cursor(text: str | None) -> tuple[int, int] | None:
    from keepwell.core.errors import InvalidInput

    if text is None:
        return None
    seq, _, place = text.partition(".")
    if not (seq.isdigit() and place.isdigit() and len(text) < 30):
        raise InvalidInput("Write the last `at` of the page before, such as 12.3.", where="--before")
    return int(seq), int(place)
