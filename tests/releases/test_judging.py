"""Gates: three outcomes, and nothing that is unknown ever passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.charter.gates import parse_gate
from keepwell.releases.judging import columns_of, judge, judge_fleet, reasons_of, verdicts_of
from keepwell.releases.model import Evidence, GateResult

V, C = "ver_new", "ver_old"


def rows(*given_: tuple[object, ...], version: str = V) -> list[Evidence]:
    """Evidence as (subject, metric, value[, n[, slice]])."""
    return [
        Evidence(version, str((*r, "all")[4] if len(r) > 4 else "all"), str(r[0]), str(r[1]), r[2],
                 int(r[3]) if len(r) > 3 else 100)
        for r in given_
    ]  # fmt: skip


def one(gate: str, evidence: list[Evidence], champion: str | None = None, least: int = 20) -> GateResult:
    verdict = judge([parse_gate(gate)], evidence, V, champion, least)
    assert verdict.outcome == verdict.gates[0].outcome
    return verdict.gates[0]


def test_a_value() -> None:
    passed = one("mape <= 0.45", rows(("self", "mape", 0.312, 480)))
    assert (passed.outcome, passed.left, passed.right, passed.n) == ("passed", 0.312, 0.45, 480)
    assert passed.reason == "mape is 0.312; allowed is <= 0.45; 480 rows."
    failed = one("mape<=0.45", rows(("self", "mape", 0.5)))
    assert (failed.outcome, failed.reason) == ("failed", "mape is 0.5; allowed is <= 0.45; 100 rows.")


@pytest.mark.parametrize(
    ("gate", "left", "outcome"),
    [
        ("mape < 0.45", 0.45, "failed"),
        ("mape <= 0.45", 0.45, "passed"),
        ("bias > -0.1", -0.1, "failed"),
        ("bias >= -0.1", -0.1, "passed"),
        ("bias >= -0.1", 0.3, "passed"),
        ("bias > -0.1", -0.2, "failed"),
    ],
)
def test_operators_at_the_edge(gate: str, left: float, outcome: str) -> None:
    assert one(gate, rows(("self", "mape", left), ("self", "bias", left))).outcome == outcome


def test_the_baseline() -> None:
    evidence = rows(("self", "mape", 0.3), ("baseline", "mape", 0.4))
    assert one("mape < baseline.mape", evidence).outcome == "passed"
    failed = one("mape < baseline.mape * 0.7", evidence)
    assert (failed.outcome, failed.right) == ("failed", pytest.approx(0.28))
    assert failed.reason == "mape is 0.3; allowed is < 0.28 (baseline.mape * 0.7); 100 rows."
    missing = one("mape < baseline.mape", rows(("self", "mape", 0.3)))
    assert missing.outcome == "undecided"
    assert missing.reason == "baseline.mape is not known, so there is nothing to compare with."
    few = one("mape < baseline.mape", rows(("self", "mape", 0.3), ("baseline", "mape", 0.4, 5)))
    assert (few.outcome, few.reason) == ("undecided", "baseline.mape rests on fewer than 20 rows.")


def test_no_champion_yet_is_not_applicable_and_says_so() -> None:
    found = one("mape <= champion.mape * 1.02", rows(("self", "mape", 0.3)))
    assert (found.outcome, found.right, found.reason) == ("passed", None, "Not applicable: no champion.")


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_no_champion_yet_does_not_let_the_unknown_pass(value: float | None) -> None:
    assert one("mape <= champion.mape * 1.02", rows(("self", "mape", value))).outcome == "undecided"
    assert one("mape <= champion.mape * 1.02", rows(("self", "mape", 0.1, 3))).outcome == "undecided"
    assert one("mape <= champion.mape * 1.02", []).outcome == "undecided"


def test_a_champion_without_evidence_is_undecided() -> None:
    found = one("mape <= champion.mape * 1.02", rows(("self", "mape", 0.3)), C)
    assert found.outcome == "undecided"
    assert found.reason == "champion.mape * 1.02 is not known, so there is nothing to compare with."


def test_the_champion_on_the_same_rows_comes_before_what_it_was_certified_with() -> None:
    certified = rows(("self", "mape", 0.2), version=C)
    assert one("mape <= champion.mape", rows(("self", "mape", 0.3)) + certified, C).outcome == "failed"
    beside = rows(("self", "mape", 0.3), (C, "mape", 0.35))
    found = one("mape <= champion.mape", beside + certified, C)
    assert (found.outcome, found.right) == ("passed", 0.35)
    other = rows(("self", "mape", 0.3), ("ver_older", "mape", 0.9))
    assert one("mape <= champion.mape", other + certified, C).outcome == "failed"


def test_the_champion_beside_itself_passes_a_margin() -> None:
    assert one("mape <= champion.mape * 1.02", rows(("self", "mape", 0.3)), V).outcome == "passed"


def test_every_slice_names_the_worst() -> None:
    evidence = rows(
        ("self", "mape", 0.3), ("self", "mape", 0.40, 60, "region=N"), ("self", "mape", 0.55, 50, "region=S"),
        ("self", "mape", 0.50, 50, "region=W"),
    )  # fmt: skip
    failed = one("mape <= 0.45 in every slice", evidence)
    assert (failed.outcome, failed.slice, failed.left, failed.n) == ("failed", "region=S", 0.55, 50)
    assert failed.reason == "mape in region=S is 0.55; allowed is <= 0.45; 50 rows."
    passed = one("mape <= 0.60 in every slice", evidence)
    assert (passed.outcome, passed.slice) == ("passed", "region=S")
    assert one("mape <= 0.45", evidence).slice == "all"


def test_the_whole_counts_among_the_slices() -> None:
    evidence = rows(("self", "mape", 0.7), ("self", "mape", 0.1, 50, "region=N"))
    found = one("mape <= 0.45 in every slice", evidence)
    assert (found.outcome, found.slice) == ("failed", "all")


def test_one_unknown_slice_is_undecided_and_a_failed_one_weighs_more() -> None:
    evidence = rows(
        ("self", "mape", 0.3), ("self", "mape", None, 60, "region=N"), ("self", "mape", 0.2, 3, "region=S"),
        ("self", "mape", 0.2, 50, "region=W"),
    )  # fmt: skip
    found = one("mape <= 0.45 in every slice", evidence)
    assert (found.outcome, found.slice) == ("undecided", "region=N")
    worse = evidence + rows(("self", "mape", 0.9, 50, "region=X"))
    assert one("mape <= 0.45 in every slice", worse).outcome == "failed"


def test_a_slice_that_only_the_baseline_has_is_undecided() -> None:
    evidence = rows(
        ("self", "mape", 0.3), ("self", "mape", 0.3, 50, "region=N"), ("baseline", "mape", 0.4, 50, "region=S")
    )
    found = one("mape <= 0.45 in every slice", evidence)
    assert (found.outcome, found.slice) == ("undecided", "region=S")


def test_every_slice_without_slices_is_undecided() -> None:
    found = one("mape <= 0.45 in every slice", rows(("self", "mape", 0.3)))
    assert found.outcome == "undecided"
    assert "No slice was measured" in found.reason
    assert one("mape <= 0.1 in every slice", rows(("self", "mape", 0.3))).outcome == "failed"


def test_every_slice_against_the_champion() -> None:
    evidence = rows(("self", "mape", 0.3), ("self", "mape", 0.3, 50, "region=N"))
    theirs = rows(("self", "mape", 0.3), ("self", "mape", 0.2, 50, "region=N"), version=C)
    assert one("mape <= champion.mape in every slice", evidence).outcome == "passed"
    found = one("mape <= champion.mape in every slice", evidence + theirs, C)
    assert (found.outcome, found.slice, found.right) == ("failed", "region=N", 0.2)
    assert one("mape <= champion.mape in every slice", evidence + theirs[:1], C).slice == "region=N"


UNKNOWN = [None, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", UNKNOWN)
@pytest.mark.parametrize(
    "gate",
    [
        "mape <= 0.45", "mape < 0.45", "mape >= 0", "mape > -1", "mape < baseline.mape", "mape >= baseline.mape",
        "mape <= champion.mape * 1.02", "mape >= champion.mape", "mape >= 0 in every slice",
    ],
)  # fmt: skip
def test_what_is_not_finite_never_passes(gate: str, value: float | None) -> None:
    left = rows(("self", "mape", value), ("baseline", "mape", 0.4), (C, "mape", 0.4))
    right = rows(("self", "mape", 0.4), ("baseline", "mape", value), (C, "mape", value))
    assert one(gate, left, C).outcome == "undecided"
    if "baseline" in gate or "champion" in gate:
        assert one(gate, right, C).outcome == "undecided"
    assert one(gate, [], C).outcome == "undecided"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["self", "baseline", C]),
            st.sampled_from(["all", "region=N", "region=S"]),
            st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
            st.integers(0, 50),
        ),
        unique_by=lambda r: r[:2],
        max_size=9,
    ),
    st.sampled_from(["mape <= 0.45", "mape < baseline.mape", "mape <= champion.mape * 1.02", "mape >= 0"]),
    st.booleans(),
)
def test_a_pass_rests_on_numbers_that_are_there(
    measured: list[tuple[str, str, float | None, int]], gate: str, each: bool
) -> None:
    evidence = [Evidence(V, cut, who, "mape", value, n) for who, cut, value, n in measured]
    found = one(gate + (" in every slice" if each else ""), evidence, C)
    held = {(who, cut): (value, n) for who, cut, value, n in measured}
    if found.outcome == "undecided":
        assert found.reason
        return
    left, n = held["self", found.slice]
    assert left is not None
    assert math.isfinite(left)
    assert (found.left, found.n) == (left, n)
    assert n >= 20
    assert found.right is not None
    assert math.isfinite(found.right)
    symbol = gate.split()[1]
    holds = {"<": left < found.right, "<=": left <= found.right, ">=": left >= found.right}[symbol]
    assert holds == (found.outcome == "passed")
    if each and found.outcome == "passed":
        enough = {cut for who, cut, _, n in measured if who == "self" and n >= 20}
        assert {cut for _, cut, _, _ in measured} <= enough


def test_the_worst_gate_decides() -> None:
    gates = [parse_gate(g) for g in ("mape <= 0.45", "wmape <= 0.3", "rmse <= 10")]
    evidence = rows(("self", "mape", 0.3), ("self", "rmse", 99.0))
    verdict = judge(gates, evidence, V, least=20)
    assert [g.outcome for g in verdict.gates] == ["passed", "undecided", "failed"]
    assert verdict.outcome == "failed"
    assert judge(gates[:2], evidence, V, least=20).outcome == "undecided"
    assert judge(gates[:1], evidence, V, least=20).outcome == "passed"
    assert judge([], [], V).outcome == "passed"


def test_many_are_judged_as_one_by_one() -> None:
    random = np.random.default_rng(7)
    gates = [
        parse_gate(g)
        for g in ("mape <= 0.45", "mape < baseline.mape", "mape <= champion.mape * 1.1", "mape <= 0.8 in every slice")
    ]
    versions = [f"ver_{i}" for i in range(60)]
    champions = {v: (f"old_{i}" if i % 3 else None) for i, v in enumerate(versions)}
    evidence = [
        Evidence(v, cut, who, "mape", None if random.random() < 0.1 else float(random.random()),
                 int(random.integers(5, 200)))
        for v in (*versions, *(c for c in champions.values() if c))
        for who in ("self", "baseline")
        for cut in ("all", "region=N", "region=S")
        if random.random() < 0.9
    ]  # fmt: skip
    whole = verdicts_of(judge_fleet(gates, versions, columns_of(evidence), champions, 20))
    for verdict in whole:
        holder = champions[verdict.version_id]
        own = [e for e in evidence if e.version_id in (verdict.version_id, holder)]
        assert judge(gates, own, verdict.version_id, holder, 20) == verdict
    assert {v.outcome for v in whole} == {"passed", "failed", "undecided"}


def test_reasons_of_those_that_did_not_pass() -> None:
    gates = [parse_gate("mape <= 0.45"), parse_gate("wmape <= 0.2")]
    evidence = [
        Evidence("a", "all", "self", "mape", 0.1, 99), Evidence("a", "all", "self", "wmape", 0.1, 99),
        Evidence("b", "all", "self", "mape", 0.1, 99), Evidence("b", "all", "self", "wmape", 0.5, 99),
        Evidence("c", "all", "self", "mape", 0.9, 99),
    ]  # fmt: skip
    fleet = judge_fleet(gates, ["a", "b", "c", "d"], columns_of(evidence), {})
    assert reasons_of(fleet) == {
        "b": "wmape <= 0.2 failed: wmape is 0.5; allowed is <= 0.2; 99 rows.",
        "c": "mape <= 0.45 failed: mape is 0.9; allowed is <= 0.45; 99 rows.",
        "d": "mape <= 0.45 undecided: mape was not measured, or is not a finite number.",
    }


def test_nothing_to_judge() -> None:
    fleet = judge_fleet([parse_gate("mape <= 0.45")], [], columns_of([]), {})
    assert verdicts_of(fleet) == []
    assert reasons_of(fleet) == {}
