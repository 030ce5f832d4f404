"""The feed tells each change once, in order, and a wait for the next one ends."""

from __future__ import annotations

import threading
import time

import pytest

from keepwell.core.errors import InvalidInput
from keepwell.core.events import Event
from keepwell.flows.kit import Kit
from keepwell.ledger import append, feed


def happen(kit: Kit, *kinds: str) -> None:
    with kit.write() as tx:
        append(tx, kit.call("person:ann"), *(Event(kind, "model:iris") for kind in kinds))


def test_every_change_is_told_once_in_order(kit):
    happen(kit, *(f"model.thing_{n % 3}" for n in range(25)))
    seen, after = [], 0
    with kit.read() as tx:
        while (found := feed.changes(tx, after, limit=7)).items:
            seen += [entry.seq for entry in found.items]
            after = found.after
    assert seen == list(range(1, 26)) and after == 25


def test_what_does_not_match_is_passed_over(kit):
    happen(kit, "model.a", "model.b", "model.a", "run.c")
    with kit.read() as tx:
        assert [e.seq for e in feed.changes(tx, 0, kind="model.a").items] == [1, 3]
        assert feed.changes(tx, 0, kind="nothing.").after == 4
        assert feed.changes(tx, 9).after == 9, "a feed never goes back"
        for wrong in (-1, True, 1 << 60):
            with pytest.raises(InvalidInput):
                feed.changes(tx, wrong)


def test_a_wait_ends_when_something_happens(kit):
    thread = threading.Timer(0.1, happen, (kit, "model.a"))
    thread.start()
    found = feed.wait_for_changes(kit.db, 0, 10.0, now=time.monotonic, sleep=time.sleep)
    thread.join()
    assert [entry.kind for entry in found.items] == ["model.a"]


def test_a_wait_ends_when_nothing_happens_and_is_never_longer_than_it_may(kit):
    moment, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        moment[0] += seconds

    found = feed.wait_for_changes(kit.db, 0, 10_000.0, now=lambda: moment[0], sleep=sleep)
    assert (found.items, found.after) == ([], 0)
    assert sum(slept) == pytest.approx(feed.LONGEST)
