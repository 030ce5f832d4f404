"""What the page of one run says first, and which of its metrics are curves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keepwell.server.ui.columns import Cell, leading, number_cell
from keepwell.tracking.model import Latest, Run

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


def charted(latest: Sequence[Latest]) -> list[str]:
    """Return the metrics that are curves, those that tell most first; one logged at step 0 only is a number."""
    return leading([one.name for one in latest if one.step > 0])
