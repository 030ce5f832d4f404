"""Give back what was deleted: first say what would be freed, then free it, then say what was freed.

Rows first: what was deleted longer ago than the retention is given up for good, told in the ledger. Bytes then: what
nothing refers to and nobody has put for the grace is condemned, in a transaction that looks at every reference once
more and tells the ledger; only then is it removed, file by file, under the lock that whoever puts bytes takes too.
Bytes that were put again meanwhile survive. A run that died is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso, to_ms
from keepwell.core.digests import canonical_json, digest_bytes
from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.events import Event
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.flows.references import Opened, referenced
from keepwell.governance import retention_store
from keepwell.ledger import append, once
from keepwell.ledger.model import Entry
from keepwell.ledger.service import entries
from keepwell.models import expiry
from keepwell.tracking import expiry_store as tracking

RETENTION, GRACE = timedelta(days=30), timedelta(days=1)
LEAST_GRACE = timedelta(hours=1)
"""Who puts bytes has at least so long to write the row that refers to them."""
INLINE = 20
SHOWN = 20
SUBJECT = "house:bytes"


class Rows(msgspec.Struct, frozen=True):
    """What was deleted longer ago than the retention, by kind, and how much of what was deleted is still kept.

    Attributes:
        versions: versions of models, whose numbers stay.
        runs: runs with their points, params, tags and artifacts.
        experiments: experiments.
        logged_models: logged models with their artifacts.
        waiting: what is deleted and can still be brought back.
    """

    versions: int = 0
    runs: int = 0
    experiments: int = 0
    logged_models: int = 0
    waiting: int = 0


class Plan(msgspec.Struct, frozen=True):
    """What `run` would free now.

    Attributes:
        before: what was deleted before this moment is given up.
        rows: what that is.
        blobs: how many stored files nothing refers to then, and nobody has put for the grace.
        bytes: how many bytes they are.
        young: how many files nothing refers to that were put within the grace.
        stored: how many bytes are stored in all.
        largest: the largest of what would be freed: digest and bytes.
    """

    before: datetime
    rows: Rows
    blobs: int
    bytes: int
    young: int
    stored: int
    largest: list[tuple[str, int]]


class Freed(msgspec.Struct, frozen=True):
    """What a run freed.

    Attributes:
        rows: what was given up for good.
        blobs: how many stored files were removed.
        bytes: how many bytes they were.
        spared: how many were condemned and put again before they were removed.
    """

    rows: Rows
    blobs: int
    bytes: int
    spared: int


def plan(kit: Kit, retention: timedelta = RETENTION, grace: timedelta = GRACE) -> Plan:
    """Return what `run` would free, changing nothing.

    Raises:
        InvalidInput: a span cannot be meant.
        Damaged: a list of bytes cannot be read.
    """
    before, old = _moments(kit, retention, grace)
    with _rolled_back(kit) as tx:
        rows = _expire(tx, kit.call("gc:plan"), before, None)
        known = referenced(tx, kit.blobs, Opened())
    loose, young, stored = _loose(kit, known, old)
    largest = sorted(loose.items(), key=lambda one: (-one[1], one[0]))[:SHOWN]
    return Plan(before, rows, len(loose), sum(loose.values()), young, stored, largest)


def run(
    kit: Kit, actor: str, retention: timedelta = RETENTION, grace: timedelta = GRACE, *, key: str | None = None
) -> Freed:
    """Free what was deleted longer ago than the retention, and bytes that nothing refers to.

    Args:
        kit: the opened house.
        actor: who asks.
        retention: how long what was deleted can be brought back.
        grace: how long bytes that nothing refers to are left alone: at least an hour.
        key: idempotency key.

    Raises:
        InvalidInput: a span cannot be meant.
        Damaged: a list of bytes cannot be read, so that nothing is freed.
    """
    before, old = _moments(kit, retention, grace)
    call = kit.call(actor, key)
    with kit.write() as tx:
        request = {"do": "gc.expire", "retention": retention.total_seconds()}
        rows = once(tx, call, request, lambda: _expire(tx, call, before, kit), Rows)
    failpoints.reach("gc.expired")
    opened = Opened()
    with kit.read() as tx:  # most of the looking is done before anybody has to wait
        loose = _loose(kit, referenced(tx, kit.blobs, opened), old)[0]
    with kit.write() as tx:
        known = referenced(tx, kit.blobs, opened)
        spared = _spare(tx, call, known)
        found = {digest: size for digest, size in loose.items() if digest not in known}
        once(tx, _under(call, "condemn"), {"do": "gc.condemn"}, lambda: _condemn(kit, tx, call, found), int)
        pending = retention_store.pending(tx)
    failpoints.reach("gc.condemned")
    removed, kept = _remove(kit, pending, old)
    with kit.write() as tx:
        done = once(tx, _under(call, "free"), {"do": "gc.free"}, lambda: _tell(kit, tx, call, removed, kept), list[int])
    failpoints.reach("gc.told")
    kit.blobs.sweep(old)
    return Freed(rows, done[0], done[1], done[2] + spared)


def history(tx: Transaction, limit: int = 100) -> list[Entry]:
    """Return what the ledger tells of what was freed, newest first."""
    return list(entries(tx, kind="gc.", limit=limit))


class _Back(Exception):
    """Ends a transaction that only tried."""


@contextmanager
def _rolled_back(kit: Kit) -> Iterator[Transaction]:
    """A transaction in which things can be tried: nothing of it stays."""
    try:
        with kit.write() as tx:
            yield tx
            raise _Back
    except _Back:
        return


def _moments(kit: Kit, retention: timedelta, grace: timedelta) -> tuple[datetime, float]:
    """Return before which moment rows expire, and before which second bytes are old by the machine's own clock."""
    if retention < timedelta(0):
        raise InvalidInput("The retention cannot be negative; 0d gives up all that is deleted.", where="retention")
    if grace < LEAST_GRACE:
        raise InvalidInput("The grace is at least 1h: whoever puts bytes needs time to refer to them.", where="grace")
    return kit.clock.now() - retention, (kit.wall.now() - grace).timestamp()


