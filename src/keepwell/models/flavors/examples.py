"""Input examples: a few rows kept beside a model, in the JSON that MLflow's clients read."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.core.lazy import pl
from keepwell.models.flavors import places
from keepwell.models.signatures.infer import is_tensor
from keepwell.models.signatures.tables import as_table, is_of

NAME = "input_example.json"
SERVING = "serving_input_example.json"
MAX_BYTES = 32 << 20


def texts(example: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the part of the MLmodel file that tells of an example, and the texts of its files.

    Raises:
        InvalidInput: it has values that are no JSON, or is too large.
    """
    info, value, serving = _lowered(example)
    written = {NAME: _json(value), SERVING: _json({serving: value})}
    if len(written[NAME]) > MAX_BYTES:
        raise InvalidInput("The input example is too large: give a few rows.", where="input_example")
    return {"artifact_path": NAME, "serving_input_path": SERVING, **info}, written


def read(folder: Path, info: object) -> Any:
    """Return the example of a model's folder, or None: a polars table, arrays, or plain values.

    Raises:
        InvalidInput: it cannot be read.
    """
    if not isinstance(info, Mapping) or "artifact_path" not in info:
        return None
    data = places.read(places.inside(folder, info["artifact_path"]), MAX_BYTES)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidInput("The input example is not JSON.", where="input_example") from None
    if info.get("type") == "dataframe" and isinstance(value, dict) and "columns" in value:
        return _table(value["columns"], value.get("data", []))
    if info.get("type") == "ndarray":
        value = value.get("inputs", value) if isinstance(value, dict) and set(value) == {"inputs"} else value
        return {k: np.asarray(v) for k, v in value.items()} if isinstance(value, dict) else np.asarray(value)
    return value


def _table(names: Any, rows: Any) -> Any:
    try:
        columns = {str(name): [row[place] for row in rows] for place, name in enumerate(names)}
        return pl.DataFrame(columns, strict=False)
    except (TypeError, IndexError, ValueError, pl.exceptions.PolarsError):
        raise InvalidInput("The input example is no table.", where="input_example") from None


def _lowered(example: Any) -> tuple[dict[str, Any], Any, str]:
    if is_tensor(example):
        return {"type": "ndarray"}, _array(example), "inputs"
    if isinstance(example, Mapping) and example and all(is_tensor(value) for value in example.values()):
        return {"type": "ndarray"}, {str(name): _array(value) for name, value in example.items()}, "inputs"
    table = as_table(example) if is_of(example, "pandas") or is_of(example, "polars") else None
    if table is None:
        return {"type": "json_object"}, example, "inputs"
    columns = [_values(table.column(n)) for n in table.names]
    rows = [list(row) for row in zip(*columns, strict=True)]
    info = {"type": "dataframe", "pandas_orient": "split"}
    return info, {"columns": table.names, "data": rows}, "dataframe_split"


def _array(value: Any) -> Any:
    return (value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()).tolist()


def _values(column: Any) -> list[Any]:
    listed = column.to_list()
    return [None if isinstance(v, float) and math.isnan(v) else v for v in listed]


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The input example cannot be kept as JSON: {error}.", where="input_example") from None
