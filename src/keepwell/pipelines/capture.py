"""Capture what Python code prints in one thread, while other threads go on printing where they did."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_local = threading.local()
_lock = threading.Lock()
_inside = 0
_before: tuple[TextIO, TextIO] | None = None


class _ByThread(io.TextIOBase):
    """A text stream that writes to the thread's own buffer, or to the stream that was there before."""

    def __init__(self, before: TextIO) -> None:
        self._before = before

    def write(self, text: str) -> int:
        buffer: io.StringIO | None = getattr(_local, "buffer", None)
        return (buffer or self._before).write(text) if buffer is None else buffer.write(text)

    def flush(self) -> None:
        if getattr(_local, "buffer", None) is None:
            self._before.flush()

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._before, name)


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """Collect what this thread prints to `sys.stdout` and `sys.stderr`."""
    buffer = io.StringIO()
    _enter()
    previous = getattr(_local, "buffer", None)
    _local.buffer = buffer
    try:
        yield buffer
    finally:
        _local.buffer = previous
        _leave()


def _enter() -> None:
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = (sys.stdout, sys.stderr)
            sys.stdout, sys.stderr = _ByThread(sys.stdout), _ByThread(sys.stderr)
        _inside += 1


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0 and _before is not None:
            if isinstance(sys.stdout, _ByThread):
                sys.stdout = _before[0]
            if isinstance(sys.stderr, _ByThread):
                sys.stderr = _before[1]
