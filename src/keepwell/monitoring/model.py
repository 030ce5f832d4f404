"""Values of monitoring: signals, incidents and windows of performance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Severity = Literal["watch", "bad"]
SignalKind = Literal["performance", "staleness", "drift", "bias", "guard", "quality", "freshness"]
SignalState = Literal["ok", "bad", "unknown"]

METRICS = ("wmape", "mape", "mape100", "rmse", "rmse_zero", "mae", "bias")
"""The metrics of a window, in the order in which they are kept."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A finding with one root cause, open until there is evidence that it is over.

    Attributes:
        id: `inc_...`.
        kind: what sort of finding: `data`, `freshness`, `performance`, ...
        model: whose incident it is; None when it is a dataset's only.
        subject: what it is about, as `<type>:<id or name>`.
        title: one sentence for people.
        severity: `bad` needs someone now, `watch` soon.
        datasets: what it makes doubtful; nothing is trained on these while it is open.
        segments: what it is limited to; empty means every segment.
        facts: what it rests on, as JSON.
        cause: the root cause as a stable text: while it is open, the same cause opens no second one.
        state: `open` or `closed`.
        reason: why it was closed.
        evidence: what showed that it is over.
    """

    id: str
    kind: str
    model: str | None
    subject: str
    title: str
    severity: Severity
    datasets: tuple[str, ...]
    segments: tuple[str, ...]
    facts: Mapping[str, object]
    cause: str
    state: Literal["open", "closed"]
    opened_at: datetime
    opened_by: str
    closed_at: datetime | None = None
    closed_by: str | None = None
    reason: str | None = None
    evidence: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """One monitored judgement over a window.

    Attributes:
        segment: the member that is judged; `all` for what concerns the whole fleet.
        kind: what is judged.
        state: `ok`, `bad`, or `unknown`: no data is never ok.
        value: what was measured, None when it is not known. Staleness and freshness are in days, ratios are fractions.
        limit: what the charter allows, in the value's unit.
        n: rows with an outcome, versions or arrivals that the value rests on.
        window_start, window_end: the time the value is about.
        sentence: the judgement in words, with unit, window and comparison.
        clause: the place in the charter that asks for it, such as `monitor.performance.wmape`.
        about: the metric or column that decided; empty when there is no choice.
    """

    segment: str
    kind: SignalKind
    state: SignalState
    value: float | None
    limit: float | None
    n: int
    window_start: datetime
    window_end: datetime
    sentence: str
    clause: str
    about: str = ""
