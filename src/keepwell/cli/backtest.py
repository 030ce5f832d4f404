"""`keepwell backtest`: a charter's candidates, ensemble and baselines over its newest history."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import json_option, print_json
from keepwell.core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from keepwell.charter.model import Charter
    from keepwell.core.lazy import pl
    from keepwell.forecasting.model import Backtest, Score

_COLUMNS = {"wmape": "WMAPE %", "mape": "MAPE %", "mape100": "MAPE>=100 %", "rmse": "RMSE", "rmse_zero": "RMSE at 0"}
_SHARES = {"wmape", "mape", "mape100"}


@click.command()
@click.argument("charter_file", metavar="CHARTER")
@click.option("--data", "folder", metavar="FOLDER", help="Where the charter's sources lie; its own folder by default.")
@click.option("--last", metavar="SPAN", help="The newest rows to forecast, such as 13w; by default evaluate.last.")
@click.option(
    "--horizon", "horizons", metavar="SPAN", multiple=True, help="How far ahead, such as 4w; by default the charter's."
)
@click.option("--slices", is_flag=True, help="Print every slice too; JSON always holds them.")
@json_option
def command(
    charter_file: str, folder: str | None, last: str | None, horizons: tuple[str, ...], slices: bool, as_json: bool
) -> None:
    """Measure CHARTER's candidates, ensemble and baselines over its newest history, forecast by forecast.

    Models are fitted once for each horizon, as of the first origin; the origin then rolls on through the newest rows.
    """
    from keepwell.charter.parse import read_charter
    from keepwell.forecasting.service import backtest
    from keepwell.forecasting.task import task_of

    started = time.monotonic()

    def progress(what: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {what}", err=True)

    path = Path(charter_file)
    charter = read_charter(_text(path), path.name)
    frame = _frame(charter, _folder(folder) if folder else path.parent)
    progress(f"read {frame.height:,} rows of {charter.data.dataset}")
    result = backtest(
        frame,
        task_of(charter, path.parent),
        last=last or charter.evaluate.last,
        horizons=horizons or charter.forecast.horizons,
        progress=progress,
    )
    seconds = round(time.monotonic() - started, 2)
    if as_json:
        print_json({"model": charter.model, **result.to_json(), "seconds": seconds})
    else:
        _show(charter, result, slices, seconds)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"There is no charter at {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The charter {path} cannot be read: {error}.") from error


def _folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise NotFound(f"There is no folder {text}; --data names the folder that holds the charter's sources.")
    return folder


def _frame(charter: Charter, folder: Path) -> pl.DataFrame:
    """Read the charter's source from a folder and bring it to the standard form."""
    from keepwell.core.lazy import pl
    from keepwell.datasets.conditioning import condition
    from keepwell.datasets.reading import read_table
    from keepwell.datasets.sources import scan

    source = charter.data.source
    if not source:
        raise InvalidInput("The charter names no source; say data.source.", where="data.source")
    files = scan([source], folder)
    if not files:
        raise NotFound(f"No file in {folder} matches {source!r}.", where="data.source")
    raw = pl.concat([read_table(file, charter.data.format) for file in files], how="diagonal_relaxed")
    return condition(raw, charter.data, folder)


def _show(charter: Charter, result: Backtest, slices: bool, seconds: float) -> None:
    click.echo(
        f"{charter.model}: {result.series:,} series, {result.since} to {result.until} (the last {result.last}), "
        f"{seconds:.0f} s"
    )
    labels = list(dict.fromkeys(score.slice for score in result.scores)) if slices else ["all"]
    for horizon in dict.fromkeys(score.horizon for score in result.scores):
        for label in labels:
            rows = [s for s in result.scores if s.horizon == horizon and s.slice == label]
            if rows:
                click.echo(f"\n{horizon} ahead" + ("" if label == "all" else f", {label}") + f" ({rows[0].n:,} rows)")
                _show_rows(rows)


def _show_rows(rows: list[Score]) -> None:
    click.echo(f"{'':<22}" + "".join(f"{title:>13}" for title in _COLUMNS.values()))
    for row in rows:
        cells = (_cell(row.metrics[name], 100.0 if name in _SHARES else 1.0) for name in _COLUMNS)
        click.echo(f"{row.subject.replace('_', ' '):<22}" + "".join(f"{cell:>13}" for cell in cells))


def _cell(value: float | None, factor: float) -> str:
    return "-" if value is None else f"{value * factor:,.2f}"
