"""Values between steps and the bytes that stand for them. Nothing is pickled, nothing is executed by reading.

| format | value |
| --- | --- |
| `ipc` | a polars frame, Arrow IPC, uncompressed, so that it can be mapped |
| `npy` | a numpy array without objects |
| `bytes` | bytes |
| `text` | text, UTF-8 |
| `msgpack` | what else msgspec encodes: numbers, lists, mappings, dates, dataclasses, structs; arrays and frames in \
them are extensions 1 and 2; NaN stays NaN |
| `json`, `csv`, `parquet` | files that commands write, read as what they say |
| `parts` | a list of stored values that were made by the chunks of a mapped step and are one value together |
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from keepwell.core.digests import canonical_json
from keepwell.core.errors import InvalidInput
from keepwell.pipelines.model import Stored

FORMATS = frozenset({"ipc", "npy", "bytes", "text", "msgpack", "json", "csv", "parquet", "parts"})
ENDINGS = {
    ".ipc": "ipc",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".npy": "npy",
    ".txt": "text",
    ".md": "text",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".msgpack": "msgpack",
}
_ENDING_OF = {"ipc": ".arrow", "npy": ".npy", "text": ".txt", "json": ".json", "csv": ".csv", "parquet": ".parquet"}
_ARRAY, _FRAME = 1, 2


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes to be read as a value: at hand, in a file, or in parts.

    Attributes:
        format: one of `FORMATS`.
        data: the bytes.
        path: a file that holds them, when `data` is None.
        parts: for `parts`, the payloads that are one value together.
    """

    format: str
    data: bytes | None = None
    path: str | None = None
    parts: list[Payload] = []

    def read(self) -> bytes:
        """Return the bytes."""
        if self.data is not None:
            return self.data
        return Path(self.path or "").read_bytes()


