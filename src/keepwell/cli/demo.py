"""`keepwell demo`: eighteen months of a fleet's life in a few minutes, on real data and a simulated clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from keepwell.cli.shared import home_option, me

if TYPE_CHECKING:
    from keepwell.core.clock import SimulatedClock
    from keepwell.core.lazy import pl
    from keepwell.flows.kit import Kit
    from keepwell.loop.decisions import Decision
    from keepwell.loop.tick import Ticked

MODEL = "bike-demand"
FIRST = date(2011, 7, 4)
"""The Monday on which the fleet starts: what came before is its history."""
LAST = date(2012, 12, 31)
BROKEN = date(2012, 4, 30)
"""The Monday whose file has temperature in degrees Celsius, as a supplier's new exporter might write it."""
REPAIRED = 2
"""Weeks after which a person rejects that file and the supplier sends it again."""
CELSIUS, KILOMETRES = 41, 67
"""What the set's temperature and wind speed were divided by."""
PERSON = "person:operations"


@dataclass(slots=True)
class Story:
    """What happened, as it is told at the end.

    Attributes:
        weeks: ticks that were run.
        counts: kind of decision to number of decisions.
        examples: kind to the first decision of that kind worth telling, with its day.
        incidents: titles of the incidents, with their days.
    """

    weeks: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[date, str]] = field(default_factory=dict)
    incidents: list[tuple[date, str]] = field(default_factory=list)


