"""The program of one worker process: reads tasks from its stdin, writes outcomes to the pipe it is told.

Run as `python -m keepwell.pipelines.worker FD`. It ends when its stdin closes, so it never outlives who started it.
"""

from __future__ import annotations

import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from keepwell.core.errors import KeepwellError
from keepwell.pipelines import commands
from keepwell.pipelines.execute import execute
from keepwell.pipelines.loading import load_function
from keepwell.pipelines.tasks import Outcome, Task

INLINE = 256 << 10
"""Outputs larger than this many bytes go back in a file."""


def main() -> None:
    """Work until stdin closes."""
    answers = int(sys.argv[1])
    os.set_inheritable(answers, False)
    tasks = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us; it closes our stdin
    signal.signal(signal.SIGTERM, lambda *_: _stop())
    frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(tasks, frames), daemon=True).start()
    sys.path[:] = msgspec.msgpack.decode(frames.get(), type=list[str])
    while True:
        task = msgspec.msgpack.decode(frames.get(), type=Task)
        outcome = _in_files(task, _run(task))
        sys.stdout.flush()
        sys.stderr.flush()
        data = msgspec.msgpack.encode(outcome)
        _write(answers, struct.pack(">I", len(data)) + data)


def _run(task: Task) -> Outcome:
    function: Callable[..., Any] | None = None
    if task.function is not None:
        try:
            function = load_function(task.function)
        except KeepwellError as error:
            return Outcome(id=task.id, error=error.message)
    return execute(task, function)


def _in_files(task: Task, outcome: Outcome) -> Outcome:
    """Put large outputs into files of the task's folder."""
    outputs = dict(outcome.outputs)
    for number, (name, made) in enumerate(outcome.outputs.items()):
        if made.data is not None and len(made.data) > INLINE:
            Path(task.folder).mkdir(parents=True, exist_ok=True, mode=0o700)
            place = Path(task.folder) / f"output-{number}"
            place.write_bytes(made.data)
            outputs[name] = msgspec.structs.replace(made, data=None, path=str(place))
    return msgspec.structs.replace(outcome, outputs=outputs)


def _read(tasks: Any, frames: queue.SimpleQueue[bytes]) -> None:
    while header := tasks.read(4):
        frames.put(tasks.read(struct.unpack(">I", header)[0]))
    _stop()


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _stop() -> NoReturn:
    """End at once, with the command that runs, if one does."""
    for group in list(commands.running):
        commands.end_group(group)
    os._exit(0)


if __name__ == "__main__":
    main()
