"""What the page of a segment shows: its error by week, and what was forecast against what happened. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from keepwell.core.clock import from_iso
from keepwell.loop.ticks import Recorded
from keepwell.models.model import Champion
from keepwell.monitoring.model import Signal
from keepwell.monitoring.overview import Pooled
from keepwell.server.ui import charts
from keepwell.server.ui.words import RATIOS, metric_name

TITLES = {
    "performance": "How good it is",
    "staleness": "How fresh it is",
    "drift": "Whether its data moved",
    "guard": "Whether it does harm",
    "quality": "Its data's quality",
    "freshness": "Whether data comes in time",
}
ORDER = {"bad": 0, "unknown": 1, "ok": 2}


def ordered_signals(signals: Sequence[Signal]) -> list[Signal]:
    """Return signals worst first."""
    return sorted(signals, key=lambda s: (ORDER[s.state], s.kind))


def in_a_row(decisions: Sequence[Recorded], most: int = 6) -> list[tuple[Recorded, int]]:
    """Return decisions with how many in a row said the same, newest first."""
    found: list[tuple[Recorded, int]] = []
    for one in decisions:
        if found and found[-1][0].decision.reason == one.decision.reason:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((one, 1))
    return found[:most]


def distinct(decisions: Sequence[Recorded], most: int = 6) -> list[tuple[Recorded, int]]:
    """Return the newest of decisions that say the same, with how many there were, newest first."""
    counted = Counter(one.decision.reason for one in decisions)
    newest = {one.decision.reason: one for one in reversed(decisions)}
    found = sorted(newest.values(), key=lambda one: (-one.seq, one.place))
    return [(one, counted[one.decision.reason]) for one in found][:most]


def trend(weeks: Sequence[Pooled], name: str, limit: float | None, champions: Sequence[Champion]) -> dict[str, object]:
    """Return the chart of a segment's error by window."""
    start = from_iso(weeks[0].key)
    return charts.series(
        [from_iso(week.key).timestamp() for week in weeks],
        [
            charts.Line(metric_name(name), [week.value for week in weeks]),
            charts.Line("baseline", [week.baseline for week in weeks], "quiet"),
        ],
        limit=limit,
        marks=promotions(champions, start),
        ratio=name in RATIOS,
    )


def promotions(champions: Sequence[Champion], start: datetime) -> list[charts.Mark]:
    """Return when champions changed, from a moment on, oldest first."""
    return [
        charts.Mark(c.since.timestamp(), "promoted", f"v{c.number} answers in {c.environment}")
        for c in sorted(champions, key=lambda c: c.seq)
        if c.since >= start
    ]


def outcome_chart(
    times: Sequence[datetime],
    actual: Sequence[float | None],
    forecast: Sequence[float | None],
    baseline: Sequence[float | None],
    champions: Sequence[Champion],
) -> dict[str, object]:
    """Return the chart of what was forecast against what happened."""
    made = charts.series(
        [moment.timestamp() for moment in times],
        [
            charts.Line("actual", actual, "actual"),
            charts.Line("forecast", forecast, "forecast"),
            charts.Line("baseline", baseline, "quiet"),
        ],
        marks=promotions(champions, times[0]),
    )
    return {**made, "when": "Time"}
