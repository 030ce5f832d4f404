"""`keepwell pipeline`: run, list, show, schema."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows

if TYPE_CHECKING:
    from keepwell.flows.kit import Kit
    from keepwell.pipelines.model import Pipeline, PipelineRun, Progress, StepRun

_SHOWN = 200


@click.group(cls=Verbs)
def command() -> None:
    """Run pipelines and look at their runs."""


@command.command()
@click.argument("target", metavar="FILE[:NAME]")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; may be given several times.")
@click.option("--resume", metavar="ID", help="Go on with a run that was interrupted or has failed.")
@click.option("--no-cache", is_flag=True, help="Take nothing from earlier runs.")
@click.option("--workers", type=click.IntRange(0, 256), help="Processes for steps (KEEPWELL_WORKERS); 0: in this one.")
@home_option
@json_option
def run(
    target: str,
    params: tuple[str, ...],
    resume: str | None,
    no_cache: bool,
    workers: int | None,
    home: str | None,
    as_json: bool,
) -> None:
    """Run the pipeline that FILE (YAML or Python) declares.

    Progress is written to stderr. Exit code 1 when a step failed, 130 when it was interrupted.
    """
    from keepwell.pipelines.loading import load_pipeline
    from keepwell.pipelines.params import read_params
    from keepwell.pipelines.runners import InProcess, Processes
    from keepwell.pipelines.service import run_pipeline

    pipeline = load_pipeline(target)
    given = read_params(params, pipeline.params)
    kit = open_kit(home)
    _mark_interrupted(kit)
    count = kit.workers if workers is None else workers
    runner = Processes(count) if count else InProcess()
    line = _Line()
    try:
        done = run_pipeline(
            kit.db, kit.blobs, kit.call(me()), pipeline, given, runner=runner, cache=not no_cache, resume=resume,
            progress=line.show, home=kit.home, variables=_passed(pipeline),
        )  # fmt: skip
    except KeyboardInterrupt:
        line.end()
        again = f": keepwell pipeline run {target} --resume {line.run_id}" if line.run_id else "."
        click.echo(f"Interrupted; what was done stays done. Go on with it{again}", err=True)
        sys.exit(130)
    finally:
        runner.close()
        line.end()
    if as_json:
        print_json(done)
    else:
        click.echo(_sentence(done))
    if done.state != "finished":
        sys.exit(1)


@command.command(name="list")
@click.option("--pipeline", help="Only runs of this pipeline.")
@click.option("--state", type=click.Choice(["running", "finished", "failed", "interrupted"]), help="Only these.")
@click.option("--before", metavar="ID", help="The last run of the page before.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@home_option
@json_option
def list_(
    pipeline: str | None, state: str | None, before: str | None, limit: int, home: str | None, as_json: bool
) -> None:
    """List runs of pipelines, newest first."""
    from keepwell.db import read
    from keepwell.pipelines import service

    kit = open_kit(home)
    _mark_interrupted(kit)
    with read(kit.db) as tx:
        found = service.pipeline_runs(tx, pipeline=pipeline, state=state, before=before, limit=limit)  # type: ignore[arg-type]
    if as_json:
        print_json(found)
        return
    rows = [
        {
            "id": one.id,
            "pipeline": one.pipeline,
            "state": one.state,
            "started": one.started_at[:19],
            "seconds": one.seconds,
            "steps": _counts(one.counts),
        }
        for one in found
    ]
    columns = ("id", "pipeline", "state", "started", "seconds", "steps")
    print_rows(rows, columns, "No pipeline has run yet; start one with `keepwell pipeline run FILE`.")


@command.command()
@click.argument("run_id", metavar="ID")
@click.option("--log", metavar="STEP[:CHUNK]", help="Print what a step wrote instead.")
@home_option
@json_option
def show(run_id: str, log: str | None, home: str | None, as_json: bool) -> None:
    """Show a run: its steps, how long they took, what was cached, what failed and why."""
    from keepwell.db import read
    from keepwell.pipelines import service

    kit = open_kit(home)
    _mark_interrupted(kit)
    with read(kit.db) as tx:
        if log is not None:
            click.echo(service.log_of(tx, kit.blobs, service.step_of(tx, run_id, log)), nl=False)
            return
        one, plan = service.pipeline_run(tx, run_id), service.plan_of(tx, kit.blobs, run_id)
        steps = service.steps(tx, run_id, limit=service.MOST if as_json else _SHOWN)
    if as_json:
        print_json({"run": one, "plan": plan, "steps": steps})
        return
    click.echo(_sentence(one))
    print_rows([_row(step) for step in steps], ("step", "state", "seconds", "key", "why"), "No step has started yet.")
    if len(steps) == _SHOWN:
        click.echo(f"Only the first {_SHOWN} records are shown; --json gives more.")


@command.command()
def schema() -> None:
    """Print the JSON Schema of pipelines in YAML."""
    from keepwell.pipelines.declared import schema as declared

    print_json(declared())


class _Line:
    """Progress on stderr: one line that is written over on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self.run_id = ""
        self._terminal = sys.stderr.isatty()
        self._pause = 0.1 if self._terminal else 5.0
        self._written = time.monotonic()
        self._open = False

    def show(self, progress: Progress) -> None:
        """Write how far the run is, unless that was done a moment ago; failures are always written."""
        self.run_id = progress.run_id
        if progress.failed:
            self.end()
            click.echo(f"failed: {_printable(progress.failed)}", err=True)
        if time.monotonic() - self._written < self._pause:
            return
        self._written = time.monotonic()
        names = ", ".join(progress.running[:3])
        text = f"{progress.settled} of {progress.known}: {_counts(progress.counts)}; {progress.seconds:.0f} s; {names}"
        text = _printable(text.removesuffix("; "))
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{text[:160]}")
            sys.stderr.flush()
            self._open = True
        else:
            click.echo(text, err=True)

    def end(self) -> None:
        """Leave the line."""
        if self._open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._open = False


def _mark_interrupted(kit: Kit) -> None:
    """Store runs whose process is gone as interrupted, when there are any."""
    from keepwell.db import read, write
    from keepwell.pipelines import service

    with read(kit.db) as tx:
        gone = service.has_gone(tx)
    if gone:
        with write(kit.db) as tx:
            service.mark_interrupted(tx, kit.call(me()))


def _passed(pipeline: Pipeline) -> dict[str, str]:
    from keepwell.pipelines.model import Command
    from keepwell.settings import outside_variables

    return outside_variables(
        {name for one in pipeline.steps if isinstance(one.does, Command) for name in one.does.passes}
    )


def _sentence(one: PipelineRun) -> str:
    text = f"{one.pipeline} {one.state} in {one.seconds:.1f} s: {_counts(one.counts)} ({one.id})."
    return text if one.error is None else f"{text}\n{_printable(one.error)}"


def _row(step: StepRun) -> dict[str, object]:
    name = step.name if step.part < 0 else f"  {step.name}:{step.part}"
    key = step.key[7:19] if step.key else None
    return {"step": name, "state": step.state, "seconds": step.seconds, "key": key, "why": step.error or ""}


def _counts(counts: object) -> str:
    items = counts.items() if isinstance(counts, dict) else ()
    return ", ".join(f"{number} {state}" for state, number in items if number) or "nothing yet"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
