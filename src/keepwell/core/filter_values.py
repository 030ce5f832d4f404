"""Values of the search grammar (`core.filters`): lists of texts, and whole numbers that databases hold. Pure."""

from __future__ import annotations

import math
import re

from keepwell.core.errors import InvalidInput

_ITEM = re.compile(r"""\s*(?:'((?:[^']|'')*)'|"([^"]*)")\s*(,|\Z)""")
_SMALLEST, _LARGEST = -(1 << 63), (1 << 63) - 1


def with_whole(op: str, value: float) -> tuple[str, int]:
    """Return the comparison of a whole number that says the same, with a number that databases can hold."""
    if not -(2.0**63) < value < 2.0**63:
        return op, _LARGEST if value > 0 else _SMALLEST
    below = math.floor(value)
    if below == value:
        return op, below
    match op:
        case "<" | "<=":
            return "<=", below
        case ">" | ">=":
            return ">", below
        case _:
            return op, _SMALLEST  # no attribute is so small: equal to none of them, as no whole number is to a fraction


def read_list(text: str) -> tuple[str, ...]:
    """Return the texts of a list such as `('a', "b")`.

    Raises:
        InvalidInput: it is no list of quoted texts.
    """
    inner, place, found = text[1:-1].strip(), 0, []
    while place < len(inner):
        match = _ITEM.match(inner, place)
        if match is None:
            break
        found.append(match[1].replace("''", "'") if match[1] is not None else match[2])
        place = match.end()
    if not inner:
        said = "expected a non-empty list of string values, but got empty list"
    elif place < len(inner) and re.fullmatch(r"[\w\s.,'\"-]*", inner):
        said = f"expected string value, punctuation, or whitespace, but got different type in list: {text}"
    elif place < len(inner):
        said = "expected a non-empty list of string values, but got ill-formed list."
    else:
        return tuple(found)
    raise InvalidInput(f"While parsing a list in the query, {said}", where="filter")
