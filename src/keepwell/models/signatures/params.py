"""The arguments of a prediction beside its data: types, defaults, and what is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from keepwell.core.errors import InvalidInput
from keepwell.models.signatures.specs import Param, Signature
from keepwell.models.signatures.tables import RANGE, python_kind


def infer_params(params: Mapping[str, Any]) -> tuple[Param, ...]:
    """Return the params of a signature from their default values.

    Raises:
        InvalidInput: a default has no type, or a list is empty or of several types.
    """
    return tuple(_inferred(name, value) for name, value in params.items())


def enforce_params(signature: Signature | None, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the params of a prediction: the defaults, and what was given in their place, of the right types.

    Raises:
        InvalidInput: a param is not known or of another type.
    """
    known = {param.name: param for param in (signature.params or ())} if signature is not None else {}
    given = dict(params or {})
    for name, value in given.items():
        if name not in known:
            there = ", ".join(known) or "none"
            raise InvalidInput(f"The model knows no param {str(name)[:60]!r}; it knows {there}.", where="params")
        given[name] = _fitted(known[name], value)
    return {**{name: param.default for name, param in known.items()}, **given}


def _inferred(name: str, value: Any) -> Param:
    if isinstance(value, list | tuple):
        kinds = {str(python_kind(item)) for item in value}
        if len(kinds) != 1 or not isinstance(python_kind(value[0]), str):
            raise InvalidInput(f"The default of the param {name!r} is not a list of one plain type.", where="params")
        return Param(name, python_kind(value[0]), [_plain(item) for item in value], (-1,))
    if value is None:
        raise InvalidInput(f"The param {name!r} needs a default that says its type.", where="params")
    kind = python_kind(value)
    return Param(name, kind, _plain(value))


def _fitted(param: Param, value: Any) -> Any:
    if param.shape is None:
        return _one(param, value)
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"The param {param.name!r} is a list.", where="params")
    return [_one(param, item) for item in value]


def _one(param: Param, value: Any) -> Any:
    value = _plain(value)
    if value is None and param.default is None:
        return None
    if not isinstance(param.type, str):
        if isinstance(value, Mapping):
            return value
        raise InvalidInput(f"The param {param.name!r} is an object.", where="params")
    kind = "any" if value is None else python_kind(value)
    low, high = RANGE.get(param.type, (0, 0))
    if (kind == "long" and low <= value <= high) if param.type in RANGE else kind == param.type:
        return value
    if param.type in ("float", "double") and kind in ("long", "double", "float"):
        return float(value)
    if param.type == "datetime" and kind == "string":
        try:
            dt.datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    shown = kind if isinstance(kind, str) else kind["type"]
    raise InvalidInput(f"The param {param.name!r} is of the type {param.type}, not {shown}.", where="params")


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
