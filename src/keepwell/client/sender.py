"""Sends what a spool holds, in order, until it is told to stop; what goes wrong never reaches those who log."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from keepwell.client.folding import Fold, Piece
from keepwell.client.rules import wait_seconds
from keepwell.client.spool import Acked, Position, Reader
from keepwell.client.transports import Away, Transport
from keepwell.core import failpoints
from keepwell.core.errors import Damaged, KeepwellError
from keepwell.tracking import wire

LINGER = 0.2
"""Seconds between the first record that waits and the batch that takes it along with those after it."""
PACE = 1.0
"""Seconds between two batches that are not full: many clients log to one server."""
FULL = 10_000
"""Records that are worth a batch at once."""


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
    """Takes a session's records to a transport, piece by piece, and notes what was acknowledged."""

    def __init__(
        self, folder: Path, transport: Transport, facts: Callable[[], Facts], *, on_refused: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self.progress = Progress()
        self._transport = transport
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
        if piece.file is not None:
            self._upload(piece)
        failpoints.reach("client.stored")
        self._acked.write(piece.upto)
        failpoints.reach("client.acked")
        if piece.file is not None:
            (self.folder / "files" / piece.file.name).unlink(missing_ok=True)
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

    def _upload(self, piece: Piece) -> None:
        file = piece.file
        assert file is not None  # noqa: S101
        staged = self.folder / "files" / file.name
        if "/" in file.name or not staged.is_file():
            self._note(wire.Refused(piece.upto.seq, "not_found", f"The copy of {file.path!r} is gone."))
            return
        try:
            self._transport.upload(file.run, file.path, staged)
        except Away:
            raise
        except KeepwellError as error:
            self._note(wire.Refused(piece.upto.seq, error.code, f"{file.path}: {error.message}"))

    def _note(self, refused: wire.Refused) -> None:
        self.progress.refused.append(refused)
        self._refused(refused.message)


class Sender:
    """The thread of a process that sends what its session logged."""

    def __init__(
        self,
        courier: Courier,
        end: Callable[[], Position],
        released: Callable[[int], None],
        tell: Callable[[str], None],
        draw: random.Random,
    ) -> None:
        self._courier = courier
        self._end = end
        self._released = released
        self._tell = tell
        self._draw = draw
        self._something = threading.Event()
        self._hurry = threading.Event()
        self._idle = threading.Condition()
        self._stop = False
        self._told = False
        self.awake = False
        """Whether the thread will look for records without being woken."""
        self.failures = 0
        """Attempts that failed in a row."""
        self.last_error = ""
        self.reached = False
        """Whether the other side ever took something."""
        self._thread = threading.Thread(target=self._run, name="keepwell-sender", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Let the thread know that there is something; costs nothing while it is awake."""
        self.awake = True
        self._something.set()

    def flush(self, seconds: float) -> bool:
        """Wait until everything logged so far was acknowledged, at most so long; tell whether it was."""
        wanted = self._end().seq
        self._hurry.set()
        self.wake()
        with self._idle:
            return self._idle.wait_for(lambda: self._done(wanted) or not self._thread.is_alive(), seconds) and (
                self._done(wanted)
            )

    def stop(self, seconds: float) -> None:
        """End the thread; what it has not sent stays."""
        self._stop = True
        self._hurry.set()
        self.wake()
        self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    @property
    def left(self) -> int:
        """How many records are not acknowledged."""
        return max(0, self._end().seq - self._courier.position.seq)

    def _done(self, wanted: int) -> bool:
        return self._courier.position.seq >= wanted

    def _run(self) -> None:
        while not self._stop:
            self._something.wait()
            self._something.clear()
            self._hurry.wait(LINGER)
            self.awake = True
            while not self._stop and self._step():
                pass
            self.awake = False
            if not self._done(self._end().seq) and not self._stop:
                self._something.set()  # logged between our last look and the line above
        with contextlib.suppress(Exception):
            self._courier.close()

    def _step(self) -> bool:
        """Send one piece or wait after a failure; tell whether to go on at once."""
        segment = self._courier.position.segment
        try:
            more = self._courier.send_next()
        except Away as error:
            self._failed(error)
            return True
        except Exception as error:  # noqa: BLE001  (the outermost loop of a thread: training goes on whatever happens)
            self._failed(Away(f"{type(error).__name__}: {error}", tell=True))
            return True
        self.failures, self.last_error = 0, ""
        self.reached = self.reached or more
        if self._courier.position.segment > segment:
            self._released((self._courier.position.segment - segment) * (32 << 20))
        with self._idle:
            self._idle.notify_all()
        if not more:
            self._hurry.clear()
        elif self._end().seq - self._courier.position.seq < FULL:
            self._hurry.wait(PACE)
        return more

    def _failed(self, error: Away) -> None:
        self.failures += 1
        self.last_error = error.message
        if error.tell and not self._told:
            self._told = True
            self._tell(f"{error.message} (what is logged waits on this machine)")
        cap = 1.0 if self._hurry.is_set() else 30.0
        wait = wait_seconds(self.failures, self._draw, told=error.told, base=0.25, cap=cap)
        if self._hurry.is_set():
            time.sleep(wait)
        else:
            self._hurry.wait(wait)


def replace_ops(batch: wire.Batch, ops: list[tuple[int, wire.Op]]) -> wire.Batch:
    """Return a batch with other operations."""
    return wire.Batch(batch.session, ops, batch.blobs)


def send_all(courier: Courier, *, tries: int, draw: random.Random) -> int:
    """Send everything that a dead session left, and return how many bytes of it could not be read.

    Raises:
        Away: the other side stayed away for so many tries in a row.
        Damaged: what is left makes no progress.
    """
    failed, lost = 0, 0
    for _ in range(1 << 40):
        try:
            more = courier.send_next()
        except Away as error:
            failed += 1
            if failed >= tries:
                raise
            time.sleep(wait_seconds(failed, draw, told=error.told, cap=5.0))
            continue
        failed = 0
        if not more:
            torn, goes_on = courier.leftover()
            lost += torn
            if not goes_on:
                return lost
    raise Damaged("The spool does not come to an end.")


def _with(op: wire.Op, facts: Facts) -> wire.Op:
    if not isinstance(op, wire.Start) or op.resume or not facts.start:
        return op
    fields = {name: getattr(op, name) for name in op.__struct_fields__}
    return wire.Start(**{**fields, **facts.start})
