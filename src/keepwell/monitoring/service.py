"""Open, extend, close and look up incidents; record and read signals and windows of performance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from keepwell import ledger
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import digest_parts
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.events import Event
from keepwell.db import Transaction
from keepwell.monitoring import accepting, performance_store, signal_store, store
from keepwell.monitoring.model import (
    Incident,
    Kept,
    Point,
    Severity,
    Signal,
    SignalKind,
    SignalState,
    Window,
    Windows,
)


def open_incident(
    tx: Transaction,
    call: Call,
    *,
    kind: str,
    model: str | None,
    subject: str,
    title: str,
    severity: Severity,
    datasets: Sequence[str] = (),
    segments: Sequence[str] = (),
    facts: Mapping[str, object],
    cause: str,
) -> Incident:
    """Open an incident, or return the one that is open for the same cause, widened to what is newly touched.

    Raises:
        InvalidInput: there is no cause, title or facts, the severity is not known, or a fact is not JSON.
    """
    new = Incident(
        id=call.ids.new("inc"),
        kind=kind,
        model=model,
        subject=subject,
        title=title.strip(),
        severity=severity,
        datasets=tuple(sorted(set(datasets))),
        segments=tuple(sorted(set(segments))),
        facts=dict(facts),
        cause=cause.strip(),
        state="open",
        opened_at=call.now,
        opened_by=call.actor,
    )
    accepting.check_incident(new)
    request = {"kind": kind, "model": model, "subject": subject, "cause": new.cause}
    return ledger.once(tx, call, request, lambda: _open(tx, call, new), Incident)


def close_incident(
    tx: Transaction, call: Call, incident_id: str, reason: str, evidence: Mapping[str, object]
) -> Incident:
    """Close an incident on evidence that it is over.

    Args:
        tx: a write transaction.
        call: who closes it, and when.
        incident_id: the incident.
        reason: why, in words.
        evidence: what shows that it is over: ids and numbers; never empty.

    Raises:
        NotFound: there is no such incident.
        Conflict: it is closed already.
        InvalidInput: there is no reason or no evidence.
    """
    accepting.check_closing(reason, evidence)
    request = {"close": incident_id, "evidence": dict(evidence)}
    return ledger.once(tx, call, request, lambda: _close(tx, call, incident_id, reason.strip(), evidence), Incident)


def incident(tx: Transaction, incident_id: str) -> Incident:
    """Return one incident.

    Raises:
        NotFound: there is no such incident.
    """
    found = store.incident(tx, incident_id)
    if found is None:
        raise NotFound("There is no such incident; `keepwell incidents list` shows them.", where=incident_id[:60])
    return found


def incidents(
    tx: Transaction,
    *,
    state: Literal["open", "closed"] | None = None,
    model: str | None = None,
    dataset: str | None = None,
    segment: str | None = None,
    kind: str | None = None,
    severity: Severity | None = None,
    q: str | None = None,
    before: str | None = None,
    limit: int = 100,
) -> list[Incident]:
    """Return incidents, newest first.

    Args:
        tx: a transaction.
        state: `open` or `closed`; None is any, as for the next ones.
        model: whose they are.
        dataset: only those that touch it.
        segment: only those that name it among what they touch.
        kind: what sort of finding.
        severity: `watch` or `bad`.
        q: a part of the title, subject, cause or id.
        before: only those older than this id: the next page.
        limit: how many at most.
    """
    return store.find_incidents(
        tx,
        {"state": state, "model": model, "kind": kind, "severity": severity},
        dataset=dataset,
        segment=segment,
        q=q,
        before=before,
        limit=limit,
    )


def open_for(tx: Transaction, model: str, datasets: Sequence[str]) -> list[Incident]:
    """Return every open incident that is the model's own or touches one of the datasets, oldest first."""
    return store.open_for(tx, model, datasets)


