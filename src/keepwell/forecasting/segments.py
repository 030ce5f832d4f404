"""Which segment a row belongs to, and which series move fast, both as they were known at an origin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from keepwell.core.errors import InvalidInput
from keepwell.core.lazy import pl
from keepwell.core.segments import segment_key
from keepwell.forecasting.panel import Ints, Panel, text_of
from keepwell.forecasting.task import Task, cadence_of

_SPEEDS = ("slow", "fast")


@dataclass(frozen=True)
class Grid:
    """The segments of a panel's cells.

    Attributes:
        frame: the table.
        panel: its series.
        task: what declares the segments.
        places: (series, steps), the code of the segment without its mover column; every cell has one.
        values: by code, the segment's columns and values.
    """

    frame: pl.DataFrame
    panel: Panel
    task: Task
    places: Ints
    values: tuple[dict[str, str], ...]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The key of every segment that can be, by code; without movers one for each of `values`, else two."""
        movers = self._movers()
        if movers is None:
            return tuple(segment_key(value) for value in self.values)
        columns = self.task.segments
        return tuple(
            segment_key({c: speed if c == movers else value[c] for c in columns})
            for value in self.values
            for speed in _SPEEDS
        )

    def slices(self, series: Ints, target: Ints, origin: Ints | int) -> dict[str, pl.Series]:
        """Return the values of the charter's slices at cells that have a row, movers judged as of the origin.

        Raises:
            InvalidInput: a slice's column is not there.
        """
        rows = np.full(self.panel.target.shape, -1, np.int64)
        rows[self.panel.rows] = np.arange(self.frame.height)
        movers = self.task.data.movers
        found: dict[str, pl.Series] = {}
        for name in self.task.evaluate.slices:
            if movers and name == movers.column:
                found[name] = pl.Series(name, np.array(_SPEEDS)[self._fast(series, origin)], dtype=pl.String)
            elif name in self.frame.columns:
                found[name] = self.frame[name].gather(rows[series, target])
            else:
                there = ", ".join(self.frame.columns[:12])
                raise InvalidInput(f"The table has no column {name!r}; it has {there}.", where="evaluate.slices")
        return found

    def codes(self, series: Ints, target: Ints, origin: Ints | int) -> Ints:
        """Return the code of the segment of each cell (series, target), movers judged as of its origin."""
        places = self.places[series, target]
        if self._movers() is None:
            return places
        return places * 2 + self._fast(series, origin)

    def _fast(self, series: Ints, origin: Ints | int) -> Ints:
        origins = np.broadcast_to(np.asarray(origin, dtype=np.int64), series.shape)
        fast = np.zeros(len(series), dtype=np.int64)
        for step in np.unique(origins):
            rows = origins == step
            fast[rows] = self.fast_at(int(step))[series[rows]]
        return fast

    def fast_at(self, origin: int) -> NDArray[np.bool_]:
        """Return which series are fast movers by their volume up to an origin."""
        movers = self.task.data.movers
        assert movers is not None  # noqa: S101
        return fast_movers(self._volume[:, origin], movers.share)

    @cached_property
    def _volume(self) -> NDArray[np.float64]:
        target = self.panel.target
        return np.where(np.isfinite(target), np.abs(target), 0.0).cumsum(axis=1)

    def _movers(self) -> str | None:
        movers = self.task.data.movers
        return movers.column if movers and movers.column in self.task.segments else None


def fast_movers(volume: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Return which series are fast: the largest ones that together make `share` of the volume; none if there is none.

    Ties go to the earlier series.
    """
    order = np.argsort(-volume, kind="stable")
    before = np.concatenate([[0.0], volume[order].cumsum()[:-1]])
    fast = np.zeros(len(volume), dtype=bool)
    fast[order] = (before < share * volume.sum()) & (volume[order] > 0)
    return fast


def grid_of(frame: pl.DataFrame, panel: Panel, task: Task) -> Grid:
    """Return the segments of the panel that was made of a frame.

    A cell without a row has the segment of the same series a cycle before (a week, of daily rows), else the newest
    one before, else the oldest.

    Raises:
        InvalidInput: a segment's column is not there.
    """
    columns = _plain_columns(frame, task)
    if not columns:
        return Grid(frame, panel, task, np.zeros(panel.target.shape, np.int64), ({},))
    table = frame.select(text_of(frame[c]).alias(c) for c in columns)
    kinds = table.unique().sort(columns)
    codes = table.join(kinds.with_row_index("_code"), on=columns, how="left", maintain_order="left")["_code"]
    places = np.full(panel.target.shape, -1, np.int64)
    places[panel.rows] = codes.cast(pl.Int64).to_numpy()
    return Grid(frame, panel, task, _filled(places, cadence_of(task).cycle), tuple(kinds.to_dicts()))


def segments_of_rows(frame: pl.DataFrame, grid: Grid, origin: int) -> pl.DataFrame:
    """Return the frame with its segment, and its mover column if the charter has one."""
    labels = grid.labels
    series, step = grid.panel.rows
    codes = grid.codes(series, step, origin)
    frame = frame.with_columns(pl.Series("segment", np.array(labels, dtype=object)[codes].tolist(), dtype=pl.String))
    if movers := grid.task.data.movers:
        fast = grid.fast_at(origin)[series]
        frame = frame.with_columns(
            pl.when(pl.Series(fast)).then(pl.lit("fast")).otherwise(pl.lit("slow")).alias(movers.column)
        )
    return frame


def _plain_columns(frame: pl.DataFrame, task: Task) -> list[str]:
    movers = task.data.movers.column if task.data.movers else None
    columns = [c for c in task.segments if c != movers]
    for column in columns:
        if column not in frame.columns:
            there = ", ".join(frame.columns[:12])
            raise InvalidInput(
                f"The table has no column {column!r} to make segments of; it has {there}.", where="segments"
            )
    return columns


def _filled(places: Ints, cycle: int) -> Ints:
    absent = places < 0
    if not absent.any():
        return places
    steps = np.arange(places.shape[1])
    if cycle > 1:
        for step in range(cycle, places.shape[1]):
            column = places[:, step]
            places[:, step] = np.where(column < 0, places[:, step - cycle], column)
    newest = np.maximum.accumulate(np.where(places >= 0, steps, -1), axis=1)
    oldest = (places >= 0).argmax(axis=1)[:, None]
    return np.take_along_axis(places, np.where(newest >= 0, newest, oldest), axis=1)
