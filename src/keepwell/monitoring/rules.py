"""Every judgement of monitoring: ok, bad or unknown, never ok without data. Over all segments of a fleet at once. Pure.

A judgement is a `Judged`: columns that `loop.model.State` takes as they are (`codes`), and that become `Signal`s with
a sentence each (`signals`) when they are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from keepwell.charter.model import Monitor, Retrain
from keepwell.core.clock import as_utc
from keepwell.core.spans import parse_span, show_span
from keepwell.monitoring.model import (
    EVERY_SEGMENT,
    STATES,
    Codes,
    Floats,
    Ints,
    Moments,
    Signal,
    SignalKind,
    SignalState,
    Windows,
)
from keepwell.monitoring.pooling import Pooled, places_of, pool

UNKNOWN, OK, BAD = 0, 1, 2
RATIOS = frozenset({"wmape", "mape", "mape100", "bias"})
"""Metrics that are fractions and are shown as per cent."""
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One kind of signal over segments, as columns of equal length.

    Attributes:
        kind: what was judged.
        segments: the members.
        codes: places in `STATES`: 0 unknown, 1 ok, 2 bad.
        value: what was measured; NaN is not known.
        limit: what the charter allows; NaN is none.
        n: rows, versions or arrivals that the value rests on.
        window_start, window_end: what the value is about.
        clause: the clause of the charter, a segment each.
        about: the metric or column that decided, a segment each.
        say: makes the sentence of the segment at a place.
    """

    kind: SignalKind
    segments: Sequence[str]
    codes: Codes
    value: Floats
    limit: Floats
    n: Ints
    window_start: datetime
    window_end: datetime
    clause: Sequence[str]
    about: Sequence[str]
    say: Callable[[int], str]

    def signals(self) -> list[Signal]:
        """Return one signal a segment."""
        value, limit = _texts(self.value), _texts(self.limit)
        codes, n = self.codes.tolist(), self.n.tolist()
        return [
            Signal(
                segment=segment,
                kind=self.kind,
                state=STATES[codes[i]],
                value=value[i],
                limit=limit[i],
                n=n[i],
                window_start=self.window_start,
                window_end=self.window_end,
                sentence=self.say(i),
                clause=self.clause[i],
                about=self.about[i],
            )
            for i, segment in enumerate(self.segments)
        ]


def judge_staleness(retrain: Retrain, segments: Sequence[str], trained_at: Moments, now: datetime) -> Judged:
    """Judge whether champions are stale: trained more than `retrain.stale_after` before `now`.

    Args:
        retrain: the charter's clause.
        segments: the members.
        trained_at: when each one's champion was trained, UTC; NaT where there is none or it is not known.
        now: the moment of judging. A training after it is not believed: unknown.
    """
    limit = np.timedelta64(parse_span(retrain.stale_after))
    age = _moment(now) - trained_at
    known = ~np.isnat(trained_at) & (age >= np.timedelta64(0))
    codes = np.where(known, np.where(age > limit, BAD, OK), UNKNOWN).astype(np.uint8)
    days = np.full(len(segments), np.nan)
    days[known] = np.floor(age[known] / DAY)
    most = limit / DAY
    midnight = day_of(now)

    def say(i: int) -> str:
        if not known[i]:
            return f"When it was trained is not known; the charter allows {retrain.stale_after}."
        day = str(trained_at[i].astype("datetime64[D]"))
        return f"Trained {days[i]:.0f} days ago, on {day}; the charter allows {most:g} days."

    return Judged(
        kind="staleness",
        segments=segments,
        codes=codes,
        value=days,
        limit=np.full(len(segments), float(most)),
        n=known.astype(np.int64),
        window_start=midnight - parse_span(retrain.stale_after),
        window_end=midnight,
        clause=["retrain.stale_after"] * len(segments),
        about=[""] * len(segments),
        say=say,
    )


