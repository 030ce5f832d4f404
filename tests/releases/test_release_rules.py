"""What stands between a version and its promotion, and who may approve."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from keepwell.charter.gates import parse_gate
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.releases import rules
from keepwell.releases.judging import columns_of, judge, rules_digest
from keepwell.releases.model import Approval, Evidence

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GATES = (parse_gate("mape <= 0.45"), parse_gate("mape <= champion.mape * 1.02"))
DIGEST = rules_digest(GATES)
GIVEN = Approval("apr", "m", "prod", "owner", "v", "art", "cha", "given", NOW, "loop:m", NOW, "person:bob")


def verdict(mape: float, champion: str | None = None) -> object:
    evidence = [Evidence("v", "all", "self", "mape", mape, 99), Evidence("old", "all", "self", "mape", 0.4, 99)]
    return judge(GATES, evidence, "v", champion)


def test_gates_in_force_must_have_passed() -> None:
    assert rules.gates_refusal(verdict(0.3), GATES, DIGEST, None) is None
    assert rules.gates_refusal(verdict(0.3, "old"), GATES, DIGEST, "old") is None
    assert rules.gates_refusal(verdict(0.3, "old"), GATES, DIGEST, "v") is None


@pytest.mark.parametrize(
    ("found", "digest", "champion", "clause", "words"),
    [
        (None, DIGEST, None, "gates", "not certified"),
        (verdict(0.5), DIGEST, None, "mape <= 0.45", "failed: mape is 0.5"),
        (verdict(math.nan), DIGEST, None, "mape <= 0.45", "undecided"),
        (verdict(0.3), "sha256:other", None, "gates", "other gates"),
        (verdict(0.3), DIGEST, "old", "gates", "champion changed"),
        (verdict(0.3, "old"), DIGEST, None, "gates", "champion changed"),
        (replace(verdict(0.3), void="its evidence was measured again"), DIGEST, None, "gates", "measured again"),
    ],
)
def test_what_the_gates_have_against_it(
    found: object, digest: str, champion: str | None, clause: str, words: str
) -> None:
    refusal = rules.gates_refusal(found, GATES, digest, champion)
    assert refusal is not None
    assert refusal[0] == clause
    assert words in refusal[1]


def test_another_champion_matters_only_to_gates_about_champions() -> None:
    plain = GATES[:1]
    found = judge(plain, [Evidence("v", "all", "self", "mape", 0.3, 99)], "v", "old")
    assert rules.gates_refusal(found, plain, rules_digest(plain), "newer") is None


def asked(*approvals: Approval, roles: tuple[str, ...] = ("owner",), author: str = "person:ann") -> str | None:
    found = rules.approval_refusal(approvals, "prod", roles, "art", "cha", author)
    return None if found is None else found[1]


def test_approvals_that_count() -> None:
    assert asked(roles=()) is None
    assert asked(GIVEN) is None
    assert asked(replace(GIVEN, state="refused"), GIVEN) is None
    assert asked(GIVEN, replace(GIVEN, role="risk"), roles=("owner", "risk")) is None


@pytest.mark.parametrize(
    ("approval", "words"),
    [
        (replace(GIVEN, environment="test"), "nobody was asked"),
        (replace(GIVEN, role="risk"), "nobody was asked"),
        (replace(GIVEN, state="withdrawn"), "nobody was asked"),
        (replace(GIVEN, artifact="other"), "void"),
        (replace(GIVEN, charter="other"), "void"),
        (replace(GIVEN, state="asked"), "not given yet"),
        (replace(GIVEN, state="refused"), "refused it (person:bob)"),
        (replace(GIVEN, settled_by="person:ann"), "another person's"),
        (replace(GIVEN, settled_by="loop:m"), "another person's"),
        (replace(GIVEN, settled_by=None), "another person's"),
    ],
)
def test_approvals_that_do_not(approval: Approval, words: str) -> None:
    assert words in str(asked(approval))
    assert "nobody was asked" in str(asked())
    assert "of risk" in str(asked(GIVEN, roles=("owner", "risk")))


@pytest.mark.parametrize(
    ("approvals", "roles", "expected"),
    [
        ([], (), "given"),
        ([], ("owner",), "not_asked"),
        ([GIVEN], ("owner",), "given"),
        ([GIVEN], ("owner", "risk"), "not_asked"),
        ([GIVEN, replace(GIVEN, role="risk", state="asked")], ("owner", "risk"), "asked"),
        ([GIVEN, replace(GIVEN, role="risk", state="refused")], ("owner", "risk"), "refused"),
        ([replace(GIVEN, charter="other")], ("owner",), "void"),
        ([replace(GIVEN, charter="other"), GIVEN], ("owner",), "given"),
        ([GIVEN, replace(GIVEN, state="refused")], ("owner",), "refused"),
        ([replace(GIVEN, state="withdrawn")], ("owner",), "not_asked"),
    ],
)
def test_where_approvals_stand(approvals: list[Approval], roles: tuple[str, ...], expected: str) -> None:
    assert rules.approvals_standing(approvals, "prod", roles, "art", "cha") == expected


@pytest.mark.parametrize("actor", ["loop:m", "service:ci", "person:", "", "Person:ann"])
def test_only_persons_approve(actor: str) -> None:
    with pytest.raises(Conflict, match="no person"):
        rules.check_approver(actor, {})


def test_authors_do_not_approve_their_own() -> None:
    with pytest.raises(Conflict, match="may not approve"):
        rules.check_approver("person:ann", {"v1": "person:bob", "v2": "person:ann"})
    rules.check_approver("person:ann", {"v1": "person:bob", "v2": "loop:m"})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(InvalidInput, match="None"):
        rules.check_values([Evidence("v", "all", "self", "mape", value, 9)])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([Evidence("v", "all", "self", "mape", math.inf, 9)], "infinite"),
        ([Evidence("v", "all", "self", "mape", 0.1, -1)], "negative"),
        ([Evidence("v", "all", "self", "mape", 0.1, 9)] * 2, "twice"),
        ([Evidence("v", "", "self", "mape", 0.1, 9)], "cannot name"),
        ([Evidence("v", "a\x00", "self", "mape", 0.1, 9)], "cannot name"),
        ([Evidence("v", "all", "self", "m" * 501, 0.1, 9)], "cannot name"),
        ([Evidence("w", "all", "self", "mape", 0.1, 9)], "not among"),
    ],
)
def test_evidence_that_cannot_be_stored(rows: list[Evidence], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        rules.check_evidence(columns_of(rows), frozenset({"v"}))


def test_unknown_evidence_is_stored_as_unknown() -> None:
    columns = columns_of([Evidence("v", "all", "self", "mape", None, 0)])
    rules.check_evidence(columns)
    assert np.isnan(columns.value).all()
