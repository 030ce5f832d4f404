"""From a spool's records to the fewest operations that say the same. Pure but for numpy.

Points, params and tags of one run become one operation; they come before whatever ends or follows them in that run.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from keepwell.client import records
from keepwell.client.lanes import Item, Staged
from keepwell.client.spool import Position
from keepwell.core import points
from keepwell.core.errors import InvalidInput
from keepwell.tracking import wire

MOST_POINTS = 25_000
MOST_OPS = 2_000
MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """What is sent at once.

    Attributes:
        ops: number and operation, in order.
        lane: what the lane of uploads takes over once they are stored.
        upto: the position that is acknowledged then.
    """

    ops: list[tuple[int, wire.Op]]
    lane: list[Item]
    upto: Position


@dataclass(slots=True)
class _Open:
    """Points, params and tags of a run that are being gathered."""

    run: str
    seq: int = 0
    names: dict[str, int] = field(default_factory=dict)
    index: array[int] = field(default_factory=lambda: array("i"))
    steps: array[int] = field(default_factory=lambda: array("q"))
    ats: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    without: dict[str, None] = field(default_factory=dict)
    models: list[wire.ModelPoint] = field(default_factory=list)

    def closed(self) -> tuple[int, wire.Op]:
        batch = points.Batch(tuple(self.names), self.index, self.steps, self.ats, self.values)
        data = points.pack(batch) if self.values else b""
        return self.seq, wire.Log(
            run=self.run,
            points=data,
            params=self.params,
            tags=self.tags,
            without=list(self.without),
            models=self.models,
        )


class Fold:
    """Gathers records until they are worth sending."""

    def __init__(self) -> None:
        self._ops: list[tuple[int, wire.Op]] = []
        self._open: dict[str, _Open] = {}
        self._points = 0
        self._bytes = 0
        self._upto: Position | None = None
        self._lane: list[Item] = []
        self.unreadable = 0

    @property
    def full(self) -> bool:
        """Whether what was gathered should be sent before more is added."""
        return (
            self._points >= MOST_POINTS
            or len(self._ops) + len(self._open) + len(self._lane) >= MOST_OPS
            or self._bytes >= MOST_BYTES
        )

    def piece(self) -> Piece | None:
        """Return what was gathered; None when no record was added."""
        if self._upto is None:
            return None
        ops = sorted([*self._ops, *(one.closed() for one in self._open.values())], key=lambda pair: pair[0])
        return Piece(ops, self._lane, self._upto)

    def add(
        self,
        found: records.Rows | records.Other,
        upto: Position,
        runs: dict[int, str],
        names: dict[int, str],
    ) -> None:
        """Add records that stand before `upto`, in a segment that gave these numbers to runs and names."""
        self._upto = upto
        if isinstance(found, records.Rows):
            self._rows(found, upto.seq, runs, names)
            return
        self._bytes += len(found.payload)
        match found.kind:
            case records.KIND_PACKED:
                run = runs.get(int.from_bytes(found.payload[:2], "little"))
                if run is None:
                    self.unreadable += 1
                else:
                    self._ops.append((upto.seq, wire.Log(run=run, points=found.payload[2:])))
                    self._points += len(found.payload) // 28
            case records.KIND_OP:
                self._operation(found.payload, upto.seq)
            case records.KIND_FILE:
                self._staged(found.payload, upto.seq)
            case records.KIND_LATE:
                self._lane.append(Item(seq=upto.seq, op=found.payload))
            case _:
                pass

    def _operation(self, payload: bytes, seq: int) -> None:
        try:
            op = wire.unpack_op(payload)
        except InvalidInput:
            self.unreadable += 1
            return
        if not isinstance(op, wire.Log) or op.points:
            if not isinstance(op, wire.Put) and op.run in self._open:
                self._ops.append(self._open.pop(op.run).closed())
            self._ops.append((seq, op))
            return
        before = self._open.get(op.run)
        if before is not None and any(before.params.get(name, value) != value for name, value in op.params.items()):
            self._ops.append(self._open.pop(op.run).closed())  # another value: the store says what it thinks of that
        one = self._of(op.run, seq)
        one.params.update(op.params)
        for name in op.without:
            one.tags.pop(name, None)
            one.without[name] = None
        one.tags.update(op.tags)
        one.models.extend(op.models)
        self._points += len(op.models)

    def _staged(self, payload: bytes, seq: int) -> None:
        try:
            self._lane.append(Item(seq=seq, file=msgspec.msgpack.decode(payload, type=Staged)))
        except msgspec.DecodeError:
            self.unreadable += 1

    def _of(self, run: str, seq: int) -> _Open:
        one = self._open.get(run)
        if one is None:
            one = self._open[run] = _Open(run)
        one.seq = seq
        return one

    def _rows(self, found: records.Rows, seq: int, runs: dict[int, str], names: dict[int, str]) -> None:
        self._points += found.count
        if isinstance(found.rows, list):
            self._few(found.rows, seq - found.count, runs, names)
        else:
            self._many(found.rows, seq - found.count, runs, names)

    def _few(
        self, rows: Iterable[tuple[int, int, int, int, float]], seq: int, runs: dict[int, str], names: dict[int, str]
    ) -> None:
        for run, name, step, at, value in rows:
            seq += 1
            if run not in runs or name not in names:
                self.unreadable += 1
                continue
            one = self._of(runs[run], seq)
            one.index.append(one.names.setdefault(names[name], len(one.names)))
            one.steps.append(step)
            one.ats.append(at)
            one.values.append(value)

    def _many(self, rows: Any, seq: int, runs: dict[int, str], names: dict[int, str]) -> None:
        import numpy as np

        for number in np.unique(rows["run"]).tolist():
            places = np.flatnonzero(rows["run"] == number)
            mine = rows[places]
            used, inverse = np.unique(mine["name"], return_inverse=True)
            if number not in runs or any(n not in names for n in used.tolist()):
                self.unreadable += len(mine)
                continue
            one = self._of(runs[number], seq + int(places[-1]) + 1)
            table = [one.names.setdefault(names[n], len(one.names)) for n in used.tolist()]
            one.index.frombytes(np.array(table, dtype=np.int32)[inverse].tobytes())
            one.steps.frombytes(mine["step"].astype(np.int64).tobytes())
            one.ats.frombytes(mine["at"].astype(np.int64).tobytes())
            one.values.frombytes(mine["value"].astype(np.float64).tobytes())
