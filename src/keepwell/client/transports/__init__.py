"""How records reach a house: in this process, or over HTTP. Both do what `Transport` promises."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from keepwell.core.errors import Unauthenticated, Unavailable
from keepwell.tracking import wire


class Away(Unavailable):
    """The other side cannot be reached, is busy, or does not let us in; it may later.

    Attributes:
        told: seconds that it asked us to wait.
        tell: whether a person has to do something: a token is missing, an address is wrong.
    """

    code = "away"

    def __init__(self, message: str, *, told: float | None = None, tell: bool = False) -> None:
        super().__init__(message)
        self.told = told
        self.tell = tell


class Closed(Away, Unauthenticated):
    """The other side is there and does not let us in: a token is missing, not good, or may not do this.

    Attributes:
        denied: why we may not do this, in its words; empty when it does not know us.
    """

    code = "closed"

    def __init__(self, message: str, *, denied: str = "") -> None:
        super().__init__(message, tell=True)
        self.denied = denied


class Transport(Protocol):
    """Takes what a session logged. One thread uses it at a time."""

    def send(self, batch: wire.Batch) -> wire.Outcome:
        """Store a batch; sent again it changes nothing.

        Raises:
            Away: not now.
            InvalidInput: this batch, never.
        """

    def upload(self, owner: str, path: str, file: Path) -> None:
        """Store a file as an artifact of a run or a logged model; sent again it changes nothing.

        Raises:
            Away: not now.
            KeepwellError: this file, never.
        """

    def close(self) -> None:
        """Let go of connections."""
