"""Values of monitoring: signals, incidents and windows of performance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
"""Not known is NaN, in memory only; the database holds NULL."""
Ints: TypeAlias = npt.NDArray[np.int64]
Codes: TypeAlias = npt.NDArray[np.uint8]
"""Places in `STATES`."""
Moments: TypeAlias = npt.NDArray[np.datetime64]
"""UTC, microseconds."""

Severity = Literal["watch", "bad"]
SignalKind = Literal["performance", "staleness", "drift", "guard", "quality", "freshness"]
SignalState = Literal["ok", "bad", "unknown"]

STATES: tuple[SignalState, ...] = ("unknown", "ok", "bad")
"""Signal states in the order of their codes in arrays: unknown is 0, as in `loop.model.Health`."""
EVERY_SEGMENT = "all"
"""The segment of a signal that concerns the whole fleet."""
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


@dataclass(frozen=True, slots=True)
class Point:
    """One signal's newest judgement in one week, as history keeps it.

    Attributes:
        segment, kind, state, value, limit, n, about: as in `Signal`.
        window_end: the end of the window that was judged; points of a segment and kind are a week or more apart.
    """

    segment: str
    kind: SignalKind
    state: SignalState
    value: float | None
    limit: float | None
    n: int
    about: str
    window_end: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """How well one version forecast one segment in one window.

    Attributes:
        segment: the member.
        version: id of the version that answered, or `baseline`.
        window_start, window_end: the target times covered: start included, end not.
        n: rows with an outcome.
        complete: every outcome of the window is known.
        volume: sum of |actual| over those rows: the weight of `wmape` and `bias`.
        metrics: metric of `METRICS` to value; None is not known. Ratios are fractions.
        counts: metric to the rows it rests on, where that is not all of `n` (`mape`, `mape100`, `rmse_zero`).
        baseline: the same metrics of the baseline on the same rows.
    """

    segment: str
    version: str
    window_start: datetime
    window_end: datetime
    n: int
    complete: bool
    volume: float
    metrics: Mapping[str, float | None]
    counts: Mapping[str, int] = field(default_factory=dict)
    baseline: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Many windows of performance as columns of equal length.

    Attributes:
        segment, version: texts.
        window_start, window_end: moments.
        n: rows with an outcome.
        complete: whether every outcome is known.
        volume: sum of |actual|.
        metrics: metric to values, NaN where not known.
        counts: metric to the rows it rests on.
        baseline: the baseline's metrics on the same rows.
        revision: 1 for the first recording, more for each time the window was computed anew with another result.
    """

    segment: Sequence[str]
    version: Sequence[str]
    window_start: Moments
    window_end: Moments
    n: Ints
    complete: npt.NDArray[np.bool_]
    volume: Floats
    metrics: Mapping[str, Floats]
    counts: Mapping[str, Ints]
    baseline: Mapping[str, Floats]
    revision: Ints

    def __len__(self) -> int:
        return len(self.segment)


@dataclass(frozen=True, slots=True)
class Kept:
    """What recording windows of performance did.

    Attributes:
        new: windows that were not there.
        revised: windows that had another result; the old one is kept beside.
        same: windows that were there with the same result.
    """

    new: int
    revised: int
    same: int
