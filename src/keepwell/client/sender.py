"""The threads that send what a session logged; what goes wrong never reaches those who log.

One takes the records, in order; the other the lane of uploads, so that a large file delays nothing but what must come
after it.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable

from keepwell.client.courier import Courier
from keepwell.client.rules import wait_seconds
from keepwell.client.spool import Position
from keepwell.client.transports import Away

LINGER = 0.2
"""Seconds between the first record that waits and the batch that takes it along with those after it."""
PACE = 1.0
"""Seconds between two batches that are not full: many clients log to one server."""
FULL = 10_000
"""Records that are worth a batch at once."""


class Patience:
    """How often one of the threads failed in a row, and how long it waits then.

    Attributes:
        hurry: set while somebody waits for what it does.
        failures: attempts that failed in a row.
        last_error: why the last of them did.
    """

    def __init__(self, tell: Callable[[str], None], draw: random.Random) -> None:
        self.hurry = threading.Event()
        self.failures = 0
        self.last_error = ""
        self._tell = tell
        self._told = False
        self._draw = draw

    def tried(self, step: Callable[[], bool]) -> bool | None:
        """Do a step and return what it says; None, after a wait, when it failed."""
        try:
            done = step()
        except Away as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001  (the outermost loop of a thread: training goes on whatever happens)
            self._failed(Away(f"{type(error).__name__}: {error}", tell=True))
        else:
            self.failures, self.last_error = 0, ""
            return done
        return None

    def _failed(self, error: Away) -> None:
        self.failures += 1
        self.last_error = error.message
        if error.tell and not self._told:
            self._told = True
            self._tell(f"{error.message} (what is logged waits on this machine)")
        cap = 1.0 if self.hurry.is_set() else 30.0
        wait = wait_seconds(self.failures, self._draw, told=error.told, base=0.25, cap=cap)
        if self.hurry.is_set():
            time.sleep(wait)
        else:
            self.hurry.wait(wait)


class Sender:
    """The threads of a process that send what its session logged."""

    def __init__(
        self,
        courier: Courier,
        end: Callable[[], Position],
        released: Callable[[int], None],
        tell: Callable[[str], None],
        draw: random.Random,
    ) -> None:
        self._courier = courier
        self._uploads = courier.uploads
        self._end = end
        self._released = released
        self._something = threading.Event()
        self._files = threading.Event()
        self._idle = threading.Condition()
        self._stop = False
        self._patience, self._patience_up = Patience(tell, draw), Patience(tell, draw)
        self.awake = False
        """Whether the thread will look for records without being woken."""
        self.reached = False
        """Whether the other side ever took something."""
        self._threads = (
            threading.Thread(target=self._run, name="keepwell-sender", daemon=True),
            threading.Thread(target=self._run_uploads, name="keepwell-uploads", daemon=True),
        )

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Let the thread know that there is something; costs nothing while it is awake."""
        self.awake = True
        self._something.set()

    def flush(self, seconds: float) -> bool:
        """Wait until everything logged so far was acknowledged, at most so long; tell whether it was."""
        wanted = self._end().seq
        self._hurry()
        with self._idle:
            return self._idle.wait_for(lambda: self._done(wanted) or not self.alive, seconds) and self._done(wanted)

    def stop(self, seconds: float) -> None:
        """End the threads; what they have not sent stays."""
        self._stop = True
        self._hurry()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def alive(self) -> bool:
        """Whether a thread still runs."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def left(self) -> int:
        """How many records are not acknowledged, or wait to be uploaded."""
        return max(0, self._end().seq - self._courier.position.seq) + self._uploads.pending

    @property
    def failures(self) -> int:
        """Attempts that failed in a row."""
        return self._patience.failures + self._patience_up.failures

    @property
    def last_error(self) -> str:
        """Why the last of them failed."""
        return self._patience.last_error or self._patience_up.last_error

    def _hurry(self) -> None:
        self._patience.hurry.set()
        self._patience_up.hurry.set()
        self._files.set()
        self.wake()

    def _stored(self, wanted: int) -> bool:
        return self._courier.position.seq >= wanted

    def _done(self, wanted: int) -> bool:
        return self._stored(wanted) and not self._uploads.behind(wanted)

    def _run(self) -> None:
        while not self._stop:
            self._something.wait()
            self._something.clear()
            self._patience.hurry.wait(LINGER)
            self.awake = True
            while not self._stop and self._step():
                pass
            self.awake = False
            if not self._stored(self._end().seq) and not self._stop:
                self._something.set()  # logged between our last look and the line above
        with contextlib.suppress(Exception):
            self._courier.close()

    def _step(self) -> bool:
        """Send one piece or wait after a failure; tell whether to go on at once."""
        segment = self._courier.position.segment
        more = self._patience.tried(self._courier.send_next)
        if more is None:
            return True
        self.reached = self.reached or more
        if self._courier.position.segment > segment:
            self._released((self._courier.position.segment - segment) * (32 << 20))
        if self._uploads.pending:
            self._files.set()
        self._notify()
        hurry = self._patience.hurry
        if not more:
            hurry.clear()
        elif self._end().seq - self._courier.position.seq < FULL:
            hurry.wait(PACE)
        return more

    def _run_uploads(self) -> None:
        while not self._stop:
            self._files.wait()
            self._files.clear()
            while not self._stop and self._uploads.pending:
                self._patience_up.tried(self._uploads.send_next)
                self._notify()
            if self._stored(self._end().seq):
                self._patience_up.hurry.clear()
        with contextlib.suppress(Exception):
            self._uploads.close()

    def _notify(self) -> None:
        with self._idle:
            self._idle.notify_all()
