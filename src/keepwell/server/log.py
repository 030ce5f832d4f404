"""The server's log: one JSON object a line, in ASCII, so that no text of a caller can forge a line or move a cursor."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import TextIO

from sqlalchemy.exc import DBAPIError

from keepwell.core.clock import Clock, iso

MOST = 500


class Log:
    """Writes what happened; never a header, a cookie, a body or a query."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._clock = clock

    def write(self, kind: str, **facts: object) -> None:
        """Write one line; texts are cut at 500 characters."""
        line = {"at": iso(self._clock.now()), "kind": kind, **{name: _short(fact) for name, fact in facts.items()}}
        self._out.write(json.dumps(line, ensure_ascii=True, default=str) + "\n")
        self._out.flush()

    def failure(self, kind: str, error: BaseException, **facts: object) -> None:
        """Write an unexpected error: its type, its sentence and the places it came through, without any values."""
        said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        places = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        self.write(kind, error=type(error).__name__, said=said, places=places[-20:], **facts)


class IntoLog(logging.Handler):
    """Passes warnings of the HTTP server into our log. Errors of the app are logged where they are answered."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if record.exc_info is None:
            self._log.write("server.warning", said=record.getMessage())


def _short(fact: object) -> object:
    return fact[: MOST - 3] + "..." if isinstance(fact, str) and len(fact) > MOST else fact
