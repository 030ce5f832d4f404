"""The page of one segment of a fleet: is it well, what answers, was it right, what was decided for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec

from keepwell.core.errors import Damaged, NotFound
from keepwell.core.lazy import pl
from keepwell.core.spans import parse_span
from keepwell.datasets import service as datasets
from keepwell.db import Transaction
from keepwell.flows.feedback import moment_of, outcomes
from keepwell.flows.frames import frame_of
from keepwell.governance.charters import AppliedCharter, current_charter
from keepwell.loop import service as loop
from keepwell.loop import wishes as wishing
from keepwell.loop.ticks import Recorded
from keepwell.models import service as models
from keepwell.models.model import ModelVersion
from keepwell.monitoring import overview
from keepwell.monitoring import service as monitoring
from keepwell.server.routing import Ask, Body, Html, Query, Reason, Route, SeeOther
from keepwell.server.ui import links, views_fleet, views_segment
from keepwell.server.ui.reading import read_fleet
from keepwell.server.ui.render import page
from keepwell.server.ui.words import segment_words
from keepwell.serving import service as serving

SCORINGS = 26
"""So many newest scorings are drawn against what happened."""
POINTS = 400
"""At most so many times are drawn."""


class SegmentQuery(Query, frozen=True, kw_only=True):
    """Which segment."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Wish(Body, frozen=True, kw_only=True):
    """Which segment is to be trained, and why."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    reason: Reason


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What was forecast and what happened, summed over the segment's series by time."""

    times: Sequence[datetime]
    actual: Sequence[float | None]
    forecast: Sequence[float | None]
    baseline: Sequence[float | None]


def segment(ask: Ask[SegmentQuery, None]) -> Html:
    """Show one segment."""
    key = ask.query.key
    with ask.read() as tx:
        applied = current_charter(tx, ask.path["model"])
        charter = applied.charter
        name, metric = charter.model, charter.evaluate.metrics[0]
        fleet = read_fleet(ask.kit.db, tx, applied)
        row = next((one for one in fleet.rows if one.key == key), None)
        if row is None:
            raise NotFound(f"{name} has no segment {key[:200]!a}; its page lists those it has.")
        history = models.champion_history(tx, name, key, limit=50)
        weeks = [week for week in overview.by_window(tx, name, metric, segment=key) if week.complete]
        context: dict[str, Any] = {
            "row": row,
            "history": history,
            "versions": models.versions(tx, name, segment=key, limit=20).versions,
            "signals": views_segment.ordered_signals(monitoring.signals(tx, name, segment=key)),
            "incidents": monitoring.incidents(tx, state="open", model=name, segment=key, limit=10),
            "why": views_segment.in_a_row(_why(tx, name, key)),
            "weeks": weeks,
            "trend": views_segment.trend(weeks, metric, fleet.limit, history) if weeks else None,
        }
        context["wished"] = _wished(tx, name, key, context["versions"], ask.kit.clock.now())
    seen = outcomes_of(ask, applied, key)
    answers = next((v for v in context["versions"] if v.id == row.champion_id), None)
    return page(
        ask,
        "segment.html",
        title=segment_words(key),
        nav="models",
        crumbs=[("Fleets and models", "/models"), (name, links.model(name))],
        json=links.with_query(f"/api{links.model(name)}/versions", segment=key),
        **context,
        charter=charter,
        metric=metric,
        limit=fleet.limit,
        since=fleet.since,
        until=fleet.until,
        titles=views_segment.TITLES,
        seen=seen,
        outcomes=views_segment.outcome_chart(seen.times, seen.actual, seen.forecast, seen.baseline, history)
        if seen
        else None,
        weights=views_fleet.weights_of([answers.facts] if answers is not None else []),
    )


def wish(ask: Ask[None, Wish]) -> SeeOther:
    """Ask the loop to train a segment at its next tick."""
    with ask.write() as tx:
        name = current_charter(tx, ask.path["model"]).charter.model
        wishing.wish(tx, ask.call(), name, [ask.body.key], ask.body.reason)
    return SeeOther(links.segment(name, ask.body.key))


def _wished(tx: Transaction, model: str, key: str, versions: Sequence[ModelVersion], now: datetime) -> datetime | None:
    """Return when a training was asked for that has not begun."""
    wanted = wishing.wanted(tx, model, now)
    began = versions[0].trained_at if versions else None
    said = [at for name in (key, wishing.WHOLE_FLEET) if (at := wanted.get(name)) is not None]
    return max(said) if wishing.is_wanted(key, wanted, began) else None


def outcomes_of(ask: Ask[Any, Any], applied: AppliedCharter, key: str) -> Outcomes | None:
    """Return what the newest scorings said of a segment beside what happened; None when nothing can be shown."""
    charter = applied.charter
    with ask.read() as tx:
        scorings = serving.scorings(tx, charter.model, limit=SCORINGS)
        latest = datasets.latest(tx, charter.data.dataset)
    if not scorings or latest is None:
        return None
    try:
        known = frame_of(ask.kit, latest.id).filter(pl.col(charter.data.target).is_not_null())
        parts = [outcomes(ask.kit, charter, one, known).filter(pl.col("segment") == key) for one in scorings]
    except (NotFound, Damaged):
        return None
    time = charter.data.time
    wanted = [time, *charter.data.keys, "actual", "forecast", "baseline"]
    rows = pl.concat([part.select(wanted) for part in parts], how="vertical_relaxed")
    rows = rows.unique([time, *charter.data.keys], keep="first", maintain_order=True)
    if rows.is_empty():
        return None
    # a time whose outcomes have not all come has no actual: a partial sum would look like a fall
    came = pl.col("actual").is_not_null().all()
    summed = rows.group_by(time).agg(
        pl.when(came).then(pl.col("actual").sum()).alias("actual"), pl.col("forecast").sum(), pl.col("baseline").sum()
    )
    summed = summed.sort(time).tail(POINTS)
    every = parse_span(charter.forecast.every)
    values = {name: [float(v) if v is not None else None for v in summed[name].to_list()] for name in wanted[-3:]}
    return Outcomes([moment_of(value, every) for value in summed[time].to_list()], **values)


def _why(tx: Transaction, name: str, key: str) -> list[Recorded]:
    try:
        return loop.why(tx, name, key, limit=26)
    except NotFound:
        return []


ROUTES = (
    Route("GET", "/models/{model}/segment", "pages.read", segment, "Show a segment of a fleet.",
          query=SegmentQuery, answer=Html),
    Route("POST", "/models/{model}/segment", "loop.wish", wish, "Ask the loop to train a segment.",
          body=Wish, form=True, answer=SeeOther),
)  # fmt: skip
