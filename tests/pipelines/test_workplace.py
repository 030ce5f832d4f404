"""The folder of a run: held by one process, removed when it ends, swept when it was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepwell.core.errors import Conflict
from keepwell.pipelines import workplace
from keepwell.pipelines.workplace import Workplace, is_alive, sweep


def test_it_is_held_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "_SECONDS", 0.05)
    folder = tmp_path / "work" / "prn_1"
    assert not is_alive(str(folder))
    with Workplace(folder) as place:
        assert is_alive(str(folder)) and folder.stat().st_mode & 0o077 == 0
        with pytest.raises(Conflict, match="another process"), Workplace(folder):
            pass
        assert len({place.task_folder() for _ in range(3)}) == 3
        sweep(folder.parent)
        assert folder.is_dir(), "a living run is not swept"
    assert not folder.exists() and not is_alive(str(folder))


def test_what_was_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "prn_1"
    (left / "1" / "deep").mkdir(parents=True)
    (left / "1" / "deep" / "file").write_text("x")
    (left / "1" / "deep").chmod(0o500)
    (left / "lock").touch()
    (left / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    with Workplace(left) as place:
        assert [p.name for p in place.folder.iterdir()] == ["lock"]
    assert (tmp_path / "kept" / "file").exists()


def test_sweep(tmp_path: Path) -> None:
    sweep(tmp_path / "gone")
    for name in ("a", "b"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "lock").touch()
    (tmp_path / "file").touch()
    (tmp_path / "unlocked").mkdir()
    sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"file", "unlocked"}
