"""Which way a record goes: with the others, or in the lane of uploads, which nothing else waits behind. Pure.

Files that are large take that lane, in order, and with them only what must not come before them: the end of their run,
the end of their model, and another file of the same path.
"""

from __future__ import annotations

import msgspec

from keepwell.tracking import wire


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """A file that waits in the session's folder to be uploaded.

    Attributes:
        run: the run that logged it.
        path: its path among the artifacts.
        name: of the copy in `files/`.
        size: in bytes.
        model: the logged model whose artifact it is; None: the run's own.
    """

    run: str
    path: str
    name: str
    size: int
    model: str | None = None

    @property
    def owner(self) -> str:
        """Whose artifact it is."""
        return self.model or self.run


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What the lane of uploads holds: a file, or an operation.

    Attributes:
        seq: the number of its record.
        file: to upload.
        op: packed as `wire.pack` does.
    """

    seq: int
    file: Staged | None = None
    op: bytes = b""


class Behind:
    """Tells which operations of a process must come after files that took the lane of uploads."""

    def __init__(self) -> None:
        self._paths: dict[str, set[str]] = {}

    def add(self, staged: Staged) -> None:
        """Note a file that takes the lane."""
        self._paths.setdefault(staged.run, set())
        self._paths.setdefault(staged.owner, set()).add(staged.path)

    def waits(self, op: wire.Op) -> bool:
        """Tell whether an operation takes the lane too."""
        if not self._paths:
            return False
        match op:
            case wire.Put():
                return op.path in self._paths.get(op.owner, ())
            case wire.Finish():
                return op.run in self._paths
            case wire.Ready():
                return op.model in self._paths
            case wire.Start():
                return op.resume and op.run in self._paths
        return False