def record_signals(tx: Transaction, call: Call, model: str, signals: Sequence[Signal]) -> str | None:
    """Record the newest signals of a fleet; those that say what is recorded already change nothing.

    Returns:
        The id of the recording that the fleet's signals now stand at, which decisions give as their fact; None when
        there were never any.

    Raises:
        InvalidInput: a signal holds NaN, is ok without a value, has no sentence or clause, or is given twice.
    """
    accepting.check_signals(signals)
    request = {"model": model, "signals": _digest(call, map(_signal_text, signals))}
    found = ledger.once(tx, call, request, lambda: _record_signals(tx, call, model, signals), list[str])
    return found[0] if found else None


def signals(
    tx: Transaction,
    model: str,
    *,
    segment: str | None = None,
    kind: SignalKind | None = None,
    state: SignalState | None = None,
    limit: int | None = None,
) -> list[Signal]:
    """Return the newest signals of a fleet, one a segment and kind, in order of kind and segment."""
    return signal_store.find(tx, model, segment=segment, kind=kind, state=state, limit=limit)


def signals_id(tx: Transaction, model: str) -> str | None:
    """Return the id of the newest recording of a fleet's signals."""
    return signal_store.last_batch(tx, model)


def signal_counts(tx: Transaction, model: str) -> dict[str, dict[SignalState, int]]:
    """Return how many segments are ok, bad and unknown, by kind of signal."""
    return signal_store.counts(tx, model)


def signal_history(
    tx: Transaction,
    model: str,
    *,
    segment: str | None = None,
    kind: SignalKind | None = None,
    since: datetime | None = None,
) -> list[Point]:
    """Return one point a week of each segment and kind, oldest first."""
    return signal_store.history(tx, model, segment=segment, kind=kind, since=since)


def record_performance(tx: Transaction, call: Call, model: str, windows: Sequence[Window]) -> Kept:
    """Record windows of performance. One computed anew with another result is a revision: the old one is kept.

    Raises:
        InvalidInput: a window cannot be, see `accepting.check_windows`.
    """
    accepting.check_windows(windows)
    request = {"model": model, "windows": _digest(call, map(_window_text, windows))}
    return ledger.once(tx, call, request, lambda: _record_performance(tx, call, model, windows), Kept)


def performance(tx: Transaction, model: str, *, since: datetime | None = None, segment: str | None = None) -> Windows:
    """Return windows of performance as columns, in order of time and segment.

    Args:
        tx: a transaction.
        model: the fleet.
        since: only windows that start at or after this moment.
        segment: only this member's.
    """
    return performance_store.read(tx, model, since=since, segment=segment)


def performance_revisions(tx: Transaction, model: str, *, segment: str | None = None) -> Windows:
    """Return the windows that were computed anew with another result, as they were before."""
    return performance_store.read(tx, model, since=None, segment=segment, revisions=True)


def _record_signals(tx: Transaction, call: Call, model: str, signals: Sequence[Signal]) -> list[str]:
    standing = signal_store.standing(tx, model)
    changed = [s for s in signals if standing.get((s.kind, s.segment)) != signal_store.values_of(s)]
    if not changed:
        last = signal_store.last_batch(tx, model)
        return [last] if last else []
    batch = call.ids.new("sig")
    counts = Counter(f"{s.kind} {s.state}" for s in signals)
    signal_store.add_batch(tx, batch, model, call.now, dict(sorted(counts.items())))
    signal_store.put(tx, model, batch, changed)
    failpoints.reach("monitoring.signals_written")
    body = {
        "batch": batch,
        "counts": dict(sorted(counts.items())),
        "changed": len(changed),
        "digest": digest_parts(sorted(_signal_text(s) for s in changed)),
    }
    ledger.append(tx, call, Event("signals.recorded", f"model:{model}", body))
    return [batch]


