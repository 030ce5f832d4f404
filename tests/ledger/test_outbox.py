from __future__ import annotations

from datetime import timedelta

import pytest

from keepwell.core.errors import Conflict
from keepwell.db import read, write
from keepwell.ledger import outbox


def claim(kit, **options):
    with write(kit.db) as tx:
        return outbox.claim(tx, kit.call("service:courier"), **options)


def test_every_entry_waits_until_it_is_delivered(kit, filled):
    filled(3)
    first = claim(kit, limit=2)
    assert [d.entry.seq for d in first] == [1, 2]
    assert first[0].entry.note is not None
    assert [d.entry.seq for d in claim(kit)] == [3]  # leased ones are nobody else's
    assert claim(kit) == []
    with write(kit.db) as tx:
        outbox.delivered(tx, kit.call("service:courier"), first[0])
    with read(kit.db) as tx:
        assert outbox.waiting(tx) == 2
    with pytest.raises(Conflict), write(kit.db) as tx:
        outbox.delivered(tx, kit.call("service:courier"), first[0])


def test_a_claim_that_ran_out_is_taken_over(kit, filled):
    filled(1)
    (late,) = claim(kit, lease=timedelta(seconds=10))
    kit.clock.advance(timedelta(seconds=10))
    (again,) = claim(kit)
    assert (again.entry.seq, again.attempt, late.attempt) == (1, 2, 1)
    with pytest.raises(Conflict, match="took it over"), write(kit.db) as tx:
        outbox.delivered(tx, kit.call("service:courier"), late)
    with pytest.raises(Conflict), write(kit.db) as tx:
        outbox.failed(tx, kit.call("service:courier"), late)
    with write(kit.db) as tx:
        outbox.delivered(tx, kit.call("service:courier"), again)


def test_a_failure_waits_longer_each_time(kit, filled):
    filled(1)
    for attempt in range(1, 15):
        (delivery,) = claim(kit)
        assert delivery.attempt == attempt
        with write(kit.db) as tx:
            outbox.failed(tx, kit.call("service:courier"), delivery)
        wait = timedelta(seconds=min(2**attempt, 3600))
        kit.clock.advance(wait - timedelta(microseconds=1))
        assert claim(kit) == []
        kit.clock.advance(timedelta(microseconds=1))
