"""Approvals: asked, given, refused, withdrawn; by persons, for bytes, under a charter."""

from __future__ import annotations

import pytest

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.releases import service as releases
from keepwell.releases.model import Approval

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
CHARTER, OTHER = "sha256:" + "c" * 64, "sha256:" + "d" * 64


@pytest.fixture
def ids(kit: Kit) -> list[str]:
    return sorted(kit.ids.new("ver") for _ in range(2))


def ask(kit: Kit, artifacts: dict[str, str], roles: tuple[str, ...] = ("owner",), charter: str = CHARTER) -> str:
    with kit.write() as tx:
        return releases.ask_approval(tx, kit.call("loop:m"), "m", "prod", roles, artifacts, charter)


def give(
    kit: Kit, artifacts: dict[str, str], actor: str = "person:bob", *, key: str | None = None, **more: object
) -> list[Approval]:
    authors = dict.fromkeys(artifacts, "person:ann")
    with kit.write() as tx:
        return releases.give_approval(
            tx, kit.call(actor, key), "m", "prod", "owner", artifacts, CHARTER, authors, **more
        )


def states(kit: Kit, ids: list[str]) -> list[list[str]]:
    with kit.read() as tx:
        return [[a.state for a in found] for found in releases.approvals(tx, ids).values()]


def test_asked_and_given(kit: Kit, ids: list[str]) -> None:
    asked = ask(kit, {ids[0]: A, ids[1]: B})
    with kit.read() as tx:
        waiting = releases.waiting_approvals(tx)
    assert [(w.id, w.role, w.count, w.version_ids) for w in waiting] == [(asked, "owner", 2, tuple(ids))]
    given = give(kit, {ids[0]: A}, reason="looks right")
    assert [(g.id, g.state, g.settled_by, g.artifact, g.charter) for g in given] == [
        (asked, "given", "person:bob", A, CHARTER)
    ]
    assert states(kit, ids) == [["given"], ["asked"]]
    with kit.read() as tx:
        assert releases.waiting_approvals(tx, "m")[0].count == 1
        assert releases.waiting_approvals(tx, "other") == []
        told = entries(tx)[0]
    assert (told.kind, told.note) == ("model.approval_given", "looks right")
    assert "looks right" not in str(told.body)


def test_what_stands_is_not_asked_again(kit: Kit, ids: list[str]) -> None:
    first = ask(kit, {ids[0]: A})
    assert ask(kit, {ids[0]: A}) == first
    second = ask(kit, {ids[0]: A, ids[1]: B})
    assert second != first
    assert states(kit, ids) == [["asked"], ["asked"]]
    assert ask(kit, {ids[0]: A}, charter=OTHER) not in (first, second)
    assert ask(kit, {ids[0]: B}) not in (first, second)


def test_a_request_is_settled_as_a_whole(kit: Kit, ids: list[str]) -> None:
    asked = ask(kit, {ids[0]: A, ids[1]: B}, ("owner", "risk"))
    with kit.write() as tx:
        done = releases.settle_approval(tx, kit.call("person:bob"), asked, {}, verdict="refused", reason="not now")
    assert {a.state for a in done} == {"refused"}
    assert len(done) == 4
    with kit.write() as tx:
        with pytest.raises(Conflict, match="already"):
            releases.settle_approval(tx, kit.call("person:bob"), asked, {})
        with pytest.raises(NotFound):
            releases.settle_approval(tx, kit.call("person:bob"), kit.ids.new("apr"), {})
        with pytest.raises(InvalidInput):
            releases.settle_approval(tx, kit.call("person:bob"), "1", {})


def test_where_many_stand(kit: Kit, ids: list[str]) -> None:
    ask(kit, {ids[0]: A, ids[1]: B})
    give(kit, {ids[0]: A})
    with kit.read() as tx:
        found = releases.standing(tx, "prod", ["owner"], {ids[0]: A, ids[1]: B}, CHARTER)
        other = releases.standing(tx, "prod", ["owner"], {ids[0]: B}, CHARTER)
        free = releases.standing(tx, "test", [], {ids[0]: A}, CHARTER)
    assert found == {ids[0]: "given", ids[1]: "asked"}
    assert (other, free) == ({ids[0]: "void"}, {ids[0]: "given"})


@pytest.mark.parametrize("reason", ["x" * 2001, "\x1b[2J", "a\x00b"])
def test_reasons_are_plain_text(kit: Kit, ids: list[str], reason: str) -> None:
    with pytest.raises(InvalidInput, match="reason"):
        give(kit, {ids[0]: A}, reason=reason)
    assert states(kit, ids) == [[], []]


def test_given_without_being_asked(kit: Kit, ids: list[str]) -> None:
    given = give(kit, {ids[0]: A})
    assert [(g.state, g.asked_by) for g in given] == [("given", "person:bob")]


@pytest.mark.parametrize(("actor", "words"), [("person:ann", "may not approve"), ("loop:m", "no person")])
def test_who_may_not(kit: Kit, ids: list[str], actor: str, words: str) -> None:
    asked = ask(kit, {ids[0]: A})
    with pytest.raises(Conflict, match=words):
        give(kit, {ids[0]: A}, actor)
    with kit.write() as tx, pytest.raises(Conflict, match=words):
        releases.settle_approval(tx, kit.call(actor), asked, {ids[0]: "person:ann"})
    assert states(kit, ids) == [["asked"], []]


def test_the_author_may_refuse(kit: Kit, ids: list[str]) -> None:
    assert give(kit, {ids[0]: A}, "person:ann", verdict="refused")[0].state == "refused"


def test_taking_back(kit: Kit, ids: list[str]) -> None:
    give(kit, {ids[0]: A, ids[1]: B})
    with kit.write() as tx:
        assert releases.withdraw_approval(tx, kit.call("person:cat"), ids, "prod", "hm") == 0
        assert releases.withdraw_approval(tx, kit.call("person:bob"), ids[:1], "test", "hm") == 0
        assert releases.withdraw_approval(tx, kit.call("person:bob"), ids[:1], "prod", "hm") == 1
    assert states(kit, ids) == [["withdrawn"], ["given"]]
    give(kit, {ids[0]: A})
    assert states(kit, ids) == [["withdrawn", "given"], ["given"]]


def test_the_same_key_decides_once(kit: Kit, ids: list[str]) -> None:
    first = give(kit, {ids[0]: A}, key="k")
    assert give(kit, {ids[0]: A}, key="k") == first
    with pytest.raises(Conflict, match="another request"):
        give(kit, {ids[0]: A}, key="k", verdict="refused")
    with kit.read() as tx:
        assert len(entries(tx)) == 1


def test_nothing_to_decide_on(kit: Kit, ids: list[str]) -> None:
    with pytest.raises(InvalidInput):
        give(kit, {})
    with pytest.raises(InvalidInput):
        ask(kit, {})
    with pytest.raises(InvalidInput):
        ask(kit, {ids[0]: A}, ())


@pytest.mark.parametrize("limit", [0, -5, 10**9])
def test_limits(kit: Kit, limit: int) -> None:
    with kit.read() as tx, pytest.raises(InvalidInput):
        releases.waiting_approvals(tx, limit=limit)
