"""Write step records and small values in batches: one transaction for what happened in the last fifth of a second.

What is lost when the process is killed is the record of at most that long; those steps run again.
"""

from __future__ import annotations

import threading
from types import TracebackType

from keepwell.core import failpoints
from keepwell.db import Database, write
from keepwell.pipelines import store
from keepwell.pipelines.model import StepRun

INTERVAL = 0.2
"""Seconds between two commits at most, while there is something to write."""


class Recorder:
    """Collects records and writes them from a thread of its own: a long step does not hold back its forerunners.

    A database in memory has one connection and is written in the calling thread, at the end.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._steps: dict[tuple[int, int], StepRun] = {}
        self._values: dict[str, bytes] = {}
        self.inline: set[str] = set()
        self._change = threading.Condition()
        self._writing = threading.Lock()
        self._stopping = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True) if not database.in_memory else None

    def __enter__(self) -> Recorder:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._change:
            self._stopping = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join()
        if kind is None:
            self.flush()

    def note(self, one: StepRun) -> None:
        """Take a step's record; it is written over what was written of it before.

        Raises:
            KeepwellError: writing has failed before.
        """
        if self._failure is not None:
            raise self._failure
        with self._change:
            if not self._steps:
                self._change.notify()
            self._steps[one.position, one.part] = one

    def keep(self, digest: str, data: bytes) -> None:
        """Take a small value that is kept in the database, not as a file."""
        with self._change:
            if digest not in self.inline:
                self.inline.add(digest)
                self._values[digest] = data

    def flush(self) -> None:
        """Write what has been taken, now.

        Raises:
            KeepwellError: the database cannot be written.
        """
        if self._failure is not None:
            raise self._failure
        with self._writing:
            with self._change:
                steps, self._steps = list(self._steps.values()), {}
                values, self._values = self._values, {}
                held = frozenset(d for one in steps for d in one.outputs.values() if d in self.inline)
            if not steps and not values:
                return
            with write(self._database) as tx:
                store.save(tx, steps, values, held)
            failpoints.reach("pipelines.recorded")

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._stopping or self._steps)
                self._change.wait_for(lambda: self._stopping, INTERVAL)
                if self._stopping:
                    return
            try:
                self.flush()
            except BaseException as failure:  # noqa: BLE001  (handed to the thread that runs the steps)
                self._failure = failure
                return
