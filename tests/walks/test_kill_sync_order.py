"""What a power loss may take: nothing that was acknowledged. Seen in the order of the system calls of one upload."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

UPLOAD = """
import sys
from pathlib import Path
from keepwell.testing.walks import WALKS, house
inputs = Path(sys.argv[2]); inputs.mkdir(exist_ok=True)
kit = house(Path(sys.argv[1]))
WALKS["upload"].prepare(kit, inputs)
sys.stderr.write("acting\\n"); sys.stderr.flush()
WALKS["upload"].act(kit, inputs, "k")
sys.stderr.write("acknowledged\\n"); sys.stderr.flush()
"""


def test_bytes_are_durable_before_the_row_and_the_row_before_the_answer(tmp_path):
    """Data synced, renamed, folder synced, then the row in the log, the log synced, then the answer."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "log"
    calls = "trace=write,pwrite64,fsync,fdatasync,rename,renameat,renameat2"
    arguments = [sys.executable, "-c", UPLOAD, str(tmp_path / "home"), str(tmp_path / "inputs")]
    done = subprocess.run(
        [strace, "-f", "-y", "-s", "40", "-e", calls, "-o", str(log), *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and "ptrace" in done.stderr.lower():
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    text = log.read_text()
    text = text[text.index("acting") : text.index("acknowledged")]
    order = [
        r"write\(\d+<\S*/blobs/tmp/\w+>",
        r"fsync\(\d+<\S*/blobs/tmp/\w+>",
        r"rename\w*\(.*/blobs/tmp/",
        r"fsync\(\d+<\S*/blobs/[0-9a-f]{2}>",
        r"pwrite64\(\d+<\S*/keepwell\.db-wal>",
        r"f(?:data)?sync\(\d+<\S*/keepwell\.db-wal>",
    ]
    last = [max(match.start() for match in re.finditer(pattern, text)) for pattern in order]
    assert last == sorted(last), text
