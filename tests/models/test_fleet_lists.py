"""Listing and searching a fleet: pages, orders, and limits that are refused."""

from __future__ import annotations

import pytest
from tests.models.conftest import Promote, Register

from keepwell.core.errors import InvalidInput
from keepwell.flows.kit import Kit
from keepwell.models import service as models
from keepwell.models.model import FleetPage

SEGMENTS = [f"region={r},format={f},store={i:02d}" for r in ("North", "South") for f in ("L", "S") for i in range(3)]


@pytest.fixture
def fleet(kit: Kit, register: Register, promote: Promote) -> Kit:
    """Twelve members; South has a second version, format L of North is promoted."""
    metrics = {s: {"wmape": place / 100, "bias": 0.05 - place / 100} for place, s in enumerate(SEGMENTS)}
    metrics[SEGMENTS[0]] = {"wmape": None}
    first = register(SEGMENTS, metrics=metrics)
    register([s for s in SEGMENTS if "South" in s], content="2", metrics=metrics)
    promote([v for v in first if "North" in v.segment and "format=L" in v.segment])
    return kit


def find(kit: Kit, **asked: object) -> FleetPage:
    with kit.read() as tx:
        return models.fleet(tx, "demand", "prod", **asked)


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({}, 12),
        ({"q": "south"}, 6),
        ({"q": "South L"}, 3),
        ({"q": "region=South format=L"}, 3),
        ({"q": "store=01"}, 4),
        ({"q": "v2"}, 6),
        ({"q": "v2 format=l store=00"}, 1),
        ({"q": "promoted"}, 3),
        ({"state": "promoted"}, 3),
        ({"state": "registered"}, 9),
        ({"number": 2}, 6),
        ({"number": 2, "state": "promoted"}, 0),
        ({"q": "%"}, 0),
        ({"q": "_"}, 0),
        ({"q": "' OR 1=1 --"}, 0),
    ],
)
def test_a_search_finds(fleet: Kit, asked: dict[str, object], count: int) -> None:
    page = find(fleet, **asked)
    assert (page.total, len(page.members), page.after) == (count, count, None)
    assert find(fleet, worst="wmape", **asked).total == count


def test_a_member_shows_its_newest_version_and_its_champion(fleet: Kit) -> None:
    north = find(fleet, q="North format=L store=01").members[0]
    assert (north.number, north.state, north.champion_number, north.champion_id) == (1, "promoted", 1, north.version_id)
    assert north.champion_metrics == {"wmape": 0.01, "bias": 0.04}
    south = find(fleet, q="South format=L store=01").members[0]
    assert (south.number, south.state, south.champion_id, south.champion_metrics) == (2, "registered", None, None)


@pytest.mark.parametrize("worst", [None, "wmape", "bias"])
def test_pages_follow_one_another(fleet: Kit, worst: str | None) -> None:
    whole = [m.segment for m in find(fleet, worst=worst).members]
    found: list[str] = []
    after: str | None = None
    for _ in range(5):
        page = find(fleet, worst=worst, limit=5, after=after)
        assert page.total == 12
        found += [m.segment for m in page.members]
        after = page.after
        if after is None:
            break
    assert found == whole
    assert len(set(found)) == 12


def test_the_worst_come_first(fleet: Kit) -> None:
    page = find(fleet, worst="wmape", limit=3)
    assert [m.metrics["wmape"] for m in page.members] == [0.11, 0.1, 0.09]
    assert find(fleet, worst="wmape").members[-1].segment == SEGMENTS[0]
    assert find(fleet, worst="nothing").members[0].segment == sorted(SEGMENTS)[0]


@pytest.mark.parametrize("limit", [0, -1, 10**9, 1001, True, 2.5, "5", None])
def test_limits_that_cannot_be_meant_are_refused(fleet: Kit, limit: object) -> None:
    with fleet.read() as tx:
        for listing in (
            lambda: models.fleet(tx, "demand", "prod", limit=limit),
            lambda: models.fleet(tx, "demand", "prod", worst="wmape", limit=limit),
            lambda: models.versions(tx, "demand", limit=limit),
            lambda: models.models(tx, limit=limit),
            lambda: models.champion_history(tx, "demand", limit=limit),
        ):
            with pytest.raises(InvalidInput, match="1 to 1000"):
                listing()


@pytest.mark.parametrize("after", ["", "x" * 2000, "\x00", "a\nb"])
def test_forged_places_are_refused(fleet: Kit, after: str) -> None:
    with fleet.read() as tx, pytest.raises(InvalidInput):
        models.fleet(tx, "demand", "prod", after=after)
    with fleet.read() as tx, pytest.raises(InvalidInput):
        models.versions(tx, "demand", after=after)
    with pytest.raises(InvalidInput, match="after"):
        find(fleet, worst="wmape", after="region=Nowhere")


def test_versions_by_segment_newest_first(fleet: Kit, register: Register) -> None:
    with fleet.read() as tx:
        first = models.versions(tx, "demand", q="South format=L", limit=4)
        rest = models.versions(tx, "demand", q="South format=L", limit=4, after=first.after)
        held = models.versions(tx, "demand", state="promoted")
        of_one = models.versions(tx, "demand", segment=SEGMENTS[-1])
        second = models.versions(tx, "demand", q="v2")
        with pytest.raises(InvalidInput):
            models.versions(tx, "demand", state="great")
    listed = [(v.segment[-2:], v.number) for v in (*first.versions, *rest.versions)]
    assert listed == [("00", 2), ("00", 1), ("01", 2), ("01", 1), ("02", 2), ("02", 1)]
    assert rest.after is None
    assert {v.number for v in held.versions} == {1}
    assert [v.number for v in of_one.versions] == [2, 1]
    assert len(second.versions) == 6
    other = register(("all",), model="other")[0]
    with fleet.read() as tx, pytest.raises(InvalidInput, match="after"):
        models.versions(tx, "demand", after=other.id)


def test_a_fleet_as_columns(fleet: Kit) -> None:
    with fleet.read() as tx:
        columns = models.fleet_columns(tx, "demand", "prod")
        nothing = models.fleet_columns(tx, "other", "prod")
        counts = models.state_counts(tx, "demand")
        found = models.found_versions(tx, "demand", "south v2")
    assert list(columns.segment) == sorted(SEGMENTS)
    assert sum(c is not None for c in columns.champion_id) == 3
    assert set(columns.number) == {1, 2}
    assert columns.facts[0] == {"rows": 9}
    assert list(nothing.segment) == []
    assert counts == {"promoted": 3, "registered": 9}
    assert len(found) == 6


def test_models_page_by_name(kit: Kit, register: Register) -> None:
    for name in ("b", "A", "c"):
        register(("all",), model=name)
    with kit.read() as tx:
        first = models.models(tx, limit=2)
        rest = models.models(tx, limit=2, after=first[-1].name)
    assert [m.name for m in (*first, *rest)] == ["A", "b", "c"]
