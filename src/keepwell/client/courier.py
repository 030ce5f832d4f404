"""Takes what a spool holds to where it is recorded, piece by piece."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from keepwell.client.folding import Fold, Piece
from keepwell.client.rules import wait_seconds
from keepwell.client.spool import Acked, Position, Reader
from keepwell.client.transports import Away, Transport
from keepwell.client.uploads import Uploads
from keepwell.core import failpoints
from keepwell.core.errors import Damaged, KeepwellError
from keepwell.tracking import wire


@dataclass(frozen=True, slots=True)
class Facts:
    """What is recorded of the process, once.

    Attributes:
        start: fields of `wire.Start` that every run of it gets: code, environment, machine, changes.
        blobs: bytes that `start` names by their digests.
    """

    start: dict[str, object] = field(default_factory=dict)
    blobs: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Progress:
    """What a courier did so far."""

    sent: int = 0
    refused: list[wire.Refused] = field(default_factory=list)
    unreadable: int = 0


class Courier:
    """Takes a session's records to a transport, piece by piece, and notes what was acknowledged.

    Attributes:
        folder: of the session.
        progress: what was done so far.
        uploads: takes over the files, and what has to come after them.
    """

    def __init__(
        self,
        folder: Path,
        connect: Callable[[], Transport],
        facts: Callable[[], Facts],
        *,
        on_refused: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.progress = Progress()
        self.uploads = Uploads(folder, connect, self._note)
        self._transport = connect()
        self._facts = facts
        self._refused = on_refused
        self._acked = Acked(folder)
        self._reader = Reader(folder, self._acked.read())
        self._start = self._reader.position
        self._piece: Piece | None = None
        self._carried = False

    @property
    def position(self) -> Position:
        """Up to where everything was acknowledged."""
        return self._start

    def send_next(self) -> bool:
        """Send the next piece; tell whether there was one.

        Raises:
            Away: not now; the same piece comes first the next time.
        """
        if self._piece is None:
            self._piece = self._gather()
            if self._piece is None:
                self._start = self._reader.position
                return False
        piece = self._piece
        self._send_ops(piece.ops)
        self.uploads.note(piece.lane)
        failpoints.reach("client.stored")
        self._acked.write(piece.upto)
        failpoints.reach("client.acked")
        self.uploads.begin(piece.lane)
        for segment in range(self._start.segment, piece.upto.segment):
            (self.folder / f"{segment:010d}.log").unlink(missing_ok=True)
        self.progress.sent += piece.upto.seq - self._start.seq
        self._start, self._piece = piece.upto, None
        return True

    def leftover(self) -> tuple[int, bool]:
        """Return how many bytes of a dead session's segment cannot be read, and whether another segment follows."""
        return self._reader.torn(), self._reader.skip()

    def close(self) -> None:
        """Close files and connections."""
        self._reader.close()
        self._transport.close()

    def _gather(self) -> Piece | None:
        fold = Fold()
        while not fold.full:
            before = self._reader.position
            for found, position in self._reader.read():
                fold.add(found, position, self._reader.runs, self._reader.names)
                if fold.full:
                    break
            if self._reader.position == before:
                break
        self.progress.unreadable += fold.unreadable
        return fold.piece()

    def _send_ops(self, ops: list[tuple[int, wire.Op]]) -> None:
        if not ops:
            return
        blobs: list[bytes] = []
        starts = any(isinstance(op, wire.Start) and not op.resume for _, op in ops)
        if starts:
            facts = self._facts()
            ops = [(seq, _with(op, facts)) for seq, op in ops]
            blobs = [] if self._carried else list(facts.blobs)
        self._send(wire.Batch(self.folder.name, ops, blobs))
        self._carried = self._carried or starts

    def _send(self, batch: wire.Batch) -> None:
        try:
            outcome = self._transport.send(batch)
        except Away:
            raise
        except KeepwellError as error:
            if len(batch.ops) == 1:
                self._note(wire.Refused(batch.ops[0][0], error.code, error.message))
                return
            middle = len(batch.ops) // 2
            self._send(replace_ops(batch, batch.ops[:middle]))
            self._send(replace_ops(batch, batch.ops[middle:]))
            return
        for refused in outcome.refused:
            self._note(refused)

    def _note(self, refused: wire.Refused) -> None:
        self.progress.refused.append(refused)
        self._refused(refused.message)


def replace_ops(batch: wire.Batch, ops: list[tuple[int, wire.Op]]) -> wire.Batch:
    """Return a batch with other operations."""
    return wire.Batch(batch.session, ops, batch.blobs)


def send_all(courier: Courier, *, tries: int, draw: random.Random) -> int:
    """Send everything that a dead session left, its files last; return how many bytes of it could not be read.

    Raises:
        Away: the other side stayed away for so many tries in a row.
        Damaged: what is left makes no progress.
    """
    lost = 0
    for _ in range(1 << 40):
        if _tried(courier.send_next, tries, draw):
            continue
        torn, goes_on = courier.leftover()
        lost += torn
        if not goes_on:
            break
    else:
        raise Damaged("The spool does not come to an end.")
    courier.uploads.find()
    while _tried(courier.uploads.send_next, tries, draw):
        pass
    return lost


def _tried(step: Callable[[], bool], tries: int, draw: random.Random) -> bool:
    """Do a step, again while the other side is away, at most so often; return what it says."""
    for attempt in range(1, tries + 1):
        try:
            return step()
        except Away as error:
            if attempt == tries:
                raise
            time.sleep(wait_seconds(attempt, draw, told=error.told, cap=5.0))
    return False


def _with(op: wire.Op, facts: Facts) -> wire.Op:
    if not isinstance(op, wire.Start) or op.resume or not facts.start:
        return op
    fields = {name: getattr(op, name) for name in op.__struct_fields__}
    return wire.Start(**{**fields, **facts.start})