@click.command()
@click.option("--serve/--no-serve", "serving", default=True, help="Serve the pages afterwards, until Ctrl-C.")
@click.option("--weeks", type=click.IntRange(1, 78), default=78, show_default=True, help="How many weeks to live.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8400, show_default=True, help="Port to serve on.")
@click.option("--auth", type=click.Choice(["token", "none"]), default="token", show_default=True,
              help="'none': nobody has to sign in.")  # fmt: skip
@home_option
def command(serving: bool, weeks: int, host: str, port: int, auth: Literal["token", "none"], home: str | None) -> None:
    """Run the loop over real weekly data of rental bikes, say what happened and why, then serve the pages."""
    from keepwell.bootstrap import open_house
    from keepwell.core.clock import SimulatedClock
    from keepwell.settings import read_settings

    _check_installed()
    clock = SimulatedClock(_morning(FIRST))
    kit = open_house(read_settings(home), clock=clock)
    newest = _newest(kit)
    if newest is None or newest < _morning(FIRST + timedelta(weeks=weeks - 1)):
        live(kit, clock, weeks, since=newest)
    else:
        click.echo(f"The demo was run here already ({kit.home}); its pages show what happened.")
        clock.move_to(newest)
    if serving:
        from keepwell.cli.server import announce
        from keepwell.server.run import Binding, serve

        serve(kit, Binding(host, port, auth), owner=me(), on_start=announce)


def live(kit: Kit, clock: SimulatedClock, weeks: int, *, since: datetime | None = None) -> Story:
    """Live the weeks one after the other: a file arrives on Monday morning, the loop runs, time goes on.

    Args:
        kit: the house.
        clock: its clock.
        weeks: how many, from the first on.
        since: the last tick of an earlier, interrupted run, which is gone on with.
    """
    from keepwell.governance.charters import apply_charter
    from keepwell.loop.tick import tick

    started = time.monotonic()
    folder = _lay_out(kit.home)
    text = (folder / "charter.yaml").read_text()
    with kit.write() as tx:
        apply_charter(tx, kit.call(me()), text, str(folder))
    click.echo(f"{MODEL}: 8 models, one for each part of the day and kind of day. History from 2011-01-01; now the")
    click.echo(f"weeks from {FIRST} arrive one by one.\n")
    story = Story()
    if since is not None:
        click.echo(f"Going on after an earlier run that ended on {since:%Y-%m-%d}.\n")
    for monday, settling in _weeks(folder, weeks):
        if since is not None and monday < since.date():
            continue
        clock.move_to(max(_morning(monday), since or _morning(FIRST)))
        if settling:
            _settle(kit, monday)
        ticked = tick(kit, MODEL)
        story.weeks += 1
        _note(story, kit, ticked, monday)
    _summary(story, kit, time.monotonic() - started)
    return story


def _weeks(folder: Path, weeks: int) -> Iterator[tuple[date, bool]]:
    """Let the file of each week arrive and yield its Monday, and whether a person settles the broken file then."""
    from keepwell.core.lazy import pl

    rows = pl.read_parquet(_source() / "data" / "hour.parquet")
    columns = ["dteday", "hr", "weathersit", "temp", "hum", "windspeed", "cnt"]
    rows = rows.select(pl.col("dteday").cast(pl.Date), *columns[1:])
    _arrive(folder, "2011-01-01_to_2011-07-03", rows.filter(pl.col("dteday") < FIRST))
    for number in range(weeks):
        monday = FIRST + timedelta(weeks=number)
        if number:
            week = rows.filter(pl.col("dteday").is_between(monday - timedelta(7), monday, closed="left"))
            _arrive(folder, f"week_to_{monday - timedelta(1)}", _in_celsius(week) if monday == BROKEN else week)
            if monday == BROKEN + timedelta(weeks=REPAIRED):
                again = rows.filter(pl.col("dteday").is_between(BROKEN - timedelta(7), BROKEN, closed="left"))
                _arrive(folder, f"week_to_{BROKEN - timedelta(1)}_again", again)
        yield monday, monday == BROKEN + timedelta(weeks=REPAIRED)


def _in_celsius(week: pl.DataFrame) -> pl.DataFrame:
    from keepwell.core.lazy import pl

    return week.with_columns((pl.col("temp") * CELSIUS).round(2), (pl.col("windspeed") * KILOMETRES).round(1))


def _arrive(folder: Path, name: str, rows: pl.DataFrame) -> None:
    rows.write_csv(folder / "arrivals" / f"{name}.csv")


def _settle(kit: Kit, monday: date) -> None:
    from keepwell.datasets import service as datasets
    from keepwell.flows.receive import settle

    with kit.read() as tx:
        waiting = datasets.arrivals(tx, "bike-hours", "quarantined")
    for arrival in waiting:
        why = "The supplier's new exporter wrote degrees Celsius and km/h; the week was sent again in the old units."
        settle(kit, arrival.id, PERSON, "reject", why)
        click.echo(f"{monday}  a person    rejects {arrival.uri.rsplit('/', 1)[-1]}; the supplier has sent it again")


def _note(story: Story, kit: Kit, ticked: Ticked, monday: date) -> None:
    """Keep what is worth telling of a tick, and print a line for it."""
    from keepwell.loop.decisions import Hold, kind_of
    from keepwell.loop.observe import ALERT
    from keepwell.monitoring import service as monitoring

    for decision in ticked.decisions:
        kind = kind_of(decision)
        story.counts[kind] += 1
        line = f"{_scope(decision)}: {decision.reason}"
        if kind in ("train", "promote", "discard", "roll_back", "alert"):
            click.echo(f"{monday}  {kind:<9}  {line}")
            retrained = kind == "train" and monday > FIRST
            story.examples.setdefault("retrain" if retrained else kind, (monday, line))
        elif isinstance(decision, Hold):
            story.examples.setdefault("hold" if "challenger" in line.lower() else "quiet", (monday, line))
    with kit.read() as tx:
        opened = [i for i in monitoring.incidents(tx, model=MODEL, limit=20) if i.opened_at == kit.clock.now()]
    for incident in opened:
        if incident.kind != ALERT:
            click.echo(f"{monday}  incident   {incident.title}")
            story.incidents.append((monday, incident.title))


def _scope(decision: Decision) -> str:
    scope = decision.scope
    if scope.others:
        return "the fleet" if not scope.segments else f"all but {len(scope.segments)} segments"
    shown = "; ".join(scope.segments[:2])
    return shown if len(scope.segments) <= 2 else f"{shown} and {len(scope.segments) - 2} more"


def _summary(story: Story, kit: Kit, seconds: float) -> None:
    from keepwell.models import service as models
    from keepwell.monitoring import service as monitoring

    with kit.read() as tx:
        windows = monitoring.performance(tx, MODEL)
        fleet = models.fleet_columns(tx, MODEL, "prod")
    counts, known = story.counts, float(windows.volume.sum())
    click.echo(f"\nWhat happened in {story.weeks} weeks ({seconds:.0f} s):")
    if known:
        ours, base = (float((m["wmape"] * windows.volume).sum()) / known for m in (windows.metrics, windows.baseline))
        measured = f"WMAPE {ours:.1%} over all weeks, the historical average {base:.1%}"
    else:
        measured = "no outcome has come yet"
    click.echo(f"  scored {counts['score']} times; {measured}")
    versions = sum(fleet.number)
    click.echo(f"  {versions} versions trained for {len(fleet.segment)} models; {counts['train']} decisions to train, "
               f"{counts['promote']} to promote, {counts['discard']} to discard, {counts['hold']} to hold")  # fmt: skip
    if story.incidents:
        _tell("incident", story.incidents[0])
    _tell("retraining", story.examples.get("retrain"))
    _tell("promotion", story.examples.get("promote"))
    _tell("hold", story.examples.get("hold") or story.examples.get("quiet"))


def _tell(what: str, example: tuple[date, str] | None) -> None:
    if example is not None:
        click.echo(f"  {what + ':':<11} {example[0]}  {example[1]}")


def _lay_out(home: Path) -> Path:
    """Copy the example's charter, contract and calendar into the house, where its files will arrive."""
    folder = home / MODEL
    (folder / "arrivals").mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    for name in ("charter.yaml", "contract.yaml", "data/calendar.csv"):
        (folder / name).write_bytes((_source() / name).read_bytes())
    return folder


def _source() -> Path:
    """Return the folder of the example: in the installed package, or in the checkout."""
    import keepwell

    package = Path(keepwell.__file__).parent
    inside = package / "examples" / "bikes"
    return inside if inside.is_dir() else package.parents[1] / "examples" / "bikes"


def _newest(kit: Kit) -> datetime | None:
    """Return the moment of the last tick that was lived here, None in a new house."""
    from keepwell.loop import service

    with kit.read() as tx:
        last = service.latest(tx, MODEL)
    return last.at if last else None


def _check_installed() -> None:
    from importlib.util import find_spec

    from keepwell.core.errors import NotInstalled

    if find_spec("lightgbm") is None:
        raise NotInstalled("The demo needs an extra that is not installed: pip install 'keepwell[forecast]'.")


def _morning(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 7, tzinfo=UTC)
