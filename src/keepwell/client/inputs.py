"""Which data a run read: a digest, a shape, and where it came from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.secrets import hide_credentials
from keepwell.tracking import wire

_MOST_FILES = 100_000


def describe(
    data: Any, *, name: str | None, context: str | None, source: str | None, version: str | None
) -> wire.Dataset:
    """Return what is recorded of data that a run read.

    Raises:
        InvalidInput: no digest can be made of it.
        NotFound: there is no such file or folder.
    """
    kind, schema, profile = "code", None, None
    if isinstance(data, str) and data.startswith("dsv_"):
        digest, kind, version, called = data, "keepwell", data, data
    elif isinstance(data, str | Path):
        path = Path(data)
        digest, size = _of_path(path)
        kind, called, source = "local", path.name, source or path.absolute().as_uri()
        profile = json.dumps({"bytes": size})
    elif _is_frame(data):
        digest, called = _of_frame(data), "frame"
        columns = [{"name": str(n), "type": str(t)} for n, t in zip(data.columns, data.dtypes, strict=True)]
        schema, profile = json.dumps({"columns": columns}), json.dumps({"num_rows": len(data)})
    elif hasattr(data, "tobytes") and hasattr(data, "shape"):
        digest, called = _of_array(data), "array"
        schema = json.dumps({"shape": list(data.shape), "dtype": str(data.dtype)})
        profile = json.dumps({"num_rows": int(data.shape[0]) if data.shape else 1})
    else:
        raise InvalidInput("Data is a path, a frame, an array or the id of a dataset version.", where="data")
    return wire.Dataset(
        name=name or called,
        digest=digest,
        source_type=kind,
        source=hide_credentials(source or ""),
        schema=schema,
        profile=profile,
        context=context,
        version=version,
    )


def _is_frame(data: Any) -> bool:
    return hasattr(data, "columns") and hasattr(data, "dtypes") and (hasattr(data, "to_arrow") or hasattr(data, "iloc"))


def _of_path(path: Path) -> tuple[str, int]:
    if path.is_file():
        with path.open("rb") as opened:
            return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}", path.stat().st_size
    if not path.is_dir():
        raise NotFound(f"There is no file or folder {str(path)!a}.", where="data")
    total, size = hashlib.sha256(), 0
    files = sorted(p for p in path.rglob("*") if p.is_file())
    if len(files) > _MOST_FILES:
        raise InvalidInput(f"A folder of more than {_MOST_FILES:,} files: log a dataset version.", where="data")
    for file in files:
        digest, length = _of_path(file)
        total.update(f"{file.relative_to(path).as_posix()}\0{digest}\n".encode("utf-8", "surrogateescape"))
        size += length
    return f"sha256:{total.hexdigest()}", size


def _of_frame(data: Any) -> str:
    """Return a digest of a frame's columns and rows; equal frames of one library have the same."""
    total = hashlib.sha256(
        json.dumps([[str(n), str(t)] for n, t in zip(data.columns, data.dtypes, strict=True)]).encode()
    )
    if hasattr(data, "hash_rows"):
        total.update(data.hash_rows(seed=0).to_numpy().tobytes())
    else:
        from pandas.util import hash_pandas_object

        total.update(hash_pandas_object(data, index=True).to_numpy().tobytes())
    return f"sha256:{total.hexdigest()}"


def _of_array(data: Any) -> str:
    total = hashlib.sha256(f"{data.dtype}{data.shape}".encode())
    total.update(data.tobytes())
    return f"sha256:{total.hexdigest()}"
