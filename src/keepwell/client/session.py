"""The session of this process: its spool and its sender, made when they are first needed, and told at the end."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import random
import sys
import threading
import time
from pathlib import Path

from keepwell.client import facts, syncing
from keepwell.client.courier import Courier, Facts
from keepwell.client.lanes import Behind
from keepwell.client.sender import Sender
from keepwell.client.spool import Spool, Target, sessions, target_of
from keepwell.client.transports import Transport
from keepwell.core.clock import SystemClock
from keepwell.core.errors import KeepwellError
from keepwell.core.ids import Ids, RandomIds
from keepwell.settings import ClientSettings, read_client_settings

EXIT_SECONDS = 15.0
"""How long a process that ends waits for what it logged to arrive."""
AWAY_SECONDS = 5.0
"""And how long when nothing has ever answered it."""

_log = logging.getLogger("keepwell")


class Session:
    """What one process logs to.

    Attributes:
        settings: where to, and as whom.
        spool: takes records.
        sender: sends them.
        behind: tells which of them must come after files.
    """

    def __init__(self, settings: ClientSettings, ids: Ids, parent: str | None) -> None:
        self.settings = settings
        if settings.remote:
            from keepwell.client.transports.web import check_address

            check_address(settings.uri)  # before it is written into the spool: it may hold credentials
        self.spool = Spool(settings.spool, ids.new("ses"), Target(uri=settings.uri, pid=os.getpid(), parent=parent))
        self.behind = Behind()
        self._facts: Facts | None = None
        self._code = facts.code_folder()
        self._refused: dict[str, int] = {}
        self._courier = Courier(self.spool.folder, self._transport, self._gather, on_refused=self._on_refused)
        self.sender = Sender(
            self._courier,
            self.spool.end,
            self.spool.released,
            tell,
            random.Random(),  # noqa: S311  (how long to wait between two tries)
        )
        self.sender.start()

    @property
    def id(self) -> str:
        """The session's id."""
        return self.spool.session

    def wake(self) -> None:
        """Let the sender know that there is something."""
        if not self.sender.awake:
            self.sender.wake()

    def flush(self, seconds: float) -> bool:
        """Wait until everything logged so far is stored, at most so long; tell whether it is."""
        return self.sender.flush(seconds)

    def end(self, seconds: float) -> None:
        """Send what is left, at most so long, and say in a line what has to wait."""
        done = self.flush(min(seconds, AWAY_SECONDS))
        away = self.sender.failures and not self.sender.reached
        if not done and not away and seconds > AWAY_SECONDS:
            done = self.flush(seconds - AWAY_SECONDS)
        self.sender.stop(1.0)
        left = self.sender.left
        self.spool.close(remove=done and not left and not self.sender.alive)
        self._say(left, done)

    def _say(self, left: int, done: bool) -> None:
        if self.spool.dropped:
            why = f" ({self.spool.failure.strerror})" if self.spool.failure is not None else ""
            tell(f"{self.spool.dropped:,} records found no room in {self.spool.folder.parent} and are lost{why}")
        if not done or left:
            because = f" ({self.sender.last_error})" if self.sender.last_error else ""
            tell(f"{left:,} records wait in {self.spool.folder}{because}; 'keepwell sync' sends them")
        if self._courier.progress.unreadable:
            tell(f"{self._courier.progress.unreadable:,} records could not be read again and are lost")
        more = sum(self._refused.values()) - len(self._refused)
        if more > 0:
            tell(f"{more:,} more records were refused for the reasons that were told")

    def _transport(self) -> Transport:
        return syncing.transport_to(self.settings)

    def _gather(self) -> Facts:
        if self._facts is None:
            self._facts = facts.gather(self.spool.folder, self._code)
        return self._facts

    def _on_refused(self, message: str) -> None:
        self._refused[message] = self._refused.get(message, 0) + 1
        if self._refused[message] == 1 and len(self._refused) <= 20:
            tell(f"not recorded: {message}")


class _Process:
    """What is one of in a process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.session: Session | None = None
        self.settings: ClientSettings | None = None
        self.parent: str | None = None
        self.pid = os.getpid()
        self.at_exit: list[object] = []


_process = _Process()
_inherited: list[Session] = []
"""Sessions of processes that this one was forked from: never closed here, as their database connections must not be."""
_ids = RandomIds(SystemClock())


def current() -> Session:
    """Return this process's session; begin it when there is none.

    Raises:
        Unavailable: the spool's folder cannot be used.
        InvalidInput: a setting cannot be used.
    """
    found = _process.session
    return found if found is not None else _begin()


def begun() -> Session | None:
    """Return this process's session, if it has begun."""
    return _process.session


def settings() -> ClientSettings:
    """Return where this process records."""
    if _process.settings is None:
        _process.settings = read_client_settings()
    return _process.settings


def choose(chosen: ClientSettings) -> None:
    """Record elsewhere from now on; what was logged before is sent to where it was meant for, in a bounded time."""
    with _process.lock:
        before, _process.session, _process.settings = _process.session, None, chosen
    if before is not None:
        before.end(EXIT_SECONDS)


def ids() -> Ids:
    """Return the source of new ids."""
    return _ids


def milliseconds() -> int:
    """Return the moment, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def tell(sentence: str) -> None:
    """Say something to whoever reads this process's log."""
    with contextlib.suppress(Exception):
        _log.warning("keepwell: %s", sentence)


def finish(seconds: float | None = None) -> None:
    """End this process's session, waiting EXIT_SECONDS without another word; one that comes after it is another."""
    with _process.lock:
        before, _process.session = _process.session, None
    if before is not None:
        root, session = before.settings.spool, before.id
        before.end(EXIT_SECONDS if seconds is None else seconds)
        _children(root, session)


def _begin() -> Session:
    with _process.lock:
        if _process.session is None:
            _process.session = Session(settings(), _ids, _process.parent)
            if _process.parent is not None and "multiprocessing" in sys.modules:
                from multiprocessing import util

                util.Finalize(None, finish, exitpriority=-100)  # such children end without `atexit`
        return _process.session


def _children(root: Path, session: str) -> None:
    """Send what forked children of this session, which have ended, could not."""
    for folder in sessions(root):
        target = target_of(folder)
        if target is not None and target.parent == session:
            with contextlib.suppress(KeepwellError, OSError):
                syncing.sync_one(folder, settings(), tries=2, orphans=False)


def _forked() -> None:
    """Begin anew in a forked child: the parent's spool, lock and thread are not its own."""
    global _process
    before = _process
    _process = _Process()
    _process.settings = before.settings
    _process.parent = before.session.id if before.session is not None else before.parent
    if before.session is not None:
        before.session.spool.forget()
        _inherited.append(before.session)


os.register_at_fork(after_in_child=_forked)
atexit.register(finish)
