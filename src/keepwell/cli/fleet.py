"""`keepwell fleet`: a fleet as one object: look at it, search it, judge its gates, promote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from keepwell.cli.model_decisions import applied_of
from keepwell.cli.model_text import show_promotion
from keepwell.cli.options import environment_option, key_option, page_options, reason_option
from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.db import Transaction
    from keepwell.models.model import FleetPage

SHOWN = ("segment", "number", "state", "champion", "metric", "reason")


@click.group(cls=Verbs)
def command() -> None:
    """Fleets: members, search, gate, promote."""


@command.command("list")
@page_options()
@home_option
@json_option
def list_(limit: int, after: str | None, home: str | None, as_json: bool) -> None:
    """List the fleets, with how their newest versions stand."""
    from keepwell.models import service as registry

    with open_kit(home).read() as tx:
        rows = [
            {
                "fleet": m.name, "members": m.members, "versions": m.versions,
                **dict.fromkeys(("registered", "held", "promoted", "retired", "discarded"), 0),
                **registry.state_counts(tx, m.name),
            }
            for m in registry.models(tx, limit=limit, after=after)
        ]  # fmt: skip
    if as_json:
        print_json(rows)
        return
    columns = ("fleet", "members", "versions", "registered", "held", "promoted", "retired", "discarded")
    print_rows(rows, columns, "No fleet is registered yet: apply a charter and run `keepwell loop tick`.")


@command.command()
@click.argument("fleet")
@home_option
@json_option
def show(fleet: str, home: str | None, as_json: bool) -> None:
    """Show FLEET: how its members stand, its champions, what its gates say."""
    from keepwell.models import service as registry
    from keepwell.releases.service import clause_counts

    with open_kit(home).read() as tx:
        name = registry.model(tx, fleet)
        states = registry.state_counts(tx, name)
        environments = applied_of(tx, name).charter.release.environments
        champions = {where: len(registry.champion_ids(tx, name, where)) for where in environments}
        columns = registry.fleet_columns(tx, name, environments[-1])
        clauses = clause_counts(tx, columns.version_id)
    counted = [{"clause": c, "outcome": o, "members": n} for (c, o), n in sorted(clauses.items())]
    if as_json:
        print_json(
            {"fleet": name, "members": len(columns.segment), "states": states, "champions": champions, "gates": counted}
        )
        return
    click.echo(f"{name}: {len(columns.segment)} members; newest versions: {_listed(states)}; champions: "
               f"{_listed(champions)}.")  # fmt: skip
    print_rows(counted, ("clause", "outcome", "members"), "Its gates were not judged yet: run `keepwell fleet gate`.")


@command.command()
@click.argument("fleet")
@environment_option
@click.option("--state", help="The newest version is registered, held, promoted, retired or discarded.")
@click.option("--number", type=int, help="The newest version has this number.")
@click.option("--worst", metavar="METRIC", help="The worst by this metric first.")
@page_options()
@home_option
@json_option
def members(
    fleet: str,
    environment: str | None,
    state: str | None,
    number: int | None,
    worst: str | None,
    limit: int,
    after: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """List the members of FLEET, with their newest versions and their champions."""
    from keepwell.models import service as registry

    with open_kit(home).read() as tx:
        name = registry.model(tx, fleet)
        where = _environment(tx, name, environment)
        page = registry.fleet(tx, name, where, state=state, number=number, worst=worst, limit=limit, after=after)
    _show_page(page, worst, as_json)


@command.command()
@click.argument("fleet")
@click.argument("words", nargs=-1, required=True)
@environment_option
@click.option("--worst", metavar="METRIC", help="The worst by this metric first.")
@page_options()
@home_option
@json_option
def search(
    fleet: str,
    words: tuple[str, ...],
    environment: str | None,
    worst: str | None,
    limit: int,
    after: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Find members of FLEET by WORDS: parts of the segment's key, a state, a number like v3."""
    from keepwell.models import service as registry

    with open_kit(home).read() as tx:
        name = registry.model(tx, fleet)
        where = _environment(tx, name, environment)
        page = registry.fleet(tx, name, where, q=" ".join(words), worst=worst, limit=limit, after=after)
    _show_page(page, worst, as_json)


