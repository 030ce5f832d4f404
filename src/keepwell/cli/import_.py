"""`keepwell import`: move in from elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, plural, print_json

if TYPE_CHECKING:
    from keepwell.flows.moving.report import Counts, Report

_SHOWN = 20


@click.group(cls=Verbs)
def command() -> None:
    """Move in from an MLflow server, folder or database."""


@command.command("mlflow")
@click.argument("source", metavar="URI|FOLDER|FILE")
@click.option("--artifacts", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Where the artifacts of a folder or database lie, when not beside it.")  # fmt: skip
@click.option("--recheck", is_flag=True, help="Look again at files and histories of what seems not to have changed.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Where the report is written; by default into the home.")  # fmt: skip
@home_option
@json_option
def mlflow_command(
    source: str, artifacts: Path | None, recheck: bool, report_file: Path | None, home: str | None, as_json: bool
) -> None:
    """Carry experiments, runs, artifacts, models and aliases of an MLflow store here.

    SOURCE is a tracking server (http(s)://host:port), a folder `mlruns`, or a database `mlflow.db`. Run it again to
    carry what is new, or to go on after an interruption: nothing is carried twice.
    """
    from keepwell.core.errors import InvalidInput
    from keepwell.flows.moving.carry import carry, open_source
    from keepwell.flows.moving.report import Notes
    from keepwell.settings import read_mlflow_access

    if artifacts is not None and not artifacts.is_dir():
        raise InvalidInput(f"There is no folder {artifacts}.", where="--artifacts")
    notes = Notes()
    opened = open_source(source, notes, read_mlflow_access(), artifacts)
    kit = open_kit(home)
    with closing(opened):
        done = carry(kit, opened, me(), notes, recheck=recheck, progress=_Show())
    file = report_file or kit.home / "imports" / f"mlflow-{done.started_at[:19].replace(':', '')}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(done.encoded())
    except OSError as error:
        raise InvalidInput(f"The report cannot be written to {file}: {error.strerror}.", where="--report") from None
    if as_json:
        print_json(done)
        return
    _print(done, file)


@command.command("find")
@click.argument("name", metavar="ID")
@home_option
@json_option
def find_command(name: str, home: str | None, as_json: bool) -> None:
    """Say what a run, logged model or version that was carried is called here."""
    from keepwell.core.errors import NotFound
    from keepwell.flows.moving.carry import find

    kit = open_kit(home)
    with kit.read() as tx:
        found = find(tx, name)
    if found is None:
        raise NotFound(f"Nothing that was carried here was called {name[:100]!a}.")
    if as_json:
        print_json({"there": found.theirs, "here": found.ours})
        return
    click.echo(found.ours)


class _Show:
    """Shows how far it is: one line that is written anew on a terminal, nothing where nobody watches."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()

    def __call__(self, counts: Counts, what: str) -> None:
        if self._watched:
            runs = counts.runs + counts.changed + counts.unchanged
            text = f"{runs:,} runs, {counts.points:,} points, {counts.files:,} files ({_size(counts.bytes)}); {what}"
            click.echo(f"\r\x1b[K  {text[:110]}", err=True, nl=False)


def _print(done: Report, file: Path) -> None:
    counts = done.counts
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", err=True, nl=False)
    click.echo(f"From {done.source}:")
    click.echo(f"  {plural(counts.experiments, 'experiment')}, {plural(counts.runs, 'run')}, "
               f"{plural(counts.points, 'point')}; {counts.changed:,} known runs had changed, {counts.unchanged:,} "
               "are as they were")  # fmt: skip
    click.echo(f"  {plural(counts.files, 'file')} ({_size(counts.bytes)}), "
               f"{plural(counts.logged_models, 'logged model')}, {plural(counts.models, 'registered model')}, "
               f"{plural(counts.versions, 'version')}")  # fmt: skip
    for name in done.renamed[:_SHOWN]:
        click.echo(f"  {name.kind} {name.there!r} is {name.here!r} here")
    _more(len(done.renamed))
    lost = Counter(one.kind for one in done.not_carried) + Counter(done.more_not_carried)
    if lost or done.others:
        click.echo("Not carried: " + ", ".join(f"{n:,} {kind}" for kind, n in (lost + Counter(done.others)).items()))
    for one in done.not_carried[:_SHOWN]:
        click.echo(f"  {one.kind} {one.name}: {one.why}")
    _more(len(done.not_carried))
    click.echo(f"Report: {file}")


def _more(count: int) -> None:
    if count > _SHOWN:
        click.echo(f"  and {count - _SHOWN:,} more, in the report")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} GB"
