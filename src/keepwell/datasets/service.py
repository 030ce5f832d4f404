"""Use cases of datasets: add versions, look them up, load them, record arrivals and settle them.

Long work (digesting, conditioning, profiling) happens before the transaction, see `content.draft`; the transaction then
adds the version only if no other came between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from keepwell import ledger
from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.events import Event
from keepwell.core.lazy import pl
from keepwell.core.names import check_name, name_key
from keepwell.datasets import difference, store
from keepwell.datasets.content import Draft, manifest_of, profile_of, rows_of
from keepwell.datasets.difference import Difference
from keepwell.datasets.model import Arrival, DatasetSummary, DatasetVersion, Entry, SourceFile, Stats
from keepwell.datasets.sources import scan as scan
from keepwell.db import Transaction

STALE = "stale_parent"
"""Code of the conflict that another version was added in the meantime: draft again."""


def add_version(tx: Transaction, call: Call, dataset: str, made: Draft, cause: str) -> DatasetVersion:
    """Add a version to a dataset, which comes to be with its first one; the same content again adds nothing.

    Args:
        tx: a write transaction.
        call: who adds it, and when.
        dataset: the dataset's name.
        made: what `draft` stored.
        cause: why, as `<type>:<id>`.

    Raises:
        InvalidInput: the name breaks the grammar.
        Conflict: another version came since the draft (code `stale_parent`), or the name is taken in another spelling.
    """
    claim(tx, call, dataset)
    last = store.latest(tx, dataset)
    if last is not None and last.digest == made.digest:
        return last
    if (last.id if last else None) != made.parent:
        raise Conflict(f"The dataset {dataset} has a newer version by now; try again.", code=STALE)
    new = DatasetVersion(
        id=call.ids.new("dsv"),
        dataset=dataset,
        number=last.number + 1 if last else 1,
        digest=made.digest,
        rows=made.rows,
        parts=made.parts,
        schema=made.schema,
        created_at=call.now,
        parent=made.parent,
        cause=cause,
        manifest=made.manifest,
        profile=made.profile,
        superseded=made.superseded,
    )
    store.add_version(tx, new)
    failpoints.reach("dataset.version_written")
    body = {
        "version": new.id, "number": new.number, "digest": new.digest, "manifest": new.manifest, "rows": new.rows,
        "parts": new.parts, "superseded": new.superseded, "parent": new.parent, "cause": cause,
    }  # fmt: skip
    ledger.append(tx, call, Event("dataset.version_added", f"dataset:{dataset}", body))
    return new


def claim(tx: Transaction, call: Call, dataset: str) -> None:
    """Make sure that a dataset's name follows the grammar and is not taken in another spelling.

    Raises:
        InvalidInput: the name breaks the grammar.
        Conflict: the name is taken in another spelling.
    """
    check_name(dataset, "dataset")
    taken = store.named(tx, name_key(dataset))
    if taken is None:
        store.add_name(tx, name_key(dataset), dataset, iso(call.now))
    elif taken != dataset:
        raise Conflict(f"There is a dataset {taken!r} already; names that differ in case only are one.")


def versions(tx: Transaction, dataset: str, *, before: int | None = None, limit: int = 1000) -> list[DatasetVersion]:
    """Return the versions of a dataset, newest first; those numbered below `before` when it is given."""
    return store.all_versions(tx, dataset, before, limit)


def version(tx: Transaction, version_id: str) -> DatasetVersion:
    """Return a version by its id.

    Raises:
        NotFound: there is no such version.
    """
    found = store.version(tx, version_id)
    if found is None:
        raise NotFound(f"There is no dataset version {version_id[:60]!r}; `keepwell data list` shows what there is.")
    return found


def latest(tx: Transaction, dataset: str) -> DatasetVersion | None:
    """Return the newest version of a dataset, or None."""
    return store.latest(tx, dataset)


def named_version(tx: Transaction, text: str) -> DatasetVersion:
    """Return the version that a person names: an id, a dataset (its newest), or `dataset@number`.

    Raises:
        NotFound: there is no such version.
    """
    if text.startswith("dsv_"):
        return version(tx, text)
    name, at, number = text.rpartition("@")
    found = store.numbered(tx, name, int(number)) if at and number.isdigit() else store.latest(tx, text)
    if found is None:
        raise NotFound(f"There is no dataset version {text[:200]!r}; `keepwell data list` shows what there is.")
    return found


def datasets(tx: Transaction) -> list[DatasetSummary]:
    """Return every dataset with its newest version and how its arrivals stand, sorted by name."""
    newest, counts = store.all_latest(tx), store.arrival_counts(tx)
    return [
        DatasetSummary(name, newest[name].number if name in newest else 0, newest.get(name), counts.get(name, {}))
        for name in store.all_names(tx)
    ]


def load(blobs: Blobs, tx: Transaction, version_id: str) -> pl.DataFrame:
    """Return the rows of a version: in standard form, sorted by keys and time, each row the newest of its kind.

    A version that only refers to files is read from where they lie.

    Raises:
        NotFound: there is no such version, or one of its files is gone.
        Conflict: one of its files has changed.
        Damaged: a part's bytes have changed.
    """
    return rows_of(blobs, manifest_of(blobs, version(tx, version_id)))


def remember_seen(tx: Transaction, dataset: str, files: Sequence[SourceFile]) -> None:
    """Note how files were seen, so that unchanged ones are not digested again; not governed state."""
    store.remember_files(tx, dataset, files)


def seen(tx: Transaction, dataset: str) -> tuple[dict[str, SourceFile], set[str]]:
    """Return the files of a dataset as they were last seen, by uri, and the digests of all that ever arrived."""
    return store.known_files(tx, dataset), store.digests(tx, dataset)


def history(tx: Transaction, dataset: str, newest: int = 1000) -> list[Stats]:
    """Return the stats of the newest arrivals that were let in, oldest first."""
    return msgspec.convert(store.accepted_stats(tx, dataset, newest), list[Stats])


def last_seq(tx: Transaction, dataset: str) -> int:
    """Return the place of the newest arrival of a dataset in their order; 0 when none came."""
    return store.last_seq(tx, dataset)


def compare(blobs: Blobs, before: DatasetVersion, after: DatasetVersion) -> Difference:
    """Return what is different between two versions: files, columns, rows by key, distributions.

    The rows of versions that only refer to files may be gone, so those are compared by their profiles.

    Raises:
        Damaged: stored bytes of a version have changed.
    """
    old, new = manifest_of(blobs, before), manifest_of(blobs, after)
    files = difference.files(old.sources(), new.sources())
    if old.form is not None and new.form is not None:
        form = old.form if old.form == new.form else None
        return difference.compare(rows_of(blobs, old), rows_of(blobs, new), form, files)
    profiles = profile_of(blobs, before), profile_of(blobs, after)
    if profiles[0] is None or profiles[1] is None:
        return Difference(difference.columns(before.schema, after.schema), None, [], files)
    return difference.compare_profiles(profiles[0], profiles[1], files)


def add_arrivals(tx: Transaction, call: Call, new: Sequence[tuple[Arrival, Stats | None, Entry | None]]) -> None:
    """Record arrivals, with what later ones are judged by and the part that each is or could become."""
    rows = [(arrival, msgspec.to_builtins(stats), msgspec.to_builtins(entry)) for arrival, stats, entry in new]
    store.add_arrivals(tx, rows)
    failpoints.reach("dataset.arrivals_written")
    ledger.append(tx, call, *(_arrival_event(arrival) for arrival, _, _ in new))


def settle_arrival(tx: Transaction, call: Call, settled: Arrival, reason: str) -> None:
    """Record what a person decided about a quarantined arrival.

    Raises:
        Conflict: it is not quarantined any more.
    """
    if not store.settle_arrival(tx, settled):
        raise Conflict(f"The arrival {settled.id} is settled already; `keepwell data arrivals` shows how.")
    failpoints.reach("dataset.arrival_settled")
    body = {"dataset": settled.dataset, "digest": settled.digest, "version": settled.version, "part": settled.part}
    ledger.append(tx, call, Event(f"dataset.arrival_{settled.state}", f"arrival:{settled.id}", body, note=reason))


def arrivals(
    tx: Transaction,
    dataset: str | None = None,
    state: str | None = None,
    *,
    before: int | None = None,
    limit: int = 1000,
) -> list[Arrival]:
    """Return arrivals, newest first; of one dataset, in one state, before a place in the order."""
    return store.all_arrivals(tx, dataset, state, before, limit)


def arrival(tx: Transaction, arrival_id: str) -> Arrival:
    """Return an arrival.

    Raises:
        NotFound: there is no such arrival.
    """
    found = store.arrival(tx, arrival_id)
    if found is None:
        raise NotFound(f"There is no arrival {arrival_id[:60]!r}; `keepwell data arrivals` shows what came.")
    return found


def entry_of(tx: Transaction, arrival_id: str) -> Entry | None:
    """Return the part that an arrival is or could become; None when it could not be read."""
    found = store.arrival_entry(tx, arrival_id)
    return None if found is None else msgspec.convert(found, Entry)


def _arrival_event(arrival: Arrival) -> Event:
    checks: Mapping[str, object] = {finding.check: finding.rows for finding in arrival.findings}
    body = {
        "dataset": arrival.dataset, "seq": arrival.seq, "digest": arrival.digest, "size": arrival.size,
        "rows": arrival.rows, "failed": arrival.failed, "checks": checks, "part": arrival.part,
        "failed_rows": arrival.failed_rows, "kept": arrival.kept, "version": arrival.version,
        "received_at": iso(arrival.received_at), "corrections": arrival.corrections,
    }  # fmt: skip
    return Event(f"dataset.arrival_{arrival.state}", f"arrival:{arrival.id}", body)
