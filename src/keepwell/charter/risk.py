"""What a declared risk demands: probability x impact gives a level, and a level demands gates and approvals.

             impact low   impact medium   impact high
prob. low        low           low          medium
prob. medium     low          medium         high
prob. high      medium         high          high
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from keepwell.charter.grammar import Gate, parse_gate
from keepwell.charter.model import Charter, Level, Risk, RiskLevel

Concern = Literal["unavailable", "wrong", "decay"]
CONCERNS: tuple[Concern, ...] = ("unavailable", "wrong", "decay")
NAMES: dict[Concern, str] = {"unavailable": "no answers", "wrong": "wrong answers", "decay": "silent decay"}
MATRIX: dict[tuple[Level, Level], Level] = {
    ("low", "low"): "low",
    ("low", "medium"): "low",
    ("low", "high"): "medium",
    ("medium", "low"): "low",
    ("medium", "medium"): "medium",
    ("medium", "high"): "high",
    ("high", "low"): "medium",
    ("high", "medium"): "high",
    ("high", "high"): "high",
}
"""(probability, impact) -> level."""
CHAMPION_MARGIN: dict[Level, float] = {"medium": 1.05, "high": 1.02}
"""How much worse than the champion a version may be, by the risk of silent decay."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What follows from the risk.

    Attributes:
        levels: concern to its level.
        gates: the gates that are demanded, each with its `why`.
        approvals: environment to the roles that must approve; an absent environment is promoted to automatically.
        why_approvals: environment to the sentence that says why.
        fallback: the sentence that demands a fallback, or None.
    """

    levels: dict[Concern, Level]
    gates: tuple[Gate, ...]
    approvals: dict[str, tuple[str, ...]]
    why_approvals: dict[str, str]
    fallback: str | None


def level_of(risk: RiskLevel) -> Level:
    """Return the level of one concern, from the matrix of this module."""
    return MATRIX[risk.probability, risk.impact]


def demands(risk: Risk, environments: Sequence[str], metric: str | None = "wmape") -> Demands:
    """Return what a risk demands.

    Args:
        risk: as declared.
        environments: in order; the last is production.
        metric: the metric that derived gates are about; None derives no gate.
    """
    levels: dict[Concern, Level] = {
        "unavailable": level_of(risk.unavailable),
        "wrong": level_of(risk.wrong),
        "decay": level_of(risk.decay),
    }
    approvals: dict[str, tuple[str, ...]] = {}
    why: dict[str, str] = {}
    causes = [c for c in CONCERNS if c != "decay" and levels[c] == "high"]
    if causes and environments:
        approvals[environments[-1]] = ("owner",)
        why[environments[-1]] = " and ".join(_why(risk, c, levels[c]) for c in causes)
    return Demands(
        levels=levels,
        gates=() if metric is None else _gates(risk, levels, metric),
        approvals=approvals,
        why_approvals=why,
        fallback=None if levels["unavailable"] == "low" else _why(risk, "unavailable", levels["unavailable"]),
    )


def demands_of(charter: Charter) -> Demands:
    """Return what a charter's risk demands of its own environments and leading metric."""
    return demands(charter.risk, charter.release.environments, leading_metric(charter))


def all_approvals(charter: Charter) -> dict[str, tuple[str, ...]]:
    """Return environment to the roles that must approve: as declared, else as the risk demands."""
    declared = charter.release.approvals
    chosen = demands_of(charter).approvals if declared is None else declared
    return {environment: tuple(roles) for environment, roles in chosen.items() if roles}


def leading_metric(charter: Charter) -> str | None:
    """Return the first metric of `evaluate.metrics` that is better when smaller, or None."""
    return next((m for m in charter.evaluate.metrics if m != "bias"), None)


def _gates(risk: Risk, levels: dict[Concern, Level], metric: str) -> tuple[Gate, ...]:
    gates: list[Gate] = []
    if levels["wrong"] != "low":
        gates.append(parse_gate(f"{metric} < baseline.{metric}", _why(risk, "wrong", levels["wrong"])))
    if levels["wrong"] == "high":
        gates.append(parse_gate(f"{metric} <= champion.{metric}", _why(risk, "wrong", "high")))
    elif (margin := CHAMPION_MARGIN.get(levels["decay"])) is not None:
        gates.append(parse_gate(f"{metric} <= champion.{metric} * {margin}", _why(risk, "decay", levels["decay"])))
    return tuple(gates)


def _why(risk: Risk, concern: Concern, level: Level) -> str:
    declared: RiskLevel = getattr(risk, concern)
    return f"the risk of {NAMES[concern]} is {level} (probability {declared.probability}, impact {declared.impact})"
