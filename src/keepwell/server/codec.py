"""From bytes to values and back: strict JSON, forms, queries.

What RFC 8259 leaves open is closed here: a name twice in one object, NaN and infinities, numbers beyond a double or
beyond the integers that a double holds exactly (2^53), lone surrogates and nesting deeper than 32 are refused.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import msgspec

from keepwell.core.errors import InvalidInput, TooLarge

MAX_DEPTH = 32
MAX_FIELDS = 200
MAX_NUMBER_TEXT = 400
EXACT = 1 << 53

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_BRACKETS = bytes.maketrans(b"[]{}", b"()()")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read_json(raw: bytes, kind: Any) -> Any:
    """Return the value of a JSON body as `kind`.

    Raises:
        InvalidInput: it is not JSON in the strict sense, or not a `kind`; `where` names the field.
        TooLarge: it nests too deeply.
    """
    check_depth(raw)
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_members,
            parse_constant=_no_constant,
            parse_float=_number,
            parse_int=_whole,
        )
    except UnicodeDecodeError:
        raise InvalidInput("The body is not UTF-8.", where="body") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"The body is not JSON: {error.msg} at character {error.pos}.", where="body") from None
    return as_kind(value, kind, strict=True)


def as_kind(value: object, kind: Any, *, strict: bool) -> Any:
    """Return decoded input as `kind`, its texts checked; not strict reads numbers and booleans from text.

    Raises:
        InvalidInput: a field is missing, unknown, of another type, out of range, or holds characters that no text has.
    """
    check_texts(value)
    try:
        found = msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `")
        raise InvalidInput(f"{said[:300]}.", where=path.rstrip("`").removeprefix("$").lstrip(".") or "body") from None
    if not strict:
        _check_finite(msgspec.to_builtins(found))
    return found


def read_query(raw: bytes, kind: type[msgspec.Struct] | None) -> Any:
    """Return the query's parameters as `kind`; None takes none.

    Raises:
        InvalidInput: a parameter is unknown, given twice, not UTF-8, or not what it should be.
    """
    fields = _pairs(raw, "query")
    if kind is None:
        if fields:
            raise InvalidInput("This address takes no query parameters.", where=show(next(iter(fields))))
        return None
    return as_kind({name: value for name, value in fields.items() if value != ""}, kind, strict=False)


def read_form(raw: bytes, kind: type[msgspec.Struct] | None) -> tuple[Any, str | None]:
    """Return a form's fields as `kind`, and the field `idempotency_key`. A field several times becomes a list.

    Raises:
        InvalidInput: a field is unknown or not what it should be.
    """
    fields: dict[str, object] = dict(_pairs(raw, "body", lists=True))
    key = fields.pop("idempotency_key", None)
    if key is not None and not isinstance(key, str):
        raise InvalidInput("The form holds idempotency_key twice.", where="idempotency_key")
    if kind is None:
        if fields:
            raise InvalidInput("This form takes no fields.", where=show(next(iter(fields))))
        return None, key
    lists = _list_fields(kind)
    given = {k: [v] if k in lists and isinstance(v, str) else v for k, v in fields.items() if v != ""}
    return as_kind(given, kind, strict=False), key


def write_json(value: object) -> bytes:
    """Return the JSON of any value of ours."""
    return msgspec.json.encode(value, enc_hook=_as_text)


def check_depth(raw: bytes) -> None:
    """Refuse JSON that nests deeper than `MAX_DEPTH`, before a parser recurses.

    Raises:
        TooLarge: it does.
    """
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _TEXT.sub(b"", raw).translate(_BRACKETS, _NOT_BRACKETS):
        depth += 1 if bracket == 40 else -1
        if depth > MAX_DEPTH:
            raise TooLarge(f"The body nests deeper than {MAX_DEPTH} levels.", where="body")


def check_texts(value: object) -> None:
    """Refuse texts with control, bidirectional or zero-width characters or lone surrogates, anywhere in a value.

    Line feeds, tabs and carriage returns are text.

    Raises:
        InvalidInput: a text holds one.
    """
    if isinstance(value, str):
        bad = _CONTROL.search(value)
        if bad is not None:
            raise InvalidInput(f"A text holds the character U+{ord(bad.group()):04X}; remove it.", where="body")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise InvalidInput("A text holds half of a surrogate pair; send whole characters.") from None
    elif isinstance(value, Mapping):
        for name, member in value.items():
            check_texts(name)
            check_texts(member)
    elif isinstance(value, list):
        for member in value:
            check_texts(member)


def show(text: str) -> str:
    """Return a text of unknown origin in printable ASCII, at most 80 characters."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")[1:-1]


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise InvalidInput("The same name stands twice in one object.", where=show(double))
    return members


def _no_constant(text: str) -> NoReturn:
    raise InvalidInput(f"{text} is not a number of JSON.", where="body")


def _number(text: str) -> float:
    value = float(text) if len(text) <= MAX_NUMBER_TEXT else float("inf")
    if value in (float("inf"), float("-inf")):
        raise InvalidInput("A number is larger than a double can hold.", where="body")
    return value


def _whole(text: str) -> int:
    if len(text) > 17 or abs(value := int(text)) > EXACT:
        raise InvalidInput("A whole number is beyond 2^53; send it as text.", where="body")
    return value


def _pairs(raw: bytes, where: str, *, lists: bool = False) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise InvalidInput(f"The {where} is not of the form name=value&name=value in UTF-8.", where=where) from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif lists:
            before = fields[name]
            fields[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            raise InvalidInput("A parameter is given twice.", where=show(name))
    return fields


@functools.cache
def _list_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)  # noqa: S101
    several = (msgspec.inspect.ListType, msgspec.inspect.VarTupleType, msgspec.inspect.SetType)
    return frozenset(field.encode_name for field in info.fields if isinstance(field.type, several))


def _check_finite(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput("A number must be finite.")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            _check_finite(member)


def _as_text(value: object) -> object:
    raise InvalidInput(f"A {type(value).__name__} has no JSON form.")
