from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.loop import service
from keepwell.loop.decide import decide
from keepwell.loop.decisions import Hold, Train, decode, encode
from keepwell.loop.model import Health, Known, with_columns
from keepwell.loop.ticks import Tick


def run(kit: Kit, fleets: Any, key: str | None = None, weeks: int = 0, **changes: object) -> Tick:
    state = fleets.well(**changes)
    now = fleets.now + timedelta(weeks=weeks)
    state = with_columns(state, scored_slot=now)
    with write(kit.db) as tx:
        return service.record_tick(tx, kit.call("loop:demand", key), state, now, decide(fleets.charter(), state, now))


def test_a_tick_is_recorded_with_its_decisions_and_an_event(kit: Kit, fleets: Any) -> None:
    made = run(kit, fleets, performance=[1, 2, 1])
    assert made.counts == {"hold": 2, "train": 1}
    assert {type(d) for d in made.decisions} == {Hold, Train}
    assert decode(encode(made.decisions)) == made.decisions
    with read(kit.db) as tx:
        assert service.tick(tx, made.id) == made
        assert service.latest(tx, "demand") == made
        (entry,) = entries(tx, kind="loop.tick")
        assert service.fleet_of(tx, made.id) == ["a", "b", "c"]
    assert entry.body["tick"] == made.id
    assert entry.body["counts"] == {"hold": 2, "train": 1}


def test_why_a_segment_got_what_it_got(kit: Kit, fleets: Any) -> None:
    run(kit, fleets, performance=[1, 2, 1])
    run(kit, fleets, weeks=1)
    with read(kit.db) as tx:
        newest, older = service.why(tx, "demand", "b")
        assert isinstance(newest.decision, Hold)
        assert isinstance(older.decision, Train)
        assert older.decision.clause == "monitor.performance"
        assert [r.number for r in (newest, older)] == [2, 1]
        assert [type(r.decision) for r in service.why(tx, "demand", "a")] == [Hold, Hold]
        assert [r.number for r in service.why(tx, "demand", "b", before=newest.seq)] == [1]
        assert service.why(tx, "demand", "b", before=older.seq) == []
        assert [r.number for r in service.actions(tx, "demand", "b")] == [1]
        assert service.actions(tx, "demand", "a") == []
        with pytest.raises(NotFound, match="no such segment"):
            service.why(tx, "demand", "zz")
        with pytest.raises(NotFound, match="not decided"):
            service.why(tx, "nothing", "a")


def test_a_fleet_that_grew_knows_who_was_in_it(kit: Kit, fleets: Any) -> None:
    run(kit, fleets)
    state = fleets.well(("a", "b", "c", "d"))
    with write(kit.db) as tx:
        service.record_tick(tx, kit.call("loop:demand"), state, fleets.now, decide(fleets.charter(), state, fleets.now))
    with read(kit.db) as tx:
        assert [r.number for r in service.why(tx, "demand", "d")] == [2]
        assert [r.number for r in service.why(tx, "demand", "a")] == [2, 1]


def test_the_same_key_records_once(kit: Kit, fleets: Any) -> None:
    first = run(kit, fleets, key="tick-1")
    assert run(kit, fleets, key="tick-1") == first
    with pytest.raises(Conflict):
        run(kit, fleets, key="tick-1", performance=Health.BAD)
    with read(kit.db) as tx:
        assert len(service.ticks(tx)) == 1


def test_listings_filter_and_page(kit: Kit, fleets: Any) -> None:
    made = [run(kit, fleets, weeks=w, performance=[1, 1 + w % 2, 1]) for w in range(6)]
    with read(kit.db) as tx:
        assert [t.number for t in service.ticks(tx, "demand")] == [6, 5, 4, 3, 2, 1]
        assert all(t.decisions == () for t in service.ticks(tx))
        page = service.ticks(tx, limit=4)
        assert [t.number for t in service.ticks(tx, before=page[-1].seq)] == [2, 1]
        trained = service.decisions(tx, kinds=["train"])
        assert [r.tick for r in trained] == [made[i].id for i in (5, 3, 1)]
        assert {r.size for r in trained} == {1}
        every = service.decisions(tx)
        assert len(every) == 9
        first = service.decisions(tx, limit=4)
        rest = service.decisions(tx, before=(first[-1].seq, first[-1].place))
        assert [*first, *rest] == every
        assert service.decisions(tx, q="worse THAN the charter") == trained
        assert service.decisions(tx, model="other") == []
        with pytest.raises(InvalidInput, match="No decision"):
            service.decisions(tx, kinds=["explode"])
        with pytest.raises(InvalidInput, match="limit"):
            service.ticks(tx, limit=0)
        with pytest.raises(NotFound):
            service.tick(tx, "tick_nope")


def test_what_stands_is_told_once_and_wants_a_person(kit: Kit, fleets: Any) -> None:
    changes = {"champion": Known.YES, "guard": Health.BAD}
    run(kit, fleets, **changes)
    with read(kit.db) as tx:
        assert service.alerted(tx, "demand") == {"demand:harm"}
        assert service.alerted(tx, "other") == frozenset()
        (first,) = service.needs_a_person(tx)
    assert first.decision.__struct_config__.tag == "alert"
    run(kit, fleets, weeks=1, alerted=frozenset({"demand:harm"}), **changes)
    with read(kit.db) as tx:
        (second,) = service.needs_a_person(tx)
        assert isinstance(second.decision, Hold)
        assert service.alerted(tx, "demand") == {"demand:harm"}
    run(kit, fleets, weeks=2)
    with read(kit.db) as tx:
        assert service.needs_a_person(tx) == []
        assert service.alerted(tx, "demand") == frozenset()
