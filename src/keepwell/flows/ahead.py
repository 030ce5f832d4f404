"""Rows of the time to come: the live series at the next steps, with what is known ahead of them from joined tables."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from keepwell.charter.model import Data
from keepwell.core.errors import InvalidInput
from keepwell.core.lazy import pl
from keepwell.core.spans import parse_span
from keepwell.datasets.conditioning import condition, read_joined

LIVE = 8
"""A series is live when it had a row within as many weeks, or steps where a step is longer than a week."""


def with_future(frame: pl.DataFrame, data: Data, every: str, folder: Path, steps: int) -> tuple[pl.DataFrame, bool]:
    """Return the table with rows for the steps after its last known target, their target null.

    Joins and derived columns are made for these rows as for any others: a calendar or a price list that reaches into
    the future gives what is known ahead. What cannot be known is null.

    Args:
        frame: the standard form.
        data: the charter's clause.
        every: span of one step.
        folder: the charter's folder.
        steps: how many.

    Returns:
        The table, and whether the rows could be made; when the declared expressions need columns that only an
        arriving file has, the table comes back as it was.
    """
    known = frame.filter(pl.col(data.target).is_not_null())
    last = known[data.time].max()
    span = parse_span(every)
    recent = max(timedelta(weeks=LIVE), LIVE * span)
    whole = frame.schema[data.time].is_integer()
    since = pl.lit(last) - (max(1, recent // span) if whole else pl.lit(recent))
    live = known.filter(pl.col(data.time) > since)
    keys = live.select(data.keys).unique() if data.keys else pl.DataFrame({"_one": [0]})
    ahead = [last + (i if whole else i * span) for i in range(1, steps + 1)]  # type: ignore[operator]
    times = pl.DataFrame({data.time: pl.Series(ahead, dtype=frame.schema[data.time])})
    rows = keys.join(times, how="cross")
    try:
        future = _conditioned(rows, frame, live, data, folder)
    except InvalidInput:
        return frame, False
    there = frame.select(*data.keys, data.time)
    future = future.join(there, on=[*data.keys, data.time], how="anti")
    merged = pl.concat([frame, future.select(c for c in frame.columns if c in future.columns)], how="diagonal_relaxed")
    return merged.sort([*data.keys, data.time]), True


def _conditioned(rows: pl.DataFrame, frame: pl.DataFrame, live: pl.DataFrame, data: Data, folder: Path) -> pl.DataFrame:
    """Condition bare rows as an arriving file would be: roles that nothing makes are null, static ones carried on."""
    made = _brought(data, folder) | set(data.derive)
    carried = [c for c in data.static if c not in made]
    if carried and data.keys:
        held = live.sort(data.time).group_by(data.keys, maintain_order=True).agg(pl.col(carried).last())
        rows = rows.join(held, on=list(data.keys), how="left")
    roles = (*data.known_ahead, *data.observed, *data.static, data.target)
    absent = [c for c in dict.fromkeys(roles) if c not in rows.columns and c not in made]
    rows = rows.with_columns(pl.lit(None, dtype=frame.schema.get(c, pl.Float64())).alias(c) for c in absent)
    back = {standard: source for source, standard in data.rename.items()}
    named = rows.rename({c: back[c] for c in rows.columns if c in back})
    return condition(named, data, folder)


def _brought(data: Data, folder: Path) -> frozenset[str]:
    """Return the standard names of the columns that joins bring."""
    names: set[str] = set()
    for join in data.joins:
        names.update(join.columns or read_joined(join.source, folder).columns)
    return frozenset(data.rename.get(name, name) for name in names)
