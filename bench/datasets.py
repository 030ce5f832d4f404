"""Dataset versions beside what they cannot be faster than: sha256 of the same bytes, scandir and stat of the files.

Seconds are CPU seconds of this process (user and system, all threads), the least of three runs. The files lie in a temp
folder and are in the page cache.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from keepwell.bootstrap import open_house
from keepwell.core.clock import SystemClock
from keepwell.datasets import checking, service
from keepwell.datasets.content import manifest_of
from keepwell.db import read
from keepwell.flows.kit import Kit
from keepwell.flows.publish import refer
from keepwell.settings import read_settings

FILES, SIZE, FOLDERS = 20_000, 20 * 1024, 20
LARGE = 1 << 30


def rows() -> Iterator[dict[str, object]]:
    """Yield a row a walk: 20,000 files added, checked unchanged, and 1 GiB added."""
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp)
        many = _many(root / "many")
        kit = open_house(read_settings(str(root / "home"), {}), clock=SystemClock())
        yield _row(
            "version 20,000 files of 20 KiB", "sha256 of them", _cpu(lambda: _hash_all(many)),
            _cpu(lambda: _add(kit, many)), 0.6,
        )  # fmt: skip
        yield _row(
            "check 20,000 files, unchanged", "scandir + stat", _cpu(lambda: _stat_all(many)),
            _cpu(lambda: _check(kit)), 0.1,
        )  # fmt: skip
        yield _copied("copied by both versions", kit, FILES * SIZE)
        one = _large(root / "one")
        yield _row(
            "version 1 GiB, one file", "sha256 of it", _cpu(lambda: _hash_all(one)),
            _cpu(lambda: _add(kit, one)), 0.85,
        )  # fmt: skip


def _row(walk: str, limit_name: str, limit: float, ours: float, bar: float) -> dict[str, object]:
    return {
        "walk": walk, "limit_name": limit_name, "limit": limit, "ours": ours, "unit": "CPU s", "ratio": ours / limit,
        "bar": bar, "ok": ours <= bar,
    }  # fmt: skip


def _copied(walk: str, kit: Kit, versioned: int) -> dict[str, object]:
    stored = sum(file.stat().st_size for file in (kit.home / "blobs").rglob("*") if file.is_file())
    return {
        "walk": walk, "limit_name": "bytes that were versioned", "limit": versioned / 1e6, "ours": stored / 1e6,
        "unit": "MB", "ratio": stored / versioned, "bar": versioned / 1e6 * 0.1, "ok": stored < versioned * 0.1,
    }  # fmt: skip


def _cpu(walk: Callable[[], object]) -> float:
    """Return the least CPU seconds of three runs."""
    spent = []
    for _ in range(3):
        start = time.process_time()
        walk()
        spent.append(time.process_time() - start)
    return min(spent)


_added = 0


def _add(kit: Kit, folder: Path) -> None:
    """Add a dataset that was never seen, so that every file is digested."""
    global _added
    _added += 1
    refer(kit, kit.call("person:bench"), f"bench {_added}", [str(folder)], folder, profiled=False)


def _check(kit: Kit) -> None:
    with read(kit.db) as tx:
        newest = service.named_version(tx, "bench 1")
        known, arrived = service.seen(tx, "bench 1")
    found = checking.check_sources(manifest_of(kit.blobs, newest), known=known, arrived=arrived)
    assert found.whole
    assert found.files == FILES


def _hash_all(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            with Path(place, name).open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size <= SIZE:
                    hashlib.sha256(file.read()).digest()
                else:
                    hashlib.file_digest(file, "sha256").digest()


def _stat_all(folder: Path) -> None:
    for place in os.scandir(folder):
        for entry in os.scandir(place.path):
            entry.stat(follow_symlinks=False)


def _many(folder: Path) -> Path:
    for i in range(FOLDERS):
        (folder / f"{i:02d}").mkdir(parents=True)
    for i in range(FILES):
        (folder / f"{i % FOLDERS:02d}" / f"{i}.bin").write_bytes(os.urandom(SIZE))
    return folder


def _large(folder: Path) -> Path:
    folder.mkdir()
    with (folder / "one.bin").open("wb") as file:
        for _ in range(LARGE >> 20):
            file.write(os.urandom(1 << 20))
    return folder
