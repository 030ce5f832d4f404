"""Data made to fit a signature, or refused with one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keepwell.core.errors import InvalidInput
from keepwell.models.signatures.infer import is_tensor
from keepwell.models.signatures.specs import Column, Signature, Tensor
from keepwell.models.signatures.tables import Table, as_table, numpy_kind, python_kind

Array = np.ndarray[Any, Any]
_WORDS = {
    "boolean": "true or false", "integer": "whole numbers of 32 bits", "long": "whole numbers",
    "float": "numbers of single precision", "double": "numbers", "string": "text", "binary": "bytes",
    "datetime": "points in time", "array": "lists", "object": "objects", "map": "maps", "any": "anything",
    "sparkml_vector": "vectors",
}  # fmt: skip
SHOWN = 5


def enforce(signature: Signature | None, data: Any) -> Any:
    """Return data as the signature's inputs say: its columns in order and of its types, or arrays of its shapes.

    Columns that the signature does not name are left out. Casts happen only where no value changes. Tables stay tables
    of their library; a dict of columns and a list of records become a polars table.

    Raises:
        InvalidInput: data does not fit; the sentence names the columns, what they hold, and what the model takes.
    """
    schema = None if signature is None else signature.inputs
    if schema is None or not schema:
        return data
    if isinstance(schema[0], Tensor):
        return _tensors([spec for spec in schema if isinstance(spec, Tensor)], data)
    columns = [spec for spec in schema if isinstance(spec, Column)]
    if columns[0].name is None:
        return _unnamed(columns, data)
    table = _matrix(columns, data) or as_table(data)
    if table is None:
        names = _listed([str(c.name) for c in columns])
        raise InvalidInput(f"The model takes a table with {names}; this is a {type(data).__name__}.", where="input")
    return _columns(columns, table)


def _columns(columns: Sequence[Column], table: Table) -> Any:
    there = table.names
    if len(set(there)) != len(there):
        raise InvalidInput("The input has two columns of one name.", where="input")
    known = set(there)
    absent = [str(c.name) for c in columns if c.required and c.name not in known]
    if absent:
        hint = _listed([name for name in there if name not in {c.name for c in columns}])
        more = f" It has {hint}, which the model does not know." if hint != "no column" else ""
        raise InvalidInput(f"The input lacks {_listed(absent)}.{more}", where="input")
    built: dict[str, object] = {}
    for spec in columns:
        if spec.name in known:
            built[str(spec.name)] = _fitted(table, spec)
    return table.build(built)


def _fitted(table: Table, spec: Column) -> object:
    name, kind = str(spec.name), table.kind(str(spec.name))
    wanted = spec.type if isinstance(spec.type, str) else str(spec.type["type"])
    has = kind if isinstance(kind, str) else str(kind["type"])
    if wanted in (has, "any") or (wanted, has) in (("map", "object"), ("sparkml_vector", "array")):
        return table.cast(name, wanted) if isinstance(spec.type, str) and spec.type == has else table.column(name)
    try:
        if not isinstance(spec.type, str):
            raise ValueError
        return table.cast(name, spec.type)
    except ValueError as error:
        why = f": {error}" if str(error) else ""
        raise InvalidInput(
            f"The column {name[:60]!r} holds {_WORDS[has]}, and the model takes {_WORDS[wanted]} there{why}.",
            where="input",
        ) from None


def _name_of(kind: object) -> object:
    return kind["type"] if isinstance(kind, Mapping) else kind


def _matrix(columns: Sequence[Column], data: Any) -> Table | None:
    """Return a matrix of as many columns as the signature names seen as a table, as MLflow's clients may send it."""
    array = np.asarray(data) if isinstance(data, list) and data and isinstance(data[0], list) else data
    if not isinstance(array, np.ndarray):
        return None
    if array.ndim != 2 or array.shape[1] != len(columns):
        raise InvalidInput(
            f"The model takes {len(columns)} columns; this array has the shape {tuple(array.shape)}.", where="input"
        )
    return as_table({str(spec.name): array[:, place] for place, spec in enumerate(columns)})


