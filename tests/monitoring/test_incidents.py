from __future__ import annotations

import pytest

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.db import read, write
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.monitoring import service
from keepwell.monitoring.model import Incident


def opened(kit: Kit, cause: str = "arrival:arr_1", **changes: object) -> Incident:
    asked: dict[str, object] = {
        "kind": "data",
        "model": "bikes",
        "subject": "arrival:arr_1",
        "title": "The file of week 30 is in another unit",
        "severity": "bad",
        "datasets": ["bikes"],
        "segments": [],
        "facts": {"failed": 168},
        "cause": cause,
        **changes,
    }
    with write(kit.db) as tx:
        return service.open_incident(tx, kit.call("service:test"), **asked)  # type: ignore[arg-type]


def test_one_incident_per_cause_while_it_is_open(kit: Kit) -> None:
    first = opened(kit)
    assert opened(kit) == first
    with write(kit.db) as tx:
        closed = service.close_incident(tx, kit.call("person:ann"), first.id, "Sent again", {"arrival": "arr_2"})
    assert closed.state == "closed"
    assert closed.closed_by == "person:ann"
    assert closed.evidence == {"arrival": "arr_2"}
    assert opened(kit).id != first.id
    with read(kit.db) as tx:
        kinds = [e.kind for e in entries(tx, kind="incident.")]
    assert kinds == ["incident.opened", "incident.closed", "incident.opened"]


def test_the_same_cause_widens_what_is_touched(kit: Kit) -> None:
    first = opened(kit, segments=["a"], severity="watch")
    wider = opened(kit, segments=["b"], datasets=["weather"])
    assert wider.id == first.id
    assert (wider.segments, wider.datasets, wider.severity) == (("a", "b"), ("bikes", "weather"), "bad")
    assert opened(kit, segments=()).segments == ()
    assert opened(kit, segments=["c"]).segments == ()
    with read(kit.db) as tx:
        assert [i.id for i in service.incidents(tx, dataset="weather")] == [first.id]
        assert [i.id for i in service.incidents(tx, segment="b")] == [first.id]


def test_closing_needs_a_reason_evidence_and_an_open_incident(kit: Kit) -> None:
    incident = opened(kit)
    with write(kit.db) as tx:
        call = kit.call("person:ann")
        with pytest.raises(InvalidInput, match="evidence"):
            service.close_incident(tx, call, incident.id, "fine now", {})
        with pytest.raises(InvalidInput, match="reason"):
            service.close_incident(tx, call, incident.id, " ", {"a": 1})
        with pytest.raises(InvalidInput):
            service.close_incident(tx, call, incident.id, "fine", {"rate": float("nan")})
        with pytest.raises(NotFound):
            service.close_incident(tx, call, "inc_no", "fine", {"a": 1})
        service.close_incident(tx, call, incident.id, "fine", {"a": 1})
        with pytest.raises(Conflict):
            service.close_incident(tx, call, incident.id, "fine", {"a": 1})


def test_the_same_key_closes_once(kit: Kit) -> None:
    incident = opened(kit)
    for _ in range(2):
        with write(kit.db) as tx:
            closed = service.close_incident(tx, kit.call("person:ann", key="k1"), incident.id, "fine", {"a": 1})
        assert closed.state == "closed"
    with read(kit.db) as tx:
        assert len(entries(tx, kind="incident.closed")) == 1


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"title": "  "}, "title"),
        ({"severity": "awful"}, "severity"),
        ({"facts": {}}, "facts"),
        ({"facts": {"x": float("inf")}}, None),
        ({"cause": ""}, "cause"),
    ],
)
def test_an_incident_says_what_it_is_about(kit: Kit, changes: dict[str, object], where: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        opened(kit, **changes)
    assert caught.value.where == where
    with read(kit.db) as tx:
        assert service.incidents(tx) == []


def test_listing_filters_searches_and_pages(kit: Kit) -> None:
    ids = [opened(kit, f"cause:{i}", title=f"Finding {i}", model=f"m{i % 2}").id for i in range(5)]
    with write(kit.db) as tx:
        service.close_incident(tx, kit.call("person:ann"), ids[0], "over", {"a": 1})
    with read(kit.db) as tx:
        assert [i.id for i in service.incidents(tx)] == sorted(ids, reverse=True)
        assert {i.id for i in service.incidents(tx, state="open")} == set(ids[1:])
        assert {i.model for i in service.incidents(tx, model="m1")} == {"m1"}
        assert [i.title for i in service.incidents(tx, q="finding 3")] == ["Finding 3"]
        assert service.incidents(tx, q="100%") == []
        page = service.incidents(tx, limit=2)
        assert service.incidents(tx, limit=2, before=page[-1].id)[0].id < page[-1].id
        assert {i.id for i in service.open_for(tx, "m1", ())} == {ids[1], ids[3]}
        assert len(service.open_for(tx, "other", ("bikes",))) == 4
