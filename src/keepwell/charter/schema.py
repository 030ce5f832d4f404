"""The published JSON Schema of charters and of contracts, for editors and other programs."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from keepwell.charter import contract, model

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ENTRY = re.compile(r"^(\w+): (.*)$")


def charter_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every charter satisfies.

    A charter that satisfies it may still be wrong in what a schema cannot say: `keepwell charter check` tells.
    """
    top, parts = _components(model.Charter)
    inline, more = _components(contract.Contract)
    parts |= more
    parts["Data"]["properties"]["contract"]["anyOf"] = [{"type": "string"}, inline, {"type": "null"}]
    evaluate = parts["Evaluate"]["properties"]
    evaluate["metrics"]["items"] = {"enum": list(model.METRICS)}
    evaluate["baseline"]["enum"] = list(model.BASELINES)
    parts["Monitor"]["properties"]["performance"]["propertyNames"] = {"enum": list(model.METRICS)}
    return {"$schema": _DRAFT, "title": "Keepwell charter", **top, "$defs": parts}


def contract_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every data contract satisfies."""
    top, parts = _components(contract.Contract)
    return {"$schema": _DRAFT, "title": "Keepwell data contract", **top, "$defs": parts}


def field_descriptions(kind: type) -> dict[str, str]:
    """Return field to its description, from the `Attributes:` of a spec's docstring."""
    _, _, attributes = (kind.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in attributes.splitlines():
        if match := _ENTRY.match(line.strip()) if line.startswith("        ") and line[8:9] != " " else None:
            name = match[1]
            found[name] = match[2]
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


def _components(kind: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the reference to a spec's schema, and the schemas of it and its parts by name, described."""
    (top,), parts = msgspec.json.schema_components((kind,), schema_hook=_anything, ref_template="#/$defs/{name}")
    for spec in _specs():
        if spec.__name__ in parts:
            _describe(parts[spec.__name__], spec)
    return top, parts


def _anything(_kind: type) -> dict[str, Any]:
    return {"description": "Any value."}


def _specs() -> list[type[msgspec.Struct]]:
    found = (*vars(model).values(), *vars(contract).values())
    return [v for v in found if isinstance(v, type) and issubclass(v, model.Spec)]


def _describe(part: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    part["description"] = (kind.__doc__ or "").partition("\n\n")[0].strip()
    for name, text in field_descriptions(kind).items():
        part["properties"][name]["description"] = text