@command.command()
@click.argument("fleet")
@click.argument("words", nargs=-1)
@key_option
@home_option
@json_option
def gate(fleet: str, words: tuple[str, ...], key: str | None, home: str | None, as_json: bool) -> None:
    """Judge the newest versions of FLEET (those that WORDS find) by the gates in force; hold what does not pass."""
    from keepwell.flows.certify import certify

    kit = open_kit(home)
    with kit.read() as tx:
        applied = applied_of(tx, fleet)
        chosen = _newest(tx, applied.charter.model, words, ("registered", "held", "promoted"))
    verdicts = certify(kit, applied, list(chosen), me(), key=key)
    if as_json:
        print_json(verdicts)
        return
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[verdict.outcome] = counts.get(verdict.outcome, 0) + 1
    click.echo(f"{len(verdicts)} judged: {_listed(counts)}.")
    stopped = [(chosen[v.version_id], g) for v in verdicts for g in v.gates if g.outcome == v.outcome != "passed"]
    for segment, result in stopped[:20]:
        click.echo(f"{segment}: {result.outcome}. {result.clause}: {result.reason}")


@command.command()
@click.argument("fleet")
@click.argument("words", nargs=-1)
@environment_option
@reason_option()
@key_option
@home_option
@json_option
def promote(
    fleet: str,
    words: tuple[str, ...],
    environment: str | None,
    reason: str,
    key: str | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Promote the newest versions of FLEET (those that WORDS find) that may be, and hold the others."""
    from keepwell.flows.promote import promote_fleet

    kit = open_kit(home)
    with kit.read() as tx:
        applied = applied_of(tx, fleet)
        chosen = _newest(tx, applied.charter.model, words, ("registered", "held", "promoted"))
    where = environment or applied.charter.release.environments[-1]
    done = promote_fleet(kit, applied, where, list(chosen), me(), reason, key=key)
    show_promotion(done, as_json)
    if not as_json:
        click.echo(f"{len(done.promoted)} champions in {where}, {len(done.held)} held.")


def _newest(tx: Transaction, fleet: str, words: tuple[str, ...], states: tuple[str, ...]) -> dict[str, str]:
    """Return version to segment of the newest versions that a search finds and that are in one of some states."""
    from keepwell.core.errors import NotFound
    from keepwell.models import service as registry

    found = registry.found_versions(tx, registry.model(tx, fleet), " ".join(words))
    chosen = {one.id: one.segment for one in found if one.state in states}
    if not chosen:
        raise NotFound("No newest version is like that; see `keepwell fleet members`.")
    return chosen


def _environment(tx: Transaction, model: str, given: str | None) -> str:
    return given or applied_of(tx, model).charter.release.environments[-1]


def _show_page(page: FleetPage, metric: str | None, as_json: bool) -> None:
    if as_json:
        print_json(page)
        return
    rows = []
    for m in page.members:
        metrics = m.champion_metrics if m.champion_metrics is not None else m.metrics
        shown = metric or next(iter(metrics), None)
        value = metrics.get(shown) if shown else None
        rows.append(
            {
                "segment": m.segment,
                "number": f"v{m.number}",
                "state": m.state,
                "champion": f"v{m.champion_number}" if m.champion_number else None,
                "metric": None if shown is None else f"{shown} {'-' if value is None else f'{value:.4g}'}",
                "reason": m.reason,
            }
        )
    print_rows(rows, SHOWN, "No member is like that.")
    click.echo(f"{page.total} members match." + (f" More: --after '{page.after}'" if page.after else ""))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "none"
