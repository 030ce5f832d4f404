"""The matrix of risk, and what each level demands."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from keepwell.charter.model import Charter, Data, Level, Release, Risk, RiskLevel
from keepwell.charter.risk import MATRIX, all_approvals, demands, level_of

LEVELS: tuple[Level, ...] = get_args(Level)
ORDER = {level: i for i, level in enumerate(LEVELS)}
MEDIUM = RiskLevel(probability="medium", impact="medium")
HIGH = RiskLevel(probability="high", impact="high")
ENVIRONMENTS = ("dev", "prod")


def charter(risk: Risk, approvals: dict[str, tuple[str, ...]] | None = None) -> Charter:
    return Charter(
        model="m",
        data=Data(dataset="d", time="t", target="y"),
        risk=risk,
        release=Release(environments=ENVIRONMENTS, approvals=approvals),
    )


def test_the_matrix_is_whole_symmetric_and_never_falls() -> None:
    assert set(MATRIX) == set(product(LEVELS, LEVELS))
    for a, b in product(LEVELS, LEVELS):
        assert MATRIX[a, b] == MATRIX[b, a]
        for higher in LEVELS[ORDER[a] :]:
            assert ORDER[MATRIX[higher, b]] >= ORDER[MATRIX[a, b]]


def test_low_risk_demands_nothing() -> None:
    found = demands(Risk(), ENVIRONMENTS)
    assert (found.gates, found.approvals, found.fallback) == ((), {}, None)
    assert level_of(RiskLevel()) == "low"


@pytest.mark.parametrize(
    ("risk", "gates", "approvals"),
    [
        (Risk(wrong=MEDIUM), ["wmape < baseline.wmape"], {}),
        (Risk(wrong=HIGH), ["wmape < baseline.wmape", "wmape <= champion.wmape"], {"prod": ("owner",)}),
        (Risk(decay=MEDIUM), ["wmape <= champion.wmape * 1.05"], {}),
        (Risk(decay=HIGH), ["wmape <= champion.wmape * 1.02"], {}),
        (Risk(wrong=HIGH, decay=HIGH), ["wmape < baseline.wmape", "wmape <= champion.wmape"], {"prod": ("owner",)}),
        (Risk(unavailable=MEDIUM), [], {}),
        (Risk(unavailable=HIGH), [], {"prod": ("owner",)}),
    ],
)
def test_what_each_level_demands(risk: Risk, gates: list[str], approvals: dict[str, tuple[str, ...]]) -> None:
    found = demands(risk, ENVIRONMENTS)
    assert [g.text for g in found.gates] == gates
    assert found.approvals == approvals
    assert set(found.why_approvals) == set(approvals)
    assert all(g.why for g in found.gates)
    assert (found.fallback is not None) == (risk.unavailable != RiskLevel())


def test_more_risk_never_demands_less() -> None:
    for a, b in product(LEVELS, LEVELS):
        for higher in LEVELS[ORDER[a] :]:
            less = demands(Risk(wrong=RiskLevel(probability=a, impact=b)), ENVIRONMENTS)
            more = demands(Risk(wrong=RiskLevel(probability=higher, impact=b)), ENVIRONMENTS)
            assert {g.text for g in less.gates} <= {g.text for g in more.gates}
            assert set(less.approvals) <= set(more.approvals)


def test_both_causes_of_an_approval_are_named() -> None:
    why = demands(Risk(wrong=HIGH, unavailable=HIGH), ENVIRONMENTS).why_approvals["prod"]
    assert "no answers" in why
    assert "wrong answers" in why
    assert demands(Risk(wrong=HIGH), ()).approvals == {}


def test_declared_approvals_override() -> None:
    assert all_approvals(charter(Risk(wrong=HIGH))) == {"prod": ("owner",)}
    assert all_approvals(charter(Risk(wrong=HIGH), {})) == {}
    assert all_approvals(charter(Risk(), {"dev": ("mlops",), "prod": ()})) == {"dev": ("mlops",)}