def _expire(tx: Transaction, call: Call, before: datetime, kit: Kit | None) -> Rows:
    """Give up rows that were deleted before a moment, and tell the ledger which."""
    batches, moment = expiry.expired(tx, iso(before)), to_ms(before)
    origins = expiry.origins(tx, [one.batch for one in batches])  # a run or model that a version comes from stays
    runs = tracking.expired_runs(tx, moment, origins.runs)
    models = tracking.expired_models(tx, moment, origins.logged_models)
    rows = Rows(
        versions=sum(one.versions for one in batches),
        runs=len(runs),
        experiments=len(tracking.expired_experiments(tx, moment, runs, models)),
        logged_models=len(models),
    )
    if rows != Rows():
        listed: list[list[object]] = [[one.batch, one.model, one.versions] for one in batches]
        counts = {name: getattr(rows, name) for name in rows.__struct_fields__ if name != "waiting"}
        append(tx, call, Event("gc.expired", SUBJECT, {**counts, **_listed(listed, kit)}))
    expiry.expire(tx, [one.batch for one in batches], iso(call.now))
    append(tx, call, *(Event("run.erased", f"run:{one}") for one in runs))
    tracking.remove_runs(tx, runs)
    append(tx, call, *(Event("logged_model.erased", f"logged_model:{one}") for one in models))
    tracking.remove_models(tx, models)
    experiments = tracking.expired_experiments(tx, moment)
    append(tx, call, *(Event("experiment.erased", f"experiment:{one}") for one in experiments))
    tracking.remove_experiments(tx, experiments)
    left = expiry.waiting(tx, iso(before)) + tracking.waiting(tx)
    return msgspec.structs.replace(rows, waiting=left)


def _loose(kit: Kit, known: set[str], old: float) -> tuple[dict[str, int], int, int]:
    """Return (digest to size of bytes that nothing refers to and that are old, how many are young, all bytes)."""
    loose: dict[str, int] = {}
    young = stored = 0
    for digest, size, put in kit.blobs.stored():
        stored += size
        if digest not in known:
            if put < old:
                loose[digest] = size
            else:
                young += 1
    return loose, young, stored


def _spare(tx: Transaction, call: Call, known: set[str]) -> int:
    """Let go what a run that died had condemned and that something refers to by now; return how many."""
    again = sorted(retention_store.pending(tx).keys() & known)
    if again:
        listed: list[list[object]] = [[digest] for digest in again]
        append(tx, call, Event("gc.spared", SUBJECT, {"blobs": len(again), **_listed(listed)}))
        retention_store.settle(tx, again)
    return len(again)


def _condemn(kit: Kit, tx: Transaction, call: Call, found: Mapping[str, int]) -> int:
    there = retention_store.pending(tx)
    new = {digest: found[digest] for digest in sorted(found) if digest not in there}
    if not new:
        return 0
    body = {"blobs": len(new), "bytes": sum(new.values()), **_listed([[d, s] for d, s in new.items()], kit)}
    seq = append(tx, call, Event("gc.condemned", SUBJECT, body))[0].seq
    retention_store.condemn(tx, new, seq)
    failpoints.reach("gc.condemned_stored")
    return len(new)


def _remove(kit: Kit, pending: Mapping[str, int], old: float) -> tuple[dict[str, int], list[str]]:
    """Remove what is condemned; return what is gone, and what was put again meanwhile."""
    gone: dict[str, int] = {}
    kept: list[str] = []
    for digest, size in pending.items():
        try:
            freed = kit.blobs.free(digest, old)
        except NotFound:
            freed = size  # by a run that died before it could tell
        if freed is None:
            kept.append(digest)
        else:
            gone[digest] = size
        failpoints.reach("gc.removed")
    return gone, kept


def _tell(kit: Kit, tx: Transaction, call: Call, removed: Mapping[str, int], kept: Iterable[str]) -> list[int]:
    """Tell the ledger what was removed, unless another run told it; return (files, bytes, spared)."""
    there = retention_store.pending(tx)
    gone = {digest: size for digest, size in removed.items() if digest in there}
    spared = [digest for digest in kept if digest in there]
    if not gone and not spared:
        return [0, 0, 0]
    body = {"blobs": len(gone), "bytes": sum(gone.values()), "spared": len(spared),
            **_listed([[d, s] for d, s in gone.items()], kit)}  # fmt: skip
    append(tx, call, Event("gc.freed", SUBJECT, body))
    retention_store.settle(tx, [*gone, *spared])
    failpoints.reach("gc.settled")
    return [len(gone), sum(gone.values()), len(spared)]


def _listed(rows: list[list[object]], kit: Kit | None = None) -> dict[str, object]:
    """Return what an event's body says of a list: its digest, and the list itself when it is short."""
    data = canonical_json(rows)
    body: dict[str, object] = {"members": digest_bytes(data)}
    if len(rows) <= INLINE:
        body["listed"] = rows
    elif kit is not None:
        kit.blobs.put(data)
    return body


def _under(call: Call, step: str) -> Call:
    return call if call.key is None else call.under(f"{call.key}:{step}")
