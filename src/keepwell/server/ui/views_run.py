"""What the page of one run says first, and which of its metrics are curves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from keepwell.server.ui.columns import Cell, leading, number_cell
from keepwell.tracking.model import Input, Latest, Run

_SIZES = (("num_rows", "rows"), ("num_elements", "values"), ("bytes", "bytes"))
_PLACES = ("uri", "url", "path", "table_name")
FIGURES = 4
"""So many metrics stand at the top."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run's page says at the top: its leading metrics, and where it came from in a line."""

    figures: Sequence[tuple[str, Cell]]
    source: str
    git: str


def facts_of(run: Run) -> Facts:
    """Return what a run's page says at the top."""
    figures = [(name, number_cell(run.metrics[name])) for name in leading(list(run.metrics))[:FIGURES]]
    return Facts(figures, run.tags.get("mlflow.source.name", ""), run.tags.get("mlflow.source.git.commit", ""))


def read_words(read: Input) -> str:
    """Return how much a run read and where from, in words; clients write both as JSON of many shapes."""
    profile, source = _object(read.profile), _object(read.source)
    size = [f"{profile[key]:,} {noun}" for key, noun in _SIZES if type(profile.get(key)) is int]
    if source:
        tags = source.get("tags")
        told = tags.get("mlflow.source.name") if isinstance(tags, Mapping) else None
        where = next((source[key] for key in _PLACES if isinstance(source.get(key), str)), told)
    else:
        where = read.source
    kind = "" if read.source_type in (None, "code", "local") else read.source_type
    words = " ".join(str(part) for part in (kind, where if isinstance(where, str) else "") if part)
    return ", ".join([*size, *([f"from {words}"] if words else [])])


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def charted(latest: Sequence[Latest]) -> list[str]:
    """Return the metrics that are curves, those that tell most first; one logged at step 0 only is a number."""
    return leading([one.name for one in latest if one.step > 0])
