"""Images, tables, figures and values as files; and what the machine does as numbers."""

from __future__ import annotations

import csv
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keepwell.client import media
from keepwell.client.system_metrics import Cards, Sampler
from keepwell.core.errors import InvalidInput


def pixels_of(data: bytes) -> np.ndarray[Any, Any]:
    """Read an 8-bit PNG without filters or interlace."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, parts = 8, {}
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(name + body)
        parts[name] = body
        at += 12 + size
    columns, rows, depth, color = struct.unpack_from(">IIBB", parts[b"IHDR"])
    assert depth == 8 and b"IEND" in parts
    channels = {0: 1, 2: 3, 6: 4}[color]
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(rows, 1 + columns * channels)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(rows, columns, channels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_array_becomes_a_picture(channels: int) -> None:
    image = np.random.default_rng(channels).integers(0, 256, (5, 7, channels))
    assert (pixels_of(media.image_bytes(image, "a.png")) == image).all()
    shares = image / 255
    assert (pixels_of(media.image_bytes(shares, "a.png")) == image).all()


def test_a_grey_picture_needs_no_channels() -> None:
    assert pixels_of(media.image_bytes([[0.0, 1.0]], "a.png"))[..., 0].tolist() == [[0, 255]]
    assert pixels_of(media.image_bytes(np.array([[True, False]]), "a.png"))[..., 0].tolist() == [[255, 0]]


def test_the_bytes_of_a_picture_stay_as_they_are() -> None:
    written = media.image_bytes([[0.0, 1.0]], "a.png")
    assert media.image_bytes(written, "a.png") == written == media.image_bytes(bytearray(written), "b.png")


@pytest.mark.parametrize(
    "image",
    [b"", b"text", np.zeros((2, 2, 2)), np.zeros(4), np.zeros((0, 2)), np.full((2, 2), 300), np.full((2, 2), -0.1),
     np.full((2, 2), np.nan), np.array([["a"]])],
)  # fmt: skip
def test_what_is_no_picture_is_told(image: Any) -> None:
    with pytest.raises(InvalidInput):
        media.image_bytes(image, "a.png")


def test_a_table_is_json_or_csv() -> None:
    rows = [{"a": 1, "b": 'x,"y"'}, {"a": 2.5, "c": float("nan")}]
    table = json.loads(media.table_bytes(rows, "t.json"))
    assert table == {"columns": ["a", "b", "c"], "data": [[1, 'x,"y"', None], [2.5, None, None]]}
    written = list(
        csv.reader(io.StringIO(media.table_bytes({"a": np.arange(2), "b": ['x,"y"', "z"]}, "t.csv").decode()))
    )
    assert written == [["a", "b"], ["0", 'x,"y"'], ["1", "z"]]
    pl = pytest.importorskip("polars")
    frame = pl.read_parquet(io.BytesIO(media.table_bytes(pl.DataFrame({"a": [1, 2]}), "t.parquet")))
    assert frame["a"].to_list() == [1, 2]


@pytest.mark.parametrize(("data", "path"), [(5, "t.json"), ({"a": [1], "b": [1, 2]}, "t.json"), ({"a": [1]}, "t.xls")])
def test_what_is_no_table_is_told(data: Any, path: str) -> None:
    with pytest.raises(InvalidInput):
        media.table_bytes(data, path)


def test_a_figure_is_asked_for_the_format_that_its_name_ends_with() -> None:
    class Figure:
        def savefig(self, into: io.BytesIO, format: str, **options: Any) -> None:
            into.write(f"{format} {options}".encode())

    assert media.figure_bytes(Figure(), "a/b.svg", {"dpi": 9}) == b"svg {'dpi': 9}"
    with pytest.raises(InvalidInput):
        media.figure_bytes("no figure", "a.png")


def test_values_become_json_or_yaml() -> None:
    value = {"n": np.int64(3), "x": np.array([1.5, np.inf]), "when": Path("a"), "s": {1}}
    assert json.loads(media.dict_bytes(value, "a.json")) == {"n": 3, "x": [1.5, None], "when": "a", "s": [1]}
    assert media.dict_bytes({"a": [1, "é"]}, "a.yaml").decode() == "a:\n- 1\n- é\n"


def test_counters_become_numbers(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "net").mkdir()

    def write(busy: int, idle: int, received: int) -> None:
        (tmp_path / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 2 3\n")
        (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n")
        (tmp_path / "self" / "statm").write_text("1000 500 1 1 0 1 0\n")
        line = " ".join(["0"] * 7)
        (tmp_path / "net" / "dev").write_text(
            f"a\nb\n    lo: 9999999 {line} 9999999 {line}\n  eth0: {received} {line} {2 * received} {line}\n"
        )

    write(100, 100, 1_000_000)
    sampler = Sampler(tmp_path, tmp_path)
    assert "system/cpu_utilization_percentage" not in sampler.sample()
    write(130, 110, 3_000_000)
    found = sampler.sample()
    assert found["system/cpu_utilization_percentage"] == pytest.approx(75)
    assert found["system/system_memory_usage_percentage"] == pytest.approx(75)
    assert found["system/network_receive_megabytes"] == pytest.approx(2)
    assert found["system/network_transmit_megabytes"] == pytest.approx(4)
    assert 0 < found["system/disk_usage_percentage"] <= 100
    (tmp_path / "meminfo").write_text("nothing")
    assert "system/system_memory_usage_percentage" not in sampler.sample()
    assert all(name.startswith("gpu_") for name in Cards().sample())
    sampler.close()
