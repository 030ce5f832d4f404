"""What is different between two versions: columns, rows by their keys, and distributions. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np

from keepwell.core.lazy import pl
from keepwell.datasets.model import Form, SourceFile
from keepwell.datasets.parts import schema_of, unite

EXAMPLES = 20
MOVED = 0.1
_PART = "\0part"


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column that came, went, or changed its type."""

    column: str
    change: Literal["added", "removed", "type"]
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class RowChanges:
    """Rows by their keys and time. `examples` holds up to 20 of each kind as column to value."""

    added: int
    removed: int
    changed: int
    same: int
    examples: dict[str, list[dict[str, object]]]


@dataclass(frozen=True, slots=True)
class Moved:
    """How far a column's distribution moved.

    Attributes:
        column: its name.
        distance: 0 to 1. For numbers and times the Kolmogorov-Smirnov distance (the greatest difference of the two
            distribution functions), for text and booleans the total variation distance.
        missing_before: share of missing values before, 0 to 1.
        missing_after: share after.
        moved: whether distance or the difference of the missing shares is above 0.1.
    """

    column: str
    distance: float
    missing_before: float
    missing_after: float
    moved: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different between two versions; `files` holds the files they rest on, see `files`."""

    columns: list[ColumnChange]
    rows: RowChanges | None
    distributions: list[Moved]
    files: dict[str, list[str]]


def compare(
    before: pl.DataFrame, after: pl.DataFrame, form: Form | None, changed_files: dict[str, list[str]] | None = None
) -> Difference:
    """Compare two versions' rows; without a form rows have no identity and are not compared one by one."""
    rows = _rows(before, after, form) if form and {*form.identity} <= {*before.columns} & {*after.columns} else None
    shared = [name for name in before.columns if name in after.columns]
    moved = [_distribution(name, before[name], after[name]) for name in shared]
    moved.sort(key=lambda one: (-one.distance, one.column))
    return Difference(columns(schema_of(before), schema_of(after)), rows, moved, changed_files or {})


def compare_profiles(
    before: Mapping[str, Any], after: Mapping[str, Any], changed_files: dict[str, list[str]] | None = None
) -> Difference:
    """Compare two versions by their profiles, for versions whose rows are not kept.

    Distances are approximate: numbers and times by their histograms, values even within a bin; text by its most
    frequent values, the others taken as one.
    """
    old, new = before["columns"], after["columns"]
    kinds = [{name: facts["type"] for name, facts in side.items()} for side in (old, new)]
    counts = (before["rows"], after["rows"])
    moved = [_profiled(name, facts, new[name], counts) for name, facts in old.items() if name in new]
    moved.sort(key=lambda one: (-one.distance, one.column))
    return Difference(columns(*kinds), None, moved, changed_files or {})


def columns(before: Mapping[str, str], after: Mapping[str, str]) -> list[ColumnChange]:
    """Compare two schemas."""
    return [
        *(ColumnChange(name, "removed", kind, None) for name, kind in before.items() if name not in after),
        *(ColumnChange(name, "added", None, kind) for name, kind in after.items() if name not in before),
        *(
            ColumnChange(name, "type", kind, after[name])
            for name, kind in before.items()
            if name in after and after[name] != kind
        ),
    ]


def files(before: Sequence[SourceFile], after: Sequence[SourceFile]) -> dict[str, list[str]]:
    """Compare two versions' files by uri and digest: `added`, `removed`, `changed`, each a sorted list of uris."""
    old, new = ({file.uri: file.sha256 for file in side} for side in (before, after))
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(uri for uri in old.keys() & new.keys() if old[uri] != new[uri]),
    }


def _rows(before: pl.DataFrame, after: pl.DataFrame, form: Form) -> RowChanges:
    identity = list(form.identity)
    shared = [name for name in before.columns if name in after.columns]
    both = unite([frame.select(shared).with_columns(pl.lit(i).alias(_PART)) for i, frame in enumerate((before, after))])
    old, new = (both.filter(pl.col(_PART) == i).drop(_PART) for i in (0, 1))
    added = new.join(old, on=identity, how="anti", nulls_equal=True)
    removed = old.join(new, on=identity, how="anti", nulls_equal=True)
    pairs = old.join(new, on=identity, how="inner", suffix="\0new", nulls_equal=True)
    values = [name for name in shared if name not in identity]
    differ = pl.any_horizontal([pl.col(name).ne_missing(pl.col(f"{name}\0new")) for name in values] or [pl.lit(False)])
    changed = pairs.filter(differ)
    return RowChanges(
        added=added.height,
        removed=removed.height,
        changed=changed.height,
        same=pairs.height - changed.height,
        examples={
            "added": [_plain(row) for row in added.head(EXAMPLES).to_dicts()],
            "removed": [_plain(row) for row in removed.head(EXAMPLES).to_dicts()],
            "changed": [_changes(row, identity, values) for row in changed.head(EXAMPLES).to_dicts()],
        },
    )


