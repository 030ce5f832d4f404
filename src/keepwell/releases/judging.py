"""Gates over evidence, for one version and for ten thousand at once. Pure, over arrays.

A gate has three outcomes. It fails when a number breaks it. It is undecided when a number that it needs is missing,
not finite, or rests on too few rows. It passes only on numbers that are there. A gate against the champion where there
is none yet is not applicable, and says so; against a champion whose evidence is missing it is undecided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from keepwell.charter.gates import Gate
from keepwell.core.digests import digest_parts
from keepwell.releases.model import (
    BASELINE,
    OUTCOMES,
    SELF,
    WHOLE,
    Evidence,
    EvidenceColumns,
    FleetVerdict,
    GateResult,
    Outcome,
    Verdict,
)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
PASSED, UNDECIDED, FAILED = range(3)


class Why(IntEnum):
    """What decided."""

    MEASURED = 0
    NO_LEFT = 1
    FEW_LEFT = 2
    NO_RIGHT = 3
    FEW_RIGHT = 4
    NO_SLICES = 5
    NO_CHAMPION = 6


_WORDS = {
    Why.NO_LEFT: "{metric}{where} was not measured, or is not a finite number.".format,
    Why.FEW_LEFT: "{metric}{where} rests on {n} rows; at least {least} are needed to judge.".format,
    Why.NO_RIGHT: "{against}{where} is not known, so there is nothing to compare with.".format,
    Why.FEW_RIGHT: "{against}{where} rests on fewer than {least} rows.".format,
    Why.NO_SLICES: "No slice was measured; declare evaluate.slices, or take 'in every slice' away.".format,
    Why.NO_CHAMPION: "Not applicable: no champion.".format,
}


def rules_digest(gates: Iterable[Gate]) -> str:
    """Return the digest of the gates' texts: a verdict counts for these gates only."""
    return digest_parts(gate.text for gate in gates)


def columns_of(rows: Iterable[Evidence]) -> EvidenceColumns:
    """Return measurements as columns; what is None is NaN there."""
    listed = [(r.version_id, r.slice, r.subject, r.metric, r.value, r.n) for r in rows]
    parts: Sequence[Sequence[object]] = list(zip(*listed, strict=True)) or [()] * 6
    version, cut, subject, metric, value, n = parts
    return EvidenceColumns(
        version, cut, subject, metric,  # type: ignore[arg-type]
        np.asarray([np.nan if v is None else v for v in value], np.float64), np.asarray(n, np.int64),
    )  # fmt: skip


def joined(*columns: EvidenceColumns) -> EvidenceColumns:
    """Return columns one after the other."""
    return EvidenceColumns(
        [v for c in columns for v in c.version_id],
        [v for c in columns for v in c.slice],
        [v for c in columns for v in c.subject],
        [v for c in columns for v in c.metric],
        np.concatenate([c.value for c in columns]) if columns else np.empty(0),
        np.concatenate([c.n for c in columns]) if columns else np.empty(0, np.int64),
    )


def judge(
    gates: Sequence[Gate], evidence: Iterable[Evidence], version_id: str, champion: str | None = None, least: int = 1
) -> Verdict:
    """Judge one version; see `judge_fleet`."""
    fleet = judge_fleet(gates, [version_id], columns_of(evidence), {version_id: champion}, least)
    return verdicts_of(fleet)[0]


def judge_fleet(
    gates: Sequence[Gate],
    version_ids: Sequence[str],
    evidence: EvidenceColumns,
    champions: Mapping[str, str | None],
    least: int = 1,
) -> FleetVerdict:
    """Judge versions against gates.

    Args:
        gates: of the charter in force.
        version_ids: V versions, each once.
        evidence: theirs, and their champions'.
        champions: version to the champion it would replace; None or absent: there is none yet. The champion's metric is
            the one measured on the version's own rows (subject: the champion's id) where there is one, else what the
            champion was certified with.
        least: fewer rows than this are too few to judge.

    Returns:
        The verdicts as columns, in the versions' order.
    """
    table = _table(version_ids, evidence, champions)
    shape = (len(version_ids), len(gates))
    codes, why = np.zeros(shape, np.int8), np.zeros(shape, np.int8)
    left, right = np.full(shape, np.nan), np.full(shape, np.nan)
    n, cut = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for place, gate in enumerate(gates):
        found = _judge_gate(gate, table, max(least, 1))
        codes[:, place], why[:, place], left[:, place], right[:, place], n[:, place], cut[:, place] = found
    return FleetVerdict(
        version_id=version_ids,
        gates=tuple(gates),
        champion=[champions.get(version) for version in version_ids],
        rules=rules_digest(gates),
        outcome=codes.max(axis=1, initial=PASSED).astype(np.int8),
        gate_outcome=codes,
        left=left,
        right=right,
        n=n,
        slices=table.slices,
        slice=cut,
        why=why,
        least=max(least, 1),
    )


