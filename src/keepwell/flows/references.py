"""Every place that names stored bytes: what `fsck` looks for, and what `gc` leaves alone.

Whoever adds a column that holds a digest says here what it is: bytes that something needs (`HELD`), or only a mention
(`MENTIONED`). A test walks all tables and fails for a column that is in neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Column, Select, Table, Text, select, type_coerce

from keepwell.blobs import Blobs
from keepwell.core.errors import Damaged, KeepwellError, NotFound
from keepwell.core.manifests import read_manifest
from keepwell.datasets import store as datasets
from keepwell.datasets.model import Manifest
from keepwell.db import Transaction
from keepwell.ledger import store as ledger
from keepwell.models import registry_store as registry
from keepwell.models import store as models
from keepwell.pipelines import store as pipelines
from keepwell.pipelines.shelf import value_bytes
from keepwell.pipelines.values import parts_of as values_of
from keepwell.serving import store as serving
from keepwell.tracking import tables as tracking

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Held:
    """A column that names stored bytes.

    Attributes:
        what: what a row of its table is, for sentences.
        query: selects (id of the row, digest); rows without a digest are left out.
        column: the column.
        needed: `fsck` misses the bytes when they are not stored; else they may be in the row's place, or nowhere.
        opens: returns the digests that those bytes name themselves.
        texts: the column is JSON: every digest in it counts.
    """

    what: str
    query: Select[Any]
    column: Column[Any]
    needed: bool = True
    opens: Callable[[bytes], list[str]] | None = None
    texts: bool = False


def _held(what: str, owner: Column[Any], digest: Column[Any], **more: Any) -> Held:
    column = type_coerce(digest, Text) if more.get("texts") else digest
    return Held(what, select(owner, column).where(digest.is_not(None)), digest, **more)


def _parts(manifest: bytes) -> list[str]:
    """Return the blobs that a dataset's manifest names."""
    return [part.blob for part in msgspec.json.decode(manifest, type=Manifest).parts]


def _files(manifest: bytes) -> list[str]:
    """Return the blobs that the manifest of a folder names."""
    return [file.digest for file in read_manifest(manifest)]


_LISTED: Select[Any] = (
    select(models.batches.c.id, models.batches.c.pack)
    .select_from(
        models.batches.join(models.versions, models.versions.c.batch == models.batches.c.id).join(
            registry.details, registry.details.c.version == models.versions.c.id
        )
    )
    .where(registry.details.c.files.is_not(None), models.batches.c.freed_at.is_(None))
)
_PACKS: Select[Any] = select(models.batches.c.id, models.batches.c.pack).where(models.batches.c.freed_at.is_(None))
_LISTS: Select[Any] = select(models.batches.c.id, models.batches.c.members)

HELD: Sequence[Held] = (
    _held("dataset_version", datasets.versions.c.id, datasets.versions.c.manifest, opens=_parts),
    _held("dataset_version", datasets.versions.c.id, datasets.versions.c.profile),
    _held("arrival", datasets.arrivals.c.id, datasets.arrivals.c.part),
    _held("arrival", datasets.arrivals.c.id, datasets.arrivals.c.kept),
    _held("arrival", datasets.arrivals.c.id, datasets.arrivals.c.failed_rows),
    _held("arrival", datasets.arrivals.c.id, datasets.arrivals.c.entry, needed=False, texts=True),
    Held("batch", _PACKS, models.batches.c.pack),
    Held("batch", _LISTED, models.batches.c.pack, opens=_files),
    Held("batch", _LISTS, models.batches.c.members, needed=False),
    _held("scoring", serving.scorings.c.id, serving.scorings.c.part),
    _held("run", tracking.runs.c.id, tracking.runs.c.environment, needed=False),
    _held("run", tracking.runs.c.id, tracking.runs.c.code, needed=False, texts=True),
    _held("artifact of", tracking.artifacts.c.owner, tracking.artifacts.c.digest),
    _held("pipeline_run", pipelines.runs.c.id, pipelines.runs.c.plan, needed=False),
    _held("pipeline_run", pipelines.runs.c.id, pipelines.runs.c.params, needed=False, texts=True),
    _held("pipeline_step", pipelines.steps.c.run_id, pipelines.steps.c.log, needed=False),
    _held("pipeline_step", pipelines.steps.c.run_id, pipelines.steps.c.inputs, needed=False, texts=True),
    _held("pipeline_step", pipelines.steps.c.run_id, pipelines.steps.c.outputs, needed=False, texts=True),
)  # fmt: skip
"""Columns that name stored bytes."""

LISTS = {
    "model.batch_registered": "members",
    "model.promoted": "members",
    "model.rolled_back": "members",
    "model.evidence_added": "evidence",
    "model.gates_judged": "verdicts",
    "gc.expired": "members",
    "gc.spared": "members",
    "gc.condemned": "members",
    "gc.freed": "members",
}
"""Kinds of entries of the ledger whose body names a list that is kept as bytes, where it is too long for the body."""

