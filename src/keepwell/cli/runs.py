"""`keepwell runs`: list, show."""

from __future__ import annotations

import click

from keepwell.cli.shared import home_option, json_option, open_kit, print_json, print_rows


@click.group()
def command() -> None:
    """Recorded runs."""


@command.command(name="list")
@click.option("--model", help="Only runs for this model.")
@click.option("--kind", help="Only runs of this kind, such as train.")
@click.option("--status", type=click.Choice(["running", "finished", "failed", "interrupted"]), help="Only these.")
@click.option("--parent", metavar="ID", help="Only parts of this run.")
@click.option("--before", metavar="ID", help="The last run of the page before.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@home_option
@json_option
def list_(
    model: str | None,
    kind: str | None,
    status: str | None,
    parent: str | None,
    before: str | None,
    limit: int,
    home: str | None,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    from keepwell.db import read
    from keepwell.tracking import service

    kit = open_kit(home)
    with read(kit.db) as tx:
        found = service.runs(tx, model=model, kind=kind, status=status, parent=parent, before=before, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        {
            "id": one.id,
            "name": one.name,
            "kind": one.kind,
            "status": one.status,
            "model": one.model,
            "started": one.started_at[:19],
            "metrics": ", ".join(f"{name} {_number(value)}" for name, value in list(one.metrics.items())[:4]),
        }
        for one in found
    ]
    columns = ("id", "name", "kind", "status", "model", "started", "metrics")
    print_rows(rows, columns, "No run is recorded; training, scoring and backtests record theirs.")


@command.command()
@click.argument("run_id", metavar="ID")
@home_option
@json_option
def show(run_id: str, home: str | None, as_json: bool) -> None:
    """Show a run: parameters, metrics, inputs, artifacts, code and environment."""
    from keepwell.db import read
    from keepwell.tracking import service

    kit = open_kit(home)
    with read(kit.db) as tx:
        one = service.run(tx, run_id)
    if as_json:
        print_json(one)
        return
    dirty = " with changes" if one.code.dirty else ""
    rows: list[tuple[str, object]] = [
        ("run", one.id),
        ("name", one.name),
        ("kind", one.kind),
        ("status", one.status),
        ("model", one.model),
        ("parent", one.parent),
        ("started", one.started_at),
        ("finished", one.finished_at),
        ("actor", one.actor),
        ("code", f"{one.code.commit}{dirty}" if one.code.commit else one.code.source),
        ("repository", one.code.remote),
        ("environment", one.environment),
        ("error", one.error),
        *((f"param {name}", value) for name, value in one.params.items()),
        *((f"metric {name}", _number(value)) for name, value in one.metrics.items()),
        *((f"tag {name}", value) for name, value in one.tags.items()),
        *((f"input {i.kind} {i.name}", i.id or i.digest) for i in one.inputs),
        *((f"artifact {name}", digest) for name, digest in one.artifacts.items()),
    ]
    print_rows([{"what": k, "value": v} for k, v in rows if v is not None], ("what", "value"), "")


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
