"""Denied changes leave a row in the ledger; how many a minute is bounded, so that nobody fills the disk with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from keepwell import db, ledger
from keepwell.core.errors import Unavailable
from keepwell.core.events import Event
from keepwell.flows.kit import Kit
from keepwell.server.limits import Limits
from keepwell.server.log import Log


class Denials:
    """Records denied calls."""

    def __init__(self, kit: Kit, limits: Limits, log: Log, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kit = kit
        self._log = log
        self._most = float(limits.denials_at_once)
        self._rate = limits.denials_per_minute / 60
        self._monotonic = monotonic
        self._left = self._most
        self._at = monotonic()
        self._unrecorded = 0
        self._lock = threading.Lock()

    def record(self, actor: str, method: str, reason: str, route: str | None) -> None:
        """Write one `access.denied` row, or count it for the next row when there were too many.

        Args:
            actor: who it was, or `anonymous`.
            method: GET, POST, ...
            reason: the error's code.
            route: the route's own path with its placeholders, when one was matched; never the caller's text.
        """
        unrecorded = self._take()
        if unrecorded is None:
            return
        facts = {"method": method, "reason": reason, "route": route, "unrecorded": unrecorded}
        try:
            with db.write(self._kit.db) as tx:
                ledger.append(tx, self._kit.call(actor), Event("access.denied", "server:http", facts))
        except Unavailable as error:
            self._log.write("denial.unrecorded", said=error.message, **facts)

    def _take(self) -> int | None:
        """Return how many went unrecorded since the last row, or None when this one does too."""
        with self._lock:
            now = self._monotonic()
            self._left = min(self._most, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1:
                self._unrecorded += 1
                return None
            self._left -= 1
            unrecorded, self._unrecorded = self._unrecorded, 0
            return unrecorded
