"""Run a command as a step: a fresh folder, files in and out, a list of arguments and no shell, a small environment."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from keepwell.core.digests import canonical_json
from keepwell.core.errors import InvalidInput
from keepwell.pipelines.graph import PLACEHOLDER
from keepwell.pipelines.tasks import HEAD, TAIL, Program, Task, last_lines, shorten
from keepwell.pipelines.values import ENDINGS, Payload, file_bytes

_NUMBER = re.compile(r"-?\d")
running: set[int] = set()
"""Process groups of commands that run now, so that a worker which must stop can end them."""


def search_path() -> str:
    """Return where programs are looked for: beside this Python, then the system's folders. Not what PATH says."""
    return os.pathsep.join(
        [str(Path(sys.executable).parent), "/usr/local/bin", "/opt/homebrew/bin", "/usr/bin", "/bin"]
    )


def base_variables() -> dict[str, str]:
    """Return the environment every command gets; HOME and TMPDIR are added, both inside its folder."""
    return {"PATH": search_path(), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONUNBUFFERED": "1"}


def run(task: Task) -> tuple[dict[str, Payload], bytes, str | None]:
    """Run a task's command in its folder.

    Returns:
        The outputs (files in the folder), what the program wrote, and why it failed, if it did.

    Raises:
        InvalidInput: an input cannot be written as a file, a value looks like an option, or there is no such program.
    """
    program = task.program
    assert program is not None  # noqa: S101  (asked for by `execute`)
    folder = Path(task.folder)
    folder.mkdir(parents=True, mode=0o700)
    argv = _prepare(task, program, folder)
    variables = {**program.variables, "HOME": str(folder), "TMPDIR": str(folder / "tmp")}
    try:
        process = subprocess.Popen(  # noqa: S603  (list arguments, no shell, values checked)
            argv,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise InvalidInput(f"The program {program.argv[0]!r} cannot be started: {error.strerror}.") from error
    running.add(process.pid)
    try:
        log, in_time = _follow(process, task.timeout)
    finally:
        end_group(process.pid)
        process.wait()
        running.discard(process.pid)
    if not in_time:
        return {}, log, f"It took longer than the {task.timeout:g} s it may take (timeout)."
    if process.returncode != 0:
        return {}, log, _how_it_ended(program.argv[0], process.returncode, log)
    return {name: _collect(folder, name, path) for name, path in program.outputs.items()}, log, None


def end_group(group: int) -> None:
    """Kill a command and what it started."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _prepare(task: Task, program: Program, folder: Path) -> list[str]:
    """Place files and inputs, and return the arguments with their placeholders filled."""
    for name, source in program.files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
    for name in ("inputs", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    paths = {name: _place(folder, name, payload, program) for name, payload in task.inputs.items()}
    for path in program.outputs.values():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    if task.constants:
        (folder / "params.json").write_bytes(canonical_json(task.constants))
    arguments = _fill(program, paths, task.constants)
    return [_executable(program, folder), *arguments]


def _place(folder: Path, name: str, payload: Payload, program: Program) -> str:
    try:
        ending, data = file_bytes(payload, program.formats.get(name))
    except InvalidInput as error:
        raise InvalidInput(f"Its input {name!r} cannot be written as a file. {error.message}") from error
    path = f"inputs/{name}{ending}"
    (folder / path).write_bytes(data)
    return path


def _fill(program: Program, paths: Mapping[str, str], constants: Mapping[str, object]) -> list[str]:
    filled: list[str] = []
    after_dashes = False
    for argument in program.argv[1:]:
        match = PLACEHOLDER.search(argument)
        text = argument
        if match:
            text = (
                argument[: match.start()]
                + _value(match[1], match[2], program, paths, constants)
                + argument[match.end() :]
            )
            if text.startswith("-") and not argument.startswith("-") and not after_dashes and not _NUMBER.match(text):
                raise InvalidInput(
                    f"The value of {match[0]} starts with '-' and would be read as an option: put '--' before it, "
                    "or pass it as --name={...}."
                )
        after_dashes = after_dashes or argument == "--"
        filled.append(text)
    return filled


def _value(room: str, name: str, program: Program, paths: Mapping[str, str], constants: Mapping[str, object]) -> str:
    if room == "inputs" and name in paths:
        return paths[name]
    if room == "outputs":
        return program.outputs[name]
    value = constants.get(name)
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool | int | float):
        text = canonical_json(value).decode()
    else:
        raise InvalidInput(f"The value {name!r} cannot be an argument: it must be text or a number; read params.json.")
    if "\0" in text:
        raise InvalidInput(f"The value {name!r} holds a NUL byte.")
    return text


def _executable(program: Program, folder: Path) -> str:
    name = program.argv[0]
    found = find_program(name, program.variables.get("PATH", search_path()), folder)
    if found is None:
        raise InvalidInput(f"There is no program {name!r}: install it, or name it by its path.")
    return found


def find_program(name: str, path: str, folder: Path) -> str | None:
    """Return the file of a program: a bare name is looked for on `path`, another one is relative to the folder."""
    if "/" not in name:
        return shutil.which(name, path=path)
    place = Path(name) if Path(name).is_absolute() else folder / name
    return str(place) if place.is_file() and os.access(place, os.X_OK) else None


def _follow(process: subprocess.Popen[bytes], timeout: float | None) -> tuple[bytes, bool]:
    """Read what a process writes until it ends; tell whether it ended in time."""
    deadline = None if timeout is None else time.monotonic() + timeout
    head, tail, total = bytearray(), bytearray(), 0
    assert process.stdout is not None  # noqa: S101  (opened as a pipe above)
    with selectors.DefaultSelector() as selector, process.stdout as stream:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if deadline is not None and time.monotonic() > deadline:
                return _joined(head, tail, total), False
            ready = selector.select(0.05 if process.poll() is None or deadline is not None else 0.0)
            chunk = os.read(stream.fileno(), 1 << 16) if ready else b""
            if chunk:
                total += len(chunk)
                room = HEAD - len(head)
                head += chunk[:room] if room > 0 else b""
                tail += chunk[room:] if room > 0 else chunk
                del tail[: max(0, len(tail) - TAIL)]
            elif ready:  # closed: what is left is to end
                _end_by(process, deadline)
                return _joined(head, tail, total), process.returncode is not None
            elif process.poll() is not None:  # ended, with a child that still holds the pipe
                return _joined(head, tail, total), True


def _end_by(process: subprocess.Popen[bytes], deadline: float | None) -> None:
    try:
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return


def _joined(head: bytearray, tail: bytearray, total: int) -> bytes:
    left_out = total - len(head) - len(tail)
    middle = f"\n... {left_out:,} bytes left out ...\n".encode() if left_out else b""
    return shorten(bytes(head) + middle + bytes(tail)) if not left_out else bytes(head) + middle + bytes(tail)


def _collect(folder: Path, name: str, path: str) -> Payload:
    place = folder / path
    if place.resolve() != folder.resolve() / path or not place.is_file():
        raise InvalidInput(
            f"It left no file {path!r} for its output {name!r}: the program must write it as a regular file."
        )
    return Payload(format=ENDINGS.get(place.suffix.lower(), "bytes"), path=str(place))


def _how_it_ended(name: str, status: int, log: bytes) -> str:
    said = last_lines(log)
    if status < 0:
        try:
            how = f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            how = f"was killed by signal {-status}"
    else:
        how = f"ended with status {status}"
    return f"The program {name!r} {how}" + (f": {said}" if said else ".")
