"""Add versions that no arrival makes: files that are only referred to, and tables that Keepwell itself made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import polars as pl

from keepwell.blobs import Blobs
from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.names import check_name
from keepwell.datasets import store
from keepwell.datasets.content import content_digest, draft, frames_of, manifest_of, rows_of
from keepwell.datasets.model import DatasetVersion, Form, Manifest, Part, SourceFile
from keepwell.datasets.parts import encode, merge
from keepwell.datasets.service import STALE, add_version
from keepwell.datasets.sources import scan
from keepwell.db import Database, read, write


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
