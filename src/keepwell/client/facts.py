"""What is recorded of a process without being asked: code version, environment, machine; gathered by the sender."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import msgspec

from keepwell.client.courier import Facts
from keepwell.client.private import write_private
from keepwell.core.digests import digest_bytes
from keepwell.tracking.code import changes_of, code_version
from keepwell.tracking.machine import describe_environment, machine_of
from keepwell.tracking.model import Code


class _Kept(msgspec.Struct, frozen=True):
    code: Code
    machine: dict[str, object]
    environment: bytes
    changes: bytes = b""


def gather(session: Path, code: Path) -> Facts:
    """Return what is recorded of this process, and keep it in the session's folder for whoever sends what is left.

    Args:
        session: the session's folder.
        code: the folder of the code that runs.
    """
    version = code_version(code)
    changes = changes_of(code) if version.dirty else b""
    kept = _Kept(version, machine_of(), describe_environment(), changes)
    with contextlib.suppress(OSError):
        write_private(session / "facts", msgspec.msgpack.encode(kept))
    return _facts(kept)


def kept(session: Path) -> Facts:
    """Return what a dead process had gathered."""
    try:
        return _facts(msgspec.msgpack.decode((session / "facts").read_bytes(), type=_Kept))
    except (OSError, msgspec.DecodeError):
        return Facts()


def code_folder() -> Path:
    """Return the folder of the program that runs: of its script, or the working folder."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if isinstance(file, str) and Path(file).is_file() and getattr(main, "__spec__", None) is None:
        return Path(file).absolute().parent
    return Path.cwd()


def _facts(kept: _Kept) -> Facts:
    start: dict[str, object] = {
        "code": kept.code,
        "machine": kept.machine,
        "environment": digest_bytes(kept.environment),
    }
    if kept.changes:
        start["changes"] = digest_bytes(kept.changes)
    return Facts(start, tuple(filter(None, (kept.environment, kept.changes))))
