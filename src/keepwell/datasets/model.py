"""Values of datasets: source files, parts, manifests, versions, arrivals and what was found wrong with them.

A dataset version never copies what lies in a folder: its manifest names the files with their digests. What conditioning
made of a file is one immutable Parquet part in the blob store; the manifest names the parts in the order in which their
files arrived, and of two parts that hold the same keys and time the later one is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

ArrivalState = Literal["accepted", "quarantined", "released", "rejected"]
Happening = Literal["changed", "moved", "vanished", "new"]


class SourceFile(msgspec.Struct, frozen=True, array_like=True):
    """A file where it lies.

    Attributes:
        uri: absolute path.
        size: in bytes.
        mtime_ns: when its content was last changed, nanoseconds since the epoch.
        ctime_ns: when anything of it was last changed; unlike `mtime_ns` no program can set it.
        sha256: digest of the content, with its prefix.
    """

    uri: str
    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one step of conditioning did.

    Attributes:
        what: `read`, `join`, `rename`, `missing`, `derive`, `where`, `type`, `group`, `fill`, `sort`.
        detail: the clause it follows, in words.
        rows_in: rows before it.
        rows_out: rows after it.
        touched: how many rows or values it changed.
    """

    what: str
    detail: str
    rows_in: int
    rows_out: int
    touched: int = 0


class Block(msgspec.Struct, frozen=True, array_like=True):
    """A summary of one column over consecutive rows of one part, by which later arrivals are judged.

    `mean`, `low` (least) and `high` (greatest) are over the `n` finite values.
    """

    n: int
    mean: float
    low: float
    high: float


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of an arrival that was accepted.

    Attributes:
        rows: rows in standard form.
        first: least time, as ISO text or a whole number's text; None when there is none.
        last: greatest time, likewise.
        blocks: numeric column to the summaries of its consecutive blocks in the order of time: 1 to 32 of them, never
            more than there are times.
    """

    rows: int
    first: str | None = None
    last: str | None = None
    blocks: dict[str, list[Block]] = {}


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One conditioned file.

    Attributes:
        blob: digest of the Parquet bytes.
        rows: rows in it.
        seq: place in the order of arrivals of its dataset; later wins.
        arrival: id of the arrival.
        source: the file it was made from.
        steps: what conditioning did, in order.
        joined: the files that were looked up while conditioning.
    """

    blob: str
    rows: int
    seq: int
    arrival: str
    source: SourceFile
    steps: list[Step] = []
    joined: list[SourceFile] = []


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """What makes rows of a dataset distinct: the columns of its standard form that name a series and its time."""

    time: str
    keys: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns that together are unique."""
        return (*self.keys, self.time)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a dataset version is made of.

    Attributes:
        patterns: the files, folders and globs that named the files; relative ones are relative to `folder`.
        folder: absolute path of the charter's or the command's folder.
        form: what makes rows distinct; None for a dataset that is only referred to, not conditioned.
        files: the files of a dataset that is only referred to.
        parts: the conditioned parts, in the order of arrival.
        format: declared format of the files; None: by their endings.
        superseded: rows of its parts that a later part replaced; 0 says that all rows are distinct.
    """

    patterns: list[str]
    folder: str
    form: Form | None = None
    files: list[SourceFile] = []
    parts: list[Part] = []
    format: str | None = None
    superseded: int = 0

    def sources(self) -> list[SourceFile]:
        """Return every file that the version rests on, once."""
        known = {file.uri: file for part in self.parts for file in (part.source, *part.joined)}
        known.update({file.uri: file for file in self.files})
        return list(known.values())


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The part that an arrival is, or would become when it is released, and what a first manifest needs besides."""

    part: Part
    form: Form
    patterns: list[str]
    folder: str
    format: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """An immutable version of a dataset.

    Attributes:
        id: `dsv_...`.
        dataset: the dataset's name.
        number: 1, 2, 3 ... without gaps within the dataset.
        digest: digest of the content, the same wherever the files lie.
        rows: rows, corrections applied; None when a dataset that is only referred to was not read.
        parts: how many parts or files.
        schema: column to type, in order.
        created_at: when it was made.
        parent: id of the version before.
        cause: why it was made, such as `arrival:arr_...`.
        manifest: digest of the manifest's blob.
        profile: digest of the profile's blob.
        superseded: rows of its parts that a later part's row for the same keys and time replaced.
    """

    id: str
    dataset: str
    number: int
    digest: str
    rows: int | None
    parts: int
    schema: dict[str, str]
    created_at: datetime
    parent: str | None
    cause: str
    manifest: str
    profile: str | None
    superseded: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with an arrival.

    Attributes:
        check: what was checked, as the contract writes it: `columns.temp.max`, `like_history.temp`, `readable`.
        sentence: what is wrong, in one sentence.
        rows: how many rows show it; 0 when it is about the file as a whole.
        value: the measured value, when there is one.
        limit: what the contract allows, when that is a number.
    """

    check: str
    sentence: str
    rows: int = 0
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that came to a dataset, and what became of it.

    Attributes:
        id: `arr_...`.
        dataset: the dataset's name.
        seq: its place in the order of arrivals of the dataset, from 1.
        uri: where the file lay.
        digest: digest of the file.
        size: of the file, in bytes.
        state: accepted, quarantined, and then released or rejected by a person.
        received_at: when it was received.
        rows: rows in standard form; None when it could not be read.
        failed: rows that failed a check.
        findings: what is wrong with it.
        failed_rows: digest of a Parquet blob of the failed rows, with a column `reason`.
        version: id of the version that first held it.
        part: digest of its conditioned Parquet bytes.
        kept: digest of the file's own bytes, kept when it was quarantined.
        incident: id of the incident it opened.
        model: the model whose charter received it.
        settled_by: who released or rejected it.
        settled_at: when.
        corrections: its rows that replaced an earlier arrival's row for the same keys and time.
    """

    id: str
    dataset: str
    seq: int
    uri: str
    digest: str
    size: int
    state: ArrivalState
    received_at: datetime
    rows: int | None = None
    failed: int = 0
    findings: list[Finding] = field(default_factory=list)
    failed_rows: str | None = None
    version: str | None = None
    part: str | None = None
    kept: str | None = None
    incident: str | None = None
    model: str | None = None
    settled_by: str | None = None
    settled_at: datetime | None = None
    corrections: int = 0


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """One line of the list of datasets."""

    name: str
    versions: int
    latest: DatasetVersion | None
    arrivals: Mapping[str, int]
    """State to how many arrivals are in it."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """What happened to a file that a version rests on, or that its patterns now name.

    Attributes:
        uri: where the file lay, or lies when it is new.
        happened: changed, moved, vanished, or new.
        sentence: the same in words.
        to: where it lies now, when it moved.
    """

    uri: str
    happened: Happening
    sentence: str
    to: str | None = None
