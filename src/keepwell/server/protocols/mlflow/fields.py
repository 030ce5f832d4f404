"""Reading requests as MLflow's server does: JSON or a query, unknown fields ignored, its messages for the rest.

A request's fields are declared in the order in which they are checked. Types are protobuf's JSON mapping: 64-bit whole
numbers and doubles may be texts, `null` is the same as absent. What leaves two readings is refused: a name twice in one
object, NaN as a bare word, numbers beyond their type.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from keepwell.core.errors import InvalidInput
from keepwell.server.protocols.mlflow.errors import API_DOCS, Refusal, invalid
from keepwell.server.routing import Route

Kind = Literal["text", "int", "int32", "float", "bool", "texts", "items", "any"]
Given: TypeAlias = dict[str, Any]
"""A request as it was sent, names to values of JSON."""

MOST_FIELDS = 1_000
_WHOLE = re.compile(r"-?[0-9]{1,19}\Z")
_RANGES = {"int": (-(1 << 63), (1 << 63) - 1), "int32": (-(1 << 31), (1 << 31) - 1)}
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?\Z")


class Field(NamedTuple):
    """One field of a request.

    Attributes:
        name: its name.
        kind: its type.
        required: it must be there and not be an empty text.
        check: returns what is wrong with a good value of the type, or None; may raise.
        words: names of an enumeration's numbers, by number.
    """

    name: str
    kind: Kind = "text"
    required: bool = False
    check: Callable[[Any], str | None] | None = None
    words: Mapping[int, str] | None = None


def need(name: str, kind: Kind = "text", check: Callable[[Any], str | None] | None = None) -> Field:
    """Return a field that must be there."""
    return Field(name, kind, True, check)


def read_request(route: Route, query: bytes, headers: Mapping[str, str], raw: bytes) -> Given:
    """Return what a request says: the query of a GET or DELETE without a body, else the JSON body.

    Raises:
        Refusal: the body is not JSON, or not an object.
        InvalidInput: the query is not UTF-8, or has too many parameters.
    """
    if route.method == "GET" or (route.method == "DELETE" and not raw):
        return read_query(query)
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json" and (raw or media):
        raise invalid("Bad Request. Content-Type must be one of ['application/json'].")
    return read_json(raw) if raw else {}


class Query(dict[str, Any]):
    """A request that came as query parameters: a list of one text is that text."""


def read_query(raw: bytes) -> Query:
    """Return query parameters: a text each, a list of texts where a name stands several times."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidInput("The query is not of the form name=value&name=value in UTF-8.", where="query") from None
    given = Query()
    for name, value in pairs:
        before = given.get(name)
        given[name] = value if before is None else [*before, value] if isinstance(before, list) else [before, value]
    return given


def read_json(raw: bytes) -> Given:
    """Return a JSON object; one that old clients sent as a JSON text is read too.

    Raises:
        Refusal: it is not a JSON object, a name stands twice in one, or a number is beyond its type.
    """
    value = _decode(raw)
    if isinstance(value, str):
        value = _decode(raw := value.encode())
    if not isinstance(value, dict):
        raise Refusal("The body must be a JSON object.", code="BAD_REQUEST")
    if _names_in(raw) != members(value, raw):
        try:
            json.loads(raw, object_pairs_hook=_members)
        except RecursionError:
            raise Refusal("The body nests too deeply.", code="BAD_REQUEST") from None
    return value


def members(value: Given, raw: bytes) -> int:
    """Return how many names the objects of a decoded body have, all together."""
    lists = [part for part in value.values() if type(part) is list]
    objects = sum(len(part) for part in lists if part and type(part[0]) is dict)
    if raw.count(b"{") == objects + 1:  # lists of flat objects, as almost every body: no walk through all values
        try:
            return len(value) + sum(sum(map(len, part)) for part in lists if part and type(part[0]) is dict)
        except TypeError:
            return -1
    return _count(value)


