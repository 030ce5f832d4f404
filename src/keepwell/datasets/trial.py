"""Read files of binary formats for trial, in a process of their own: a damaged one can end the process that reads it.

A Parquet file with one changed byte can make its reader ask for 2 EiB of memory, which aborts; a small Excel file can
unpack to a large one. Here a child process reads such files one after the other under a limit of memory and time, and
says of each whether it could. The file at which it dies is the one that cannot be read, and another child goes on.
Text formats (CSV, JSON lines) are checked byte by byte before they are parsed and need no trial.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence

from keepwell.core.errors import InvalidInput, KeepwellError
from keepwell.datasets.model import SourceFile
from keepwell.datasets.reading import format_of, need_excel, read_bytes

_RISKY = frozenset({"parquet", "excel"})
_SECONDS, _SECONDS_A_GIB = 60, 60


def try_files(files: Sequence[SourceFile], declared: str | None = None) -> dict[str, str]:
    """Return digest to the sentence that says why a file of a binary format cannot be read, for those that cannot.

    A file that is not named here can be read in this process.

    Raises:
        NotInstalled: a file is Excel and the extra is missing.
    """
    waiting = [(file, form) for file in files if (form := _form(file, declared)) in _RISKY]
    for file, form in waiting:
        if form == "excel":
            need_excel(file.uri)
    wrong: dict[str, str] = {}
    while waiting:
        answers = _run(waiting)
        for (file, _), answer in zip(waiting, answers, strict=False):
            if answer is not None:
                wrong[file.sha256] = answer
        if len(answers) < len(waiting):
            file, form = waiting[len(answers)]
            wrong[file.sha256] = f"The file is damaged: reading it as {form} ends the process that tries."
        waiting = waiting[len(answers) + 1 :]
    return wrong


def _form(file: SourceFile, declared: str | None) -> str | None:
    try:
        return format_of(file.uri, declared)
    except InvalidInput:
        return None


def _run(waiting: Sequence[tuple[SourceFile, str]]) -> list[str | None]:
    """Read files in a child; return, for each that it lived through, None or why it cannot be read."""
    asked = "".join(json.dumps([file.uri, form]) + "\n" for file, form in waiting)
    seconds = _SECONDS + _SECONDS_A_GIB * sum(file.size for file, _ in waiting) // 2**30
    child = subprocess.Popen(
        [sys.executable, "-m", "keepwell.datasets.trial"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        said = child.communicate(asked.encode(), timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        child.kill()
        said = child.communicate()[0]
    whole = said[: said.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def main() -> None:
    """Read the files that stdin names, one `[path, format]` a line, and answer each with null or a sentence."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        path, form = json.loads(line)
        answer = None
        try:
            with open(path, "rb", opener=_opener) as file:
                read_bytes(file.read(), "file", form)
        except InvalidInput as error:
            answer = error.message
        except (KeepwellError, OSError):
            pass  # a missing extra, or a file that is gone: whoever reads it next says so
        except MemoryError:
            answer = "The file needs more memory than the machine has."
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


if __name__ == "__main__":
    main()
