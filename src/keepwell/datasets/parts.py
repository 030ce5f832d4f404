"""Parts: conditioned files as Parquet bytes, and the one table that parts in the order of arrival make."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from keepwell.core.errors import Damaged
from keepwell.core.lazy import pl
from keepwell.datasets.model import Block, Form, Stats

_MAX_BLOCKS = 32
_ROWS_A_BLOCK = 50
_PART = "\0part"
_HUGE = sys.float_info.max

_KINDS: Mapping[str, str] = {
    "Int64": "integer", "Float64": "number", "String": "text", "Boolean": "boolean", "Date": "date",
    "Datetime": "moment",
}  # fmt: skip


def kind_of(kind: pl.DataType) -> str | None:
    """Return the word that a contract and a schema use for a type; None when the standard form does not have it."""
    return _KINDS.get(kind.base_type().__name__)


def encode(frame: pl.DataFrame) -> bytes:
    """Return a table as Parquet bytes; the same table gives the same bytes."""
    sink = io.BytesIO()
    frame.write_parquet(sink, compression="zstd", compression_level=3)
    return sink.getvalue()


def decode(path: Path) -> pl.DataFrame:
    """Return the table of a part's file.

    Raises:
        Damaged: the file is no Parquet.
    """
    try:
        return pl.read_parquet(path, glob=False)
    except pl.exceptions.PolarsError as error:
        raise Damaged(f"The part {path.name} cannot be read; restore it from a backup.") from error


def schema_of(frame: pl.DataFrame) -> dict[str, str]:
    """Return column to type word, in order."""
    return {name: kind_of(kind) or str(kind) for name, kind in frame.schema.items()}


def told_schema(frame: pl.DataFrame) -> dict[str, str]:
    """Return column to type word for the columns that hold a value: the type of the others says nothing."""
    blank = _empty(frame)
    return {name: kind for name, kind in schema_of(frame).items() if name not in blank}


@dataclass(frozen=True, slots=True)
class Merged:
    """The table that parts make.

    Attributes:
        frame: sorted by keys and time, each row the newest of its kind.
        replaced: for each of the parts, how many rows of earlier ones (or of its own) its rows replaced.
    """

    frame: pl.DataFrame
    replaced: list[int]


def assemble(frames: Sequence[pl.DataFrame], form: Form, *, distinct: bool = False) -> pl.DataFrame:
    """Return the table that parts make; see `merge`. `distinct` promises that no two rows have the same identity."""
    whole = unite(frames).filter(pl.col(form.time).is_not_null())
    identity = list(form.identity)
    if not distinct:
        whole = whole.unique(subset=identity, keep="last", maintain_order=True)
    return whole.sort(identity, maintain_order=True)


def merge(frames: Sequence[pl.DataFrame], form: Form, base: pl.DataFrame | None = None) -> Merged:
    """Return the table that parts make, and how many rows each part replaced.

    Of rows with the same keys and time the last one stays. Rows without a time have no place in the table and are left
    out.

    Args:
        frames: the parts' tables in the order of arrival.
        form: what makes a row distinct.
        base: the table that earlier parts made.
    """
    identity = list(form.identity)
    first, *rest = _aligned([frames[0].clear() if base is None else base, *frames])
    slim = pl.concat([frame.select(identity).with_columns(pl.lit(i).alias(_PART)) for i, frame in enumerate(rest)])
    slim = slim.filter(pl.col(form.time).is_not_null())
    unseen = slim.unique(subset=identity, keep="first", maintain_order=True)
    kept = first
    if first.height:
        kept = first.join(unseen, on=identity, how="anti", nulls_equal=True, maintain_order="left")
        unseen = unseen.join(first, on=identity, how="anti", nulls_equal=True)
    total, new = (dict(rows[_PART].value_counts().rows()) for rows in (slim, unseen))
    latest = assemble(rest, form, distinct=unseen.height == slim.height)
    frame = pl.concat([kept, latest]).sort(identity, maintain_order=True) if kept.height else latest
    return Merged(frame, [total.get(i, 0) - new.get(i, 0) for i in range(len(frames))])


def unite(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of all tables under one schema; a column that a table does not have is missing in its rows."""
    return pl.concat(_aligned(frames), how="vertical")


