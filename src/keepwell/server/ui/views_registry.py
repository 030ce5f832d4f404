"""What the registry's pages show: lanes of who was what when, and what a version's files say of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keepwell.core.segments import ALL
from keepwell.models.registry_model import RegisteredModel, RegisteredVersion, Span
from keepwell.server.ui import links
from keepwell.server.ui.lanes import Stay
from keepwell.server.ui.words import day, person, plural, segment_words

LANES = 24
"""So many lanes are drawn; a fleet of more segments has the table below, and a page a segment."""
WORDS = {"environment": "champion in {}", "alias": "@{}", "stage": "stage {}"}
MANIFEST_LARGEST = 8 << 20
"""A longer list of files is not read for a page."""


def lane_of(span: Span) -> str:
    """Return the name of the lane that a span is in."""
    place = WORDS[span.kind].format(span.lane)
    return place if span.segment == ALL else f"{segment_words(span.segment)}, {place}"


def stays_of(model: str, spans: Sequence[Span]) -> list[Stay]:
    """Return spans as they are drawn, environments first, then aliases, then stages that mean something."""
    order = ("environment", "alias", "stage")
    told = [span for span in spans if not (span.kind == "stage" and span.lane in ("None", "Archived"))]
    made = [
        Stay(lane_of(span), f"v{span.number}", span.since, span.until, said_of(span), version_link(model, span))
        for span in sorted(told, key=lambda span: (order.index(span.kind), span.lane, span.segment, span.since))
    ]
    kept = list(dict.fromkeys(one.lane for one in made))[:LANES]
    return [one for one in made if one.lane in kept]


def said_of(span: Span) -> str:
    """Return a span in words."""
    until = f" until {day(span.until)}" if span.until else ""
    back = ", rolled back to" if span.cause == "rollback" else ""
    return f"v{span.number}: {lane_of(span)} since {day(span.since)}{until}, by {person(span.by)}{back}"


def version_link(model: str, span: Span) -> str:
    """Return the page of the version of a span."""
    return links.registered_version(model, span.number) if span.segment == ALL else links.version(span.version_id)


def answer_of(model: RegisteredModel, versions: int, segmented: bool = False) -> str:
    """Return what the page says first."""
    if not versions and segmented:
        return "A fleet: each segment has versions of its own."
    if not versions:
        return "No version is registered yet."
    newest = max(one.number for one in model.latest) if model.latest else versions
    named = ", ".join(f"@{alias} is v{number}" for alias, number in sorted(model.aliases.items())[:4])
    return f"{plural(versions, 'version')}, the newest v{newest}" + (f"; {named}." if named else ".")


@dataclass(frozen=True, slots=True)
class Field:
    """One input, output or parameter of a signature: its name, its type, whether it may be left out."""

    name: str
    type: str
    optional: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, and the flavors it can be loaded as."""

    inputs: Sequence[Field]
    outputs: Sequence[Field]
    params: Sequence[Field]
    flavors: Mapping[str, str]


def signature_of(described: Mapping[str, Any]) -> Signature:
    """Return the signature that a model's description (its `MLmodel` file) holds; empty where it has none."""
    given = described.get("signature")
    told: Mapping[str, Any] = given if isinstance(given, dict) else {}
    named = described.get("flavors")
    flavors = named if isinstance(named, dict) else {}
    return Signature(
        inputs=_fields(told.get("inputs")),
        outputs=_fields(told.get("outputs")),
        params=_fields(told.get("params")),
        flavors={str(name)[:60]: _version(name, of) for name, of in flavors.items()}
        if isinstance(flavors, dict)
        else {},
    )


def _version(name: object, flavor: object) -> str:
    if not isinstance(flavor, dict):
        return ""
    short = str(name).removesuffix("learn")
    found = next(
        (flavor[key] for key in flavor if str(key).endswith("_version") and str(key).startswith(short[:4])), ""
    )
    return str(found)[:40]


def _fields(given: object) -> list[Field]:
    try:
        listed = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return []
    if not isinstance(listed, list):
        return []
    return [
        Field(str(one.get("name", "") or f"{place}")[:200], _type(one), one.get("required") is False)
        for place, one in enumerate(listed[:500])
        if isinstance(one, dict)
    ]


def _type(one: Mapping[str, Any]) -> str:
    tensor = one.get("tensor-spec")
    if isinstance(tensor, dict):
        shape = tensor.get("shape")
        return f"{tensor.get('dtype', 'tensor')} {shape if isinstance(shape, list) else ''}".strip()[:80]
    return str(one.get("type") or one.get("dtype") or "unknown")[:80]


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A registered name without a charter, in the list of models."""

    model: RegisteredModel
    newest: RegisteredVersion | None
    updated: datetime


def lines_of(found: Sequence[RegisteredModel], governed: frozenset[str]) -> list[ModelLine]:
    """Return the registered names that no charter governs."""
    return [
        ModelLine(one, max(one.latest, key=lambda v: v.number, default=None), one.updated_at)
        for one in found
        if one.name not in governed
    ]