def _unnamed(columns: Sequence[Column], data: Any) -> Any:
    values = data if isinstance(data, list | tuple) else [data]
    if is_tensor(data) or as_table(data) is not None:
        return data
    if len(columns) != 1:
        raise InvalidInput(f"The model takes a table of {len(columns)} columns.", where="input")
    wanted = _name_of(columns[0].type)
    for value in values:
        has = _name_of(python_kind(value)) if value is not None else "any"
        if has not in (wanted, "any") and wanted != "any" and (has, wanted) not in _WIDER:
            raise InvalidInput(f"The model takes {_WORDS[str(wanted)]}, not {_WORDS[str(has)]}.", where="input")
    return data


_WIDER = {("long", "integer"), ("long", "double"), ("long", "float"), ("double", "float"), ("float", "double"),
          ("object", "map"), ("array", "sparkml_vector")}  # fmt: skip


def _tensors(specs: Sequence[Tensor], data: Any) -> Any:
    if specs[0].name is None:
        return _tensor(specs[0], data)
    if not isinstance(data, Mapping):
        table = as_table(data)
        if table is None or len(specs) < 1:
            raise InvalidInput(f"The model takes arrays by name: {_names(specs)}.", where="input")
        data = {name: np.asarray(table.column(name)) for name in table.names}
    absent = [str(spec.name) for spec in specs if spec.name not in data]
    if absent:
        raise InvalidInput(f"The input lacks {_listed(absent, 'array')}.", where="input")
    return {str(spec.name): _tensor(spec, data[spec.name]) for spec in specs}


def _tensor(spec: Tensor, given: Any) -> Array:
    which = f"The array {spec.name[:60]!r}" if spec.name else "The input"
    data: Array = given if isinstance(given, np.ndarray) else _array(given, which)
    if len(spec.shape) != data.ndim or any(a not in (-1, b) for a, b in zip(spec.shape, data.shape, strict=True)):
        raise InvalidInput(
            f"{which} has the shape {tuple(data.shape)}, and the model takes {tuple(spec.shape)} (-1: any).",
            where="input",
        )
    if spec.dtype in ("str", "bytes", "object"):
        return data
    wanted = np.dtype(spec.dtype)
    loose = isinstance(given, list | tuple) and data.dtype.kind == wanted.kind == "f"
    if loose or not data.size or np.can_cast(data.dtype, wanted, "safe") or _exact(data, wanted):
        return data.astype(wanted, copy=False)
    raise InvalidInput(
        f"{which} holds {data.dtype.name}, and the model takes {wanted.name}: the cast would change values.",
        where="input",
    )


def _exact(data: Array, wanted: np.dtype[Any]) -> bool:
    """Tell whether whole numbers stay what they are in another type."""
    if data.dtype.kind not in "iu" or wanted.kind not in "iuf":
        return False
    low, high = int(data.min()), int(data.max())
    if wanted.kind == "f":
        return max(abs(low), abs(high)) <= (1 << (int(np.finfo(wanted).nmant) + 1))
    bounds = np.iinfo(wanted)
    return bool(low >= bounds.min and high <= bounds.max)


def _array(data: Any, which: str) -> Array:
    if is_tensor(data):
        return np.asarray(data.detach().cpu().numpy())
    table = as_table(data)
    if table is not None:
        columns = [np.asarray(table.column(n)) for n in table.names]
        return np.column_stack(columns)
    try:
        found = np.asarray(data)
    except ValueError:
        raise InvalidInput(f"{which} is a list of lists of different lengths.", where="input") from None
    if numpy_kind(found.dtype) is None:
        raise InvalidInput(f"{which} holds values of several types.", where="input")
    return found


def _names(specs: Sequence[Tensor]) -> str:
    return ", ".join(repr(spec.name) for spec in specs)


def _listed(names: Sequence[str], noun: str = "column") -> str:
    if not names:
        return f"no {noun}"
    shown = ", ".join(repr(name[:60]) for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"the {noun}{'s' if len(names) > 1 else ''} {shown}{more}"