def judge_performance(
    monitor: Monitor,
    segments: Sequence[str],
    champions: Sequence[str | None],
    windows: Windows,
    now: datetime,
    delay: timedelta = timedelta(0),
) -> Judged:
    """Judge champions against `monitor.performance` over the newest `monitor.windows` complete windows.

    Only windows that the champion itself answered count: what another version did says nothing of it. The windows are
    pooled by what their metrics weigh (see `pooling.pool`). It is bad when one metric is over its limit, ok when all
    of them are known and within, unknown otherwise, and when there are fewer than `monitor.min_rows` rows.

    Args:
        monitor: the charter's clause.
        segments: the members.
        champions: what answers for each in production, None for nothing.
        windows: what is recorded, of any version.
        now: the moment of judging.
        delay: how long after its time an outcome is known, from the charter.
    """
    start, end = _newest(monitor, windows, now, delay)
    place = places_of(segments, windows.segment)
    mine = np.asarray(
        [p >= 0 and champions[p] == v for p, v in zip(place.tolist(), windows.version, strict=True)], np.bool_
    )
    used = mine & windows.complete & (windows.window_start >= _moment(start)) & (windows.window_end <= _moment(end))
    metrics = sorted(monitor.performance)
    pooled = [pool(windows, m, place, used, len(segments)) for m in metrics]
    return _against_limits(monitor, segments, metrics, pooled, start, end)


def judge_freshness(monitor: Monitor, dataset: str, newest: datetime | None, now: datetime) -> Signal | None:
    """Judge whether data comes in time: the newest arrival is not older than `monitor.fresh_within`.

    Returns:
        The signal of the whole fleet, or None when the charter does not watch it.
    """
    if monitor.fresh_within is None:
        return None
    limit = parse_span(monitor.fresh_within)
    age = None if newest is None else as_utc(now) - as_utc(newest)
    state: SignalState = "unknown" if age is None else "bad" if age > limit else "ok"
    days = None if age is None else round(age / timedelta(days=1), 1)
    if newest is None:
        said = f"No data has come for {dataset} yet"
    else:
        said = f"The newest data of {dataset} came {days:g} days ago, on {as_utc(newest):%Y-%m-%d}"
    return _of_the_fleet(
        "freshness",
        state,
        days,
        limit / timedelta(days=1),
        int(newest is not None),
        (hour_of(now) - limit, hour_of(now)),
        f"{said}; the charter allows {monitor.fresh_within}.",
        "monitor.fresh_within",
    )


def judge_quality(dataset: str, judged: int, quarantined: int, since: datetime, now: datetime) -> Signal:
    """Judge a dataset's arrivals against its contract: bad while one of them is in quarantine.

    Args:
        dataset: its name.
        judged: arrivals that were held to the contract since `since`.
        quarantined: arrivals that are in quarantine now, however old.
        since: the start of what is looked at.
        now: the moment of judging.
    """
    state: SignalState = "bad" if quarantined else "ok" if judged else "unknown"
    if quarantined:
        said = f"{quarantined} arrivals of {dataset} are in quarantine" if quarantined > 1 else (
            f"An arrival of {dataset} is in quarantine"
        )  # fmt: skip
    elif judged:
        said = f"{judged} arrivals of {dataset} were held to its contract and none is in quarantine"
    else:
        said = f"Nothing has arrived for {dataset}"
    value = float(quarantined) if judged or quarantined else None
    window = (hour_of(since), hour_of(now))
    return _of_the_fleet("quality", state, value, 0.0, max(judged, quarantined), window, said + ".", "data.contract")


def codes_of(signals: Sequence[Signal], kind: SignalKind, segments: Sequence[str]) -> Codes:
    """Return the states of recorded signals of one kind in the order of `segments`; without a signal unknown."""
    found = {s.segment: STATES.index(s.state) for s in signals if s.kind == kind}
    return np.asarray([found.get(segment, UNKNOWN) for segment in segments], np.uint8)


def day_of(moment: datetime) -> datetime:
    """Return the start of a moment's day: a signal whose window ends there does not change with every tick."""
    return as_utc(moment).replace(hour=0, minute=0, second=0, microsecond=0)


def hour_of(moment: datetime) -> datetime:
    """Return the start of a moment's hour."""
    return as_utc(moment).replace(minute=0, second=0, microsecond=0)


