"""Judge a fleet: performance, staleness, harm, drift, freshness and quality, recorded as signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from keepwell.charter.model import Charter
from keepwell.charter.risk import leading_metric
from keepwell.core.clock import from_iso
from keepwell.core.lazy import pl
from keepwell.core.spans import parse_span
from keepwell.datasets import service as datasets
from keepwell.datasets.model import DatasetVersion
from keepwell.flows.feedback import moment_of
from keepwell.flows.frames import frame_of
from keepwell.flows.kit import Kit
from keepwell.forecasting.service import segments_at
from keepwell.forecasting.task import task_of
from keepwell.governance.charters import AppliedCharter
from keepwell.models import service as models
from keepwell.models.model import FleetColumns
from keepwell.monitoring import drift as drift_rules
from keepwell.monitoring import harm, rules
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import Moments, Signal, Windows
from keepwell.monitoring.rules import Judged

LOOK_BACK = timedelta(weeks=4)
"""Arrivals of this long count in the judgement of quality."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What was judged: one `Judged` a kind over the segments, and the signals of the whole fleet.

    Attributes:
        segments: the members.
        judged: by kind.
        fleet: freshness and quality.
        recording: id of the recording of signals that now stands; None when there never was one.
    """

    segments: tuple[str, ...]
    judged: dict[str, Judged]
    fleet: tuple[Signal, ...]
    recording: str | None


def watch(kit: Kit, applied: AppliedCharter, actor: str) -> Watched:
    """Judge every member of a fleet as of now, and record what changed."""
    charter = applied.charter
    now = kit.clock.now()
    window = parse_span(charter.monitor.window)
    with kit.read() as tx:
        fleet = models.fleet_columns(tx, charter.model, charter.release.environments[-1])
        windows = monitoring.performance(tx, charter.model, since=now - window * (charter.monitor.windows * 2 + 2))
        version = datasets.latest(tx, charter.data.dataset)
        arrivals = datasets.arrivals(tx, charter.data.dataset)
    judged = _members(charter, fleet, windows, now)
    drift = _drift(kit, applied, fleet, version) if version is not None else None
    if drift is not None:
        judged["drift"] = drift
    recent = [a for a in arrivals if a.received_at >= now - LOOK_BACK]
    held = sum(a.state == "quarantined" for a in arrivals)
    quality = rules.judge_quality(charter.data.dataset, len(recent), held, now - LOOK_BACK, now)
    newest = max((a.received_at for a in arrivals), default=None)
    fresh = rules.judge_freshness(charter.monitor, charter.data.dataset, newest, now)
    whole = tuple(s for s in (fresh, quality) if s is not None)
    signals = [s for one in judged.values() for s in one.signals()] + list(whole)
    with kit.write() as tx:
        recording = monitoring.record_signals(tx, kit.call(actor), charter.model, signals)
    return Watched(tuple(fleet.segment), judged, whole, recording)


def _members(charter: Charter, fleet: FleetColumns, windows: Windows, now: datetime) -> dict[str, Judged]:
    segments, champions = list(fleet.segment), list(fleet.champion_id)
    delay = parse_span(charter.data.delay) if charter.data.delay else timedelta(0)
    guard_metric = leading_metric(charter) or "wmape"
    return {
        "performance": rules.judge_performance(charter.monitor, segments, champions, windows, now, delay),
        "staleness": rules.judge_staleness(charter.retrain, segments, _moments(fleet.champion_trained_at), now),
        "guard": harm.judge_guard(
            charter.monitor, guard_metric, segments, champions, _moments(fleet.champion_since), windows, now
        ),
    }


def _moments(texts: Sequence[str | None]) -> Moments:
    return np.asarray(
        [np.datetime64("NaT") if t is None else np.datetime64(from_iso(t).replace(tzinfo=None), "us") for t in texts],
        "datetime64[us]",
    )


def _drift(kit: Kit, applied: AppliedCharter, fleet: FleetColumns, version: DatasetVersion) -> Judged | None:
    """Judge how far the newest windows are from what each champion was trained on."""
    charter = applied.charter
    columns = [*charter.data.observed, *charter.data.known_ahead]
    if charter.monitor.drift is None or not columns or not any(fleet.champion_id):
        return None
    spec = msgspec.json.encode(charter)
    found, last = _moved(replace(kit, guard=None), spec, applied.folder, version.id, tuple(fleet.segment))
    end = kit.clock.now() if last is None else last + parse_span(charter.forecast.every)
    length = drift_rules.length_of(charter.monitor)
    return drift_rules.judge_drift(charter.monitor, list(fleet.segment), found, (end - length, end))


@lru_cache(maxsize=16)
def _moved(
    kit: Kit, spec: bytes, folder: str, version_id: str, segments: tuple[str, ...]
) -> tuple[drift_rules.Drift, datetime | None]:
    """Measure once a dataset version: between two versions there is nothing new to compare.

    Returns:
        What moved, and the moment of the last row; None where the time is a whole number.
    """
    charter = msgspec.json.decode(spec, type=Charter)
    columns = [*charter.data.observed, *charter.data.known_ahead]
    frame, time = frame_of(kit, version_id), charter.data.time
    length, every = drift_rules.length_of(charter.monitor), parse_span(charter.forecast.every)
    last = frame[time].max()
    rows = segments_at(frame, task_of(charter, Path(folder)), last).select("segment", time, *columns)
    whole = rows.schema[time].is_integer()
    since = pl.lit(last) - (length // every if whole else pl.lit(length))
    current, before = rows.filter(pl.col(time) > since), rows.filter(pl.col(time) <= since)
    found = drift_rules.measure_drift(charter.monitor, list(segments), before, current, columns, time)
    return found, None if whole else moment_of(last, every)
