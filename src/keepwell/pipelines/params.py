"""Parameters as people type them: `name=value`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from keepwell.charter.findings import nearest, shown
from keepwell.core.errors import InvalidInput


def read_params(texts: Iterable[str], defaults: Mapping[str, object]) -> dict[str, object]:
    """Return parameters from `name=value` texts, each of the type that its default has.

    A value is JSON (`3`, `0.5`, `true`, `["a", "b"]`), or else text as it stands; for a parameter whose default is text
    it is always text.

    Raises:
        InvalidInput: a text has no `=`, names no parameter, names one twice, or is not of its default's type.
    """
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"{shown(text)} is no parameter: write name=value.", where="--param")
        if name not in defaults:
            raise InvalidInput(f"There is no parameter {shown(name)}. {nearest(name, defaults)}", where="--param")
        if name in found:
            raise InvalidInput(f"The parameter {shown(name)} is given twice.", where="--param")
        found[name] = _value(name, value, defaults[name])
    return found


def _value(name: str, text: str, default: object) -> object:
    if isinstance(default, str):
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = text
    kind = (int, float) if isinstance(default, float) else type(default)
    if default is not None and (not isinstance(value, kind) or isinstance(value, bool) != isinstance(default, bool)):
        raise InvalidInput(
            f"The parameter {shown(name)} is {_WORDS.get(type(default), 'of another type')} (by default "
            f"{shown(default)}), not {shown(text)}.",
            where="--param",
        )
    return float(value) if isinstance(default, float) and isinstance(value, int) else value


_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a mapping",
}
