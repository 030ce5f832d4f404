"""Runners: in this process, and in processes of their own."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from keepwell.core.errors import InvalidInput
from keepwell.pipelines.capture import captured
from keepwell.pipelines.execute import execute, too_long
from keepwell.pipelines.tasks import HEAD, TAIL, Outcome, Task, shorten

GRACE = 3.0
"""Seconds that a worker gets to end its command before it is killed, and over a command's own timeout."""


class InProcess:
    """Runs tasks one after the other in the calling thread, when `wait` is called."""

    slots = 1
    remote = False

    def __init__(self) -> None:
        self._waiting: collections.deque[tuple[Task, Callable[..., Any] | None]] = collections.deque()

    def submit(self, task: Task, function: Callable[..., Any] | None) -> None:
        """Take a task."""
        self._waiting.append((task, function))

    def wait(self, timeout: float | None) -> Sequence[Outcome]:
        """Run the next task to its end and return its outcome; the timeout cannot interrupt it."""
        if not self._waiting:
            return ()
        task, function = self._waiting.popleft()
        with captured() as printed:
            outcome = execute(task, function)
        said = printed.getvalue()
        if said:
            outcome = msgspec.structs.replace(outcome, log=outcome.log + shorten(said.encode("utf-8", "replace")))
        return (outcome,)

    def cancel(self) -> None:
        """Forget tasks that did not start."""
        self._waiting.clear()

    def close(self) -> None:
        """Nothing is held."""


