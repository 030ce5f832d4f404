"""Where did this come from: from a version to its run, its data down to the files, its code, charter, gates, approvals.

What is not known is named as missing, never made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keepwell.blobs import Blobs
from keepwell.core.errors import Damaged, InvalidInput, NotFound
from keepwell.datasets import service as datasets
from keepwell.datasets.content import manifest_of
from keepwell.datasets.model import DatasetVersion, Manifest
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.governance.charters import AppliedCharter, charter_history
from keepwell.ledger.model import Entry
from keepwell.ledger.service import entry
from keepwell.models import service as models
from keepwell.models.model import Batch, Champion, ModelVersion
from keepwell.releases import service as releases
from keepwell.releases.model import Approval, Evidence, Verdict
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Run

NodeKind = Literal["file", "files", "dataset", "code", "charter", "run", "version", "champion"]
SHOWN_FILES = 12
"""So many files are nodes of their own in the graph; the others are one node together."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that a version learned from.

    Attributes:
        uri: where it lay.
        sha256: digest of its content.
        size: in bytes.
        rows: rows that conditioning made of it; None for a file that was looked up or only referred to.
        arrival: id of its arrival, or None.
    """

    uri: str
    sha256: str
    size: int
    rows: int | None
    arrival: str | None


@dataclass(frozen=True, slots=True)
class CharterUsed:
    """The charter that a version was judged by."""

    number: int
    digest: str
    applied_at: datetime
    applied_by: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the graph of where a version comes from and where it went."""

    id: str
    kind: NodeKind
    label: str


@dataclass(frozen=True, slots=True)
class Trace:
    """All that is known of where a version comes from and what became of it.

    Attributes:
        version: the version.
        batch: what it was registered with.
        run: what trained it.
        dataset: what it learned from.
        sources: the files of that.
        charter: what it was judged by.
        evidence: what was measured.
        verdicts: what its gates said, newest first.
        approvals: what persons decided, oldest first.
        champion: where and when it was champion, newest first.
        entries: the ledger's entries that tell of it, oldest first.
        missing: what could not be found, in sentences.
        nodes: of the graph.
        edges: of the graph: (from, to).
    """

    version: ModelVersion
    batch: Batch
    run: Run | None
    dataset: DatasetVersion | None
    sources: Sequence[Source]
    charter: CharterUsed | None
    evidence: Sequence[Evidence]
    verdicts: Sequence[Verdict]
    approvals: Sequence[Approval]
    champion: Sequence[Champion]
    entries: Sequence[Entry]
    missing: Sequence[str]
    nodes: Sequence[Node]
    edges: Sequence[tuple[str, str]]


def trace(kit: Kit, version_id: str) -> Trace:
    """Return where a version comes from.

    Raises:
        InvalidInput: this is not the id of a version.
        NotFound: there is none with that id.
    """
    with kit.read() as tx:
        return trace_in(tx, kit.blobs, version_id)


def trace_in(tx: Transaction, blobs: Blobs, version_id: str) -> Trace:
    """Return where a version comes from, in an open transaction."""
    version = models.version(tx, version_id)
    batch, registered = models.batch(tx, version.batch)
    missing: list[str] = []
    run = _run(tx, version, missing)
    dataset, sources = _data(tx, blobs, version, missing)
    verdicts = releases.verdict_history(tx, version.id)
    charter = _charter(tx, version, verdicts, missing)
    champion = models.champion_history(tx, version.model, version_id=version.id)
    if version.code is None and (run is None or run.code.commit is None):
        missing.append("No commit of the code was recorded.")
    seqs = sorted({registered, *(v.seq for v in verdicts), *(c.seq for c in champion)})
    nodes, edges = _graph(version, run, dataset, sources, charter, champion)
    return Trace(
        version=version,
        batch=batch,
        run=run,
        dataset=dataset,
        sources=sources,
        charter=charter,
        evidence=releases.evidence(tx, version.id),
        verdicts=verdicts,
        approvals=releases.approvals(tx, [version.id])[version.id],
        champion=champion,
        entries=[entry(tx, seq) for seq in seqs],
        missing=missing,
        nodes=nodes,
        edges=edges,
    )


