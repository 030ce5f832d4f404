"""The lane of uploads: files that are large, one after the other, while what else is logged goes on beside them.

What takes the lane is noted in `lane/` of the session's folder, a small file for each, before its record counts as
acknowledged; the note goes when it is done. So nothing of it is lost with the process: `keepwell sync` finds the notes.
Operations of the lane are numbered by their records like all others, under the session's id with `-up` behind it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from keepwell.client.lanes import Item, Staged
from keepwell.client.transports import Away, Transport
from keepwell.core import failpoints
from keepwell.core.errors import InvalidInput, KeepwellError
from keepwell.tracking import wire


class Uploads:
    """What waits in a session's lane, and a connection of its own to send it over."""

    def __init__(self, folder: Path, connect: Callable[[], Transport], refused: Callable[[wire.Refused], None]) -> None:
        self.sent = 0
        self._folder = folder
        self._session = f"{folder.name}-up"
        self._connect = connect
        self._refused = refused
        self._transport: Transport | None = None
        self._waiting: deque[Item] = deque()

    @property
    def pending(self) -> int:
        """How many things wait."""
        return len(self._waiting)

    def behind(self, seq: int) -> bool:
        """Tell whether something waits whose record is not after this number."""
        with contextlib.suppress(IndexError):
            return self._waiting[0].seq <= seq
        return False

    def note(self, items: Iterable[Item]) -> None:
        """Write down what takes the lane; once more changes nothing.

        Raises:
            OSError: the disk is full.
        """
        for item in items:
            self._place(item.seq).parent.mkdir(mode=0o700, exist_ok=True)
            self._place(item.seq).write_bytes(msgspec.msgpack.encode(item))

    def begin(self, items: Iterable[Item]) -> None:
        """Let what was noted be sent: what comes before it is stored."""
        self._waiting.extend(items)

    def find(self) -> None:
        """Take up what a dead process noted, all of whose other records are stored."""
        self._waiting.clear()
        for place in sorted(p for p in (self._folder / "lane").glob("*") if p.name.isdigit()):
            with contextlib.suppress(msgspec.DecodeError):
                self._waiting.append(msgspec.msgpack.decode(place.read_bytes(), type=Item))

    def send_next(self) -> bool:
        """Send what waits longest; tell whether there was something.

        Raises:
            Away: not now; it comes first the next time.
        """
        if not self._waiting:
            return False
        item = self._waiting[0]
        try:
            self._send(item)
        except Away:
            raise
        except KeepwellError as error:
            path = f"{item.file.path}: " if item.file is not None else ""
            self._refused(wire.Refused(item.seq, error.code, f"{path}{error.message}"))
        failpoints.reach("client.uploaded")
        self._place(item.seq).unlink(missing_ok=True)
        if item.file is not None:
            self._copy(item.file).unlink(missing_ok=True)
        self.sent += 1
        self._waiting.popleft()
        return True

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _send(self, item: Item) -> None:
        if self._transport is None:
            self._transport = self._connect()
        if item.file is None:
            outcome = self._transport.send(wire.Batch(self._session, [(item.seq, wire.unpack_op(item.op))]))
            for refused in outcome.refused:
                self._refused(refused)
            return
        copy = self._copy(item.file)
        if not copy.is_file():
            raise InvalidInput("The copy that was to be uploaded is gone.")
        self._transport.upload(item.file.owner, item.file.path, copy)

    def _place(self, seq: int) -> Path:
        return self._folder / "lane" / f"{seq:020d}"

    def _copy(self, staged: Staged) -> Path:
        return self._folder / "files" / Path(staged.name).name


def noted(folder: Path) -> int:
    """Return how many things wait in a session's lane."""
    return sum(1 for _ in (folder / "lane").glob("*"))
