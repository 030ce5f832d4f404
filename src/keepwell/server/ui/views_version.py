"""What the page of a version shows, from its trace. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keepwell.flows.trace import Trace
from keepwell.releases.model import BASELINE, SELF, WHOLE, Evidence, GateResult, Verdict
from keepwell.server.ui import links
from keepwell.server.ui.words import metric, segment_words

KINDS = {"file": "file", "files": "files", "dataset": "dataset version", "code": "code", "charter": "charter",
         "run": "run", "version": "version", "champion": "environment"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One slice of the evidence.

    Attributes:
        name: `all`, or `column=value`.
        n: rows.
        cells: for each metric: the version's value, the baseline's, the champion's; None is not known.
    """

    name: str
    n: int
    cells: Sequence[tuple[float | None, float | None, float | None]]


@dataclass(frozen=True, slots=True)
class Evidenced:
    """The evidence as a table: slices down, metrics across, and candidates beside one another."""

    metrics: Sequence[str]
    slices: Sequence[SliceRow]
    against: str | None
    candidates: Sequence[tuple[str, Sequence[float | None]]]


def evidenced(evidence: Sequence[Evidence], order: Sequence[str]) -> Evidenced:
    """Return evidence as a table.

    Args:
        evidence: all of one version.
        order: the charter's metrics, the leading one first.
    """
    found = {(e.slice, e.subject, e.metric): e for e in evidence}
    present = {e.metric for e in evidence}
    metrics = [*(m for m in order if m in present), *sorted(present - set(order))]
    slices = sorted({e.slice for e in evidence}, key=lambda name: (name != WHOLE, name))
    against = next((e.subject for e in evidence if e.subject.startswith("ver_")), None)
    others = sorted({e.subject for e in evidence} - {SELF, BASELINE} - ({against} if against else set()))

    def value(where: str, subject: str | None, name: str) -> float | None:
        one = found.get((where, subject or "", name))
        return one.value if one is not None else None

    rows = [
        SliceRow(
            where,
            max((e.n for e in evidence if e.slice == where), default=0),
            [(value(where, SELF, m), value(where, BASELINE, m), value(where, against, m)) for m in metrics],
        )
        for where in slices
    ]
    beside = [(name, [value(WHOLE, name, m) for m in metrics]) for name in others if not name.startswith("ver_")]
    return Evidenced(metrics, rows, against, beside)


def numbers_of(gate: GateResult) -> str:
    """Return the two numbers that a gate compared, in the metric's unit."""
    words = gate.clause.split()
    name = words[0] if words else ""
    sign = next((w for w in words if w in ("<", "<=", ">", ">=", "==")), "to")
    sign = {"<=": "≤", ">=": "≥"}.get(sign, sign)
    if gate.right is None:
        return metric(gate.left, name)
    return f"{metric(gate.left, name)} {sign} {metric(gate.right, name)}"


def standing(found: Trace) -> tuple[str, str]:
    """Return the colour and the words of what a version is now."""
    version = found.version
    here = [c.environment for c in found.champion if c.until is None]
    if here:
        return "ok", f"Champion in {' and '.join(sorted(set(here)))}"
    words = {
        "held": ("watch", "Held"),
        "registered": ("none", "Registered, not promoted"),
        "retired": ("none", "Retired"),
        "discarded": ("none", "Discarded"),
        "promoted": ("ok", "Promoted"),
    }
    return words[version.state]


def gates_in_words(verdict: Verdict | None) -> str:
    """Return how many gates passed."""
    if verdict is None:
        return "its gates were not judged"
    count = len(verdict.gates)
    by = {outcome: sum(g.outcome == outcome for g in verdict.gates) for outcome in ("passed", "failed", "undecided")}
    if by["passed"] == count:
        return f"passed all {count} gates" if count != 1 else "passed its gate"
    parts = [f"{n} {outcome}" for outcome, n in by.items() if n]
    return f"{', '.join(parts)} of {count} gates"


def graph_of(found: Trace) -> dict[str, object]:
    """Return the graph of where a version comes from, for the script: nodes with their pages, and edges."""
    return {"nodes": [node_of(found, place) for place in range(len(found.nodes))], "edges": [*found.edges]}


def node_of(found: Trace, place: int) -> dict[str, object]:
    """Return one node with its page."""
    node = found.nodes[place]
    label = node.label
    if node.kind == "version":
        label = f"{segment_words(found.version.segment)} v{found.version.number}"
    href = links.of_id(node.id) if node.kind in ("dataset", "run") else None
    if node.kind == "charter" and found.charter is not None:
        href = links.with_query(links.charter(found.version.model), number=found.charter.number)
    if node.kind == "file":
        arrival = next((s.arrival for s in found.sources if s.uri == node.id), None)
        href = links.arrival(arrival) if arrival else None
    return {
        "id": node.id,
        "kind": KINDS[node.kind],
        "label": label,
        "href": href,
        "tone": "main" if node.kind == "version" else "",
    }