def _record_performance(tx: Transaction, call: Call, model: str, windows: Sequence[Window]) -> Kept:
    starts = sorted({iso(w.window_start) for w in windows})
    standing = performance_store.standing(tx, model, starts)
    new: list[performance_store.Row] = []
    revised: list[performance_store.Row] = []
    old: list[performance_store.Row] = []
    now = iso(call.now)
    for window in windows:
        key = (window.segment, window.version, iso(window.window_start))
        values = performance_store.values_of(window)
        before = standing.get(key)
        if before is None:
            new.append((model, *key, *values, 1, now))
        elif before[:-2] != values:
            old.append((model, *key, *before))
            revised.append((model, *key, *values, int(str(before[-2])) + 1, now))
    kept = Kept(new=len(new), revised=len(revised), same=len(windows) - len(new) - len(revised))
    if new or revised:
        performance_store.replace_rows(tx, new, revised, old)
        failpoints.reach("monitoring.performance_written")
        body = {
            "new": kept.new,
            "revised": kept.revised,
            "windows": starts[:100],
            "revised_windows": sorted({str(row[3]) for row in revised})[:100],
            "digest": digest_parts(sorted(_window_text(w) for w in windows)),
        }
        ledger.append(tx, call, Event("performance.recorded", f"model:{model}", body))
    return kept


def _digest(call: Call, texts: Iterable[str]) -> str | None:
    """Return what tells one request under an idempotency key from another; nothing without a key."""
    return digest_parts(texts) if call.key is not None else None


def _signal_text(signal: Signal) -> str:
    return "\x1f".join(map(str, (signal.kind, signal.segment, *signal_store.values_of(signal))))


def _window_text(window: Window) -> str:
    key = (window.segment, window.version, iso(window.window_start))
    return "\x1f".join(map(str, (*key, *performance_store.values_of(window))))


def _open(tx: Transaction, call: Call, new: Incident) -> Incident:
    standing = store.open_by_cause(tx, new.cause)
    if standing is not None:
        return _widen(tx, call, standing, new)
    store.add_incident(tx, new)
    failpoints.reach("monitoring.incident_opened")
    ledger.append(
        tx,
        call,
        Event(
            "incident.opened",
            f"incident:{new.id}",
            {
                "kind": new.kind,
                "model": new.model,
                "about": new.subject,
                "severity": new.severity,
                "datasets": list(new.datasets),
                "segments": len(new.segments),
                "segments_digest": digest_parts(new.segments),
                "facts": dict(new.facts),
                "cause": new.cause,
            },
            note=new.title,
        ),
    )
    return new


def _widen(tx: Transaction, call: Call, standing: Incident, new: Incident) -> Incident:
    """Add what is newly touched to an open incident; one that concerns every segment stays that wide."""
    datasets = sorted(set(new.datasets) - set(standing.datasets))
    narrow = standing.segments and new.segments
    segments = sorted(set(new.segments) - set(standing.segments)) if narrow else []
    everything = bool(standing.segments) and not new.segments
    worse = standing.severity == "watch" and new.severity == "bad"
    if not (datasets or segments or everything or worse):
        return standing
    store.add_touches(tx, standing.id, "dataset", datasets)
    store.add_touches(tx, standing.id, "segment", segments)
    store.change_incident(
        tx,
        standing.id,
        datasets=sorted({*standing.datasets, *datasets}),
        segments=[] if everything else sorted({*standing.segments, *segments}),
        severity="bad" if worse else standing.severity,
    )
    body = {"datasets": datasets, "segments": len(segments), "everything": everything, "worse": worse}
    ledger.append(tx, call, Event("incident.widened", f"incident:{standing.id}", body))
    return incident(tx, standing.id)


def _close(tx: Transaction, call: Call, incident_id: str, reason: str, evidence: Mapping[str, object]) -> Incident:
    found = incident(tx, incident_id)
    if found.state == "closed":
        raise Conflict("This incident is closed already.", where=incident_id)
    store.change_incident(
        tx,
        incident_id,
        state="closed",
        closed_at=iso(call.now),
        closed_by=call.actor,
        reason=reason,
        evidence=dict(evidence),
    )
    failpoints.reach("monitoring.incident_closed")
    body = {"cause": found.cause, "evidence": dict(evidence)}
    ledger.append(tx, call, Event("incident.closed", f"incident:{incident_id}", body, note=reason))
    return incident(tx, incident_id)
