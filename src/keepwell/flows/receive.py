"""Receive arriving files: condition, judge, and either let them into a new version or put them in quarantine.

All long work is done before one transaction writes the arrivals, the version, the incidents and their events. What is
stored before it is content-addressed, so a call that died at any point is simply made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.datasets import service as datasets
from keepwell.datasets.content import Draft, draft, frames_of, manifest_of
from keepwell.datasets.model import Arrival, DatasetVersion, Manifest, Part, SourceFile
from keepwell.datasets.parts import merge
from keepwell.datasets.service import STALE
from keepwell.datasets.sources import natural, scan
from keepwell.db import Transaction
from keepwell.flows.examine import Context, Examined, State, context_of, examine, state_of
from keepwell.flows.kit import Kit
from keepwell.governance.charters import AppliedCharter
from keepwell.monitoring import service as monitoring

_TRIES = 20


@dataclass(frozen=True, slots=True)
class Received:
    """What became of arriving files.

    Attributes:
        accepted: arrivals that are in the new version.
        quarantined: arrivals that wait for a person.
        version: the new version; None when nothing was let in.
        skipped: files that changed or vanished while they were read, with the reason; they stay waiting.
    """

    accepted: tuple[Arrival, ...] = ()
    quarantined: tuple[Arrival, ...] = ()
    version: DatasetVersion | None = None
    skipped: tuple[str, ...] = ()


def waiting(kit: Kit, applied: AppliedCharter) -> list[SourceFile]:
    """Return the files that the charter's source names and that never arrived, in the order of their names.

    Raises:
        InvalidInput: a link leads out of the source's folder.
    """
    return _look(kit, applied)[0]


def receive(
    kit: Kit,
    applied: AppliedCharter,
    actor: str,
    files: Sequence[SourceFile | Path | str] | None = None,
    received_at: datetime | None = None,
) -> Received:
    """Receive files: one, or a history of hundreds at once, in one transaction and at most one new version.

    Args:
        kit: the opened house.
        applied: the charter in force.
        actor: who receives.
        files: scanned files, or patterns relative to the charter's folder; by default what is `waiting`.
        received_at: when they came; by default now.

    Raises:
        InvalidInput: the charter's own parts cannot be used: a contract, an expression, a table that is joined.
        NotFound: a table that is joined, the contract or a named file is not there.
        NotInstalled: a file is Excel and the extra is missing.
        Conflict: the dataset holds rows of another form.
    """
    chosen, copies = _look(kit, applied) if files is None else (_named(applied, files), [])
    if copies:
        with kit.write() as tx:
            datasets.remember_seen(tx, applied.charter.data.dataset, copies)
    if not chosen:
        return Received()
    context = context_of(applied)
    call = kit.call(actor)
    came = received_at or call.now
    for _ in range(_TRIES):
        state = state_of(kit, context)
        examined = examine(kit, context, state, chosen, came, call)
        if not examined.arrivals:
            return Received(skipped=tuple(examined.skipped))
        try:
            return _commit(kit, context, state, examined, call)
        except Conflict as error:
            if error.code != STALE:
                raise
    raise Conflict(f"The dataset {context.dataset} is being changed by others all the time; try again.")


def settle(kit: Kit, arrival_id: str, actor: str, verdict: Literal["release", "reject"], reason: str) -> Arrival:
    """Settle a quarantined arrival: `release` lets it in as a new version, `reject` keeps its bytes and record.

    Raises:
        NotFound: there is no such arrival.
        InvalidInput: there is no reason.
        Conflict: it is settled already, or it could not be read and so cannot be released.
    """
    if not 0 < len(reason.strip()) <= 2000:
        raise InvalidInput("Say why, in 1 to 2000 characters.", where="reason")
    call = kit.call(actor)
    for _ in range(_TRIES):
        try:
            return _settle_once(kit, arrival_id, call, verdict, reason.strip())
        except Conflict as error:
            if error.code != STALE:
                raise
    raise Conflict("The dataset is being changed by others all the time; try again.")


def _look(kit: Kit, applied: AppliedCharter) -> tuple[list[SourceFile], list[SourceFile]]:
    """Return the files that wait, and those that were digested anew only to find that their content came before."""
    data = applied.charter.data
    if not data.source:
        return [], []
    with kit.read() as tx:
        known, arrived = datasets.seen(tx, data.dataset)
    found = scan([data.source], Path(applied.folder), known=known, missing_ok=True, skip_busy=True)
    fresh = {file.sha256: file for file in reversed(found) if file.sha256 not in arrived}
    copies = [file for file in found if file.sha256 in arrived and known.get(file.uri) != file]
    return sorted(fresh.values(), key=lambda file: natural(file.uri)), copies


def _named(applied: AppliedCharter, files: Sequence[SourceFile | Path | str]) -> list[SourceFile]:
    found: list[SourceFile] = []
    for file in files:
        if isinstance(file, SourceFile):
            found.append(file)
        else:
            found.extend(sorted(scan([str(file)], Path(applied.folder)), key=lambda one: natural(one.uri)))
    return list({file.sha256: file for file in reversed(found)}.values())[::-1]


def _commit(kit: Kit, context: Context, state: State, examined: Examined, call: Call) -> Received:
    entries = [entry for arrival, _, entry in examined.arrivals if arrival.state == "accepted" and entry]
    made, corrections = _draft(kit, context, state, examined, [entry.part for entry in entries])
    failpoints.reach("receive.drafted")
    with kit.write() as tx:
        if _raced(tx, context, state, examined):
            raise Conflict("Other files arrived meanwhile.", code=STALE)
        datasets.claim(tx, call, context.dataset)
        cause = (
            f"arrivals:{len(entries)}" if len(entries) > 1 else f"arrival:{entries[0].part.arrival}" if entries else ""
        )
        new = datasets.add_version(tx, call, context.dataset, made, cause) if made else None
        failpoints.reach("receive.version_added")
        final = []
        for arrival, stats, entry in examined.arrivals:
            if arrival.state == "accepted":
                count = corrections[arrival.id]
                final.append((replace(arrival, version=new.id if new else None, corrections=count), stats, entry))
            else:
                final.append((replace(arrival, incident=_open(tx, call, arrival)), stats, entry))
        datasets.add_arrivals(tx, call, final)
        datasets.remember_seen(tx, context.dataset, examined.files)
        failpoints.reach("receive.arrivals_added")
    failpoints.reach("receive.committed")
    return Received(
        accepted=tuple(a for a, _, _ in final if a.state == "accepted"),
        quarantined=tuple(a for a, _, _ in final if a.state == "quarantined"),
        version=new,
        skipped=tuple(examined.skipped),
    )


def _raced(tx: Transaction, context: Context, state: State, examined: Examined) -> bool:
    """Tell whether another call received something since this one looked."""
    before = min(arrival.seq for arrival, _, _ in examined.arrivals) - 1
    return datasets.last_seq(tx, context.dataset) != before


def _draft(
    kit: Kit, context: Context, state: State, examined: Examined, parts: Sequence[Part]
) -> tuple[Draft | None, dict[str, int]]:
    if not parts:
        return None, {}
    old = state.manifest or Manifest(
        patterns=[context.data.source], folder=str(context.folder), form=context.form, format=context.data.format
    )
    merged = merge(examined.frames, context.form, state.base)
    superseded = old.superseded + sum(merged.replaced)
    grown = msgspec.structs.replace(old, parts=[*old.parts, *parts], superseded=superseded)
    made = draft(kit.blobs, grown, merged.frame, state.last.id if state.last else None)
    return made, {part.arrival: count for part, count in zip(parts, merged.replaced, strict=True)}


def _open(tx: Transaction, call: Call, arrival: Arrival) -> str:
    first = arrival.findings[0]
    more = f" And {len(arrival.findings) - 1} more." if len(arrival.findings) > 1 else ""
    facts = {
        "arrival": arrival.id,
        "rows": arrival.rows,
        "failed": arrival.failed,
        "checks": {finding.check: finding.rows for finding in arrival.findings},
    }
    incident = monitoring.open_incident(
        tx,
        call,
        kind="data",
        model=arrival.model,
        subject=f"arrival:{arrival.id}",
        title=f"{Path(arrival.uri).name} is in quarantine: {first.sentence}{more}"[:1000],
        severity="bad",
        datasets=(arrival.dataset,),
        facts=facts,
        cause=f"arrival:{arrival.id}",
    )
    return incident.id


def _settle_once(kit: Kit, arrival_id: str, call: Call, verdict: Literal["release", "reject"], reason: str) -> Arrival:
    with kit.read() as tx:
        held = datasets.arrival(tx, arrival_id)
        entry = datasets.entry_of(tx, arrival_id)
        last = datasets.latest(tx, held.dataset)
    if held.state != "quarantined":
        raise Conflict(f"The arrival {held.id} is {held.state} already.")
    settled = replace(held, settled_by=call.actor, settled_at=call.now)
    if verdict == "reject":
        return _write_settled(kit, call, replace(settled, state="rejected"), None, reason)
    if entry is None:
        raise Conflict(
            f"The arrival {held.id} could not be read, so it cannot be released: mend the file, or reject it."
        )
    old = manifest_of(kit.blobs, last) if last else None
    if old is None or old.form is None:  # nothing in standard form yet
        old = Manifest(patterns=entry.patterns, folder=entry.folder, form=entry.form, format=entry.format)
    parts = sorted([*old.parts, entry.part], key=lambda part: part.seq)
    merged = merge(frames_of(kit.blobs, parts), entry.form)
    grown = msgspec.structs.replace(old, parts=parts, superseded=sum(merged.replaced))
    made = draft(kit.blobs, grown, merged.frame, last.id if last else None)
    count = merged.replaced[parts.index(entry.part)]
    return _write_settled(kit, call, replace(settled, state="released", corrections=count), made, reason)


def _write_settled(kit: Kit, call: Call, settled: Arrival, made: Draft | None, reason: str) -> Arrival:
    failpoints.reach("settle.drafted")
    with kit.write() as tx:
        if made is not None:
            new = datasets.add_version(tx, call, settled.dataset, made, f"release:{settled.id}")
            settled = replace(settled, version=new.id)
        datasets.settle_arrival(tx, call, settled, reason)
        if settled.incident and monitoring.incident(tx, settled.incident).state == "open":
            evidence = {"arrival": settled.id, "state": settled.state, "version": settled.version}
            monitoring.close_incident(tx, call, settled.incident, reason, evidence)
        failpoints.reach("settle.written")
    return settled
