"""Applied charters: numbers, one event a change, the same again changes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.governance import charters_store
from keepwell.governance.charters import (
    AppliedCharter,
    apply_charter,
    charter_history,
    charter_version,
    current_charter,
    current_charters,
)
from keepwell.ledger.service import entries

TEXT = "model: demand\ndata: {dataset: sales, time: week, target: units}\n"
MORE = TEXT + "purpose: Stocking.\n"


def put(kit: Kit, text: str = TEXT, folder: str = "shop", key: str | None = None) -> AppliedCharter:
    with write(kit.db) as tx:
        return apply_charter(tx, kit.call("person:ann", key), text, folder)


def events(kit: Kit) -> list[object]:
    with read(kit.db) as tx:
        return [e.body for e in sorted(entries(tx, kind="charter."), key=lambda e: e.seq)]


def test_a_first_charter_is_number_one_and_one_event(kit: Kit, clock: SimulatedClock) -> None:
    applied = put(kit)
    assert (applied.number, applied.charter.model, applied.folder) == (1, "demand", "shop")
    assert (applied.applied_at, applied.applied_by) == (clock.now(), "person:ann")
    assert events(kit) == [{"model": "demand", "number": 1, "digest": applied.digest, "previous": None}]
    with read(kit.db) as tx:
        assert current_charter(tx, "Demand") == applied


def test_the_same_again_changes_nothing(kit: Kit, clock: SimulatedClock) -> None:
    first = put(kit)
    clock.advance(timedelta(days=1))
    assert put(kit) == first
    assert len(events(kit)) == 1


def test_another_text_or_folder_is_the_next_number(kit: Kit) -> None:
    first, second, third, fourth = put(kit), put(kit, MORE), put(kit, MORE, "elsewhere"), put(kit)
    assert [a.number for a in (first, second, third, fourth)] == [1, 2, 3, 4]
    assert fourth.digest == first.digest
    with read(kit.db) as tx:
        assert charter_history(tx, "demand") == [fourth, third, second, first]
        assert charter_version(tx, "demand", 2) == second
        assert current_charters(tx) == [fourth]
    assert events(kit)[1] == {"model": "demand", "number": 2, "digest": second.digest, "previous": first.digest}


def test_charters_in_force_are_listed_by_name(kit: Kit) -> None:
    for name in ("b", "C", "a"):
        put(kit, TEXT.replace("demand", f"{name}-model"))
    put(kit, MORE.replace("demand", "b-model"))
    with read(kit.db) as tx:
        assert [(a.charter.model, a.number) for a in current_charters(tx)] == [
            ("a-model", 1), ("b-model", 2), ("C-model", 1),
        ]  # fmt: skip


def test_a_repeated_call_returns_what_it_returned(kit: Kit) -> None:
    first = put(kit, key="k1")
    put(kit, MORE)
    assert put(kit, key="k1") == first
    assert len(events(kit)) == 2
    with pytest.raises(Conflict):
        put(kit, MORE, key="k1")


@pytest.mark.parametrize("text", ["model: x", TEXT + "gates: [mape < .nan]", TEXT + "model: y", "[", ""])
def test_a_charter_with_findings_is_refused_and_nothing_changes(kit: Kit, text: str) -> None:
    with pytest.raises(InvalidInput):
        put(kit, text)
    with read(kit.db) as tx:
        assert current_charters(tx) == []
    assert events(kit) == []


def test_names_that_differ_in_case_only_are_one_model(kit: Kit) -> None:
    put(kit)
    with pytest.raises(Conflict):
        put(kit, TEXT.replace("demand", "Demand"))


def test_what_was_never_applied_is_not_found(kit: Kit) -> None:
    put(kit)
    with read(kit.db) as tx:
        for ask in (
            lambda: current_charter(tx, "x"),
            lambda: charter_history(tx, "x"),
            lambda: charter_version(tx, "demand", 7),
        ):
            with pytest.raises(NotFound):
                ask()


def test_a_charter_in_force_stays_readable_when_rules_grow_stricter(kit: Kit) -> None:
    put(kit)
    with write(kit.db) as tx:
        tx.execute(update(charters_store.charters).values(text=TEXT + "gates: [no longer a gate]\n"))
    with read(kit.db) as tx:
        assert current_charter(tx, "demand").charter.gates == ("no longer a gate",)
