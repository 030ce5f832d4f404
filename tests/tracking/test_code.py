"""The version of the code: Git's commit and what differs from it, or the digest of a folder's source files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from keepwell.tracking.code import code_version

git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def run(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", *arguments],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    run(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a.py").write_text("x = 1\n")
    run(tmp_path, "add", "a.py")
    run(tmp_path, "commit", "-q", "-m", "First")
    return tmp_path


@git
def test_clean_and_dirty(repository: Path) -> None:
    clean = code_version(repository)
    assert clean.commit is not None and len(clean.commit) in (40, 64)
    assert (clean.dirty, clean.diff, clean.source) == (False, None, None)
    (repository / "a.py").write_text("x = 2\n")
    changed = code_version(repository)
    assert changed.commit == clean.commit and changed.dirty is True and changed.diff is not None
    (repository / "a.py").write_text("x = 3\n")
    assert code_version(repository).diff != changed.diff
    (repository / "a.py").write_text("x = 1\n")
    assert code_version(repository) == clean
    (repository / "new.py").write_text("y = 1\n")
    added = code_version(repository)
    (repository / "new.py").write_text("y = 2\n")
    assert added.dirty and added.diff != code_version(repository).diff


@git
def test_a_folder_inside_and_a_repository_without_commits(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (repository / "inner").mkdir()
    assert code_version(repository / "inner") == code_version(repository)
    empty = tmp_path_factory.mktemp("empty")
    run(empty, "init", "-q")
    assert code_version(empty).commit is None


@git
def test_the_remote_has_no_credentials(repository: Path) -> None:
    run(repository, "remote", "add", "origin", "https://ada:canary-99@example.com/x.git")
    assert code_version(repository).remote == "https://(hidden)@example.com/x.git"


@git
def test_what_a_repository_configures_is_not_run(repository: Path) -> None:
    marker = repository.parent / f"{repository.name}-marker"
    script = repository.parent / f"{repository.name}-evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {marker}\n")
    script.chmod(0o755)
    for name in (
        "core.fsmonitor",
        "diff.external",
        "core.pager",
        "core.sshCommand",
        "diff.evil.textconv",
        "diff.evil.command",
    ):
        run(repository, "config", name, str(script))
    (repository / ".gitattributes").write_text("*.py diff=evil\n")
    (repository / "a.py").write_text("x = 5\n")
    assert code_version(repository).dirty
    assert not marker.exists()


def test_outside_of_a_repository(tmp_path: Path) -> None:
    assert code_version(tmp_path / "gone").source is None
    before = code_version(tmp_path)
    assert before.commit is None
    if before.dirty is not None:
        pytest.skip("the temp folder lies in a repository")
    (tmp_path / "a.py").write_text("x = 1\n")
    first = code_version(tmp_path)
    assert first.source is not None
    (tmp_path / "notes.txt").write_text("no source")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "b.py").write_text("y")
    assert code_version(tmp_path) == first
    (tmp_path / "a.py").write_text("x = 2\n")
    assert code_version(tmp_path).source != first.source
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.py").symlink_to(tmp_path / "nowhere")
    assert code_version(tmp_path).source