def encode(value: object) -> tuple[str, bytes]:
    """Return the format and the bytes of a value.

    Raises:
        InvalidInput: the value is of a kind that cannot be stored without pickling it.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes", bytes(value)
    if isinstance(value, str):
        return "text", value.encode()
    home = type(value).__module__.partition(".")[0]
    if home == "polars" and type(value).__name__ == "DataFrame":
        return "ipc", _frame_bytes(value)
    if home == "numpy" and type(value).__name__ == "ndarray":
        return "npy", _array_bytes(value)
    try:
        return "msgpack", _ENCODER.encode(value)
    except (TypeError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"It made a {_name(type(value))} that cannot be stored ({error}); {_CAN}") from error


def decode(payload: Payload, kind: Any = None) -> Any:
    """Return the value that a payload stands for.

    Args:
        payload: the bytes and their format.
        kind: the type it must be, such as a struct; lists, mappings and numbers are checked and converted to it.

    Raises:
        InvalidInput: the bytes are not in their format, or the value is not of that type.
    """
    if payload.format == "parts":
        return as_kind(combine([decode(part) for part in payload.parts]), kind)
    if kind is Path and payload.path is not None:
        return Path(payload.path)
    reader = _READERS.get(payload.format)
    if reader is None:
        raise InvalidInput(f"{payload.format!r} is not a format of values.")
    try:
        return reader(payload, kind)
    except (ValueError, TypeError, msgspec.MsgspecError, EOFError) as error:
        raise InvalidInput(f"It is not the {payload.format} it should be: {_one_line(error)}") from error
    except OSError as error:
        raise InvalidInput(f"It cannot be read: {_one_line(error)}") from error


def as_kind(value: Any, kind: Any) -> Any:
    """Return a plain value as the type an annotation names; without one, as it is.

    Raises:
        InvalidInput: it is not of that type.
    """
    if kind is None or kind is Any:
        return value
    try:
        return msgspec.convert(value, kind, dec_hook=_to_kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"It is not what the annotation says: {_one_line(error)}") from error
    except TypeError:  # an annotation that msgspec cannot convert to says nothing about the value
        return value


def combine(values: Sequence[Any]) -> Any:
    """Return the one value that chunks made together: lists joined, mappings merged, frames stacked.

    Chunks that all made None are None together; values of any other kind become a list of one a chunk.

    Raises:
        InvalidInput: two chunks made the same key.
    """
    if values and all(isinstance(v, list | tuple) for v in values):
        return [item for v in values for item in v]
    if values and all(isinstance(v, dict) for v in values):
        merged: dict[Any, Any] = {}
        for v in values:
            if twice := merged.keys() & v.keys():
                raise InvalidInput(f"Two chunks made the key {next(iter(twice))!r}; each item belongs to one chunk.")
            merged.update(v)
        return merged
    if values and all(type(v).__module__.startswith("polars") and hasattr(v, "vstack") for v in values):
        from keepwell.core.lazy import pl

        return pl.concat(values, how="vertical")
    if values and all(v is None for v in values):
        return None
    return list(values)


def manifest(parts: Sequence[Stored]) -> bytes:
    """Return the bytes of the value that stored parts make together."""
    return canonical_json([[part.digest, part.format] for part in parts])


def parts_of(data: bytes) -> list[Stored]:
    """Return the parts that `manifest` wrote."""
    return msgspec.json.decode(data, type=list[Stored])


def file_bytes(payload: Payload, wanted: str | None) -> tuple[str, bytes]:
    """Return a file's ending and bytes for a value, for a program that reads files.

    Args:
        payload: the value.
        wanted: the format to write it in; by default frames as Parquet, plain values as JSON, the rest as it is.

    Raises:
        InvalidInput: the value cannot be written in that format.
    """
    target = wanted or {"ipc": "parquet", "msgpack": "json", "parts": None}.get(payload.format, payload.format)
    if target == payload.format:
        return _ENDING_OF.get(target, ""), payload.read()
    value = decode(payload)
    if target is None:
        target = "parquet" if hasattr(value, "write_parquet") else "json"
    return _ENDING_OF.get(target, ""), _as_file(value, target)


def split(payload: Payload, chunk: int) -> list[bytes]:
    """Return a list's items in chunks, each as the msgpack of a list.

    Raises:
        InvalidInput: the value is not a list.
    """
    value = decode(payload)
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"It is mapped over a {_name(type(value))}, but only a list can be mapped over.")
    return [_ENCODER.encode(value[start : start + chunk]) for start in range(0, len(value), chunk)]


_CAN = (
    "return a polars frame, a numpy array, bytes, text, or numbers, lists and mappings of these, "
    "dataclasses and msgspec structs."
)


def _as_file(value: Any, target: str) -> bytes:
    buffer = io.BytesIO()
    try:
        match target:
            case "csv":
                value.write_csv(buffer)
            case "parquet":
                value.write_parquet(buffer)
            case "ipc":
                return _frame_bytes(value)
            case "npy":
                return _array_bytes(value)
            case "json":
                return canonical_json(value)
            case "text":
                return str(value).encode()
            case _:
                raise InvalidInput(f"A {_name(type(value))} cannot be written as {target}.")
    except (AttributeError, TypeError) as error:
        raise InvalidInput(f"A {_name(type(value))} cannot be written as {target}.") from error
    return buffer.getvalue()


def _frame_bytes(frame: Any) -> bytes:
    if any(str(kind) == "Object" for kind in frame.dtypes):
        raise InvalidInput("It made a frame with a column of Python objects, which cannot be stored; give it a type.")
    buffer = io.BytesIO()
    frame.rechunk().write_ipc(buffer, compression="uncompressed")
    return buffer.getvalue()


def _array_bytes(array: Any) -> bytes:
    import numpy as np

    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        raise InvalidInput("It made an array of Python objects, which cannot be stored; give it a number or text type.")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array, order="C"), allow_pickle=False)
    return buffer.getvalue()


def _read_array(data: bytes) -> Any:
    import numpy as np

    buffer = io.BytesIO(data)
    version = np.lib.format.read_magic(buffer)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(buffer)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(buffer)
    else:
        raise InvalidInput("It is an array of a newer npy version; write version 1 or 2.")
    body = memoryview(data)[buffer.tell() :]
    count = 1
    for side in shape:
        count *= side
    if dtype.hasobject or count * dtype.itemsize != len(body):
        raise InvalidInput("It is an array whose header and bytes do not agree, or one of Python objects.")
    return np.frombuffer(body, dtype=dtype).reshape(shape, order="F" if fortran else "C").copy()


def _to_extension(value: Any) -> Any:
    home = type(value).__module__.partition(".")[0]
    if home == "polars" and type(value).__name__ == "DataFrame":
        return msgspec.msgpack.Ext(_FRAME, _frame_bytes(value))
    if home == "polars" and type(value).__name__ == "Series":
        return value.to_list()
    if home == "numpy" and type(value).__name__ == "ndarray":
        return msgspec.msgpack.Ext(_ARRAY, _array_bytes(value))
    if home == "numpy" and hasattr(value, "item"):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {_name(type(value))} is not data")


def _from_extension(code: int, data: memoryview) -> Any:
    if code == _ARRAY:
        return _read_array(bytes(data))
    if code == _FRAME:
        from keepwell.core.lazy import pl

        return pl.read_ipc(bytes(data))
    raise ValueError(f"extension {code} is not known")


def _to_kind(kind: type, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if issubclass(kind, Path) and isinstance(value, str):
        return kind(value)
    raise ValueError(f"expected a {_name(kind)}, got a {_name(type(value))}")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_to_extension)


@lru_cache(maxsize=512)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind, ext_hook=_from_extension, dec_hook=_to_kind)


def _read_msgpack(payload: Payload, kind: Any) -> Any:
    data = payload.read()
    try:
        decoder = _decoder(Any if kind is None else kind)
    except TypeError:  # an annotation that msgspec has no decoder for says nothing about the value
        decoder = _decoder(Any)
    return decoder.decode(data)


def _read_json(payload: Payload, kind: Any) -> Any:
    data = payload.read()
    try:
        return msgspec.json.decode(data, type=Any if kind is None else kind)
    except TypeError:
        return msgspec.json.decode(data)


def _read_frame(payload: Payload, _kind: Any) -> Any:
    from keepwell.core.lazy import pl

    source: Any = payload.path if payload.data is None else io.BytesIO(payload.data)
    try:
        match payload.format:
            case "csv":
                return pl.read_csv(source, try_parse_dates=True, infer_schema_length=10_000)
            case "parquet":
                return pl.read_parquet(source)
            case _:
                return pl.read_ipc(source)  # a file is mapped, not read
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error)) from error


_READERS: Mapping[str, Callable[[Payload, Any], Any]] = {
    "ipc": _read_frame,
    "csv": _read_frame,
    "parquet": _read_frame,
    "npy": lambda payload, _: _read_array(payload.read()),
    "bytes": lambda payload, _: payload.read(),
    "text": lambda payload, kind: as_kind(payload.read().decode(), kind),
    "msgpack": _read_msgpack,
    "json": _read_json,
}


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text if len(text) <= 300 else text[:297] + "...") + ("" if text.endswith(".") else ".")


def check_format(name: str, where: str) -> str:
    """Return the name of a format that files can be written in.

    Raises:
        InvalidInput: there is no such format.
    """
    known = FORMATS - {"parts", "msgpack"}
    if name not in known:
        raise InvalidInput(f"{name!r} is no file format; known are {', '.join(sorted(known))}.", where=where)
    return name
