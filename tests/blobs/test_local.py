from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from keepwell.blobs import LocalBlobs
from keepwell.core.errors import Damaged, NotFound, Unavailable
from keepwell.testing.blobs import BlobsConformance
from keepwell.testing.faults import failing


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def place_of(blobs: LocalBlobs, digest: str) -> Path:
    return blobs._root / digest[7:9] / digest[9:]


def temps(blobs: LocalBlobs) -> list[Path]:
    return list((blobs._root / "tmp").iterdir())


class TestLocalBlobs(BlobsConformance):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> LocalBlobs:
        return LocalBlobs(tmp_path / "blobs")


def spoil(place: Path, data: bytes) -> None:
    place.chmod(0o600)
    place.write_bytes(data)


@pytest.mark.parametrize("torn", [b"", b"the b", b"the bYtes", b"the bytes and more"])
def test_what_was_changed_is_never_served(blobs, torn):
    digest = blobs.put(b"the bytes")
    assert blobs.path(digest)
    spoil(place_of(blobs, digest), torn)
    with pytest.raises(Damaged, match="have changed"):
        blobs.get(digest)
    with pytest.raises(Damaged):
        blobs.path(digest)  # seen before, and changed since
    assert not blobs.verify(digest)
    assert blobs.put(b"the bytes") == digest  # storing it again heals it
    assert blobs.get(digest) == b"the bytes"
    assert blobs.verify(digest)


def test_a_bit_that_flipped(blobs):
    data = os.urandom(3_000_000)
    digest = blobs.put(data)
    spoil(place_of(blobs, digest), data[:-1] + bytes([data[-1] ^ 1]))
    assert not blobs.verify(digest)
    assert not LocalBlobs(blobs._root)._holds(digest, data)


def test_stored_bytes_are_nobody_elses_and_read_only(blobs):
    digest = blobs.put(b"private")
    assert place_of(blobs, digest).stat().st_mode & 0o777 == 0o400
    assert blobs._root.stat().st_mode & 0o777 == 0o700
    assert temps(blobs) == []


def test_foreign_files_are_not_listed(blobs):
    digest = blobs.put(b"a")
    (place_of(blobs, digest).parent / "notes.txt").write_text("mine")
    (blobs._root / "zz").mkdir()
    assert list(blobs.digests()) == [digest]


def test_a_folder_in_the_place_of_bytes(blobs):
    digest = "sha256:" + "a" * 64
    place_of(blobs, digest).mkdir(parents=True)
    with pytest.raises(NotFound):
        blobs.get(digest)
    with pytest.raises(NotFound):
        blobs.path(digest)


def test_sweep_takes_old_temp_files_only(blobs):
    digest = blobs.put(b"kept")
    old, new = blobs._root / "tmp" / "old", blobs._root / "tmp" / "new"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (1000, 1000))
    assert blobs.sweep(older_than=2000) == 1
    assert [file.name for file in temps(blobs)] == ["new"]
    assert blobs.get(digest) == b"kept"


def test_size_and_free_bytes(blobs):
    assert blobs.size(blobs.put(b"12345")) == 5
    assert blobs.size("sha256:" + "0" * 64) is None
    assert blobs.free_bytes() > 0


def test_a_root_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"Not a directory|File exists"):
        LocalBlobs(tmp_path / "file" / "blobs")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES])
@pytest.mark.parametrize("how", ["put", "put_file"])
def test_the_nth_system_call_fails(tmp_path, number, how):
    """Whatever call fails, nothing half-written is visible, no temp file stays, and the next try succeeds."""
    data = b"a model" * 200_000
    source = tmp_path / "source"
    source.write_bytes(data)
    nth = 0
    while True:
        nth += 1
        blobs = LocalBlobs(tmp_path / f"blobs{nth}")
        with failing(nth, number) as fault:
            try:
                done = blobs.put(data) if how == "put" else blobs.put_file(source)
            except Unavailable as error:
                done = None
                assert str(error).count(". ") <= 1
        if not fault.fired:
            assert done is not None
            break
        assert all(blobs.verify(digest) for digest in blobs.digests())
        if done is None:
            assert temps(blobs) == [] or fault.name == "unlink"
        again = blobs.put(data) if how == "put" else blobs.put_file(source)
        assert blobs.get(again) == data
    assert nth > 6  # open, write, fsync, mkdir, fsync of the root, rename, fsync of the folder at the least


