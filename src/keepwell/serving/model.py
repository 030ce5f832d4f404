"""Values of scoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

ANSWERED_BY = ("champion", "last_champion", "baseline")
"""Who may answer a row, best first; what a charter's `fallback` leaves out is not asked."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """One batch scoring of a whole fleet.

    Attributes:
        id: its id.
        model: the charter's model.
        environment: whose champions answered.
        slot: the moment of the schedule that it is for.
        origin: the last time whose target was known, as text of the time column.
        at: when it was scored.
        input: dataset version that was read.
        output: dataset version that holds the forecasts.
        part: digest of the Parquet blob of the rows: keys, time, segment, forecast, baseline, version, answered_by.
        rows: how many rows were published.
        answered: rows by who answered.
        silent: the champions that gave no answer for any row of their segment.
        first: first time forecast, as text.
        last: last time forecast, as text.
        joined: how many rows have met their actual outcome.
        joined_input: dataset version with which they were last joined.
        closed: every outcome that will come has come.
    """

    id: str
    model: str
    environment: str
    slot: datetime
    origin: str
    at: datetime
    input: str
    output: str
    part: str
    rows: int
    answered: Mapping[str, int]
    first: str
    last: str
    silent: tuple[str, ...] = ()
    joined: int = 0
    joined_input: str | None = None
    closed: bool = False
