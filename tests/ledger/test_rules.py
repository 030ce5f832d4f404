from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.events import Event
from keepwell.ledger import rules, verify


def tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def leaf(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.mark.parametrize("size", [*range(34), 63, 64, 65, 127, 128, 129])
def test_the_root_is_that_of_the_rfc(size):
    hashes = [leaf(number) for number in range(size)]
    wanted = tree_hash([bytes.fromhex(h) for h in hashes]).hex()
    assert rules.root(rules.extend(rules.Frontier(), hashes)) == wanted
    tree = verify.Tree()
    for one in hashes:
        tree.add(one)
    assert tree.root() == wanted


@given(st.lists(st.integers(0, 40), max_size=6))
def test_a_tree_may_grow_in_any_steps(steps):
    tree = rules.Frontier()
    for step in steps:
        tree = rules.extend(tree, [leaf(tree.size + number) for number in range(step)])
    assert tree == rules.extend(rules.Frontier(), [leaf(number) for number in range(sum(steps))])
    assert len(tree.peaks) == tree.size.bit_count()


def test_an_entry_hash_is_that_of_its_canonical_json():
    at, event = (
        datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        Event("a.b", "x:\u00fc", {"z": 1.0, "a": [None, "\u2028"]}),
    )
    body = rules.body_text(event)
    found = rules.entry_hash(7, at, "person:ann", event, body, None, rules.GENESIS)
    text = json.dumps(
        {"seq": 7, "at": "2026-01-02T03:04:05.000006Z", "actor": "person:ann", "kind": "a.b", "subject": "x:\u00fc",
         "body": event.body, "commitment": None, "previous": "0" * 64},
        sort_keys=True, separators=(",", ":"), ensure_ascii=False,
    )  # fmt: skip
    assert found == hashlib.sha256(text.encode()).hexdigest()


def test_the_trail_is_bounded():
    assert rules.trail_step(1) == 1
    assert rules.trail_step(rules.TRAIL) == 1
    assert rules.trail_step(rules.TRAIL + 1) == 2
    assert 1_000_000 // rules.trail_step(1_000_000) <= rules.TRAIL