def test_a_failed_sync_is_not_tried_again(blobs):
    """After fsync failed, the kernel may have dropped the pages: the temp file goes, and the call fails."""
    with failing(1, errno.EIO, only="fsync"), pytest.raises(Unavailable, match="failing"):
        blobs.put(b"data")
    assert list(blobs.digests()) == []
    assert temps(blobs) == []


LIMITED = """
import resource, sys
from pathlib import Path
from keepwell.blobs import LocalBlobs
from keepwell.core.errors import Unavailable
blobs = LocalBlobs(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, resource.RLIM_INFINITY))
try:
    blobs.put(b"x" * 200_000)
except Unavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(len(list(blobs.digests())), len(list((Path(sys.argv[1]) / "tmp").iterdir())))
assert blobs.get(blobs.put(b"x" * 200_000)) == b"x" * 200_000
"""


def test_a_full_disk(tmp_path):
    """RLIMIT_FSIZE makes a real partial write: 65,536 bytes, then EFBIG."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "blobs")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "is full; nothing was stored" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 0"


ONE_UPLOAD = """
import sys
from pathlib import Path
from keepwell.blobs import LocalBlobs
LocalBlobs(Path(sys.argv[1])).put(b'traced')
"""


def test_the_order_of_system_calls(tmp_path):
    """Data is synced before the rename, and the folder after it: what was acknowledged survives a power loss."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "log"
    calls = "trace=openat,write,fsync,fdatasync,rename,renameat,renameat2,mkdir"
    command = [
        strace,
        "-f",
        "-y",
        "-e",
        calls,
        "-o",
        str(log),
        sys.executable,
        "-c",
        ONE_UPLOAD,
        str(tmp_path / "blobs"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "ptrace" in done.stderr.lower():
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    seen = [line for line in log.read_text().splitlines() if str(tmp_path / "blobs") in line]
    order = [
        next(i for i, line in enumerate(seen) if re.search(pattern, line))
        for pattern in (
            r"write\(\d+<.*/tmp/[0-9a-f]+>, \"traced\"",
            r"fsync\(\d+<.*/tmp/[0-9a-f]+>\)",
            r"fsync\(\d+<.*/blobs>\)",
            r"rename\w*\(.*/tmp/",
            r"fsync\(\d+<.*/blobs/[0-9a-f]{2}>\)",
        )
    ]
    assert order == sorted(order), "\n".join(seen)


RACER = """
import sys
from pathlib import Path
from keepwell.blobs import LocalBlobs
sys.stdin.readline()
blobs = LocalBlobs(Path(sys.argv[1]))
for number in range(20):
    digest = blobs.put(b"shared %d" % number)
    assert blobs.get(digest) == b"shared %d" % number
    blobs.put((sys.argv[2] + str(number)).encode())
print("done")
"""


def test_eight_processes_on_first_use(tmp_path):
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path / "blobs"), f"own-{n}-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(8)
    ]  # fmt: skip
    said = [racer.communicate("go\n") for racer in racers]
    assert [out for out, _ in said] == ["done\n"] * 8, said
    blobs = LocalBlobs(tmp_path / "blobs")
    assert len(list(blobs.digests())) == 20 + 8 * 20
    assert all(blobs.verify(digest) for digest in blobs.digests())


def test_threads_that_race_a_rewrite(blobs):
    data = os.urandom(100_000)
    digest = blobs.put(data)
    failed: list[Exception] = []

    def use() -> None:
        try:
            for _ in range(30):
                blobs.put(data)
                assert blobs.path(digest).stat().st_size == len(data)
                assert blobs.get(digest) == data
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
