"""Tables and queries of the windows of performance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text, bindparam, delete, select

from keepwell.core.clock import iso as _iso
from keepwell.db import Transaction, metadata
from keepwell.db.bulk import chunks, delete_rows, insert_rows
from keepwell.monitoring.model import METRICS, Floats, Window, Windows

COUNTED = ("mape", "mape100", "rmse_zero")
"""Metrics that rest on some of a window's rows only."""
VALUES = (
    "window_end",
    "n",
    "complete",
    "volume",
    *METRICS,
    *(f"n_{m}" for m in COUNTED),
    *(f"baseline_{m}" for m in METRICS),
)
KEYS = ("model", "segment", "version", "window_start")
COLUMNS = (*KEYS, *VALUES, "revision", "recorded_at")
Row = tuple[object, ...]
iso = lru_cache(4096)(_iso)


def _columns() -> list[Column[Any]]:
    return [
        Column("window_end", String(27), nullable=False),
        Column("n", Integer, nullable=False),
        Column("complete", Boolean, nullable=False),
        Column("volume", Float, nullable=False),
        *(Column(name, Integer if name.startswith("n_") else Float) for name in VALUES[4:]),
    ]


performance = Table(
    "performance",
    metadata,
    Column("model", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("window_start", String(27), primary_key=True),
    *_columns(),
    Column("revision", Integer, nullable=False),
    Column("recorded_at", String(27), nullable=False),
    Index(None, "model", "window_start"),
)
performance_revisions = Table(
    "performance_revisions",
    metadata,
    Column("model", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("window_start", String(27), primary_key=True),
    *_columns(),
    Column("revision", Integer, primary_key=True),
    Column("recorded_at", String(27), nullable=False),
)


def values_of(window: Window) -> Row:
    """Return a window as plain values, in the order of `VALUES`."""
    return (
        iso(window.window_end),
        window.n,
        window.complete,
        float(window.volume),
        *(window.metrics.get(m) for m in METRICS),
        *(window.counts.get(m) for m in COUNTED),
        *(window.baseline.get(m) for m in METRICS),
    )


def standing(tx: Transaction, model: str, starts: Sequence[str]) -> dict[tuple[str, str, str], Row]:
    """Return what is recorded for windows that start at some moments: key to values, revision and recording time."""
    c = performance.c
    found: dict[tuple[str, str, str], Row] = {}
    for part in chunks(starts, 500):
        query = select(*(c[name] for name in COLUMNS[1:])).where(c.model == model, c.window_start.in_(part))
        found |= {(row[0], row[1], row[2]): tuple(row[3:]) for row in tx.execute(query)}
    return found


def replace_rows(tx: Transaction, new: Sequence[Row], revised: Sequence[Row], old: Sequence[Row]) -> None:
    """Write new rows, keep old ones beside, and put revised ones in their place; rows are in the order of `COLUMNS`."""
    insert_rows(tx, performance_revisions, COLUMNS, old)
    gone = delete(performance)
    for name in KEYS:
        gone = gone.where(performance.c[name] == bindparam(name))
    delete_rows(tx, gone, KEYS, [row[: len(KEYS)] for row in revised])
    insert_rows(tx, performance, COLUMNS, [*new, *revised])


def read(
    tx: Transaction, model: str, *, since: datetime | None, segment: str | None, revisions: bool = False
) -> Windows:
    """Return windows in order of time and segment; with `revisions` those that were replaced, instead."""
    table = performance_revisions if revisions else performance
    c = table.c
    query = select(*(c[name] for name in COLUMNS[1:-1])).where(c.model == model)
    if since is not None:
        query = query.where(c.window_start >= iso(since))
    if segment is not None:
        query = query.where(c.segment == segment)
    rows = tx.execute(query.order_by(c.window_start, c.segment, c.version, c.revision)).all()
    columns = dict(zip(COLUMNS[1:-1], zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(COLUMNS, ())
    n = np.asarray(columns["n"], np.int64)
    return Windows(
        segment=columns["segment"],
        version=columns["version"],
        window_start=_moments(columns["window_start"]),
        window_end=_moments(columns["window_end"]),
        n=n,
        complete=np.asarray(columns["complete"], np.bool_),
        volume=_floats(columns["volume"]),
        metrics={m: _floats(columns[m]) for m in METRICS},
        counts={
            m: np.asarray([v if v is not None else k for v, k in zip(columns[f"n_{m}"], n.tolist(), strict=True)],
                          np.int64) if m in COUNTED else n
            for m in METRICS
        },
        baseline={m: _floats(columns[f"baseline_{m}"]) for m in METRICS},
        revision=np.asarray(columns["revision"], np.int64),
    )  # fmt: skip


def _floats(values: Sequence[object]) -> Floats:
    return np.asarray(values, np.object_).astype(np.float64)


def _moments(values: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    return np.asarray([v[:-1] for v in values], "datetime64[us]")
