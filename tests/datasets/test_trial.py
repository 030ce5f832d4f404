"""A file that ends the process which reads it is one sentence, and the files beside it are read."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest

from keepwell.core.errors import InvalidInput
from keepwell.datasets import trial
from keepwell.datasets.sources import scan
from keepwell.datasets.trial import try_files
from keepwell.flows.kit import Kit
from keepwell.flows.publish import refer


def parquet() -> bytes:
    sink = io.BytesIO()
    pl.DataFrame({"k": ["a", "b"], "t": ["2011-01-01", "2011-01-02"], "v": [1.0, 2.0]}).write_parquet(sink)
    return sink.getvalue()


def poisoned() -> bytes:
    """A length in the first page that asks the reader of polars 2.1 for 2 EiB, at which its allocator aborts."""
    data = bytearray(parquet())
    data[44] = 43
    return bytes(data)


def test_each_file_gets_its_answer(tmp_path: Path) -> None:
    files = {
        "1.parquet": parquet(),
        "2.parquet": poisoned(),
        "3.parquet": b"PAR1 no",
        "4.parquet": parquet() + b"x",
        "5.csv": b"\xe9",
        "6.dat": b"?",
        "7.xlsx": b"??",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    scanned = scan(["*"], tmp_path)
    answers = try_files(scanned)
    named = {Path(file.uri).name: answers.get(file.sha256) for file in scanned}
    assert [name for name, answer in named.items() if answer] == ["2.parquet", "3.parquet", "4.parquet", "7.xlsx"]
    assert all("\n" not in (answer or "") for answer in named.values())


def test_a_reader_that_hangs_or_dies_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (tmp_path / f"{number}.parquet").write_bytes(parquet() + bytes([number]))
    files = scan(["*"], tmp_path)
    monkeypatch.setattr(trial, "_run", lambda waiting: [None] if len(waiting) == 3 else [])
    assert {file.uri[-9:] for file in files if file.sha256 in try_files(files)} == {"1.parquet", "2.parquet"}
    monkeypatch.undo()
    monkeypatch.setattr(trial, "_SECONDS", 0.001)
    assert "ends the process" in next(iter(try_files(files[:1]).values()))


def test_a_version_is_not_made_of_it(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InvalidInput, match=r"x\.parquet: The file cannot be read as parquet"):
        refer(kit, kit.call("person:test"), "sales", ["x.parquet"], tmp_path)
