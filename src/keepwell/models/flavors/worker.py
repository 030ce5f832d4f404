"""The program of a model's process: it gives up what it can, loads one model, and answers until its stdin closes.

Started by `sandbox.Worker` with an empty environment and a fresh folder. What the model prints goes nowhere near the
answers: those have a pipe of their own.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Any

import msgspec

from keepwell.models.flavors.confine import confine
from keepwell.models.flavors.model import Start


def main() -> None:
    """Load, then answer."""
    answers = int(sys.argv[1])
    os.set_inheritable(answers, False)
    tasks = os.fdopen(os.dup(0), "rb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    start = msgspec.msgpack.decode(_read(tasks), type=Start)
    held = confine(start.limits, Path(start.own), start.readable)
    sys.path[:] = start.path
    model, error = _load(start)
    _answer(answers, {"confined": held, "error": error})
    if model is None:
        return
    while data := _read(tasks):
        _answer(answers, _predict(model, data))


def _load(start: Start) -> tuple[Any, Any]:
    from keepwell.models.flavors.loading import load_here
    from keepwell.models.flavors.model import Policy

    policy = Policy(pickle=start.pickle, code=tuple(start.code))
    try:
        return load_here(Path(start.folder), start.flavor, policy), None
    except Exception as error:  # noqa: BLE001  (a model may raise anything; the asker is told)
        return None, _told(error)


def _predict(model: Any, data: bytes) -> dict[str, Any]:
    from keepwell.models.flavors import wire

    try:
        asked = wire.decode(data)
        answer = model.predict(asked["data"], asked["params"])
        wire.encode(answer)
    except Exception as error:  # noqa: BLE001  (as above)
        return {"error": _told(error)}
    return {"answer": answer}


def _told(error: Exception) -> list[str]:
    from keepwell.core.errors import KeepwellError

    if isinstance(error, KeepwellError):
        return [type(error).__name__, error.message, error.where or ""]
    text = str(error).strip().splitlines()
    return ["", f"{type(error).__name__}: {text[0][:500] if text else 'no reason given'}", ""]


def _read(tasks: Any) -> bytes:
    header = tasks.read(8)
    return b"" if len(header) < 8 else tasks.read(struct.unpack(">Q", header)[0])


def _answer(handle: int, value: dict[str, Any]) -> None:
    from keepwell.models.flavors import wire

    data = wire.encode(value)
    view = memoryview(struct.pack(">Q", len(data)) + data)
    while view:
        view = view[os.write(handle, view) :]


if __name__ == "__main__":
    main()