def verdicts_of(fleet: FleetVerdict) -> list[Verdict]:
    """Return the verdicts of a fleet one by one, each gate with its sentence."""
    results = [gate_results(fleet, place) for place in range(len(fleet.gates))]
    by_version = zip(*results, strict=True) if results else [()] * len(fleet.version_id)
    return [
        Verdict(version, OUTCOMES[code], tuple(found), champion, fleet.rules)
        for version, code, found, champion in zip(
            fleet.version_id, fleet.outcome.tolist(), by_version, fleet.champion, strict=True
        )
    ]


def gate_results(fleet: FleetVerdict, place: int, rows: Ints | slice = slice(None)) -> list[GateResult]:
    """Return what one gate says of every version, or of those at some places."""
    clause = fleet.gates[place].text
    return [GateResult(clause, *fields) for fields in gate_fields(fleet, place, rows)]


Fields = tuple[Outcome, float | None, float | None, int, str, str]


def gate_fields(fleet: FleetVerdict, place: int, rows: Ints | slice = slice(None)) -> Iterator[Fields]:
    """Yield outcome, left, right, rows, slice and sentence of one gate, for every version or those at some places."""
    gate = fleet.gates[place]
    who = "" if gate.reference == "value" else f"{gate.reference}.{gate.reference_metric}"
    against = f"{who} * {gate.factor:g}" if gate.factor != 1 else who
    source = f" ({against})" if against else ""
    where = ["" if cut == WHOLE else f" in {cut}" for cut in fleet.slices]
    columns = (fleet.gate_outcome, fleet.left, fleet.right, fleet.n, fleet.slice, fleet.why)
    for code, left, right, n, cut, why in zip(*(c[rows, place].tolist() for c in columns), strict=True):
        if why == Why.MEASURED:
            said = f"{gate.metric}{where[cut]} is {left:.4g}; allowed is {gate.op} {right:.4g}{source}; {n} rows."
        else:
            said = _WORDS[why](metric=gate.metric, n=n, least=fleet.least, against=against, where=where[cut])
        yield OUTCOMES[code], _known(left), _known(right), n, fleet.slices[cut], said


