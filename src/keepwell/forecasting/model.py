"""The values of forecasting: what a fit leaves, what was measured, what a backtest says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keepwell.core.lazy import pl


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement.

    Attributes:
        slice: `all`, or `column=value`.
        subject: `self` (what would be served), `baseline`, or a candidate's name.
        metric: its name; ratios are fractions.
        value: None when it is unknown: no rows, or no row the metric speaks of.
        n: rows the value rests on.
    """

    slice: str
    subject: str
    metric: str
    value: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """What fitting one segment left.

    Attributes:
        segment: its key.
        artifact: the model, as bytes.
        rows: rows with a target that it was trained on.
        series: how many series they belong to.
        trained_until: the newest of these rows' times, as text.
        weights: candidate to its share in the ensemble.
        evidence: what was measured on the held-back rows, before fitting on everything.
        facts: how it was fitted and certified, as JSON.
        held: the held-back rows: keys, time, its `step`, `lead` (steps), `actual`, `forecast` (what would have been
            served) and `rival` (null where there is none, or where it had seen the row); None where nothing was held
            back.
    """

    segment: str
    artifact: bytes
    rows: int
    series: int
    trained_until: str
    weights: dict[str, float]
    evidence: list[Measured]
    facts: dict[str, Any]
    held: pl.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """The metrics of one subject (candidate, baseline or ensemble) at one horizon, on one slice."""

    horizon: str
    slice: str
    subject: str
    n: int
    metrics: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a backtest measured.

    Attributes:
        last: the span of the newest rows that were forecast.
        since: the first time that was forecast, as text.
        until: the last.
        series: how many series had a row to forecast.
        scores: one a horizon, slice and subject.
        weights: horizon to segment to candidate to its weight in the ensemble.
    """

    last: str
    since: str
    until: str
    series: int
    scores: list[Score]
    weights: dict[str, dict[str, dict[str, float]]]

    def to_json(self) -> dict[str, Any]:
        """Return the backtest as JSON: horizons hold subjects, subjects hold metrics and slices."""
        horizons: dict[str, dict[str, Any]] = {}
        for score in self.scores:
            subject = horizons.setdefault(score.horizon, {}).setdefault(score.subject, {"slices": {}})
            if score.slice == "all":
                subject.update(score.metrics, n=score.n)
            else:
                subject["slices"][score.slice] = {**score.metrics, "n": score.n}
        return {
            "last": self.last,
            "since": self.since,
            "until": self.until,
            "series": self.series,
            "horizons": horizons,
            "weights": self.weights,
        }
