"""`keepwell loop`: run the loop once, or look at what it would do."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.flows.kit import Kit
    from keepwell.loop.decisions import Decision
    from keepwell.loop.tick import Ticked
    from keepwell.pipelines.model import Progress


@click.group(cls=Verbs)
def command() -> None:
    """Run the loop once, or look at what it would do."""


@command.command("tick")
@click.argument("model", required=False)
@click.option("--now", metavar="MOMENT", help="Decide as of this moment (ISO 8601) instead of the clock's.")
@home_option
@json_option
def tick_command(model: str | None, now: str | None, home: str | None, as_json: bool) -> None:
    """Observe, decide and act once for MODEL, or for every fleet."""
    from keepwell.loop.tick import tick

    kit = _kit(home, now)
    done = [tick(kit, name, progress=_show) for name in _fleets(kit, model)]
    if as_json:
        print_json([_told(t) for t in done])
        return
    for ticked in done:
        click.echo(f"{ticked.model}: {len(ticked.rounds)} rounds" + ("" if ticked.settled else ", not settled"))
        _print(ticked.decisions)


@command.command("look")
@click.argument("model", required=False)
@click.option("--now", metavar="MOMENT", help="Decide as of this moment (ISO 8601) instead of the clock's.")
@home_option
@json_option
def look_command(model: str | None, now: str | None, home: str | None, as_json: bool) -> None:
    """Say what the loop would decide now for MODEL, or for every fleet; do none of it."""
    from keepwell.governance.charters import current_charter
    from keepwell.loop.tick import look

    kit = _kit(home, now)
    found = {}
    for name in _fleets(kit, model):
        with kit.read() as tx:
            applied = current_charter(tx, name)
        found[name] = look(kit, applied)[1]
    if as_json:
        print_json({name: _plain(decisions) for name, decisions in found.items()})
        return
    for name, decisions in found.items():
        click.echo(f"{name}:")
        _print(decisions)


@command.command("train")
@click.argument("model")
@click.option("--segment", "segments", multiple=True, metavar="KEY", help="Only this segment; repeatable.")
@home_option
@json_option
def train_command(model: str, segments: tuple[str, ...], home: str | None, as_json: bool) -> None:
    """Train MODEL now, in this process, because a person wants it; its gates decide as always."""
    from keepwell.flows.train import train
    from keepwell.governance.charters import current_charter

    kit = open_kit(home)
    with kit.read() as tx:
        applied = current_charter(tx, model)
    done = train(kit, applied, segments or None, me(), cause="person", progress=_show)
    if as_json:
        print_json({"run": done.run, "pipeline_run": done.pipeline_run, "versions": done.certified.versions,
                    "outcomes": done.certified.outcomes, "reasons": done.certified.reasons})  # fmt: skip
        return
    click.echo(f"Trained {len(done.certified.versions)} versions in run {done.run}.")
    for segment, outcome in done.certified.outcomes.items():
        click.echo(f"  {segment}: gates {outcome}. {done.certified.reasons.get(segment, '')}".rstrip())


@command.command("wish")
@click.argument("model")
@click.option("--segment", "segments", multiple=True, metavar="KEY", help="Only this segment; repeatable.")
@click.option("--reason", required=True, metavar="WHY", help="Kept in the ledger.")
@home_option
@json_option
def wish_command(model: str, segments: tuple[str, ...], reason: str, home: str | None, as_json: bool) -> None:
    """Ask the loop to train MODEL at its next tick, unless something stands against it."""
    from keepwell.governance.charters import current_charter
    from keepwell.loop.wishes import wish

    kit = open_kit(home)
    with kit.write() as tx:
        name = current_charter(tx, model).charter.model
        made = wish(tx, kit.call(me()), name, segments, reason)
    if as_json:
        print_json(made)
        return
    click.echo(f"{made.id}: {name} will be trained at the next tick, unless something stands against it.")


@command.command("wishes")
@click.argument("model")
@home_option
@json_option
def wishes_command(model: str, home: str | None, as_json: bool) -> None:
    """List who asked for which training of MODEL, newest first."""
    from keepwell.governance.charters import current_charter
    from keepwell.loop.wishes import wishes

    kit = open_kit(home)
    with kit.read() as tx:
        found = wishes(tx, current_charter(tx, model).charter.model)
    if as_json:
        print_json(found)
        return
    rows = [
        {"id": one.id, "at": f"{one.at:%Y-%m-%d %H:%M}", "by": one.actor, "segments": "; ".join(one.segments) or "all",
         "why": "taken back" if one.withdrawn_at else one.reason}
        for one in found
    ]  # fmt: skip
    print_rows(rows, ("id", "at", "by", "segments", "why"), f"Nobody asked for a training of {model}.")


@command.command("unwish")
@click.argument("wish")
@home_option
@json_option
def unwish_command(wish: str, home: str | None, as_json: bool) -> None:
    """Take WISH back."""
    from keepwell.loop.wishes import withdraw

    kit = open_kit(home)
    with kit.write() as tx:
        done = withdraw(tx, kit.call(me()), wish)
    if as_json:
        print_json(done)
        return
    click.echo(f"{done.id} is taken back.")


def _kit(home: str | None, now: str | None) -> Kit:
    from keepwell.bootstrap import open_house
    from keepwell.core.clock import SimulatedClock, from_iso
    from keepwell.core.errors import InvalidInput
    from keepwell.settings import read_settings

    if now is None:
        return open_kit(home)
    try:
        clock = SimulatedClock(from_iso(now))
    except ValueError:
        raise InvalidInput(f"{now[:40]!r} is not a moment; write it like 2026-01-31T12:00.", where="--now") from None
    return open_house(read_settings(home), clock=clock)


def _fleets(kit: Kit, model: str | None) -> Sequence[str]:
    from keepwell.core.errors import NotFound
    from keepwell.governance.charters import current_charter, current_charters

    with kit.read() as tx:
        if model is not None:
            return [current_charter(tx, model).charter.model]
        found = [applied.charter.model for applied in current_charters(tx)]
    if not found:
        raise NotFound("No charter is applied yet; apply one with `keepwell charter apply FILE`.")
    return found


def _told(ticked: Ticked) -> dict[str, object]:
    rounds = [r.id for r in ticked.rounds]
    return {"model": ticked.model, "settled": ticked.settled, "rounds": rounds, "decisions": _plain(ticked.decisions)}


def _plain(decisions: Sequence[Decision]) -> list[Mapping[str, object]]:
    from keepwell.loop.decisions import encode

    found: list[Mapping[str, object]] = json.loads(encode(decisions))
    return found


def _print(decisions: Sequence[Decision]) -> None:
    from keepwell.loop.decisions import kind_of

    for decision in decisions:
        scope = decision.scope
        named = f"{len(scope.segments)} segments" if len(scope.segments) > 3 else "; ".join(scope.segments)
        who = named if not scope.others else "the fleet" if not scope.segments else f"all but {named}"
        click.echo(f"  {kind_of(decision):<14} {who}: {decision.reason} [{decision.clause}]")


def _show(progress: Progress) -> None:
    """Show how far a training is: one line that is written anew on a terminal, nothing where nobody watches."""
    if sys.stderr.isatty():
        click.echo(f"\r  {progress.settled} of {progress.known} steps, {progress.seconds:.0f} s ", err=True, nl=False)
