"""The values of a signature, and the JSON form that MLflow's clients read and write.

A schema is a list of columns (`{"type": "double", "name": "temp", "required": true}`) or of tensors
(`{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}`); an MLmodel file holds each list as JSON
text under `inputs`, `outputs` and `params`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keepwell.core.errors import InvalidInput

SCALARS = frozenset({"boolean", "integer", "long", "float", "double", "string", "binary", "datetime"})
NESTED = frozenset({"object", "array", "map", "any", "sparkml_vector"})
MAX_TEXT = 4 << 20
MAX_SPECS = 100_000
MAX_DEPTH = 32

Kind = str | Mapping[str, Any]
"""A scalar's name, or the JSON of a nested type: `{"type": "array", "items": {"type": "double"}}`."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        type: one of `SCALARS`, or the JSON of a nested type.
        name: its name; None in a table without names.
        required: a table without it is refused; a column with missing values is not required.
    """

    type: Kind
    name: str | None = None
    required: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return MLflow's JSON of it."""
        named = {} if self.name is None else {"name": self.name}
        return {**kind_json(self.type), **named, "required": self.required}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An array: numpy's name of its type, its shape (-1: any length), its name where there are several."""

    dtype: str
    shape: tuple[int, ...]
    name: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return MLflow's JSON of it."""
        named = {} if self.name is None else {"name": self.name}
        return {**named, "type": "tensor", "tensor-spec": {"dtype": self.dtype, "shape": list(self.shape)}}


@dataclass(frozen=True, slots=True)
class Param:
    """An optional argument of a prediction: its type, its default, and shape (-1,) when it is a list."""

    name: str
    type: Kind
    default: Any
    shape: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return MLflow's JSON of it."""
        shape = None if self.shape is None else list(self.shape)
        return {"name": self.name, "default": self.default, "shape": shape, **kind_json(self.type)}


Schema = tuple[Column, ...] | tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes, what it gives, and the arguments it knows; None: not said."""

    inputs: Schema | None = None
    outputs: Schema | None = None
    params: tuple[Param, ...] | None = None

    def to_dict(self) -> dict[str, str | None]:
        """Return what an MLmodel file holds: each part as JSON text."""
        parts: dict[str, Sequence[Column | Tensor | Param] | None] = {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "params": self.params,
        }
        return {
            name: None if part is None else json.dumps([spec.to_dict() for spec in part])
            for name, part in parts.items()
        }


def kind_json(kind: Kind) -> dict[str, Any]:
    """Return the JSON of a type."""
    return {"type": kind} if isinstance(kind, str) else dict(kind)


def read_signature(value: object) -> Signature | None:
    """Return the signature that an MLmodel file holds, or None when it holds none.

    Raises:
        InvalidInput: it is not of that form.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidInput("The signature is not a mapping of inputs, outputs and params.", where="signature")
    return Signature(
        inputs=_schema(value.get("inputs"), "inputs"),
        outputs=_schema(value.get("outputs"), "outputs"),
        params=_params(value.get("params")),
    )


def _listed(value: object, where: str) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise InvalidInput("The signature is too long.", where=where)
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidInput("The signature is not JSON.", where=where) from None
    if not isinstance(value, list) or len(value) > MAX_SPECS or not all(isinstance(item, dict) for item in value):
        raise InvalidInput("The signature is not a list of specifications.", where=where)
    return value


def _schema(value: object, where: str) -> Schema | None:
    listed = _listed(value, where)
    if listed is None:
        return None
    tensors = [item.get("type") == "tensor" for item in listed]
    if any(tensors) and not all(tensors):
        raise InvalidInput("The signature mixes columns and tensors.", where=where)
    if listed and tensors[0]:
        return tuple(_tensor(item, where) for item in listed)
    columns = tuple(_column(item, where) for item in listed)
    names = [c.name for c in columns if c.name is not None]
    if len(set(names)) != len(names) or (names and len(names) != len(columns)):
        raise InvalidInput("The signature names a column twice, or names some columns only.", where=where)
    return columns


def _column(item: dict[str, Any], where: str) -> Column:
    name = item.get("name")
    required = item.get("required", not item.get("optional", False))
    if not (name is None or isinstance(name, str)) or not isinstance(required, bool):
        raise InvalidInput("A column of the signature has a name or a 'required' that is none.", where=where)
    return Column(
        _kind({k: v for k, v in item.items() if k not in ("name", "required", "optional")}, where), name, required
    )


def _tensor(item: dict[str, Any], where: str) -> Tensor:
    spec, name = item.get("tensor-spec"), item.get("name")
    shape = spec.get("shape") if isinstance(spec, dict) else None
    dtype = spec.get("dtype") if isinstance(spec, dict) else None
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_DEPTH
        or not all(type(n) is int and n >= -1 for n in shape)
        or not isinstance(dtype, str)
        or not (name is None or isinstance(name, str))
    ):
        raise InvalidInput("A tensor of the signature has no type or shape.", where=where)
    return Tensor(dtype, tuple(shape), name)


def _params(value: object) -> tuple[Param, ...] | None:
    listed = _listed(value, "params")
    if listed is None:
        return None
    found = []
    for item in listed:
        name, shape = item.get("name"), item.get("shape")
        known = ("name", "default", "shape", "dtype")
        kind = {"type": item.get("type", item.get("dtype")), **{k: v for k, v in item.items() if k not in known}}
        if not isinstance(name, str) or not (shape is None or shape == [-1]):
            raise InvalidInput("A param of the signature has no name, or an unknown shape.", where="params")
        found.append(Param(name, _kind(kind, "params"), item.get("default"), None if shape is None else (-1,)))
    if len({param.name for param in found}) != len(found):
        raise InvalidInput("The signature names a param twice.", where="params")
    return tuple(found)


def _kind(item: Mapping[str, Any], where: str, depth: int = 0) -> Kind:
    name = item.get("type")
    if isinstance(name, str) and name in SCALARS:
        return name
    if not isinstance(name, str) or name not in NESTED or depth > MAX_DEPTH:
        raise InvalidInput(f"The signature has a type {str(name)[:60]!a} that is not known.", where=where)
    if name == "array":
        return {"type": name, "items": kind_json(_kind(_mapping(item.get("items"), where), where, depth + 1))}
    if name == "map":
        return {"type": name, "values": kind_json(_kind(_mapping(item.get("values"), where), where, depth + 1))}
    if name == "object":
        properties = {
            str(key): {**kind_json(_kind(_mapping(of, where), where, depth + 1)), "required": of.get("required", True)}
            for key, of in _mapping(item.get("properties"), where).items()
        }
        return {"type": name, "properties": properties}
    return {"type": name}


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if isinstance(value, str):
        return {"type": value}
    if not isinstance(value, Mapping):
        raise InvalidInput("A nested type of the signature does not say what it holds.", where=where)
    return value