def _aligned(frames: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Return tables under the one schema that holds them all."""
    schema = _common([frame.schema for frame in frames], [_empty(frame) for frame in frames])
    return [_under(frame, schema) for frame in frames]


def stats_of(frame: pl.DataFrame, form: Form) -> Stats:
    """Return what is remembered of a table in standard form, by which later arrivals are judged."""
    times = frame[form.time].drop_nulls()
    ordered = frame.sort(form.time, maintain_order=True)
    count = max(1, min(_MAX_BLOCKS, frame.height // _ROWS_A_BLOCK, times.n_unique()))
    numeric = [n for n, kind in frame.schema.items() if kind.is_numeric() and n not in form.identity]
    bounds = [frame.height * i // count for i in range(count + 1)]
    blocks: dict[str, list[Block]] = {name: [] for name in numeric}
    for start, stop in pairwise(bounds):
        for name, block in _blocks(ordered.slice(start, stop - start), numeric).items():
            blocks[name].append(block)
    return Stats(
        rows=frame.height,
        first=str(times.min()) if len(times) else None,
        last=str(times.max()) if len(times) else None,
        blocks={name: found for name, found in blocks.items() if found},
    )


def _blocks(frame: pl.DataFrame, numeric: Sequence[str]) -> dict[str, Block]:
    if not numeric:
        return {}
    finite = frame.select(pl.col(name).cast(pl.Float64) for name in numeric)
    finite = finite.with_columns(pl.when(pl.all().is_finite()).then(pl.all()))
    counts, means, lows, highs = (
        finite.select(pick).row(0) for pick in (pl.all().count(), pl.all().mean(), pl.all().min(), pl.all().max())
    )
    rows = zip(numeric, counts, means, lows, highs, strict=True)
    return {name: Block(n, max(-_HUGE, min(mean, _HUGE)), low, high) for name, n, mean, low, high in rows if n}


def _empty(frame: pl.DataFrame) -> set[str]:
    """Return the columns in which every value is missing: their type says nothing."""
    if not frame.height:
        return set(frame.columns)
    counts = frame.null_count().row(0)
    return {name for name, missing in zip(frame.columns, counts, strict=True) if missing == frame.height}


def _common(schemas: Sequence[Mapping[str, pl.DataType]], empty: Sequence[set[str]]) -> dict[str, pl.DataType]:
    found: dict[str, pl.DataType] = {}
    told: set[str] = set()
    for schema, blank in zip(schemas, empty, strict=True):
        for name, kind in schema.items():
            if name not in told and (name not in found or name not in blank):
                found[name] = kind
            elif name in told and name not in blank:
                found[name] = _wider(found[name], kind)
            if name not in blank:
                told.add(name)
    return found


def _wider(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    if one == other:
        return one
    pair = {one.base_type(), other.base_type()}
    if pair == {pl.Int64, pl.Float64}:
        return pl.Float64()
    if pair == {pl.Boolean, pl.Int64}:
        return pl.Int64()
    if pair == {pl.Date, pl.Datetime}:
        return pl.Datetime("us")
    return pl.String()


def _under(frame: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    had = frame.schema
    if had == schema and list(had) == list(schema):
        return frame
    columns = []
    for name, kind in schema.items():
        if name not in had:
            columns.append(pl.lit(None, dtype=kind).alias(name))
        elif had[name] == kind:
            columns.append(pl.col(name))
        elif frame[name].null_count() == frame.height:
            columns.append(pl.lit(None, dtype=kind).alias(name))
        else:
            columns.append(pl.col(name).cast(kind))
    return frame.select(columns) if frame.height else pl.DataFrame(schema=dict(schema))
