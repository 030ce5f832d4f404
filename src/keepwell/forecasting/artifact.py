"""A fitted segment as bytes: a MessagePack header, then the arrays it names. Nothing in it can run."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from keepwell.core.errors import Damaged

MAGIC = b"KWF1"
_PLAIN = frozenset((str, float, int, bool, type(None)))
_DTYPES = {"<f8", "<f4", "<i4", "<i8"}


def pack(value: dict[str, Any]) -> bytes:
    """Return a tree of dicts, lists, texts, numbers, bytes and arrays as bytes; the same tree, the same bytes."""
    arrays: list[bytes] = []
    header = msgspec.msgpack.encode(_lower(value, arrays))
    return b"".join([MAGIC, len(header).to_bytes(4, "big"), header, *arrays])


def unpack(data: bytes) -> dict[str, Any]:
    """Return the tree that `pack` wrote.

    Raises:
        Damaged: the bytes are not such an artifact, or are cut.
    """
    try:
        size = int.from_bytes(data[4:8], "big")
        if data[:4] != MAGIC or len(data) < 8 + size:
            raise Damaged("This is not a forecasting model, or it is cut short.")
        tree = msgspec.msgpack.decode(data[8 : 8 + size])
        raised, end = _raise(tree, memoryview(data), 8 + size)
        if end != len(data) or not isinstance(raised, dict):
            raise Damaged("This forecasting model does not end where it says.")
    except (msgspec.DecodeError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"This forecasting model cannot be read: {error}.") from error
    return raised


def _lower(value: Any, arrays: list[bytes]) -> Any:
    if type(value) in _PLAIN:
        return value
    match value:
        case np.ndarray():
            plain = np.ascontiguousarray(value)
            code = plain.dtype.newbyteorder("<").str
            if code not in _DTYPES:
                raise TypeError(f"{code} cannot be kept in an artifact")
            arrays.append(plain.astype(code).tobytes())
            return {"~": [code, list(plain.shape)]}
        case dict():
            return {str(name): _lower(item, arrays) for name, item in value.items()}
        case list() | tuple():
            return [_lower(item, arrays) for item in value]
        case np.floating() | np.integer():
            return value.item()
        case _:
            return value


def _raise(value: Any, data: memoryview, at: int) -> tuple[Any, int]:
    if isinstance(value, dict):
        if "~" in value:
            code, shape = value["~"]
            if code not in _DTYPES or any(n < 0 for n in shape):
                raise Damaged("This forecasting model holds an array of an unknown kind.")
            kind = np.dtype(code)
            end = at + int(np.prod(shape, dtype=np.int64)) * kind.itemsize
            if end > len(data):
                raise Damaged("This forecasting model is cut short.")
            return np.frombuffer(data[at:end], kind).reshape(shape), end
        found: dict[str, Any] = {}
        for name, item in value.items():
            found[name], at = _raise(item, data, at)
        return found, at
    if isinstance(value, list):
        items = []
        for item in value:
            raised, at = _raise(item, data, at)
            items.append(raised)
        return items, at
    return value, at
