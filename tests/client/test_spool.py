"""The spool: what is written by any thread is read in order, over segments, also when the disk is full."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from keepwell.client import facts, records, spool
from keepwell.client.locks import Lock
from keepwell.core.errors import Conflict

SESSION = "ses_" + "0" * 26
TARGET = spool.Target(uri="/nowhere", pid=1)


def everything(folder: Path, start: spool.Position | None = None) -> list[tuple[str, str, int, float]]:
    reader = spool.Reader(folder, start or spool.Position())
    found = []
    while True:
        before = reader.position
        for one, _ in reader.read(1 << 14):
            if isinstance(one, records.Rows):
                rows = one.rows if isinstance(one.rows, list) else [tuple(r)[3:] for r in one.rows.tolist()]
                found += [(reader.runs[run], reader.names[name], step, value) for run, name, step, _, value in rows]
        if reader.position == before:
            reader.close()
            return found


def test_points_of_many_threads_are_each_there_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 20_000)
    here = spool.Spool(tmp_path, SESSION, TARGET)

    def log(worker: int) -> None:
        for step in range(500):
            here.point(f"run_{worker}", f"m{step % 7}", step, 1, step / 2)
            if step % 50 == 0:
                here.points(f"run_{worker}", 1000 + step, 1, {f"g{n}": float(n) for n in range(20)})

    threads = [threading.Thread(target=log, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(here.folder.glob("*.log"))) > 3 and here.dropped == 0
    found = everything(here.folder)
    assert len(found) == 4 * (500 + 10 * 20)
    for worker in range(4):
        mine = [(name, step, value) for run, name, step, value in found if run == f"run_{worker}" and step < 1000]
        assert mine == [(f"m{step % 7}", step, step / 2) for step in range(500)]
    here.close(remove=True)
    assert list(tmp_path.iterdir()) == []


def test_only_its_owner_can_read_what_waits(tmp_path: Path) -> None:
    here = spool.Spool(tmp_path / "spool", SESSION, TARGET)
    (tmp_path / "open.txt").write_text("anyone's")
    (tmp_path / "open.txt").chmod(0o666)
    here.stage(tmp_path / "open.txt")
    here.stage_bytes(b"mine")
    here.opens("run_1")
    here.point("run_1", "m", 1, 1, 1.0)
    facts.gather(here.folder, tmp_path)
    for path in [here.folder, *here.folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert (here.folder / "files" / "00000001").read_text() == "anyone's"
    here.close(remove=True)


def test_reading_goes_on_from_a_position_in_the_middle(tmp_path: Path) -> None:
    here = spool.Spool(tmp_path, SESSION, TARGET)
    for step in range(300):
        here.point("run_a", f"m{step % 3}", step, 1, 0.0)
    reader = spool.Reader(here.folder, spool.Position())
    positions = [position for _, position in reader.read(4_000)]
    acked = spool.Acked(here.folder)
    acked.write(positions[-1])
    assert acked.read() == positions[-1] and positions[-1].seq > 20
    rest = everything(here.folder, acked.read())
    assert [step for *_, step, _ in rest] == list(range(300 - len(rest), 300)) and 0 < len(rest) < 300
    here.close(remove=False)


def test_a_note_of_what_was_acknowledged_that_was_cut_off_counts_as_none(tmp_path: Path) -> None:
    acked = spool.Acked(tmp_path)
    acked.write(spool.Position(3, 500, 70))
    whole = (tmp_path / "acked").read_bytes()
    for cut in range(len(whole)):
        (tmp_path / "acked").write_bytes(whole[:cut])
        assert acked.read() == spool.Position()
    (tmp_path / "acked").write_bytes(whole)
    assert acked.read() == spool.Position(3, 500, 70)


def test_without_that_note_what_is_left_is_read_under_its_own_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a loss of power the note can be empty and the first segments gone: nothing is stuck, or numbered anew."""
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 2_000)
    here = spool.Spool(tmp_path, SESSION, TARGET)
    for step in range(300):
        here.point("run_1", "m", step, 1, 1.0)
    first, second, *_ = sorted(here.folder.glob("*.log"))
    after = records.HEADER.unpack(second.read_bytes()[: records.HEADER.size])[1]
    first.unlink()
    (here.folder / "acked").write_bytes(b"")
    start = spool.Acked(here.folder).read()
    assert start == spool.Position(2, records.HEADER.size, after)
    found = everything(here.folder, start)
    assert 0 < len(found) < 300 and [row[2] for row in found] == list(range(300 - len(found), 300))
    here.close(remove=True)


def test_one_spool_is_never_sent_by_two(tmp_path: Path) -> None:
    here = spool.Spool(tmp_path, SESSION, TARGET)
    with pytest.raises(Conflict):
        Lock(here.folder / "lock").take()
    here.close(remove=False)
    other = Lock(here.folder / "lock")
    other.take()
    other.release()


def test_beyond_its_bound_points_are_dropped_and_counted_but_what_ends_a_run_is_kept(tmp_path: Path) -> None:
    here = spool.Spool(tmp_path, SESSION, TARGET)
    here._most = 2_000
    for step in range(200):
        here.point("run_a", "m", step, 1, 0.0)
    kept = len(everything(here.folder))
    assert 0 < kept < 60 and here.dropped == 200 - kept
    here.other(records.KIND_OP, b"the end")
    last = [one for one, _ in spool.Reader(here.folder, spool.Position()).read()][-1]
    assert isinstance(last, records.Other) and last.payload == b"the end"
    here.close(remove=True)


def test_on_a_full_disk_no_half_of_a_record_stays(tmp_path: Path) -> None:
    code = f"""
import resource, signal
from pathlib import Path
from keepwell.client import spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
here = spool.Spool(Path({str(tmp_path)!r}), {SESSION!r}, spool.Target(uri="x", pid=1))
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
for step in range(200):
    here.point("run_a", "m", step, 1, float(step))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
full = here.dropped
for step in range(200, 300):
    here.point("run_a", "m", step, 1, float(step))
print(full, here.dropped)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    dropped = int(told[0])
    assert dropped > 50 and told[0] == told[1]
    steps = [step for *_, step, _ in everything(tmp_path / SESSION)]
    assert steps == [*range(200 - dropped), *range(200, 300)]
