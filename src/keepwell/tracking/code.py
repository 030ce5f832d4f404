"""The version of the code in a folder: Git's commit and what differs from it, or a digest of the source files."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from keepwell.core.secrets import hide_credentials, hide_secrets
from keepwell.tracking.model import Code

_SECONDS = 20
_SOURCES = frozenset({".py", ".r", ".sql", ".yaml", ".yml", ".toml", ".sh", ".jl", ".js", ".ipynb"})
_MOST_FILES = 2_000
_MOST_BYTES = 4 << 20
_MOST_PATCH = 512 << 10
_QUIET = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")


def code_version(folder: Path) -> Code:
    """Return the version of the code in a folder.

    Inside a Git work tree: the commit, whether tracked or untracked files differ from it and a digest of how, and the
    remote's address without credentials. Elsewhere: a digest of the folder's source files. Hooks, monitors and external
    diffs that the repository configures are not run.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None:
        return Code(source=_tree_digest(folder))
    root = Path(os.fsdecode(top.rstrip(b"\n")))
    commit = _git(root, "rev-parse", "--verify", "-q", "HEAD")
    remote = _git(root, "config", "--get", "remote.origin.url")
    status = _git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=none")
    dirty = None if status is None else bool(status)
    return Code(
        commit=commit.decode().strip() if commit else None,
        dirty=dirty,
        diff=_difference(root, status, commit is not None) if status else None,
        remote=hide_credentials(remote.decode("utf-8", "replace").strip()) if remote else None,
    )


def changes_of(folder: Path) -> bytes:
    """Return how the tracked files of a Git work tree differ from its commit, as a patch; empty when they do not.

    What looks like a secret is hidden, files that are not text are only named, and a patch of more than 512 KiB is cut.
    """
    if _git(folder, "rev-parse", "--verify", "-q", "HEAD") is None:
        return b""
    patch = _git(folder, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD") or b""
    if len(patch) > _MOST_PATCH:
        patch = patch[: patch.rfind(b"\n", 0, _MOST_PATCH) + 1] + b"(cut here: the patch is longer)\n"
    return hide_secrets(patch.decode("utf-8", "replace")).encode("utf-8", "replace")


def _difference(root: Path, status: bytes, has_commit: bool) -> str:
    """Return a digest of the status, the difference of tracked files, and the untracked files' bytes."""
    total = hashlib.sha256(status)
    if has_commit:
        total.update(_git(root, "diff", "--no-ext-diff", "--no-textconv", "--binary", "HEAD") or b"")
    untracked = sorted(entry[3:] for entry in status.split(b"\0") if entry.startswith(b"?? "))
    for name in untracked[:_MOST_FILES]:
        _add_file(total, root / os.fsdecode(name), name)
    return "sha256:" + total.hexdigest()


def _tree_digest(folder: Path) -> str | None:
    if not folder.is_dir():
        return None
    total = hashlib.sha256()
    found = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")) and f != "node_modules")
        for name in sorted(files):
            path = Path(place) / name
            if path.suffix.lower() in _SOURCES and found < _MOST_FILES:
                found += 1
                _add_file(total, path, os.fsencode(path.relative_to(folder)))
    return "sha256:" + total.hexdigest() if found else None


def _add_file(total: hashlib._Hash, path: Path, name: bytes) -> None:
    """Add a file's name, and its bytes or, for a large or unreadable one, its size."""
    total.update(len(name).to_bytes(4, "big") + name)
    try:
        size = path.lstat().st_size
        if path.is_file() and not path.is_symlink() and size <= _MOST_BYTES:
            total.update(hashlib.sha256(path.read_bytes()).digest())
        else:
            total.update(size.to_bytes(8, "big"))
    except OSError:
        total.update(b"?")


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Return what a Git command writes, or None when it fails, is missing or takes too long."""
    git = shutil.which("git")
    if git is None or not folder.is_dir():
        return None
    try:
        done = subprocess.run(  # noqa: S603  (a fixed program, list arguments, no shell)
            [git, *_QUIET, *arguments],
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0",
                 "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_EXTERNAL_DIFF": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
