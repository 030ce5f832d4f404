"""Add versions that no arrival makes: files that are only referred to, and tables that Keepwell itself made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.lazy import pl
from keepwell.core.names import check_name
from keepwell.datasets import service as datasets
from keepwell.datasets.content import Draft, content_digest, draft, manifest_of, rows_of
from keepwell.datasets.model import DatasetVersion, Form, Manifest, Part, SourceFile
from keepwell.datasets.parts import encode, merge
from keepwell.datasets.service import STALE
from keepwell.datasets.sources import scan
from keepwell.datasets.trial import try_files
from keepwell.db import Transaction
from keepwell.flows.kit import Kit

_TRIES = 20


def refer(
    kit: Kit,
    call: Call,
    dataset: str,
    patterns: Sequence[str],
    folder: Path,
    *,
    form: str | None = None,
    profiled: bool = True,
) -> DatasetVersion:
    """Add a version that refers to files where they lie; nothing is copied. The same content again adds nothing.

    Args:
        kit: the opened house.
        call: who adds it, and when.
        dataset: the dataset's name.
        patterns: files, folders and globs.
        folder: what relative patterns start from.
        form: format of the files; by default from their endings.
        profiled: read tables for schema and profile; without it any bytes can be referred to.

    Raises:
        NotFound: no file is named.
        InvalidInput: a name breaks the grammar, a link leads out, or a table cannot be read.
        Conflict: the dataset is fed by a charter, a file is being written, or another version came meanwhile.
    """
    check_name(dataset, "dataset")
    with kit.read() as tx:
        last = datasets.latest(tx, dataset)
    old = manifest_of(kit.blobs, last) if last else None
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
    if profiled and (fatal := try_files(files, form)):
        raise InvalidInput(next(iter(fatal.values())), where=next(f.uri for f in files if f.sha256 in fatal))
    frame = rows_of(kit.blobs, manifest) if profiled else None
    made = draft(kit.blobs, manifest, frame, last.id if last else None)
    with kit.write() as tx:
        return datasets.add_version(tx, call, dataset, made, f"files:{len(files)}")


def publish(
    kit: Kit,
    call: Call,
    dataset: str,
    frame: pl.DataFrame,
    form: Form,
    cause: str,
    also: Callable[[Transaction, DatasetVersion], object] | None = None,
) -> DatasetVersion:
    """Add a table that Keepwell itself made as the next part of a dataset, such as a week's scores.

    Rows with the keys and time of an earlier part replace its rows, as with arrivals. A table that was published for
    the same cause already is not published again.

    Args:
        kit: the opened house.
        call: who publishes, and when.
        dataset: the dataset's name.
        frame: the table, in the types of the standard form.
        form: what makes its rows distinct.
        cause: why, as `<type>:<id>`, such as `scoring:scr_...`.
        also: is called in the same transaction, with the version; may run again when another version came between.

    Raises:
        InvalidInput: the name breaks the grammar.
        Conflict: the dataset holds rows of another form, or was changed too often meanwhile.
    """
    check_name(dataset, "dataset")
    blob = kit.blobs.put(encode(frame))
    failpoints.reach("dataset.part_stored")
    for _ in range(_TRIES):
        made = _next(kit, call, dataset, frame, form, cause, blob)
        try:
            with kit.write() as tx:
                new = datasets.add_version(tx, call, dataset, made, cause) if isinstance(made, Draft) else made
                if also is not None:
                    also(tx, new)
            return new
        except Conflict as error:
            if error.code != STALE:
                raise
    raise Conflict(f"The dataset {dataset} is being changed by others all the time; try again.")


def _next(
    kit: Kit, call: Call, dataset: str, frame: pl.DataFrame, form: Form, cause: str, blob: str
) -> Draft | DatasetVersion:
    """Draft the version that the table makes; return the newest version when the table is in it."""
    with kit.read() as tx:
        last = datasets.latest(tx, dataset)
    old = manifest_of(kit.blobs, last) if last else Manifest(patterns=[], folder="", form=form)
    if old.form != form:
        raise Conflict(f"The dataset {dataset} holds rows of another form; publish under another name.")
    if last and any(part.blob == blob and part.arrival == cause for part in old.parts):
        return last
    moment = int(call.now.timestamp() * 1_000_000_000)
    part = Part(
        blob=blob,
        rows=frame.height,
        seq=max((part.seq for part in old.parts), default=0) + 1,
        arrival=cause,
        source=SourceFile(f"keepwell:{cause}", 0, moment, moment, blob),
    )
    merged = merge([frame], form, rows_of(kit.blobs, old) if old.parts else None)
    superseded = old.superseded + sum(merged.replaced)
    grown = msgspec.structs.replace(old, parts=[*old.parts, part], superseded=superseded)
    return draft(kit.blobs, grown, merged.frame, last.id if last else None)
