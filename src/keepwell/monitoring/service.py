"""Open, extend, close and look up incidents; record and read signals and windows of performance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from keepwell import ledger
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import digest_parts
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.events import Event
from keepwell.db import Transaction
from keepwell.monitoring import rules, store
from keepwell.monitoring.model import Incident, Severity


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
    rules.check_incident(new)
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
    rules.check_closing(reason, evidence)
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