def reasons_of(fleet: FleetVerdict) -> dict[str, str]:
    """Return why each version that did not pass did not: the first gate that says so, and its sentence."""
    stopped = np.flatnonzero(fleet.outcome != PASSED)
    if not stopped.size:
        return {}
    first = np.argmax(fleet.gate_outcome[stopped] == fleet.outcome[stopped, None], axis=1)
    reasons: dict[str, str] = {}
    for place in np.unique(first).tolist():
        rows = stopped[first == place]
        for row, result in zip(rows.tolist(), gate_results(fleet, place, rows), strict=True):
            reasons[fleet.version_id[row]] = f"{result.clause} {result.outcome}: {result.reason}"
    return reasons


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Evidence in codes, ready for joins.

    A key is version * len(slices) + slice. `pairs` are the keys of every (version, slice) that anything was measured
    on, and of every version's whole.
    """

    versions: int
    slices: list[str]
    pairs: Ints
    key: Ints
    metric: Ints
    metrics: dict[str, int]
    own: npt.NDArray[np.bool_]
    base: npt.NDArray[np.bool_]
    beside: npt.NDArray[np.bool_]
    value: Floats
    n: Ints
    champion: Ints
    has_champion: npt.NDArray[np.bool_]


def _table(version_ids: Sequence[str], evidence: EvidenceColumns, champions: Mapping[str, str | None]) -> _Table:
    versions = {version: place for place, version in enumerate(version_ids)}
    holders = [champions.get(version) for version in version_ids]
    for holder in holders:
        if holder is not None:
            versions.setdefault(holder, len(versions))
    slices, cut = _codes(evidence.slice, {WHOLE: 0})
    subjects, subject = _codes(evidence.subject, {SELF: 0, BASELINE: 1})
    metrics, metric = _codes(evidence.metric, {})
    version = np.asarray([versions.get(v, -1) for v in evidence.version_id], np.int64)
    beside = np.full(len(versions) + 1, -1, np.int64)
    beside[: len(holders)] = [-1 if h is None else subjects.get(h, -1) for h in holders]
    width = len(slices)
    key = version * width + cut
    judged = (version >= 0) & (version < len(version_ids))
    whole = np.arange(len(version_ids), dtype=np.int64) * width
    return _Table(
        versions=len(version_ids),
        slices=list(slices),
        pairs=np.unique(np.concatenate([key[judged], whole])),
        key=np.where(version >= 0, key, -1),
        metric=metric,
        metrics=metrics,
        own=(subject == 0) & (version >= 0),
        base=(subject == 1) & judged,
        beside=judged & (beside[version] >= 0) & (subject == beside[version]),
        value=np.asarray(evidence.value, np.float64),
        n=np.asarray(evidence.n, np.int64),
        champion=np.asarray([-1 if h is None else versions[h] for h in holders], np.int64),
        has_champion=np.asarray([h is not None for h in holders], np.bool_),
    )


def _codes(texts: Sequence[str], codes: dict[str, int]) -> tuple[dict[str, int], Ints]:
    return codes, np.asarray([codes.setdefault(text, len(codes)) for text in texts], np.int64)


Found = tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], Floats, Floats, Ints, Ints]


def _judge_gate(gate: Gate, table: _Table, least: int) -> Found:
    """Judge one gate on every (version, slice) it is about; keep the worst of each version."""
    width = len(table.slices)
    pairs = table.pairs if gate.each_slice else table.pairs[table.pairs % width == 0]
    version = pairs // width
    left, n = _look_up(table, gate.metric, table.own, pairs)
    right, right_n, right_counted = _right(gate, table, pairs, version)
    why = _why(left, n, right, right_n if right_counted else None, least)
    codes = np.where(why == Why.MEASURED, np.where(_holds(gate.op, left, right), PASSED, FAILED), UNDECIDED)
    if gate.each_slice:
        alone = np.bincount(version, minlength=table.versions)[version] == 1
        why = np.where(alone & (codes == PASSED), Why.NO_SLICES, why)
        codes = np.where(why == Why.NO_SLICES, UNDECIDED, codes)
    if gate.reference == "champion":
        first = ~table.has_champion[version] & (why != Why.NO_LEFT) & (why != Why.FEW_LEFT)
        codes, why = np.where(first, PASSED, codes), np.where(first, Why.NO_CHAMPION, why)
        right = np.where(first, np.nan, right)
    with np.errstate(invalid="ignore", over="ignore"):
        margin = np.nan_to_num(left - right if gate.op[0] == "<" else right - left)
    worst = np.lexsort((-pairs, margin, codes, version))
    last = np.flatnonzero(np.diff(version[worst], append=-1))
    chosen = worst[last]
    return (
        codes[chosen].astype(np.int8), why[chosen].astype(np.int8), left[chosen], right[chosen], n[chosen],
        pairs[chosen] % width,
    )  # fmt: skip


def _right(gate: Gate, table: _Table, pairs: Ints, version: Ints) -> tuple[Floats, Ints, bool]:
    """Return what the left side is held against, on how many rows, and whether rows count."""
    if gate.reference == "value" or gate.reference_metric is None:
        value = np.nan if gate.value is None else gate.value
        return np.full(pairs.shape, value), np.zeros(pairs.shape, np.int64), False
    if gate.reference == "baseline":
        right, n = _look_up(table, gate.reference_metric, table.base, pairs)
    else:
        width = len(table.slices)
        right, n = _look_up(table, gate.reference_metric, table.beside, pairs)
        holder = table.champion[version]
        own_key = np.where(holder >= 0, holder * width + pairs % width, -2)
        certified, certified_n = _look_up(table, gate.reference_metric, table.own, own_key)
        there = np.isfinite(right)
        right, n = np.where(there, right, certified), np.where(there, n, certified_n)
    with np.errstate(over="ignore"):
        return right * gate.factor, n, True


def _look_up(table: _Table, metric: str, rows: npt.NDArray[np.bool_], keys: Ints) -> tuple[Floats, Ints]:
    """Return value and rows of a metric at each key; NaN and 0 where it was not measured."""
    of_metric = np.flatnonzero(rows & (table.metric == table.metrics.get(metric, -1)))
    if not of_metric.size:
        return np.full(keys.shape, np.nan), np.zeros(keys.shape, np.int64)
    order = of_metric[np.argsort(table.key[of_metric], kind="stable")]
    held = table.key[order]
    place = np.minimum(np.searchsorted(held, keys), held.size - 1)
    there = held[place] == keys
    return np.where(there, table.value[order[place]], np.nan), np.where(there, table.n[order[place]], 0)


def _why(left: Floats, n: Ints, right: Floats, right_n: Ints | None, least: int) -> npt.NDArray[np.int64]:
    few_right = np.zeros(left.shape, np.bool_) if right_n is None else right_n < least
    return np.select(
        [~np.isfinite(left), n < least, ~np.isfinite(right), few_right],
        [Why.NO_LEFT, Why.FEW_LEFT, Why.NO_RIGHT, Why.FEW_RIGHT],
        Why.MEASURED,
    )


def _holds(op: str, left: Floats, right: Floats) -> npt.NDArray[np.bool_]:
    """Tell where `left op right` holds; it never does where one is NaN."""
    match op:
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case _:
            return left >= right


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
