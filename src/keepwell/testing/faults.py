"""Faults on demand: the n-th system call or statement of a piece of work fails, for n = 1, 2, 3 ... (SQLite's own way).

A loop that raises n until nothing fired has shown what the work does when any one of its calls fails.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from keepwell.db import quick

CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "read")


@dataclass
class Fault:
    """A fault that waits: how many calls are still to succeed, and whether it fired, on which call."""

    left: int
    fired: bool = False
    name: str = ""

    def count(self, name: str) -> bool:
        """Count one call, and tell whether it is the one that fails."""
        self.left -= 1
        if self.left == 0:
            self.fired, self.name = True, name
        return self.left == 0


@contextmanager
def failing(nth: int, number: int, only: str | None = None) -> Iterator[Fault]:
    """Make the n-th call of `os.open`, `os.write`, `os.fsync` ... fail with an error number.

    Args:
        nth: 1 for the first call.
        number: such as `errno.ENOSPC`.
        only: count calls of this function of `os` only.
    """
    fault = Fault(nth)
    real = {name: getattr(os, name) for name in CALLS if only in (None, name)}

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if fault.count(name):
                raise OSError(number, os.strerror(number))
            return function(*arguments, **named)

        return call

    for name, function in real.items():
        setattr(os, name, wrap(name, function))
    try:
        yield fault
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def _lost_disk(engine: Engine, message: str) -> Exception:
    if engine.dialect.name == "postgresql":
        import psycopg

        return psycopg.errors.DiskFull(message)
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


@contextmanager
def failing_statements(engine: Engine, nth: int, message: str = "disk I/O error") -> Iterator[Fault]:
    """Make the n-th statement on a database fail, as a disk that gives out would."""
    fault = Fault(nth)

    def before(*_: object) -> None:
        if fault.count("statement"):
            raise _lost_disk(engine, message)

    class Cursor:
        """A driver's cursor, as the hot path has it, whose statements count too."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def execute(self, *given: Any) -> Any:
            before()
            return self._real.execute(*given)

        def executemany(self, *given: Any) -> Any:
            before()
            return self._real.executemany(*given)

    real = quick.cursor
    event.listen(engine, "before_cursor_execute", before)
    quick.cursor = lambda tx: Cursor(real(tx))
    try:
        yield fault
    finally:
        quick.cursor = real
        event.remove(engine, "before_cursor_execute", before)