def _changes(row: Mapping[str, object], identity: Sequence[str], values: Sequence[str]) -> dict[str, object]:
    """Return the keys of a changed row and, for each column that differs, the value before and after."""
    pairs = {name: [row[name], row[f"{name}\0new"]] for name in values if row[name] != row[f"{name}\0new"]}
    return _plain({name: row[name] for name in identity}) | {name: _pair(pair) for name, pair in pairs.items()}


def _pair(pair: Sequence[object]) -> list[object]:
    return [_value(value) for value in pair]


def _plain(row: Mapping[str, object]) -> dict[str, object]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return value
    return str(value)


def _distribution(name: str, before: pl.Series, after: pl.Series) -> Moved:
    gaps = [values.null_count() / len(values) if len(values) else 0.0 for values in (before, after)]
    old, new = before.drop_nulls(), after.drop_nulls()
    if not len(old) or not len(new):
        distance = 0.0
    elif _ordered(before.dtype) and _ordered(after.dtype) and before.dtype.is_numeric() == after.dtype.is_numeric():
        distance = _smirnov(_physical(old), _physical(new))
    else:
        distance = _variation(old, new)
    was, now = gaps
    return Moved(name, distance, was, now, distance > MOVED or abs(was - now) > MOVED)


def _profiled(name: str, old: Mapping[str, Any], new: Mapping[str, Any], counts: tuple[int, int]) -> Moved:
    was, now = (facts["missing"] / n if n else 0.0 for facts, n in zip((old, new), counts, strict=True))
    present = [n - facts["missing"] for facts, n in zip((old, new), counts, strict=True)]
    if not all(present):
        distance = 0.0
    elif "histogram" in old and "histogram" in new and ("infinite" in old) == ("infinite" in new):
        distance = _binned(old["histogram"], new["histogram"])
    else:
        tops = [dict(map(_pair_of, facts.get("top", ()))) for facts in (old, new)]
        shares = [{value: count / n for value, count in top.items()} for top, n in zip(tops, present, strict=True)]
        rest = abs(sum(shares[0].values()) - sum(shares[1].values()))
        every = shares[0].keys() | shares[1].keys()
        distance = (math.fsum(abs(shares[0].get(v, 0.0) - shares[1].get(v, 0.0)) for v in every) + rest) / 2
    return Moved(name, distance, was, now, distance > MOVED or abs(was - now) > MOVED)


def _pair_of(pair: Sequence[Any]) -> tuple[str, int]:
    return str(pair[0]), pair[1]


def _binned(old: Mapping[str, Any], new: Mapping[str, Any]) -> float:
    edges = [_edges(side["edges"]) for side in (old, new)]
    shares = [np.concatenate(([0.0], np.cumsum(side["counts"]) / sum(side["counts"]))) for side in (old, new)]
    points = np.union1d(*edges)
    before, after = (np.interp(points, edge, share) for edge, share in zip(edges, shares, strict=True))
    return float(np.abs(before - after).max())


def _edges(edges: Sequence[float | str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([datetime.fromisoformat(e).timestamp() if isinstance(e, str) else e for e in edges])


def _ordered(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind.is_temporal()


def _physical(values: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    plain = values.cast(pl.Datetime("us")) if values.dtype == pl.Date else values
    numbers: np.ndarray[tuple[int], np.dtype[np.float64]] = plain.to_physical().cast(pl.Float64).to_numpy()
    return np.sort(numbers)


def _smirnov(
    old: np.ndarray[tuple[int], np.dtype[np.float64]], new: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> float:
    points = np.concatenate([old, new])
    before = np.searchsorted(old, points, side="right") / len(old)
    after = np.searchsorted(new, points, side="right") / len(new)
    return float(np.abs(before - after).max())


def _variation(old: pl.Series, new: pl.Series) -> float:
    shares = []
    for values in (old, new):
        counts = values.cast(pl.String).alias("value").value_counts(name="count")
        shares.append({value: count / len(values) for value, count in counts.rows()})
    every = shares[0].keys() | shares[1].keys()
    return math.fsum(abs(shares[0].get(v, 0.0) - shares[1].get(v, 0.0)) for v in every) / 2