def read_fields(given: Given, fields: Sequence[Field]) -> Given:
    """Return the fields that are there, each of its type.

    Raises:
        Refusal: a field is missing or not what it should be, said as MLflow's server says it.
    """
    found: Given = {}
    for field in fields:
        value = given.get(field.name)
        if value is None and field.name == "run_id":
            value = given.get("run_uuid")
        if value is None or (field.required and value == ""):
            if field.required:
                raise invalid(f"Missing value for required parameter '{field.name}'.{API_DOCS}")
            continue
        if field.kind == "texts" and isinstance(value, str) and isinstance(given, Query):
            value = [value]
        read = found[field.name] = typed(field, value)
        if field.check is not None and (wrong := field.check(read)) is not None:
            raise invalid((wrong or _hint(field.name, value)) + API_DOCS)
    return found


def typed(field: Field, value: Any) -> Any:
    """Return a value as its field's type.

    Raises:
        Refusal: it is of another type.
    """
    if field.words is not None:
        return _word(field, value)
    read = _READERS[field.kind](value)
    if read is None:
        raise invalid(_hint(field.name, value) + API_DOCS)
    return read


def invalid_value(name: str, value: object, message: str = "") -> str:
    """Return MLflow's sentence about a value of a parameter."""
    shown = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return f"Invalid value {shown[:1000]} for parameter '{name}' supplied" + (f": {message}" if message else ".")


def _hint(name: str, value: object) -> str:
    return invalid_value(name, value, f" Hint: Value was of type '{type(value).__name__}'.")


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    if "\0" in value:
        raise invalid("A text holds the character U+0000; remove it.")
    return value


def _int(value: object, limits: tuple[int, int] = _RANGES["int"]) -> int | None:
    if isinstance(value, str):
        number = int(value) if _WHOLE.match(value) else None
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else None
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
    return number if number is not None and limits[0] <= number <= limits[1] else None


def _int32(value: object) -> int | None:
    return _int(value, _RANGES["int32"])


def read_float(value: object) -> float | None:
    """Return a double of protobuf's JSON: a number, or a text of one, `NaN`, `Infinity` or `-Infinity`."""
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 1 << 1023 else None
    if isinstance(value, str):
        if value in _WORDS:
            return _WORDS[value]
        number = float(value) if _NUMBER.match(value) else math.inf
        return number if math.isfinite(number) else None
    return None


def _bool(value: object) -> bool | None:
    if isinstance(value, str):
        lower = value.lower()
        if lower not in ("true", "false"):
            raise invalid(f"Invalid boolean value: {value}, must be 'true' or 'false'.")
        return lower == "true"
    return value if isinstance(value, bool) else None


def _texts(value: object) -> list[str] | None:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return [_text(one) or "" for one in value]
    return None


def _items(value: object) -> list[Given] | None:
    return value if isinstance(value, list) and all(isinstance(one, dict) for one in value) else None


_READERS: dict[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "int": _int,
    "int32": _int32,
    "float": read_float,
    "bool": _bool,
    "texts": _texts,
    "items": _items,
    "any": lambda value: value,
}


def _word(field: Field, value: object) -> str:
    assert field.words is not None  # noqa: S101
    if isinstance(value, str) and value in field.words.values():
        return value
    number = _int(value)
    word = None if number is None else field.words.get(number)
    if word is None:
        raise invalid(_hint(field.name, value) + API_DOCS)
    return word


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(f"The body is not JSON: {str(error)[:200]}.", code="BAD_REQUEST") from None


def _names_in(raw: bytes) -> int:
    """Return how many names stand in the text when that is sure to be no less; -1 when it is not."""
    if any(gap in raw for gap in (b'" ', b'"\n', b'"\t', b'"\r')):
        return -1
    return raw.count(b'":')


def _count(value: object) -> int:
    if type(value) is dict:
        return len(value) + sum(_count(part) for part in value.values() if type(part) in (dict, list))
    if type(value) is list:
        return sum(_count(part) for part in value if type(part) in (dict, list))
    return 0


def _members(pairs: list[tuple[str, Any]]) -> Given:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refusal("The same name stands twice in one object.", code="BAD_REQUEST")
    return found