class Processes:
    """Runs tasks in worker processes that are started as new programs, not forked, and kept for the next task.

    A worker that dies fails the task it had, with a sentence, and another one takes its place. A function that runs out
    of time is ended with its worker.
    """

    remote = True

    def __init__(self, count: int = 2) -> None:
        if not 1 <= count <= 256:
            raise InvalidInput("Processes run 1 to 256 workers.", where="workers")
        self._count = count
        self._workers: list[_Worker] = []
        self._waiting: collections.deque[Task] = collections.deque()
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def slots(self) -> int:
        """How many workers there are at most."""
        return self._count

    def submit(self, task: Task, function: Callable[..., Any] | None) -> None:
        """Take a task; it starts at once when a worker is free."""
        self._waiting.append(task)
        self._assign()

    def wait(self, timeout: float | None) -> Sequence[Outcome]:
        """Return what has come of tasks; waits for at least one, or until the timeout."""
        until = None if timeout is None else time.monotonic() + timeout
        outcomes: list[Outcome] = []
        while not outcomes and any(w.task for w in self._workers):
            now = time.monotonic()
            limits = [t for t in (until, *(w.deadline for w in self._workers if w.task)) if t is not None]
            pause = max(0.0, min(limits) - now) if limits else None
            for key, _ in self._selector.select(pause):
                worker: _Worker = key.data
                outcome = worker.receive()
                if worker.dead:
                    self._drop(worker)
                if outcome is not None:
                    outcomes.append(outcome)
            outcomes += self._overdue(time.monotonic())
            self._assign()
            if until is not None and time.monotonic() >= until:
                break
        return outcomes

    def cancel(self) -> None:
        """Forget waiting tasks and end the workers that are busy."""
        self._waiting.clear()
        for worker in [w for w in self._workers if w.task]:
            self._drop(worker)
            worker.end()

    def close(self) -> None:
        """End all workers."""
        self._waiting.clear()
        for worker in list(self._workers):
            self._drop(worker)
            worker.end()

    def _assign(self) -> None:
        while self._waiting:
            free = next((w for w in self._workers if w.task is None), None)
            if free is not None and not free.alive():
                self._drop(free)
                free.end()
                continue
            if free is None and len(self._workers) >= self._count:
                return
            worker = free or self._start()
            worker.send(self._waiting.popleft())

    def _start(self) -> _Worker:
        worker = _Worker()
        self._workers.append(worker)
        self._selector.register(worker.replies, selectors.EVENT_READ, worker)
        return worker

    def _drop(self, worker: _Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
            self._selector.unregister(worker.replies)

    def _overdue(self, now: float) -> list[Outcome]:
        outcomes = []
        for worker in [w for w in self._workers if w.task and w.deadline is not None and now > w.deadline]:
            task = worker.task
            assert task is not None and task.timeout is not None  # noqa: S101  (chosen above)
            self._drop(worker)
            worker.end()
            outcomes.append(
                Outcome(id=task.id, error=too_long(task.timeout), log=worker.last_log, seconds=task.timeout)
            )
        return outcomes


class _Worker:
    """One worker process: tasks go in on its stdin, outcomes come back on a pipe, what it prints goes to a file."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.deadline: float | None = None
        self.dead = False
        self.last_log = b""
        self._buffer = bytearray()
        self._started = 0.0
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `end`)
        printed = self._printed.fileno()
        fcntl.fcntl(printed, fcntl.F_SETFL, fcntl.fcntl(printed, fcntl.F_GETFL) | os.O_APPEND)
        self.replies, answers = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603  (this Python, our own module)
                [sys.executable, "-P", "-m", "keepwell.pipelines.worker", str(answers)],
                stdin=subprocess.PIPE,
                stdout=printed,
                stderr=printed,
                pass_fds=(answers,),
                start_new_session=True,
            )
        finally:
            os.close(answers)
        self._write(msgspec.msgpack.encode([str(Path(p).absolute()) for p in sys.path]))

    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    def send(self, task: Task) -> None:
        """Hand it a task. Should it have died, `receive` will say so."""
        self.task = task
        self._started = time.monotonic()
        extra = GRACE if task.program is not None else 0.0
        self.deadline = None if task.timeout is None else self._started + task.timeout + extra
        self._write(msgspec.msgpack.encode(task))

    def receive(self) -> Outcome | None:
        """Read what there is; return the outcome when it is whole, or the one that says that the worker died."""
        chunk = os.read(self.replies, 1 << 16)
        if not chunk:
            return self._died()
        self._buffer += chunk
        if len(self._buffer) < 4:
            return None
        size = struct.unpack_from(">I", self._buffer)[0]
        if len(self._buffer) < 4 + size:
            return None
        outcome = msgspec.msgpack.decode(bytes(self._buffer[4 : 4 + size]), type=Outcome)
        del self._buffer[: 4 + size]
        self.task = None
        return msgspec.structs.replace(outcome, log=shorten(outcome.log + self._take_log()))

    def end(self) -> None:
        """End the process and what it started; keep what it printed last."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.last_log = self._take_log()
        self._printed.close()
        os.close(self.replies)

    def _died(self) -> Outcome | None:
        self.dead = True
        task, seconds = self.task, time.monotonic() - self._started
        try:
            status = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            status = None
        self.end()
        if task is None:
            return None
        return Outcome(id=task.id, error=_how_it_died(status), log=self.last_log, seconds=seconds)

    def _take_log(self) -> bytes:
        """Return what was printed since the last time, and forget it."""
        handle = self._printed.fileno()
        size = os.fstat(handle).st_size
        if size == 0:
            return b""
        if size <= HEAD + TAIL:
            log = os.pread(handle, size, 0)
        else:
            middle = f"\n... {size - HEAD - TAIL:,} bytes left out ...\n".encode()
            log = os.pread(handle, HEAD, 0) + middle + os.pread(handle, TAIL, size - TAIL)
        os.ftruncate(handle, 0)
        return log

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101  (opened as a pipe above)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(struct.pack(">I", len(data)) + data)
            self._process.stdin.flush()


def _how_it_died(status: int | None) -> str:
    if status is not None and status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"The process that ran it was ended by {name}{hint}; its other work goes on in a new one."
    return f"The process that ran it ended by itself with status {status}; its other work goes on in a new one."
