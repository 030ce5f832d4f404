"""Gates: the grammar, what implies what, and which gates a charter comes to."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.charter.gates import Gate, all_gates, implies, parse_gate
from keepwell.charter.model import METRICS, Charter, Data, Evaluate, Risk, RiskLevel
from keepwell.core.errors import InvalidInput

OPS = st.sampled_from(["<", "<=", ">", ">="])
NUMBERS = st.floats(0, 1e6, allow_nan=False, allow_infinity=False)


def charter(gates: tuple[str, ...] = (), **risk: RiskLevel) -> Charter:
    return Charter(model="m", data=Data(dataset="d", time="t", target="y"), gates=gates, risk=Risk(**risk))


@given(st.sampled_from(METRICS), OPS, NUMBERS, st.booleans())
def test_a_plain_gate_reads_back(metric: str, op: str, number: float, each: bool) -> None:
    gate = parse_gate(f"  {metric}{op} {number!r}{' in  every slice' if each else ''}")
    assert (gate.metric, gate.op, gate.value, gate.each_slice) == (metric, op, number, each)
    assert (gate.reference, gate.reference_metric, gate.factor) == ("value", None, 1.0)
    assert parse_gate(gate.text) == gate


@given(st.sampled_from(METRICS), OPS, st.sampled_from(["baseline", "champion"]), st.none() | st.floats(0.01, 100))
def test_a_referring_gate_reads_back(metric: str, op: str, who: str, factor: float | None) -> None:
    gate = parse_gate(f"{metric} {op} {who}.{metric}" + ("" if factor is None else f"*{factor!r}"))
    assert (gate.reference, gate.reference_metric, gate.value) == (who, metric, None)
    assert gate.factor == (1.0 if factor is None else factor)


@given(st.text())
def test_any_text_is_a_gate_or_refused(text: str) -> None:
    try:
        gate = parse_gate(text)
    except InvalidInput as error:
        assert error.message.isprintable()
    else:
        assert math.isfinite(gate.factor)


@given(st.sampled_from(["nan", "NaN", ".nan", "inf", "-inf", "Infinity", "1e999", "-1e999", "+.inf"]), OPS)
def test_nan_and_infinity_are_never_in_a_gate(number: str, op: str) -> None:
    for text in (f"mape {op} {number}", f"mape {op} baseline.mape * {number}"):
        with pytest.raises(InvalidInput):
            parse_gate(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a gate"),
        ("mape", "is not a gate"),
        ("mape == 1", "is not a gate"),
        ("mape < ", "is not a gate"),
        ("wmap < 1", "Did you mean 'wmape'?"),
        ("mape < 45%", "'mape < 0.45'"),
        ("mape < baselin.mape", "Did you mean 'baseline'?"),
        ("mape < champion.wmap", "Did you mean 'wmape'?"),
        ("mape < champion.mape * x", "not a number"),
        ("mape < champion.mape * 0", "not above 0"),
        ("mape < champion.mape * -1", "not above 0"),
        ("mape < champion.mape + 1", "cannot be read"),
        ("mape < nan", "finite"),
        ("mape < 1 in each slice", "cannot be read"),
        ("mape < ١", "cannot be read"),
        ("mape < " + "1" * 300, "is not a gate"),
    ],
)
def test_what_is_no_gate_is_explained(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=r"\w") as caught:
        parse_gate(text)
    assert words in caught.value.message


def test_the_three_forms() -> None:
    assert parse_gate("mape <= champion.mape * 1.02 in every slice") == Gate(
        "mape <= champion.mape * 1.02 in every slice", "mape", "<=", 1.02, "champion", "mape", None, True
    )
    assert parse_gate("mape < baseline.mape").factor == 1.0
    assert parse_gate("mape <= 0.45").value == 0.45


@pytest.mark.parametrize(
    ("strict", "loose", "expected"),
    [
        ("mape < 0.4", "mape < 0.5", True),
        ("mape < 0.5", "mape < 0.4", False),
        ("mape < 0.5", "mape <= 0.5", True),
        ("mape <= 0.5", "mape < 0.5", False),
        ("mape <= 0.5", "mape <= 0.5", True),
        ("bias > 0.5", "bias > 0.4", True),
        ("bias > 0.5", "bias < 0.6", False),
        ("mape < 0.5", "wmape < 0.5", False),
        ("mape <= champion.mape", "mape <= champion.mape * 1.02", True),
        ("mape <= champion.mape * 1.05", "mape <= champion.mape * 1.02", False),
        ("mape < baseline.mape", "mape < champion.mape", False),
        ("mape < 0.5 in every slice", "mape < 0.5", True),
        ("mape < 0.5", "mape < 0.5 in every slice", False),
    ],
)
def test_what_implies_what(strict: str, loose: str, expected: bool) -> None:
    assert implies(parse_gate(strict), parse_gate(loose)) is expected


def test_low_risk_adds_no_gate() -> None:
    assert all_gates(charter()) == ()
    assert [g.text for g in all_gates(charter(("mape <= 0.45",)))] == ["mape <= 0.45"]


def test_risk_adds_gates_that_say_why() -> None:
    gates = all_gates(charter(("mape <= 0.45",), wrong=RiskLevel(probability="medium", impact="medium")))
    assert [(g.text, bool(g.why)) for g in gates] == [("mape <= 0.45", False), ("wmape < baseline.wmape", True)]
    assert "probability medium, impact medium" in gates[1].why


def test_a_declared_gate_that_is_as_strict_stands_for_the_demanded_one() -> None:
    high = RiskLevel(probability="high", impact="high")
    strict = all_gates(charter(("wmape <= champion.wmape * 0.9", "wmape < baseline.wmape * 0.8"), wrong=high))
    assert all(not g.why for g in strict)
    loose = all_gates(charter(("wmape <= champion.wmape * 1.5",), wrong=high))
    assert [g.text for g in loose if g.why] == ["wmape < baseline.wmape", "wmape <= champion.wmape"]


def test_a_charter_that_measures_only_bias_gets_no_derived_gate() -> None:
    high = RiskLevel(probability="high", impact="high")
    only_bias = Charter(
        model="m",
        data=Data(dataset="d", time="t", target="y"),
        evaluate=Evaluate(metrics=("bias",)),
        risk=Risk(wrong=high),
    )
    assert all_gates(only_bias) == ()
