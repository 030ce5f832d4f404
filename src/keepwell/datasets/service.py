"""Use cases of datasets: add versions, look them up, load them, record arrivals and settle them.

Long work (digesting, conditioning, profiling) happens before the transaction, in `draft`; the transaction then adds the
version only if no other came between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from keepwell import ledger
from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import iso
from keepwell.core.digests import digest_parts
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.events import Event
from keepwell.core.names import check_name, name_key
from keepwell.datasets import store
from keepwell.datasets.model import (
    Arrival,
    DatasetSummary,
    DatasetVersion,
    Entry,
    Form,
    Manifest,
    Part,
    SourceFile,
    Stats,
)
from keepwell.datasets.parts import assemble, decode, encode, merge, schema_of, stats_of, unite
from keepwell.datasets.profile import profile
from keepwell.datasets.reading import read_table
from keepwell.datasets.sources import scan
from keepwell.db import Database, Transaction, read, write

__all__ = ["scan"]

STALE = "stale_parent"
"""Code of the conflict that another version was added in the meantime: draft again."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that is ready to be added: its manifest and profile are stored, its row is not."""

    digest: str
    rows: int | None
    parts: int
    schema: dict[str, str]
    manifest: str
    profile: str | None
    superseded: int
    parent: str | None


def draft(blobs: Blobs, manifest: Manifest, frame: pl.DataFrame | None, superseded: int, parent: str | None) -> Draft:
    """Store what a version is made of, outside of any transaction.

    Args:
        blobs: where manifest and profile go.
        manifest: what the version is made of.
        frame: its rows, corrections applied; None for files that are not tables.
        superseded: rows of its parts that a later part replaced.
        parent: id of the version that must still be the newest when this one is added; None: there is none.
    """
    stored = blobs.put(msgspec.json.encode(manifest))
    failpoints.reach("dataset.manifest_stored")
    described = None if frame is None else blobs.put(msgspec.json.encode(profile(frame)))
    failpoints.reach("dataset.profile_stored")
    return Draft(
        digest=content_digest(manifest),
        rows=None if frame is None else frame.height,
        parts=len(manifest.parts) or len(manifest.files),
        schema={} if frame is None else schema_of(frame),
        manifest=stored,
        profile=described,
        superseded=superseded,
        parent=parent,
    )


def content_digest(manifest: Manifest) -> str:
    """Return the digest of what a version holds, the same wherever its files lie."""
    if manifest.form is not None:
        return digest_parts((manifest.form.time, *manifest.form.keys, *(part.blob for part in manifest.parts)))
    cut = len(manifest.folder.rstrip("/")) + 1
    inside = manifest.folder.rstrip("/") + "/"
    names = (f.uri[cut:] if f.uri.startswith(inside) else f.uri for f in manifest.files)
    return digest_parts(text for pair in zip(names, (f.sha256 for f in manifest.files), strict=True) for text in pair)


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


def publish(
    db: Database, blobs: Blobs, call: Call, dataset: str, frame: pl.DataFrame, form: Form, cause: str
) -> DatasetVersion:
    """Add a table that Keepwell itself made as the next part of a dataset, such as a week's scores.

    Rows with the keys and time of an earlier part replace its rows, as with arrivals.

    Raises:
        InvalidInput: the name breaks the grammar.
        Conflict: the dataset holds rows of another form, or was changed too often meanwhile.
    """
    check_name(dataset, "dataset")
    blob = blobs.put(encode(frame))
    failpoints.reach("dataset.part_stored")
    moment = int(call.now.timestamp() * 1_000_000_000)
    source = SourceFile(f"keepwell:{cause}", 0, moment, moment, blob)
    for _ in range(20):
        with read(db) as tx:
            last = store.latest(tx, dataset)
        old = manifest_of(blobs, last) if last else Manifest(patterns=[], folder="", form=form)
        if old.form != form:
            raise Conflict(f"The dataset {dataset} holds rows of another form; publish under another name.")
        if any(part.blob == blob and part.arrival == cause for part in old.parts) and last:
            return last
        seq = max((part.seq for part in old.parts), default=0) + 1
        grown = msgspec.structs.replace(
            old, parts=[*old.parts, Part(blob=blob, rows=frame.height, seq=seq, arrival=cause, source=source)]
        )
        merged = merge(frames_of(blobs, grown.parts), form)
        made = draft(blobs, grown, merged.frame, sum(merged.replaced), last.id if last else None)
        try:
            with write(db) as tx:
                return add_version(tx, call, dataset, made, cause)
        except Conflict as error:
            if error.code != STALE:
                raise
    raise Conflict(f"The dataset {dataset} is being changed by others all the time; try again.")


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


