"""The `MLmodel` file of a model's folder: read within bounds, written so that YAML readers and people can read it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.models.flavors import places

NAME = "MLmodel"
MAX_BYTES = 4 << 20
MAX_NODES = 500_000
MAX_DEPTH = 64
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_HIDDEN = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def read(folder: Path) -> dict[str, Any]:
    """Return what the `MLmodel` file of a folder says.

    Raises:
        NotFound: there is none.
        InvalidInput: it cannot be read, or is larger or more tangled than any such file.
    """
    if not folder.is_dir():
        raise NotFound("There is no such folder with a model.")
    try:
        data = places.read(folder / NAME, MAX_BYTES)
    except NotFound:
        raise NotFound("The folder has no MLmodel file, so it is not a model.") from None
    return parse(data)


def parse(data: bytes) -> dict[str, Any]:
    """Return what the text of an `MLmodel` file says.

    Raises:
        InvalidInput: as `read`.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = yaml.load(data.decode("utf-8"), loader)  # noqa: S506  (a safe loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"The MLmodel file is not YAML: {str(error).splitlines()[0][:200]}.", where=NAME) from None
    _check(found)
    if not isinstance(found, dict) or not isinstance(found.get("flavors"), dict) or not found["flavors"]:
        raise InvalidInput("The MLmodel file names no flavors.", where=NAME)
    if not all(isinstance(conf, dict) for conf in found["flavors"].values()):
        raise InvalidInput("A flavor of the MLmodel file is no mapping.", where=NAME)
    return found


def text(value: Mapping[str, Any]) -> str:
    """Return the YAML text of an `MLmodel` file: blocks of `key: value`, every value written as JSON."""
    lines: list[str] = []
    _lines(value, "", lines)
    return "\n".join(lines) + "\n"


def _lines(value: Mapping[str, Any], indent: str, lines: list[str]) -> None:
    for name in sorted(value):
        item = value[name]
        key = name if _PLAIN.match(name) and name.lower() not in _WORDS else _quoted(name)
        if isinstance(item, Mapping) and item:
            lines.append(f"{indent}{key}:")
            _lines(item, indent + "  ", lines)
        else:
            lines.append(f"{indent}{key}: {_flow(item)}")


def _flow(value: Any) -> str:
    """Return a value on one line, as JSON that YAML 1.1 reads the same way: it wants a point in every float."""
    if isinstance(value, float):
        digits = repr(value)
        return digits.replace("e", ".0e") if "e" in digits and "." not in digits else json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(str(name))}: {_flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    """Return a text in double quotes, with what YAML does not print as an escape that YAML knows."""
    return _HIDDEN.sub(lambda found: f"\\U{ord(found[0]):08x}", json.dumps(text, ensure_ascii=False))


def _check(value: object) -> None:
    """Refuse values that stand in two places (YAML's aliases), and too many or too deep ones."""
    seen: set[int] = set()
    waiting: list[tuple[object, int]] = [(value, 0)]
    count = 0
    while waiting:
        item, depth = waiting.pop()
        count += 1
        if not isinstance(item, dict | list):
            continue
        if (id(item) in seen and item) or depth > MAX_DEPTH or count > MAX_NODES:
            raise InvalidInput("The MLmodel file uses aliases, or is too deep or long.", where=NAME)
        seen.add(id(item))
        waiting += [(part, depth + 1) for part in (item.values() if isinstance(item, dict) else item)]