def _run(tx: Transaction, version: ModelVersion, missing: list[str]) -> Run | None:
    if version.run_id is None:
        missing.append("No run was recorded with it.")
        return None
    try:
        return tracking.run(tx, version.run_id)
    except (NotFound, InvalidInput):
        missing.append(f"The run {version.run_id} is not in this house.")
        return None


def _data(
    tx: Transaction, blobs: Blobs, version: ModelVersion, missing: list[str]
) -> tuple[DatasetVersion | None, list[Source]]:
    if version.dataset_version is None:
        missing.append("No dataset version was recorded with it.")
        return None, []
    try:
        dataset = datasets.version(tx, version.dataset_version)
    except NotFound:
        missing.append(f"The dataset version {version.dataset_version} is not in this house.")
        return None, []
    try:
        return dataset, _sources(manifest_of(blobs, dataset))
    except (NotFound, Damaged) as error:
        missing.append(f"The manifest of {dataset.dataset}@{dataset.number} cannot be read: {error.message}")
        return dataset, []


def _sources(manifest: Manifest) -> list[Source]:
    conditioned = {part.source.uri: part for part in manifest.parts}
    return [
        Source(
            file.uri,
            file.sha256,
            file.size,
            conditioned[file.uri].rows if file.uri in conditioned else None,
            conditioned[file.uri].arrival if file.uri in conditioned else None,
        )
        for file in manifest.sources()
    ]


def _charter(
    tx: Transaction, version: ModelVersion, verdicts: Sequence[Verdict], missing: list[str]
) -> CharterUsed | None:
    """Return the charter of the newest verdict; without one, the charter in force at the registration."""
    try:
        history = charter_history(tx, version.model)
    except NotFound:
        history = []
    wanted = verdicts[0].charter if verdicts else None
    used = next((c for c in history if _was_used(c, wanted, version.created_at)), None)
    if used is None:
        missing.append(
            "The charter that it was judged by is not in this house." if verdicts or history else
            "Its model has no charter that it could be judged by."
        )  # fmt: skip
        return None
    return CharterUsed(used.number, used.digest, used.applied_at, used.applied_by)


def _was_used(charter: AppliedCharter, digest: str | None, registered: datetime) -> bool:
    return charter.applied_at <= registered if digest is None else charter.digest == digest


def _graph(
    version: ModelVersion,
    run: Run | None,
    dataset: DatasetVersion | None,
    sources: Sequence[Source],
    charter: CharterUsed | None,
    champion: Sequence[Champion],
) -> tuple[list[Node], list[tuple[str, str]]]:
    nodes = [Node(version.id, "version", f"{version.segment} v{version.number}")]
    edges: list[tuple[str, str]] = []
    maker = version.id
    if run is not None:
        nodes.append(Node(run.id, "run", run.name))
        edges.append((run.id, version.id))
        maker = run.id
    if dataset is not None:
        nodes.append(Node(dataset.id, "dataset", f"{dataset.dataset}@{dataset.number}"))
        edges.append((dataset.id, maker))
        shown = sources if len(sources) <= SHOWN_FILES else sources[: SHOWN_FILES - 1]
        for source in shown:
            nodes.append(Node(source.uri, "file", source.uri.rpartition("/")[2]))
            edges.append((source.uri, dataset.id))
        if rest := len(sources) - len(shown):
            nodes.append(Node(f"{dataset.id}/files", "files", f"{rest} more files"))
            edges.append((f"{dataset.id}/files", dataset.id))
    if version.code is not None:
        nodes.append(Node(f"code:{version.code}", "code", version.code.removeprefix("sha256:")[:12]))
        edges.append((f"code:{version.code}", maker))
    if charter is not None:
        nodes.append(Node(f"charter:{charter.digest}", "charter", f"charter {charter.number}"))
        edges.append((f"charter:{charter.digest}", version.id))
    for held in {c.environment: c for c in champion}.values():
        node = f"{version.id}/{held.environment}"
        now = (
            "champion"
            if any(c.until is None for c in champion if c.environment == held.environment)
            else "was champion"
        )
        nodes.append(Node(node, "champion", f"{now} in {held.environment}"))
        edges.append((version.id, node))
    return nodes, edges
