"""How values that a function refers to are told apart: by what they hold, where that can be told."""

from __future__ import annotations

import contextvars
import datetime
import decimal
import enum
import fractions
import functools
import io
import logging
import pathlib
import re
import threading
import types
import typing
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from keepwell.core.digests import digest_bytes
from keepwell.core.errors import InvalidInput
from keepwell.pipelines.values import encode

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), type(NotImplemented))
_BY_REPR = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    decimal.Decimal,
    fractions.Fraction,
    pathlib.PurePath,
    range,
    slice,
    uuid.UUID,
    types.GenericAlias,
    types.UnionType,
    typing.TypeVar,
    type(typing.Optional[int]),  # noqa: UP045  (its private type)
    type(typing.List[int]),  # noqa: UP006
)
_BY_TYPE = (
    logging.Logger,
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Event,
    threading.Condition,
    threading.local,
    contextvars.ContextVar,
    weakref.ref,
    weakref.WeakKeyDictionary,
    weakref.WeakValueDictionary,
    io.IOBase,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MethodWrapperType,
)
_SKIPPED = frozenset(
    {"__doc__", "__module__", "__qualname__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__",
     "__dataclass_fields__", "__dataclass_params__", "__abstractmethods__", "_abc_impl", "__match_args__",
     "__orig_bases__", "__parameters__", "__annotate__", "__annotate_func__", "__annotations_cache__",
     "__struct_fields__", "__struct_config__", "__struct_encode_fields__"}
)  # fmt: skip
MOST_BYTES = 256 << 20
_POINTER = tuple.__itemsize__


@dataclass(frozen=True, slots=True)
class Told:
    """What a value holds: a text, and parts that are values again."""

    text: str
    parts: tuple[tuple[str, object], ...] = field(default=())


def plain(value: object) -> str | None:
    """Return the text of a plain value, or None for anything else."""
    if type(value) in _PLAIN:
        return f"{type(value).__name__} {value!r}"
    return None


def members(kind: type) -> Iterator[tuple[str, object]]:
    """Yield what a class holds and its code or fields depend on, by name."""
    for name, value in sorted(vars(kind).items()):
        if name in _SKIPPED or (issubclass(kind, enum.Enum) and not callable(value)):
            continue
        if isinstance(value, _BY_TYPE):
            continue
        yield name, value


def told(value: object) -> Told | None:
    """Return what a value holds, or None when that cannot be told."""
    for kinds, tell in _TELLERS:
        if isinstance(value, kinds):
            return tell(value)
    if type(value).__module__.startswith("msgspec."):  # encoders and decoders
        return Told("codec", (("type", getattr(value, "type", None)),))
    wrapped = vars_of(value).get("__wrapped__")
    if wrapped is not None and callable(value):
        return Told("wraps", (("of", wrapped),))
    return _table(value) or _state(value)


def vars_of(value: object) -> Mapping[str, object]:
    """Return an object's own attributes, from its dictionary and its slots; none of the object's own code runs."""
    try:
        found = dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        found = {}
    for kind in type(value).__mro__:
        for name, slot in vars(kind).items():
            if isinstance(slot, types.MemberDescriptorType):
                try:
                    found[name] = slot.__get__(value)
                except AttributeError:
                    continue
    return found


def _table(value: object) -> Told | None:
    """Tell frames, arrays and numbers of numpy by their bytes."""
    home = type(value).__module__.partition(".")[0]
    if home not in ("numpy", "polars"):
        return None
    if home == "polars" and type(value).__name__ not in ("DataFrame", "Series"):
        return Told(f"value {value!r}")
    try:
        kind, data = encode(value)
    except InvalidInput:
        return None
    return Told(f"{kind} {digest_bytes(data)}") if len(data) <= MOST_BYTES else None


def _state(value: object) -> Told | None:
    """Tell an object by its attributes, when they are all it holds: when there is no room for more in its memory."""
    kind = type(value)
    slots = sum(isinstance(s, types.MemberDescriptorType) for k in kind.__mro__ for s in vars(k).values())
    room = object.__basicsize__ + _POINTER * (slots + (kind.__dictoffset__ != 0) + (kind.__weakrefoffset__ != 0))
    if kind.__basicsize__ > room or kind.__itemsize__:
        return None
    return Told("object", tuple(sorted(vars_of(value).items())))


def _rank(value: object) -> tuple[str, str]:
    return (type(value).__qualname__, getattr(value, "__qualname__", None) or repr(value))


def _pairs(value: Mapping[object, object]) -> Told:
    return Told("mapping", tuple(pair for k, v in value.items() for pair in (("key", k), ("value", v))))


_Kinds = type | tuple[type, ...]
_TELLERS: tuple[tuple[_Kinds, Callable[[Any], Told]], ...] = (
    ((tuple, list, deque), lambda v: Told("items", tuple(("item", one) for one in v))),
    ((set, frozenset), lambda v: Told("set", tuple(("item", one) for one in sorted(v, key=_rank)))),
    (Mapping, _pairs),
    (property, lambda v: Told("property", (("get", v.fget), ("set", v.fset), ("delete", v.fdel)))),
    ((staticmethod, classmethod), lambda v: Told("method", (("of", v.__func__),))),
    (functools.cached_property, lambda v: Told("property", (("get", v.func),))),
    (functools.partial, lambda v: Told("partial", (("of", v.func), ("with", v.args), ("named", v.keywords)))),
    (types.MethodType, lambda v: Told("bound", (("of", v.__func__), ("to", v.__self__)))),
    (re.Pattern, lambda v: Told(f"pattern {v.pattern!r} {v.flags}")),
    (enum.Enum, lambda v: Told(f"member {v.name}")),
    (types.BuiltinFunctionType, lambda v: Told(f"builtin {v.__module__} {v.__qualname__}")),
    (_BY_TYPE, lambda _: Told("type only")),
    (_BY_REPR, lambda v: Told(f"value {v!r}")),
)
