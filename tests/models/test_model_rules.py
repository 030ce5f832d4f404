"""The registry's rules: what is accepted, what is refused, whom a roll-back returns to."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.models import rules
from keepwell.models.model import Champion, Member

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = digest_bytes(b"model")


def member(segment: str, **changes: object) -> Member:
    return Member(**{"segment": segment, "artifact": DIGEST, "offset": 0, "length": 5, **changes})


def held(version: str, cause: str = "promotion", seq: int = 1) -> Champion:
    return Champion(seq, "m", "prod", "all", version, 1, NOW, None, cause, None, "person:a")


@pytest.mark.parametrize(
    ("state", "to", "allowed"),
    [
        ("registered", "held", True),
        ("registered", "promoted", True),
        ("registered", "discarded", True),
        ("registered", "retired", False),
        ("held", "registered", True),
        ("held", "promoted", True),
        ("held", "retired", False),
        ("promoted", "retired", True),
        ("promoted", "held", False),
        ("promoted", "discarded", False),
        ("retired", "promoted", True),
        ("retired", "discarded", True),
        ("retired", "registered", False),
        ("discarded", "promoted", False),
        ("discarded", "registered", False),
        ("held", "held", True),
    ],
)
def test_states_and_their_transitions(state: str, to: str, allowed: bool) -> None:
    if allowed:
        rules.check_transition("m v1", state, to)
        return
    with pytest.raises(Conflict) as refused:
        rules.check_transition("m v1", state, to)
    assert refused.value.message.startswith(f"m v1 cannot become {to}: ")
    assert refused.value.message.endswith(".")


def test_every_state_says_what_it_may_become() -> None:
    assert set(rules.TRANSITIONS) == set(rules.STATES)
    assert all(to in rules.STATES for targets in rules.TRANSITIONS.values() for to in targets)
    with pytest.raises(InvalidInput, match="not a state"):
        rules.check_state("great")


def test_members_are_ordered_by_segment() -> None:
    found = rules.check_members([member("b=2"), member("all"), member("a=1")])
    assert [m.segment for m in found] == ["a=1", "all", "b=2"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "1 to"),
        ([member("a=1"), member("a=1")], "twice"),
        ([member("nothing")], "not a segment's key"),
        ([member("")], "not a segment's key"),
        ([member("a=")], "not a segment's key"),
        ([member("=1")], "not a segment's key"),
        ([member("a=1\n")], "not a segment's key"),
        ([member("a=" + "x" * 600)], "not a segment's key"),
        ([member("a=1", artifact="md5:1")], "digest"),
        ([member("a=1", length=0)], "no bytes"),
        ([member("a=1", offset=-1)], "no bytes"),
        ([member("a=1", metrics={"wmape": math.nan})], "None"),
        ([member("a=1", metrics={"wmape": -math.inf})], "None"),
    ],
)
def test_members_that_cannot_be_registered(members: list[Member], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        rules.check_members(members)


def test_a_roll_back_returns_to_the_champion_before() -> None:
    assert rules.previous_version([]) is None
    assert rules.previous_version([held("a")]) is None
    assert rules.previous_version([held("a"), held("b")]) == "a"
    assert rules.previous_version([held("a"), held("b"), held("a")]) == "b"
    assert rules.previous_version([held("a"), held("b"), held("c")], frozenset({"b"})) == "a"


def test_rolling_back_twice_goes_back_two_promotions() -> None:
    history = [held("a"), held("b"), held("c"), held("b", "rollback")]
    assert rules.previous_version(history) == "a"
    assert rules.previous_version([*history, held("a", "rollback")]) is None
    assert rules.previous_version([*history, held("d")]) == "b"


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=12))
def test_rolling_back_ends_and_never_returns_to_the_present(moves: list[tuple[str, bool]]) -> None:
    history: list[Champion] = []
    for version, back in moves:
        if back:
            to = rules.previous_version(history)
            if to is not None:
                history.append(held(to, "rollback"))
        elif not history or history[-1].version_id != version:
            history.append(held(version))
    steps = 0
    while (to := rules.previous_version(history)) is not None:
        assert to != history[-1].version_id
        history.append(held(to, "rollback"))
        steps += 1
        assert steps <= len(moves)


@pytest.mark.parametrize(
    ("text", "parts", "state", "number"),
    [
        (None, (), None, None),
        ("", (), None, None),
        ("South", ("south",), None, None),
        ("region=South fast", ("region=south", "fast"), None, None),
        ("South v3 held", ("south",), "held", 3),
        ("PROMOTED V12", (), "promoted", 12),
        ("v0 version3", ("v0", "version3"), None, None),
    ],
)
def test_a_search_is_read(text: str | None, parts: tuple[str, ...], state: str | None, number: int | None) -> None:
    assert rules.parse_query(text) == rules.Query(parts, state, number)


@pytest.mark.parametrize("text", ["a\x00b", "x" * 401, "v1 v2", "held promoted", "\x1b[2J"])
def test_a_search_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        rules.parse_query(text)


@given(st.text(max_size=500))
def test_no_text_breaks_the_search_or_the_reference(text: str) -> None:
    for read in (rules.parse_query, rules.parse_reference):
        try:
            read(text)
        except InvalidInput as refused:
            assert refused.message.endswith(".")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("demand", ("demand", "all", None)),
        ("demand/v3", ("demand", "all", 3)),
        ("demand/a=1,b=2", ("demand", "a=1,b=2", None)),
        ("demand/a=1,b=2/v7", ("demand", "a=1,b=2", 7)),
        ("demand/a=1/v7/v8", ("demand", "a=1/v7", 8)),
    ],
)
def test_a_version_is_named(text: str, expected: tuple[str, str, int | None]) -> None:
    assert rules.parse_reference(text) == expected


def test_the_worst_come_first_and_the_unknown_last() -> None:
    members = [("a", {"wmape": 0.1}), ("b", {}), ("c", {"wmape": 0.5}), ("d", {"wmape": None}), ("e", {"wmape": 0.5})]
    assert rules.rank(members, "wmape") == ["c", "e", "a", "b", "d"]
    assert rules.rank([("a", {"bias": 0.1}), ("b", {"bias": -0.4})], "bias") == ["b", "a"]
    assert rules.rank([("a", {"wmape": math.nan}), ("b", {"wmape": 0.0})], "wmape") == ["b", "a"]


def test_a_search_is_narrowed() -> None:
    assert rules.narrow(rules.Query(("a",)), "held", 2) == rules.Query(("a",), "held", 2)
    assert rules.narrow(rules.Query(("a",), "held", 2), None, None) == rules.Query(("a",), "held", 2)
    for number in (0, -1, 10**12, True):
        with pytest.raises(InvalidInput):
            rules.narrow(rules.Query(), None, number)


def test_what_a_search_looks_in_has_no_escapes() -> None:
    assert rules.search_text("region=A%2CB,format=L") == "region=a,b,format=l"
    assert rules.search_text("all") == "all"
