"""What monitoring accepts: incidents, closings, signals, windows of performance. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite

from keepwell.core.digests import canonical_json
from keepwell.core.errors import InvalidInput
from keepwell.monitoring.model import METRICS, STATES, Incident, Signal, Window


def check_incident(new: Incident) -> None:
    """Refuse an incident that does not say what it is about.

    Raises:
        InvalidInput: there is no cause, title or facts, the severity is not known, or a fact is not JSON.
    """
    if not 0 < len(new.cause) <= 400:
        raise InvalidInput("An incident has a cause of 1 to 400 characters.", where="cause")
    if not 0 < len(new.title) <= 1000:
        raise InvalidInput("An incident has a title of 1 to 1000 characters.", where="title")
    if new.severity not in ("watch", "bad"):
        raise InvalidInput("An incident's severity is 'watch' or 'bad'.", where="severity")
    if not new.facts:
        raise InvalidInput("An incident rests on facts: give the ids or numbers that show it.", where="facts")
    canonical_json(dict(new.facts))


def check_closing(reason: str, evidence: Mapping[str, object]) -> None:
    """Refuse to close an incident without a reason and evidence.

    Raises:
        InvalidInput: either is missing, or the evidence is not JSON.
    """
    if not 0 < len(reason.strip()) <= 2000:
        raise InvalidInput("Closing an incident needs a reason of 1 to 2000 characters.", where="reason")
    if not evidence:
        raise InvalidInput(
            "Closing an incident needs evidence that it is over: an id or a number that shows it.", where="evidence"
        )
    canonical_json(dict(evidence))


def check_signals(signals: Iterable[Signal]) -> None:
    """Refuse signals that hold NaN, an infinity or a state that is not one, or that stand there twice.

    Raises:
        InvalidInput: one of them does.
    """
    seen: set[tuple[str, str]] = set()
    for signal in signals:
        if signal.state not in STATES:
            raise InvalidInput("A signal's state is 'ok', 'bad' or 'unknown'.", where=signal.segment[:200])
        if not (_known(signal.value) and _known(signal.limit)) or signal.n < 0:
            raise InvalidInput("A signal's value and limit are finite or None.", where=signal.segment[:200])
        if signal.state == "ok" and signal.value is None:
            raise InvalidInput("A signal without a value is unknown, never ok.", where=signal.segment[:200])
        if not signal.sentence or not signal.clause:
            raise InvalidInput("A signal needs a sentence and a clause of the charter.", where=signal.segment[:200])
        key = (signal.kind, signal.segment)
        if key in seen:
            raise InvalidInput(f"A {signal.kind} signal is given twice.", where=signal.segment[:200])
        seen.add(key)


def check_windows(windows: Iterable[Window]) -> None:
    """Refuse windows of performance that cannot be: NaN, negative counts, an end before its start, twice the same.

    Raises:
        InvalidInput: one of them is.
    """
    seen: set[tuple[str, str, object]] = set()
    for window in windows:
        where = window.segment[:200]
        for name in (*window.metrics, *window.counts, *window.baseline):
            if name not in METRICS:
                raise InvalidInput(f"{name[:40]!r} is not a metric: use {', '.join(METRICS)}.", where=where)
        values = (*window.metrics.values(), *window.baseline.values(), window.volume)
        if not all(_known(v) for v in values):
            raise InvalidInput("A metric is a finite number, or None when it is not known.", where=where)
        if window.n < 0 or window.volume < 0 or any(n < 0 for n in window.counts.values()):
            raise InvalidInput("A window cannot have fewer than 0 rows.", where=where)
        if window.window_end <= window.window_start:
            raise InvalidInput("A window ends after it starts.", where=where)
        key = (window.segment, window.version, window.window_start)
        if key in seen:
            raise InvalidInput("A window of performance is given twice.", where=where)
        seen.add(key)


def _known(value: float | None) -> bool:
    return value is None or isfinite(value)