def show_value(metric: str, value: float) -> str:
    """Return a metric's value for people: ratios as per cent, at most three significant digits."""
    return f"{value * 100:.3g} %" if metric in RATIOS else f"{value:.3g}"


def _against_limits(
    monitor: Monitor, segments: Sequence[str], metrics: Sequence[str], pooled: Sequence[Pooled], start: datetime,
    end: datetime,
) -> Judged:  # fmt: skip
    n = len(segments)
    span = f"{monitor.windows} window{'' if monitor.windows == 1 else 's'} of {show_span(parse_span(monitor.window))}"
    if not metrics:
        return Judged("performance", segments, np.zeros(n, np.uint8), np.full(n, np.nan), np.full(n, np.nan),
                      np.zeros(n, np.int64), start, end, ["monitor.performance"] * n, [""] * n,
                      lambda _: "The charter sets no limit for performance.")  # fmt: skip
    limits = np.asarray([monitor.performance[m] for m in metrics])[:, None]
    values = np.stack([np.abs(p.value) if m == "bias" else p.value for m, p in zip(metrics, pooled, strict=True)])
    rows = np.stack([p.n for p in pooled])
    enough = (rows >= monitor.min_rows) & np.isfinite(values)
    bad = enough & (values > limits)
    codes = np.where(bad.any(axis=0), BAD, np.where(enough.all(axis=0), OK, UNKNOWN)).astype(np.uint8)
    worst = _worst(values, limits, enough)
    picked = (worst, np.arange(n))
    value = np.where(np.isfinite(values[picked]), np.stack([p.value for p in pooled])[picked], np.nan)
    counted = rows[picked]

    def say(i: int) -> str:
        metric = metrics[int(worst[i])]
        allowed = show_value(metric, float(limits[worst[i], 0]))
        if not enough[worst[i], i]:
            few = f"{counted[i]} rows with an outcome in the newest {span}, fewer than {monitor.min_rows}"
            return f"{metric} is not known: {few}; the charter allows {allowed}."
        shown = show_value(metric, float(value[i]))
        return f"{metric} {shown} over {counted[i]} rows of the newest {span}; the charter allows {allowed}."

    return Judged(
        kind="performance",
        segments=segments,
        codes=codes,
        value=value,
        limit=limits[worst, 0],
        n=counted,
        window_start=start,
        window_end=end,
        clause=[f"monitor.performance.{metrics[w]}" for w in worst.tolist()],
        about=[metrics[w] for w in worst.tolist()],
        say=say,
    )


def _worst(values: Floats, limits: Floats, enough: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Ints:
    """Return the metric that decides for each segment: the furthest over its limit, else one that is not known."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(limits > 0, values / limits, np.where(values > 0, np.inf, 0.0))
    over = enough & (values > limits)
    score = np.where(over, ratio, np.where(enough, -2.0 + np.minimum(ratio, 1.0), -0.5))
    return np.asarray(np.argmax(score, axis=0), np.int64)


def _newest(monitor: Monitor, windows: Windows, now: datetime, delay: timedelta) -> tuple[datetime, datetime]:
    """Return the span of the newest windows: up to the last complete one, unless that is older than they are long."""
    length = parse_span(monitor.window) * monitor.windows
    end = day_of(now)
    if windows.complete.any():
        last = windows.window_end[windows.complete].max().astype("datetime64[us]").item().replace(tzinfo=UTC)
        if end - length - delay < last <= as_utc(now):
            end = last
    return end - length, end


def _of_the_fleet(
    kind: SignalKind, state: SignalState, value: float | None, limit: float, n: int, window: tuple[datetime, datetime],
    sentence: str, clause: str,
) -> Signal:  # fmt: skip
    return Signal(
        segment=EVERY_SEGMENT,
        kind=kind,
        state=state,
        value=value,
        limit=limit,
        n=n,
        window_start=window[0],
        window_end=window[1],
        sentence=sentence,
        clause=clause,
    )


def _texts(values: Floats) -> list[float | None]:
    return [v if known else None for v, known in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)]


def _moment(moment: datetime) -> np.datetime64:
    return np.datetime64(as_utc(moment).replace(tzinfo=None), "us")
