"""A signature inferred from data that a model took and gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.models.signatures.params import infer_params
from keepwell.models.signatures.specs import Column, Schema, Signature, Tensor
from keepwell.models.signatures.tables import as_table, python_kind


def infer(inputs: object = None, outputs: object = None, params: Mapping[str, Any] | None = None) -> Signature:
    """Return the signature of what a model took, what it gave, and the arguments it knows with their defaults.

    Tables (polars, pandas, Arrow, a dict of columns, a list of records) become columns; a column in which values are
    missing is not required. numpy arrays and dicts of arrays of more than one dimension become tensors whose first
    dimension is free. A list of plain values becomes one column without a name.

    Raises:
        InvalidInput: data is of a type that no signature has.
    """
    return Signature(
        inputs=None if inputs is None else infer_schema(inputs),
        outputs=None if outputs is None else infer_schema(outputs),
        params=infer_params(params) if params else None,
    )


def infer_schema(data: object) -> Schema:
    """Return the columns or tensors of data.

    Raises:
        InvalidInput: data is of a type that no signature has.
    """
    if is_tensor(data):
        return (_tensor(None, data),)
    if isinstance(data, Mapping) and data and all(is_tensor(v) for v in data.values()):
        return tuple(_tensor(str(name), array) for name, array in data.items())
    table = as_table(data)
    if table is not None:
        return tuple(Column(table.kind(name), name, required=not table.missing(name)) for name in table.names)
    if isinstance(data, list | tuple):
        present = [item for item in data if item is not None]
        if not present:
            raise InvalidInput("An empty list says nothing about what a model takes.", where="input")
        return (Column(python_kind(present[0])),)
    return (Column(python_kind(data)),)


def is_tensor(data: object) -> bool:
    """Tell whether data is an array with a fixed item type: numpy's or torch's."""
    return (isinstance(data, np.ndarray) and data.dtype != object) or (
        type(data).__module__.split(".")[0] == "torch" and hasattr(data, "numpy")
    )


def _tensor(name: str | None, data: Any) -> Tensor:
    array = data if isinstance(data, np.ndarray) else data.detach().cpu().numpy()
    dtype = "str" if array.dtype.kind == "U" else "bytes" if array.dtype.kind == "S" else array.dtype.name
    return Tensor(dtype, (-1, *array.shape[1:]) if array.ndim else (-1,), name)
