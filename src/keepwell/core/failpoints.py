"""Named failpoints: places where a test can make a process die, fail or wait.

`reach("upload.renamed")` costs one dictionary look-up on an empty dictionary unless points are armed at start-up.
Actions: `kill` (SIGKILL), `raise:OSError(28)` style `errno:28`, `sleep:5`, `stop` (SIGSTOP), `log` (name to stderr).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import NoReturn

from keepwell.core.errors import InvalidInput

_armed: dict[str, tuple[str, int]] = {}
_hits: dict[str, int] = {}


def arm(spec: str) -> None:
    """Arm the points of `name:action[@n]`, separated by commas; `*:log` names every point reached on stderr.

    Raises:
        InvalidInput: a part of the text is not of that form.
    """
    _armed.clear()
    _hits.clear()
    for part in filter(None, (p.strip() for p in spec.split(","))):
        name, colon, action = part.partition(":")
        action, _, count = action.partition("@")
        if not colon or not action or (count and not count.isdigit()):
            raise InvalidInput(f"{part!r} is not a failpoint: write name:action or name:action@n.")
        _armed[name] = (action, int(count or 1))


def reach(name: str) -> None:
    """Do what is armed at this point, or nothing."""
    if not _armed:
        return
    action, at = _armed.get(name) or _armed.get("*", ("", 1))
    if not action:
        return
    _hits[name] = _hits.get(name, 0) + 1
    if action == "log":
        sys.stderr.write(f"failpoint {name}\n")
    elif _hits[name] == at:
        _act(action)


def _act(action: str) -> None:
    verb, _, value = action.partition(":")
    match verb:
        case "kill":
            _die()
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "sleep":
            time.sleep(float(value))
        case "errno":
            raise OSError(int(value), os.strerror(int(value)))
        case _:
            raise InvalidInput(f"{action!r} is not an action of a failpoint.")


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(137)
