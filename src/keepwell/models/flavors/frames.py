"""Data in the shape that a library's model wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.models.signatures.tables import as_table, is_of

Array = np.ndarray[Any, Any]


def matrix(data: Any, names: Sequence[str] | None = None, dtype: str | None = None) -> Array:
    """Return data as a matrix of numbers: of a table the named columns, or all of them, in order.

    Raises:
        InvalidInput: a column is missing, or holds no numbers.
    """
    if isinstance(data, np.ndarray):
        return data.reshape(1, -1) if data.ndim == 1 else data
    table = as_table(data)
    if table is None:
        return _listed(data)
    chosen = list(names) if names and set(names) <= set(table.names) else table.names
    if names and len(chosen) != len(names):
        absent = next(name for name in names if name not in table.names)
        raise InvalidInput(f"The input lacks the column {absent!r}.", where="input")
    columns = []
    for name in chosen:
        column = np.asarray(table.column(name))
        if column.dtype.kind not in "biuf":
            try:
                column = column.astype(np.float64)
            except (TypeError, ValueError):
                raise InvalidInput(f"The column {name!r} holds no numbers, and the model wants some.") from None
        columns.append(column)
    found: Array = np.column_stack(columns)
    return found if dtype is None else found.astype(dtype, copy=False)


def table(data: Any) -> Any:
    """Return data as a table of the library it is of, or polars; arrays stay arrays."""
    if isinstance(data, np.ndarray) or is_of(data, "pandas") or is_of(data, "polars") or is_of(data, "scipy"):
        return data
    found = as_table(data)
    if found is None:
        return _listed(data)
    return found.build({name: found.column(name) for name in found.names})


def _listed(data: Any) -> Array:
    try:
        found = np.asarray(data)
    except ValueError:
        raise InvalidInput("The input is a list of lists of different lengths.", where="input") from None
    if found.dtype == object or found.ndim == 0:
        raise InvalidInput(f"The model takes a table or an array; this is a {type(data).__name__}.", where="input")
    return found
