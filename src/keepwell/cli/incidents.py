"""`keepwell incidents`: what is wrong, what it touches, and closing it on evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.monitoring.model import Incident


@click.group(cls=Verbs)
def command() -> None:
    """Data and model incidents."""


@command.command("list")
@click.option("--state", type=click.Choice(["open", "closed", "any"]), default="open", show_default=True)
@click.option("--model", help="Only this model's.")
@click.option("--dataset", help="Only those that touch this dataset.")
@click.option("--segment", help="Only those that name this segment.")
@click.option("--severity", type=click.Choice(["watch", "bad"]))
@click.option("-q", "--search", "q", metavar="TEXT", help="A part of the title, subject, cause or id.")
@click.option("--before", metavar="ID", help="Only those older than this one: the next page.")
@click.option("--limit", type=int, default=50, show_default=True)
@home_option
@json_option
def list_(
    state: str,
    model: str | None,
    dataset: str | None,
    segment: str | None,
    severity: str | None,
    q: str | None,
    before: str | None,
    limit: int,
    home: str | None,
    as_json: bool,
) -> None:
    """List incidents, newest first; open ones unless --state says otherwise."""
    from keepwell.core.paging import check_limit
    from keepwell.db import read
    from keepwell.monitoring import service

    with read(open_kit(home).db) as tx:
        found = service.incidents(
            tx,
            state=None if state == "any" else "open" if state == "open" else "closed",
            model=model,
            dataset=dataset,
            segment=segment,
            severity=None if severity is None else "bad" if severity == "bad" else "watch",
            q=q,
            before=before,
            limit=check_limit(limit),
        )
    if as_json:
        print_json(found)
        return
    empty = "No incident is open." if state == "open" else "No incident is found."
    print_rows([_row(i) for i in found], ("id", "severity", "state", "opened", "about", "title"), empty)


@command.command()
@click.argument("incident")
@home_option
@json_option
def show(incident: str, home: str | None, as_json: bool) -> None:
    """Show INCIDENT: its cause, what it touches, what it rests on."""
    from keepwell.db import read
    from keepwell.monitoring import service

    with read(open_kit(home).db) as tx:
        found = service.incident(tx, incident)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.title}\n")
    lines = [
        ("id", found.id),
        ("state", found.state),
        ("severity", found.severity),
        ("kind", found.kind),
        ("model", found.model or "-"),
        ("about", found.subject),
        ("cause", found.cause),
        ("datasets", ", ".join(found.datasets) or "-"),
        ("segments", _segments(found)),
        ("opened", f"{found.opened_at:%Y-%m-%d %H:%M} UTC by {found.opened_by}"),
        *((f"fact {name}", str(value)) for name, value in sorted(found.facts.items())),
    ]
    if found.closed_at is not None:
        lines.append(("closed", f"{found.closed_at:%Y-%m-%d %H:%M} UTC by {found.closed_by}: {found.reason}"))
        lines += [(f"evidence {name}", str(value)) for name, value in sorted((found.evidence or {}).items())]
    for name, text in lines:
        click.echo(f"{name:<12} {text}")


@command.command()
@click.argument("incident")
@click.option("--reason", required=True, help="Why it is over, in words.")
@click.option(
    "--evidence", "evidence", multiple=True, required=True, metavar="NAME=VALUE", help="What shows that it is over."
)
@home_option
@json_option
def close(incident: str, reason: str, evidence: tuple[str, ...], home: str | None, as_json: bool) -> None:
    """Close INCIDENT on evidence that it is over.

    An arrival's incident closes by itself when the arrival is settled with `keepwell data release` or `reject`.
    """
    from keepwell.core.errors import InvalidInput
    from keepwell.db import write
    from keepwell.monitoring import service

    shown: dict[str, object] = {}
    for text in evidence:
        name, equals, value = text.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise InvalidInput("Write evidence as NAME=VALUE, such as arrival=arr_01j....", where="--evidence")
        shown[name.strip()] = value.strip()
    kit = open_kit(home)
    with write(kit.db) as tx:
        found = service.close_incident(tx, kit.call(me()), incident, reason, shown)
    if as_json:
        print_json(found)
        return
    click.echo(f"Closed {found.id}: {found.title}.")


def _row(incident: Incident) -> dict[str, object]:
    return {
        "id": incident.id,
        "severity": incident.severity,
        "state": incident.state,
        "opened": f"{incident.opened_at:%Y-%m-%d %H:%M}",
        "about": incident.model or incident.subject,
        "title": incident.title,
    }


def _segments(incident: Incident) -> str:
    if not incident.segments:
        return "every segment"
    more = f" and {len(incident.segments) - 10} more" if len(incident.segments) > 10 else ""
    return ", ".join(incident.segments[:10]) + more