def manifest_of(blobs: Blobs, found: DatasetVersion) -> Manifest:
    """Return what a version is made of.

    Raises:
        NotFound: its manifest is not stored.
        Damaged: its manifest's bytes have changed.
    """
    return msgspec.json.decode(blobs.get(found.manifest), type=Manifest)


def profile_of(blobs: Blobs, found: DatasetVersion) -> dict[str, object] | None:
    """Return the profile of a version, or None when it has none."""
    return None if found.profile is None else msgspec.json.decode(blobs.get(found.profile), type=dict[str, object])


def load(blobs: Blobs, tx: Transaction, version_id: str) -> pl.DataFrame:
    """Return the rows of a version: in standard form, sorted by keys and time, each row the newest of its kind.

    A version that only refers to files is read from where they lie.

    Raises:
        NotFound: there is no such version, or one of its files is gone.
        Conflict: one of its files has changed.
        Damaged: a part's bytes have changed.
    """
    return rows_of(blobs, manifest_of(blobs, version(tx, version_id)))


def rows_of(blobs: Blobs, manifest: Manifest) -> pl.DataFrame:
    """Return the rows that a manifest stands for; see `load`."""
    if manifest.form is None:
        return unite([read_table(file, manifest.format) for file in manifest.files])
    return assemble(frames_of(blobs, manifest.parts), manifest.form)


def frames_of(blobs: Blobs, parts: Sequence[Part]) -> list[pl.DataFrame]:
    """Return the tables of parts."""
    return [decode(blobs.path(part.blob)) for part in parts]


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


def refer(
    db: Database,
    blobs: Blobs,
    call: Call,
    dataset: str,
    patterns: Sequence[str],
    folder: Path,
    *,
    form: str | None = None,
    profiled: bool = True,
) -> DatasetVersion:
    """Add a version that refers to files where they lie; nothing is copied.

    Args:
        db: the database.
        blobs: where manifest and profile go.
        call: who adds it, and when.
        dataset: the dataset's name.
        patterns: files, folders and globs.
        folder: what relative patterns start from.
        form: format of the files; by default from their endings.
        profiled: read tables for schema and profile; without it any bytes can be referred to.

    Raises:
        NotFound: no file is named.
        InvalidInput: a name breaks the grammar, a link leads out, or a table cannot be read.
        Conflict: the dataset is fed by a charter, or a file is being written.
    """
    check_name(dataset, "dataset")
    with read(db) as tx:
        last = store.latest(tx, dataset)
    old = manifest_of(blobs, last) if last else None
    if old is not None and old.form is not None:
        raise Conflict(f"The dataset {dataset} is fed by a charter's arrivals; add these files under another name.")
    known = {file.uri: file for file in old.files} if old else None
    files = scan(patterns, folder, known=known)
    if not files:
        raise NotFound(f"No file matches {', '.join(map(repr, patterns))}.")
    failpoints.reach("dataset.scanned")
    manifest = Manifest(patterns=list(patterns), folder=str(folder), files=files, format=form)
    if last is not None and last.digest == content_digest(manifest):
        return last
    frame = rows_of(blobs, manifest) if profiled else None
    made = draft(blobs, manifest, frame, 0, last.id if last else None)
    with write(db) as tx:
        return add_version(tx, call, dataset, made, f"files:{len(files)}")


def _arrival_event(arrival: Arrival) -> Event:
    checks: Mapping[str, object] = {finding.check: finding.rows for finding in arrival.findings}
    body = {
        "dataset": arrival.dataset, "seq": arrival.seq, "digest": arrival.digest, "size": arrival.size,
        "rows": arrival.rows, "failed": arrival.failed, "checks": checks, "part": arrival.part,
        "failed_rows": arrival.failed_rows, "kept": arrival.kept, "version": arrival.version,
        "received_at": iso(arrival.received_at), "corrections": arrival.corrections,
    }  # fmt: skip
    return Event(f"dataset.arrival_{arrival.state}", f"arrival:{arrival.id}", body)


__all__ += [
    "Draft", "add_arrivals", "add_version", "arrival", "arrivals", "claim", "content_digest", "datasets", "draft",
    "entry_of", "frames_of", "history", "last_seq", "latest", "load", "manifest_of", "named_version", "profile_of",
    "publish", "refer", "remember_seen", "rows_of", "schema_of", "seen", "settle_arrival", "stats_of",
    "version", "versions",
]  # fmt: skip
