"""Figures, images, tables, texts and values as the files that they are logged as."""

from __future__ import annotations

import csv
import io
import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from keepwell.core.errors import InvalidInput, NotInstalled


def figure_bytes(figure: Any, path: str, options: Mapping[str, Any] | None = None) -> bytes:
    """Return a Matplotlib figure (anything with `savefig`) or a Plotly one in the format that the path's ending names.

    Raises:
        InvalidInput: it is neither, or Plotly cannot write that format without another package.
    """
    ending = PurePosixPath(path).suffix.lower()
    if hasattr(figure, "savefig"):
        written = io.BytesIO()
        figure.savefig(written, format=ending.removeprefix(".") or "png", **(options or {}))
        return written.getvalue()
    if hasattr(figure, "to_html"):
        if ending in (".html", ".htm"):
            return str(figure.to_html(include_plotlyjs=True, **(options or {}))).encode()
        if ending == ".json":
            return str(figure.to_json()).encode()
        return bytes(figure.to_image(format=ending.removeprefix(".") or "png", **(options or {})))
    raise InvalidInput("A figure is one of Matplotlib or Plotly.", where="figure")


_IMAGES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"<svg", b"<?xml")


def image_bytes(image: Any, path: str) -> bytes:
    """Return an image as a file.

    It is the bytes of one, a PIL image, or an array (rows, columns[, 1, 3 or 4]) of whole numbers or of 0 to 1.

    Raises:
        InvalidInput: it is none, or an array is to be written as something other than PNG without Pillow.
    """
    if isinstance(image, bytes | bytearray):
        if not image.startswith(_IMAGES) and image[8:12] not in (b"WEBP", b"avif"):
            raise InvalidInput("These bytes are no PNG, JPEG, GIF, WebP, AVIF, BMP, TIFF or SVG.", where="image")
        return bytes(image)
    ending = PurePosixPath(path).suffix.lower() or ".png"
    if hasattr(image, "save") and hasattr(image, "mode"):
        written = io.BytesIO()
        image.save(written, format={".jpg": "JPEG", ".jpeg": "JPEG"}.get(ending, ending.removeprefix(".").upper()))
        return written.getvalue()
    if ending != ".png":
        return _with_pillow(image, ending)
    return _png(_pixels(image))


def table_bytes(data: Any, path: str) -> bytes:
    """Return a table as JSON (`{"columns", "data"}`), CSV or Parquet, by the path's ending.

    Args:
        data: a mapping from names to columns, a list of rows as mappings, or a Polars or pandas frame.
        path: ends with `.json`, `.csv` or `.parquet`.

    Raises:
        InvalidInput: the data is no table, or the ending none of these.
    """
    columns = _columns(data)
    match PurePosixPath(path).suffix.lower():
        case ".json":
            rows = [list(row) for row in zip(*columns.values(), strict=True)]
            return json_bytes({"columns": list(columns), "data": rows})
        case ".csv":
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
            return text.getvalue().encode()
        case ".parquet":
            from keepwell.core.lazy import pl

            written = io.BytesIO()
            pl.DataFrame(columns, strict=False).write_parquet(written)
            return written.getvalue()
        case _:
            raise InvalidInput("A table's file ends with .json, .csv or .parquet.", where="path")


def dict_bytes(value: Any, path: str) -> bytes:
    """Return a value as YAML when the path ends with `.yaml` or `.yml`, else as JSON."""
    if PurePosixPath(path).suffix.lower() in (".yaml", ".yml"):
        import yaml

        return str(yaml.safe_dump(json.loads(json_bytes(value)), sort_keys=False, allow_unicode=True)).encode()
    return json_bytes(value, indent=2)


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """Return a value as JSON; numbers of other libraries as numbers, NaN as null, what is left as its text."""
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Sequence | set | frozenset):
        return [_plain(v) for v in value]
    return str(value)


def _columns(data: Any) -> dict[str, list[Any]]:
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        found = data.to_dict(as_series=False) if hasattr(data, "to_arrow") else data.to_dict(orient="list")
        return {str(name): list(column) for name, column in found.items()}
    if isinstance(data, Mapping):
        columns = {
            str(name): list(column) if isinstance(column, Sequence) and not isinstance(column, str) else
            list(column.tolist()) if hasattr(column, "tolist") else [column]
            for name, column in data.items()
        }  # fmt: skip
    elif isinstance(data, Sequence) and not isinstance(data, str) and all(isinstance(row, Mapping) for row in data):
        names = dict.fromkeys(str(name) for row in data for name in row)
        columns = {name: [row.get(name) for row in data] for name in names}
    else:
        raise InvalidInput("A table is a mapping of columns, a list of rows as mappings, or a frame.", where="data")
    if len({len(column) for column in columns.values()}) > 1:
        raise InvalidInput("The columns of a table have the same length.", where="data")
    return columns


def _pixels(image: Any) -> Any:
    import numpy as np

    array = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise InvalidInput(
            "An image is the bytes of one, a PIL image, or an array of rows, columns, and 1, 3 or 4 channels.",
            where="image",
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise InvalidInput("An image of fractions has values from 0 to 1.", where="image")
        array = (array * 255).round()
    elif array.dtype.kind == "b":
        array = array * np.uint8(255)
    elif array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise InvalidInput("An image of whole numbers has values from 0 to 255.", where="image")
    return array.astype(np.uint8)


def _png(pixels: Any) -> bytes:
    """Return pixels as PNG (W3C Portable Network Graphics, third edition): 8 bits a channel, no filter."""
    rows, columns, channels = pixels.shape
    color = {1: 0, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + pixels[row].tobytes() for row in range(rows))
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, color, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, 6)),
        (b"IEND", b""),
    ]
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _with_pillow(image: Any, ending: str) -> bytes:
    try:
        from PIL import Image
    except ImportError:
        raise NotInstalled(f"An array is written as {ending} by Pillow, which is not installed; use .png.") from None
    pixels = _pixels(image)
    return image_bytes(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), f"x{ending}")
