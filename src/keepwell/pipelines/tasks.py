"""One piece of work for a runner, and what came of it: plain data that crosses a process boundary as msgpack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from keepwell.pipelines.values import Payload


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A command, made ready: see `pipelines.model.Command`.

    Attributes:
        argv: program and arguments, with placeholders.
        files: path in the step's folder to the file that is copied there.
        outputs: output name to file name.
        formats: input name to the format its file is written in.
        variables: the whole environment of the program, but for HOME and TMPDIR.
    """

    argv: tuple[str, ...]
    files: dict[str, str]
    outputs: dict[str, str]
    formats: dict[str, str]
    variables: dict[str, str]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a function or one run of a command.

    Attributes:
        id: unique within the run.
        step: the step's name, for messages.
        folder: where it may put files; made by whoever runs it, if it needs one, and removed by who asked.
        function: where the function is found, `module:name` or `path.py:name`; None for a command.
        program: the command; None for a function.
        inputs: argument to stored value.
        constants: argument to plain value.
        outputs: names of the outputs; a function's result is split over them.
        timeout: seconds.
    """

    id: int
    step: str
    folder: str
    function: str | None = None
    program: Program | None = None
    inputs: dict[str, Payload] = {}
    constants: dict[str, Any] = {}
    outputs: tuple[str, ...] = ()
    timeout: float | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task.

    Attributes:
        id: the task's.
        outputs: name to value, bytes at hand or in a file of the task's folder; empty when it failed.
        log: what was written to stdout and stderr, shortened in the middle when it is long.
        error: why it failed, in a sentence; None when it did not.
        seconds: how long it took.
    """

    id: int
    outputs: dict[str, Payload] = {}
    log: bytes = b""
    error: str | None = None
    seconds: float = 0.0


class Runner(Protocol):
    """Runs tasks. Implementations pass `keepwell.testing.runners`."""

    @property
    def slots(self) -> int:
        """How many tasks it runs at a time; more may be submitted and wait."""

    @property
    def remote(self) -> bool:
        """Whether functions are found again by name in another process: then they must be importable."""

    def submit(self, task: Task, function: Callable[..., Any] | None) -> None:
        """Take a task. The function is given where it is at hand; a remote runner finds it by `task.function`."""

    def wait(self, timeout: float | None) -> Sequence[Outcome]:
        """Return outcomes of submitted tasks: at least one, or none when the timeout (seconds) passes first."""

    def cancel(self) -> None:
        """Forget submitted tasks, and stop the running ones where that can be done."""

    def close(self) -> None:
        """Let go of processes. The runner may be used again."""


HEAD, TAIL = 256 << 10, 768 << 10


def shorten(log: bytes) -> bytes:
    """Return a log with its middle left out when it is longer than a mebibyte."""
    if len(log) <= HEAD + TAIL:
        return log
    left_out = len(log) - HEAD - TAIL
    return log[:HEAD] + f"\n... {left_out:,} bytes left out ...\n".encode() + log[-TAIL:]


def last_lines(log: bytes, most: int = 5) -> str:
    """Return a log's last lines that say something, in one printable line of at most 500 characters."""
    lines = [line.strip() for line in log[-4096:].decode("utf-8", "replace").splitlines() if line.strip()]
    text = " | ".join(lines[-most:])
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= 500 else "..." + shown[-497:]
