"""What the pages of scorings show: who answered, and what was forecast beside what happened. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from keepwell.core.lazy import pl
from keepwell.server.ui import charts
from keepwell.server.ui.drawings import shares
from keepwell.server.ui.words import plural
from keepwell.serving.model import ANSWERED_BY, Scoring

ANSWER_WORDS = {"champion": "champion", "last_champion": "the champion before", "baseline": "baseline"}
ANSWER_CLASSES = {"champion": "", "last_champion": "soft", "baseline": "watch"}
BEFORE = 4
"""So many times the scored span of what happened before is drawn, too."""


def answer_bar(scoring: Scoring) -> Any:
    """Return one bar of the rows by who answered them."""
    parts = [
        (ANSWER_CLASSES[who], float(scoring.answered.get(who, 0)),
         f"{ANSWER_WORDS[who]}: {plural(scoring.answered.get(who, 0), 'row')}")
        for who in ANSWERED_BY
    ]  # fmt: skip
    return shares(parts, label="Rows by who answered")


def answered_words(scoring: Scoring) -> str:
    """Return who answered, in words, without who did not."""
    said = [f"{scoring.answered[who]:,} by the {ANSWER_WORDS[who].removeprefix('the ')}" for who in ANSWERED_BY
            if scoring.answered.get(who)]  # fmt: skip
    return ", ".join(said) or "none"


@dataclass(frozen=True, slots=True)
class Measured:
    """How good a scoring's rows were: those with an outcome, and WMAPE of forecast and baseline on them."""

    rows: int
    wmape: float | None
    baseline: float | None


@dataclass(frozen=True, slots=True)
class ScoringView:
    """One scoring's rows.

    Attributes:
        measured: of the chosen rows.
        segments: segment, its error and the baseline's, worst first; `total` how many there are.
        chart: data of the chart over time; None when the times are no dates.
        names, rows: a table of the first rows, with the actual value and who answered.
        height: how many rows there are.
    """

    measured: Measured
    segments: Sequence[tuple[str, Measured]]
    total: int
    chart: dict[str, object] | None
    names: Sequence[str]
    rows: Sequence[Sequence[object]]
    height: int


def scoring_view(
    rows: pl.DataFrame, known: pl.DataFrame | None, time: str, target: str, *, limit: int, segment: str | None
) -> ScoringView:
    """Return how a scoring's page shows its rows.

    Args:
        rows: keys, time, segment, forecast, baseline, version, answered_by.
        known: the dataset in which outcomes were looked up; None when there is none.
        time: its column of the time.
        target: its column of what was forecast.
        limit: rows of the table.
        segment: only this one.
    """
    keys = [name for name in rows.columns if name not in _OWN]
    if known is None:
        joined = rows.with_columns(pl.lit(None, pl.Float64).alias("actual"))
    else:
        truth = known.select(*keys, pl.col(target).cast(pl.Float64).alias("actual"))
        joined = rows.join(truth, on=keys, how="left", maintain_order="left")
    by_segment = _by_segment(joined)
    chosen = joined if segment is None else joined.filter(pl.col("segment") == segment)
    names = [*keys, "segment", "actual", "forecast", "baseline", "answered_by"]
    before = _before(known, joined, chosen, keys, time, target)
    return ScoringView(
        measured=_measure(chosen),
        segments=by_segment[:20],
        total=len(by_segment),
        chart=_chart(chosen, before, time),
        names=names,
        rows=chosen.sort(time, *[k for k in keys if k != time]).head(limit).select(names).rows(),
        height=chosen.height,
    )


_OWN = ("segment", "forecast", "baseline", "version", "answered_by")


def _measure(joined: pl.DataFrame) -> Measured:
    told = joined.filter(pl.col("actual").is_not_null())
    volume = float(told["actual"].abs().sum())
    if not told.height or not volume:
        return Measured(told.height, None, None)
    errors = [float((told[name] - told["actual"]).abs().sum()) / volume for name in ("forecast", "baseline")]
    return Measured(told.height, errors[0], errors[1] if not told["baseline"].null_count() else None)


def _by_segment(joined: pl.DataFrame) -> list[tuple[str, Measured]]:
    error = {name: (pl.col(name) - pl.col("actual")).abs().sum() for name in ("forecast", "baseline")}
    summed = (
        joined.filter(pl.col("actual").is_not_null())
        .group_by("segment")
        .agg(pl.len().alias("n"), pl.col("actual").abs().sum().alias("volume"), forecast=error["forecast"],
             baseline=error["baseline"])
    )  # fmt: skip
    found = [
        (str(one["segment"]), Measured(one["n"], *((one[name] / one["volume"] if one["volume"] else None)
                                                   for name in ("forecast", "baseline"))))
        for one in summed.to_dicts()
    ]  # fmt: skip
    return sorted(found, key=lambda item: (-(item[1].wmape or 0.0), item[0]))


def _before(
    known: pl.DataFrame | None, joined: pl.DataFrame, chosen: pl.DataFrame, keys: list[str], time: str, target: str
) -> pl.DataFrame | None:
    """Return what happened before the scored span, for the same series."""
    if known is None or not chosen.height or not isinstance(chosen[time][0], date):
        return None
    first, last = joined[time].min(), joined[time].max()
    span = max((last - first) if last != first else _step(known[time]), _step(known[time]))  # type: ignore[operator]
    series = [name for name in keys if name != time]
    past = known.filter((pl.col(time) < first) & (pl.col(time) >= first - BEFORE * span))
    mine = past.join(chosen.select(series).unique(), on=series, how="semi") if series else past
    return mine.group_by(time).agg(pl.col(target).cast(pl.Float64).sum().alias("actual")).sort(time)


def _step(times: pl.Series) -> Any:
    return times.unique().sort().diff().drop_nulls().min()


def _chart(chosen: pl.DataFrame, before: pl.DataFrame | None, time: str) -> dict[str, object] | None:
    if not chosen.height or not isinstance(chosen[time][0], date):
        return None
    missing = pl.col("actual").null_count() > 0
    summed = (
        chosen.group_by(time)
        .agg(pl.col("forecast").sum(), pl.col("baseline").sum(),
             pl.when(missing).then(None).otherwise(pl.col("actual").sum()).alias("actual"))
        .sort(time)
    )  # fmt: skip
    past = [] if before is None else before.rows()
    times = [_seconds(row[0]) for row in past] + [_seconds(t) for t in summed[time].to_list()]
    gap: list[float | None] = [None] * len(past)
    lines = [
        charts.Line("happened", [row[1] for row in past] + summed["actual"].to_list(), "actual"),
        charts.Line("forecast", gap + summed["forecast"].to_list(), "main"),
        charts.Line("baseline", gap + summed["baseline"].to_list(), "quiet"),
    ]
    return charts.series(times, lines)


def _seconds(moment: Any) -> float:
    whole = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return (whole if whole.tzinfo else whole.replace(tzinfo=UTC)).timestamp()