MENTIONED: Mapping[str, frozenset[str]] = {
    "approvals": frozenset({"artifact", "charter"}),
    "charters": frozenset({"digest"}),
    "dataset_arrivals": frozenset({"digest", "findings", "stats"}),
    "dataset_files": frozenset({"sha256"}),
    "dataset_versions": frozenset({"digest", "schema"}),
    "environment_policies": frozenset({"code"}),
    "foreign_names": frozenset({"stamp"}),
    "gc_condemned": frozenset({"digest"}),
    "idempotency": frozenset({"request", "answer"}),
    "identity_credentials": frozenset({"digest"}),
    "incidents": frozenset({"datasets", "segments", "facts", "evidence"}),
    "loop_fleets": frozenset({"digest", "segments"}),
    "loop_ticks": frozenset({"state", "fleet", "counts"}),
    "loop_wishes": frozenset({"segments"}),
    "model_versions": frozenset({"artifact", "facts", "metrics"}),
    "pipeline_runs": frozenset({"counts"}),
    "pipeline_steps": frozenset({"key", "code", "params", "environment"}),
    "pipeline_values": frozenset({"digest"}),
    "logged_datasets": frozenset({"digest", "profile"}),
    "logged_model_metrics": frozenset({"dataset_digest"}),
    "run_inputs": frozenset({"digest", "tags"}),
    "runs": frozenset({"machine"}),
    "scorings": frozenset({"answered", "silent"}),
    "signal_batches": frozenset({"counts"}),
    "verdicts": frozenset({"rules", "charter"}),
}
"""Columns that hold or may hold digests, none of which anything reads bytes by."""


def needed(tx: Transaction) -> dict[str, str]:
    """Return every blob that a row needs, with who needs it; what those bytes name themselves is `inner`."""
    found: dict[str, str] = {}
    for held in HELD:
        if held.needed:
            found |= {digest: f"{held.what}:{owner}" for owner, digest in tx.execute(held.query)}
    return found


def inner(tx: Transaction, blobs: Blobs, spare: frozenset[str] | set[str] = frozenset()) -> dict[str, str]:
    """Return the blobs that stored lists name, with who needs them; not of lists in `spare` or away."""
    found: dict[str, str] = {}
    for held in HELD:
        if held.needed and held.opens is not None:
            for owner, digest in tx.execute(held.query):
                if digest not in spare and blobs.has(digest):
                    found |= dict.fromkeys(held.opens(blobs.get(digest)), f"{held.what}:{owner}")
    return found


class Opened:
    """What stored lists name, each list read once: bytes never change."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, ...]] = {}

    def names(self, digest: str, read: Callable[[], bytes], opens: Callable[[bytes], list[str]]) -> tuple[str, ...]:
        """Return the digests that a list names."""
        if digest not in self._of:
            self._of[digest] = tuple(opens(read()))
        return self._of[digest]


def referenced(tx: Transaction, blobs: Blobs, opened: Opened) -> set[str]:
    """Return every digest that anything may still read bytes by.

    Raises:
        Damaged: a list that names other bytes cannot be read, so that nobody knows what it names.
    """
    found: set[str] = set(_told(tx))
    for held in HELD:
        rows = tx.execute(held.query)
        if held.texts:
            for _, text in rows:
                found.update(_DIGEST.findall(text))
            continue
        digests = {digest for _, digest in rows}
        found |= digests
        if held.opens is not None:
            found.update(_of_lists(blobs, digests, held.opens, opened))
    found.update(_of_parts(tx, blobs))
    return found


def unknown_columns(tables: Iterable[Table], is_json: Callable[[Column[Any]], bool]) -> list[str]:
    """Return the columns that look as if they held digests and that neither `HELD` nor `MENTIONED` names."""
    known = {(str(held.column.table), held.column.name) for held in HELD}
    known |= {(table, column) for table, columns in MENTIONED.items() for column in columns}
    words = ("digest", "sha256", "blob", "manifest", "artifact", "pack", "profile")
    return sorted(
        f"{table.name}.{column.name}"
        for table in tables
        for column in table.c
        if (table.name, column.name) not in known
        and (getattr(column.type, "length", None) == 71 or is_json(column) or any(w in column.name for w in words))
    )


def _of_lists(
    blobs: Blobs, digests: Iterable[str], opens: Callable[[bytes], list[str]], opened: Opened
) -> Iterator[str]:
    for digest in digests:
        try:
            yield from opened.names(digest, lambda d=digest: blobs.get(d), opens)  # type: ignore[misc]
        except (KeepwellError, msgspec.DecodeError) as error:
            raise Damaged(f"The list {digest} cannot be read, so nothing is freed: run `keepwell fsck`.") from error


def _of_parts(tx: Transaction, blobs: Blobs) -> Iterator[str]:
    """Yield what the outputs of mapped steps are made of, some of them lists again."""
    outputs = type_coerce(pipelines.steps.c.outputs, Text)
    texts = tx.scalars(select(outputs).where(outputs.contains('"parts"')))
    waiting = {one[0] for text in texts for one in msgspec.json.decode(text).values() if one[1] == "parts"}
    seen: set[str] = set()
    while waiting:
        digest = waiting.pop()
        seen.add(digest)
        try:
            parts = values_of(value_bytes(tx, blobs, digest))
        except NotFound:
            continue  # a run that was cut off before it was written
        yield from (part.digest for part in parts)
        waiting |= {part.digest for part in parts if part.format == "parts"} - seen


def _told(tx: Transaction) -> Iterator[str]:
    """Yield the digests of the lists that entries of the ledger name."""
    e = ledger.entries.c
    for kind, field in LISTS.items():
        pattern = re.compile(rf'"{field}":"(sha256:[0-9a-f]{{64}})"')
        for (body,) in tx.execute(select(e.body).where(e.kind == kind)):
            if (match := pattern.search(body)) is not None:
                yield match[1]
