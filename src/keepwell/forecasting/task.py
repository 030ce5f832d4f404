"""What is to be forecast: the parts of a charter that this capability reads, and the steps they come to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from keepwell.charter.model import Charter, Data, Evaluate, Forecast
from keepwell.core.errors import InvalidInput
from keepwell.core.spans import parse_span, show_span

_DAY = timedelta(days=1)
_WEEK = timedelta(weeks=1)


@dataclass(frozen=True)
class Task:
    """The parts of a charter that forecasting reads.

    Attributes:
        data: the columns and their roles.
        forecast: what is fitted, how far ahead.
        evaluate: metrics, baseline and slices.
        segments: the columns whose values make one model each; none makes the one model `all`.
        folder: where the files of own models are looked for.
    """

    data: Data
    forecast: Forecast
    evaluate: Evaluate
    segments: tuple[str, ...]
    folder: Path | None = None


def task_of(charter: Charter, folder: Path | None = None) -> Task:
    """Return the forecasting task that a charter declares; `folder` is where the charter lies."""
    return Task(charter.data, charter.forecast, charter.evaluate, charter.segments, folder)


@dataclass(frozen=True, slots=True)
class Cadence:
    """How time passes in a table, in steps of `forecast.every`.

    Attributes:
        every: the span of one step.
        cycle: steps in the shortest cycle people live by: a day of hourly rows, a week of daily rows, else 1.
        week: steps in a week, at least 1.
        year: steps in 364 days, so that weekdays match; 0 when a step is longer than a quarter.
        season: steps in the season that the charter declares; 0 for none.
        windows: lengths of the rolling statistics.
        level: rows whose mean is a series' level: eight weeks of them, at least eight.
    """

    every: timedelta
    cycle: int
    week: int
    year: int
    season: int
    windows: tuple[int, ...]
    level: int


def cadence_of(task: Task) -> Cadence:
    """Return the cadence of a task.

    Raises:
        InvalidInput: `forecast.every` is not a span of time.
    """
    every = _span(task.forecast.every, "forecast.every")
    week = max(1, round(_WEEK / every))
    cycle = week if every >= _DAY else max(1, round(_DAY / every))
    year = round(timedelta(days=364) / every)
    windows = (2, 4, 13, 26) if week == 1 else (week, 2 * week, 4 * week, 26 * week)
    return Cadence(every, cycle, week, year if year >= 4 else 0, task.forecast.season, windows, 8 * week)


def steps_of(task: Task, span: str, clause: str) -> int:
    """Return how many steps of `forecast.every` a span is.

    Raises:
        InvalidInput: it is not a span, or not a whole number of steps.
    """
    every = _span(task.forecast.every, "forecast.every")
    steps, rest = divmod(_span(span, clause), every)
    if rest or steps < 1:
        raise InvalidInput(f"{span!r} is not a whole number of steps of {show_span(every)}.", where=clause)
    return steps


def lead_steps(task: Task) -> int:
    """Return how many steps ahead the batch scores: the first horizon."""
    if not task.forecast.horizons:
        raise InvalidInput("Name at least one horizon, such as '1w'.", where="forecast.horizons")
    return steps_of(task, task.forecast.horizons[0], "forecast.horizons")


def _span(text: str, clause: str) -> timedelta:
    try:
        return parse_span(text)
    except InvalidInput as error:
        raise InvalidInput(error.message, where=clause) from error
