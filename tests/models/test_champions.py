"""Champions: exactly one a segment and environment, by compare-and-set, with a history that orders itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError
from tests.models.conftest import Promote, Register

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, InvalidInput, KeepwellError, NotFound
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.models import queries, store
from keepwell.models import service as models
from keepwell.models.model import Champion


def states(kit: Kit, *ids: str) -> list[str]:
    with kit.read() as tx:
        return [s.state for s in models.standings(tx, ids)]


def test_a_promotion_replaces_the_champion(
    kit: Kit, register: Register, promote: Promote, clock: SimulatedClock
) -> None:
    one = register()
    promote(one)
    clock.advance(timedelta(days=7))
    two = register(content="2")
    made = promote(two[:1])
    assert [(c.segment, c.number, c.until, c.cause, c.by) for c in made] == [
        ("region=N", 2, None, "promotion", "person:ann")
    ]
    with kit.read() as tx:
        holders = models.champions(tx, "demand", "prod")
        history = models.champion_history(tx, "demand", "region=N", "prod")
        told = entries(tx)[0]
    assert {s: c.number for s, c in holders.items()} == {"region=N": 2, "region=S": 1}
    assert [(c.number, c.since, c.until) for c in history] == [
        (2, clock.now(), None), (1, clock.now() - timedelta(days=7), clock.now()),
    ]  # fmt: skip
    assert states(kit, one[0].id, one[1].id, two[0].id, two[1].id) == ["retired", "promoted", "promoted", "registered"]
    assert (told.kind, told.note) == ("model.promoted", "better")
    assert told.body["versions"] == [["region=N", 2, two[0].id, one[0].id]]


def test_a_version_that_still_answers_somewhere_is_not_retired(kit: Kit, register: Register, promote: Promote) -> None:
    one, two = register(), register(content="2")
    promote(one, "test")
    promote(one, "prod")
    promote(two, "test")
    assert states(kit, one[0].id) == ["promoted"]
    promote(two, "prod")
    assert states(kit, one[0].id, two[0].id) == ["retired", "promoted"]


def test_promoting_the_champion_changes_nothing(kit: Kit, register: Register, promote: Promote) -> None:
    one = register()
    first = promote(one)
    with kit.read() as tx:
        before = len(entries(tx))
    assert promote(one) == first
    with kit.read() as tx:
        assert len(entries(tx)) == before


def test_a_promotion_under_a_key_happens_once(kit: Kit, register: Register, promote: Promote) -> None:
    one, two = register(), register(content="2")
    first = promote(one, key="k")
    promote(two)
    again = promote(one, key="k")
    assert [(c.version_id, c.seq) for c in again] == [(c.version_id, c.seq) for c in first]
    with kit.read() as tx:
        assert {c.version_id for c in models.champions(tx, "demand", "prod").values()} == {v.id for v in two}


def test_the_index_refuses_a_second_holder(kit: Kit, register: Register, promote: Promote) -> None:
    one = register()
    holder = promote(one)[0]
    with pytest.raises(IntegrityError), kit.write() as tx:
        second = Champion(
            holder.seq + 1, "demand", "prod", "region=N", one[0].id, 1, kit.clock.now(), None, "promotion", None, "x"
        )
        store.open_champions(tx, [second])


def test_a_champion_that_changed_is_not_replaced_unseen(kit: Kit, register: Register, promote: Promote) -> None:
    one, two, three = register(), register(content="2"), register(content="3")
    promote(one[:1], expected={"region=N": None})
    promote(two[:1], expected={"region=N": one[0].id})
    with pytest.raises(Conflict, match="is v2 by now") as refused:
        promote(three[:1], expected={"region=N": one[0].id})
    assert refused.value.code == "champion_changed"
    with pytest.raises(Conflict, match="is nobody by now"):
        promote(three[1:], expected={"region=S": one[1].id})


def test_what_cannot_be_promoted(kit: Kit, register: Register, promote: Promote) -> None:
    one, two = register(), register(content="2")
    other = register(("all",), model="other")
    with kit.write() as tx:
        models.set_state(tx, kit.call("person:ann"), [two[0].id], "discarded", "worse")
    with pytest.raises(Conflict, match="final"):
        promote([two[0], one[1]])
    with pytest.raises(InvalidInput, match="Two versions"):
        promote([one[0], two[0]])
    with pytest.raises(InvalidInput, match="is a version of other"):
        promote([one[0], *other])
    with kit.write() as tx:
        with pytest.raises(NotFound):
            models.promote(tx, kit.call("person:ann"), "demand", "prod", [kit.ids.new("ver")], "x")
        with pytest.raises(InvalidInput):
            models.promote(tx, kit.call("person:ann"), "demand", "prod", [], "x")
    with kit.read() as tx:
        assert models.champions(tx, "demand", "prod") == {}


def test_rolling_back(kit: Kit, register: Register, promote: Promote) -> None:
    one, two, three = register(), register(content="2"), register(content="3")
    for versions in (one, two, three):
        promote(versions)

    def back(segments: tuple[str, ...] = ("region=N",), key: str | None = None) -> list[Champion]:
        with kit.write() as tx:
            return models.roll_back(tx, kit.call("loop:demand", key), "demand", "prod", segments, "harm", "dec_1")

    first = back(key="k")
    assert [(c.number, c.cause, c.decision) for c in first] == [(2, "rollback", "dec_1")]
    assert [c.seq for c in back(key="k")] == [c.seq for c in first]
    assert states(kit, three[0].id, two[0].id) == ["retired", "promoted"]
    assert back()[0].number == 1
    with pytest.raises(Conflict, match="no earlier champion"):
        back()
    with pytest.raises(Conflict, match="no earlier champion"):
        back(("region=N", "region=S"))
    with kit.read() as tx:
        assert {s: c.number for s, c in models.champions(tx, "demand", "prod").items()} == {
            "region=N": 1,
            "region=S": 3,
        }
        assert models.previous_versions(tx, "demand", "prod", ["region=N", "region=S", "region=X"]) == {
            "region=N": None, "region=S": two[1].id, "region=X": None,
        }  # fmt: skip


def test_a_discarded_version_is_not_rolled_back_to(kit: Kit, register: Register, promote: Promote) -> None:
    one, two, three = register(("all",)), register(("all",), content="2"), register(("all",), content="3")
    for versions in (one, two, three):
        promote(versions)
    with kit.write() as tx:
        models.set_state(tx, kit.call("person:ann"), [two[0].id], "discarded", "it was wrong")
        made = models.roll_back(tx, kit.call("person:ann"), "demand", "prod", ["all"], "harm")
    assert made[0].version_id == one[0].id


def test_an_interval_never_ends_before_it_starts(
    kit: Kit, register: Register, promote: Promote, clock: SimulatedClock
) -> None:
    promote(register(("all",)))
    clock.advance(-timedelta(days=1))
    promote(register(("all",), content="2"))
    with kit.read() as tx:
        newest, oldest = models.champion_history(tx, "demand")
    assert (newest.number, oldest.number) == (2, 1)
    assert oldest.until == oldest.since


def test_twenty_promotions_at_once_leave_one_champion(kit: Kit, register: Register) -> None:
    versions = [register(("all",), content=str(i))[0] for i in range(20)]

    def attempt(place: int) -> str:
        with kit.write() as tx:
            models.promote(tx, kit.call(f"person:p{place}"), "demand", "prod", [versions[place].id], "me")
        return versions[place].id

    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(attempt, range(20)))
    with kit.read() as tx:
        holders = queries.holders(tx, "demand", None)
        history = models.champion_history(tx, "demand")
    assert len(holders) == 1
    assert {c.version_id for c in history} == set(done)
    assert len(history) == 20
    assert sum(c.until is None for c in history) == 1
    assert states(kit, *done).count("promoted") == 1


def test_twenty_promotions_that_expect_nobody_have_one_winner(kit: Kit, register: Register) -> None:
    versions = [register(("all",), content=str(i))[0] for i in range(20)]

    def attempt(place: int) -> bool:
        try:
            with kit.write() as tx:
                models.promote(
                    tx, kit.call(f"person:p{place}"), "demand", "prod", [versions[place].id], "me",
                    expected={"all": None},
                )  # fmt: skip
        except KeepwellError as refused:
            assert refused.code == "champion_changed"
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        won = list(pool.map(attempt, range(20)))
    assert won.count(True) == 1
    with kit.read() as tx:
        holder = models.champions(tx, "demand", "prod")["all"]
        assert holder.version_id == versions[won.index(True)].id
        assert len(models.champion_history(tx, "demand")) == 1
