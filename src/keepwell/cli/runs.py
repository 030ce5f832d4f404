"""`keepwell runs`: list, show, compare, delete, restore, download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import Verbs, home_option, json_option, plural, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.tracking.model import Run


@click.group(cls=Verbs)
def command() -> None:
    """Recorded runs: of the server or folder that KEEPWELL_TRACKING_URI names, else of this machine's home."""


@command.command(name="list")
@click.option("--filter", "text", metavar="FILTER", default="",
              help="Such as \"metrics.loss < 0.1 and params.depth = '4'\".")  # fmt: skip
@click.option("--order", multiple=True, metavar="KEY", help="Such as 'metrics.loss ASC'; repeatable.")
@click.option("--experiment", multiple=True, metavar="NAME", help="Only runs of this experiment; repeatable.")
@click.option("--deleted", is_flag=True, help="Only deleted runs.")
@click.option("--model", help="Only runs for this model.")
@click.option("--kind", help="Only runs of this kind, such as train.")
@click.option("--status", type=click.Choice(["running", "finished", "failed", "interrupted"]), help="Only these.")
@click.option("--parent", metavar="ID", help="Only parts of this run.")
@click.option("--before", metavar="ID", help="The last run of the page before.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@home_option
@json_option
def list_(
    text: str,
    order: tuple[str, ...],
    experiment: tuple[str, ...],
    deleted: bool,
    model: str | None,
    kind: str | None,
    status: str | None,
    parent: str | None,
    before: str | None,
    limit: int,
    home: str | None,
    as_json: bool,
) -> None:
    """List runs, newest first unless ordered.

    --filter, --order, --experiment and --deleted search; --model, --kind, --parent and --before page through all runs.
    """
    from keepwell.cli.runs_source import Asked, source_of
    from keepwell.core.errors import InvalidInput
    from keepwell.core.filters import advised

    asked = Asked(text, order, experiment, deleted, model, kind, status, parent, before, limit)
    if asked.searching and (model or kind or parent or before):
        raise InvalidInput(
            "Say --model, --kind and --parent in the filter, such as \"attributes.status = 'FINISHED'\"."
        )
    try:
        found = source_of(home).runs(asked)
    except InvalidInput as error:
        raise advised(error) from None
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
            "metrics": ", ".join(f"{name} {_number(value)}" for name, value in _leading(one)),
        }
        for one in found
    ]
    columns = ("id", "name", "kind", "status", "model", "started", "metrics")
    print_rows(rows, columns, "No run is recorded; training, scoring and backtests record theirs, and so does the SDK.")


@command.command()
@click.argument("run_id", metavar="ID")
@home_option
@json_option
def show(run_id: str, home: str | None, as_json: bool) -> None:
    """Show a run: parameters, metrics, inputs, artifacts, code and environment."""
    from keepwell.cli.runs_source import source_of

    one = source_of(home).library().run(run_id)
    if as_json:
        print_json(one)
        return
    dirty = " with changes" if one.code.dirty else ""
    rows: list[tuple[str, object]] = [
        ("run", one.id),
        ("name", one.name),
        ("kind", one.kind),
        ("status", one.status if one.lifecycle == "active" else f"{one.status}, deleted"),
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


@command.command()
@click.argument("run_ids", metavar="ID ID...", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Also what is the same in all of them.")
@home_option
@json_option
def compare(run_ids: tuple[str, ...], everything: bool, home: str | None, as_json: bool) -> None:
    """Put runs side by side: parameters, metrics, code and data that differ."""
    from keepwell.cli.runs_source import source_of
    from keepwell.core.errors import InvalidInput

    if not 2 <= len(run_ids) <= 20:
        raise InvalidInput("Compare 2 to 20 runs.", where="ID")
    library = source_of(home).library()
    found = [library.run(one) for one in run_ids]
    facts = [_facts(one) for one in found]
    names = sorted({name for one in facts for name in one})
    lines = {name: [one.get(name) for one in facts] for name in names}
    shown = {n: values for n, values in lines.items() if everything or any(v != values[0] for v in values)}
    if as_json:
        print_json({"runs": list(run_ids), "values": shown})
        return
    columns = ("what", *run_ids)
    rows = [{"what": name, **dict(zip(run_ids, values, strict=True))} for name, values in shown.items()]
    print_rows(rows, columns, "These runs differ in nothing that was recorded.")


@command.command()
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True)
@home_option
@json_option
def delete(run_ids: tuple[str, ...], home: str | None, as_json: bool) -> None:
    """Delete runs; they can be restored until `keepwell gc` frees them."""
    from keepwell.cli.runs_source import source_of

    source_of(home).delete(run_ids)
    _done("deleted", run_ids, as_json)


@command.command()
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True)
@home_option
@json_option
def restore(run_ids: tuple[str, ...], home: str | None, as_json: bool) -> None:
    """Restore deleted runs."""
    from keepwell.cli.runs_source import source_of

    source_of(home).restore(run_ids)
    _done("restored", run_ids, as_json)


@command.command()
@click.argument("run_id", metavar="ID")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--path", default="", metavar="PATH", help="Only this artifact, or this folder of artifacts.")
@home_option
@json_option
def download(run_id: str, folder: Path, path: str, home: str | None, as_json: bool) -> None:
    """Write a run's artifacts into a folder."""
    from keepwell.cli.runs_source import source_of
    from keepwell.client.reading import fetch_into

    library = source_of(home).library()
    library.run(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    count = fetch_into(library, run_id, path.strip("/"), folder)
    if as_json:
        print_json({"run": run_id, "files": count, "folder": str(folder)})
    else:
        click.echo(f"{plural(count, 'file')} in {folder}" if count else "This run made no artifacts.")


def _facts(run: Run) -> dict[str, object]:
    """Return what two runs may differ in, by the name of a line."""
    return {
        "name": run.name,
        "status": run.status,
        "code": run.code.commit or run.code.source,
        "code changes": run.code.diff,
        "environment": run.environment,
        **{f"param {name}": value for name, value in run.params.items()},
        **{f"metric {name}": value for name, value in run.metrics.items()},
        **{f"data {i.name}": i.digest or i.id for i in run.inputs},
    }


def _done(verb: str, run_ids: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        print_json({verb: list(run_ids)})
    else:
        click.echo(f"{len(run_ids)} {'run is' if len(run_ids) == 1 else 'runs are'} {verb}.")


def _leading(run: Run) -> Sequence[tuple[str, float | str]]:
    return [(name, value) for name, value in run.metrics.items() if not name.startswith("system/")][:4]


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
