"""Searches of models and versions: filters, order, pages."""

from __future__ import annotations

import pytest

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.flows.kit import Kit
from keepwell.models import registry

ANN = "person:ann"


@pytest.fixture
def shelf(kit: Kit, clock) -> Kit:
    """Three models: `demand` with three versions, `Demand North` with one, `supply` with none."""
    with kit.write() as tx:
        for name, tags in (("demand", {"team": "retail"}), ("Demand North", {"team": "Retail"}), ("supply", {})):
            registry.create_model(tx, kit.call(ANN), name, tags=tags)
        for model, run, tags in (
            ("demand", "run_a", {"ok": "yes"}),
            ("demand", "run_b", {"ok": "no"}),
            ("Demand North", "run_a", {}),
            ("demand", None, {"ok": "yes", "size 1": "[50%]"}),
        ):
            clock.move_to(clock.now().replace(second=clock.now().second + 1))
            data = f"{model} {run}".encode()
            origin = registry.Origin(kit.blobs.put(data), len(data), source=run and f"runs:/{run}/model", run_id=run)
            registry.create_version(tx, kit.call(ANN), model, origin, tags=tags)
    return kit


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["Demand North", "demand", "supply"]),
        ("name = 'demand'", ["demand"]),
        ("name != 'demand'", ["Demand North", "supply"]),
        ("name LIKE 'dem%'", ["demand"]),
        ("name ILIKE 'dem%'", ["Demand North", "demand"]),
        ("name LIKE '%d_mand%'", ["demand"]),
        ("name LIKE '*'", []),
        ("name IN ('supply', 'demand')", ["demand", "supply"]),
        ("tags.team = 'retail'", ["demand"]),
        ("tag.team ILIKE 'RETAIL' AND name LIKE '%North'", ["Demand North"]),
        ("tags.team != 'retail'", ["Demand North"]),
        ("tags.nobody = 'x'", []),
    ],
)
def test_models_are_found(shelf, text, found):
    with shelf.read() as tx:
        assert [m.name for m in registry.search_models(tx, text)] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [("demand", 3), ("Demand North", 1), ("demand", 2), ("demand", 1)]),
        ("name = 'demand'", [("demand", 3), ("demand", 2), ("demand", 1)]),
        ("run_id = 'run_a'", [("Demand North", 1), ("demand", 1)]),
        ("run_id IN ('run_b')", [("demand", 2)]),
        ("run_id != 'run_a'", [("demand", 2)]),
        ("version_number > 1", [("demand", 3), ("demand", 2)]),
        ("source_path LIKE 'runs:/run_b/%'", [("demand", 2)]),
        ("tags.ok = 'yes' AND version_number < 3", [("demand", 1)]),
        ("tags.`size 1` LIKE '[50%'", [("demand", 3)]),
    ],
)
def test_versions_are_found_newest_change_first(shelf, text, found):
    with shelf.read() as tx:
        assert [(v.model, v.number) for v in registry.search_versions(tx, text)] == found


def test_order_and_pages(shelf):
    with shelf.read() as tx:
        by_name = registry.search_versions(tx, order_by=["name DESC", "version_number ASC"])
        assert [(v.model, v.number) for v in by_name] == [("demand", 1), ("demand", 2), ("demand", 3),
                                                          ("Demand North", 1)]  # fmt: skip
        assert [
            v.number for v in registry.search_versions(tx, order_by=["creation_timestamp ASC"], limit=2, offset=1)
        ] == [2, 1]
        assert [m.name for m in registry.search_models(tx, order_by=["last_updated_timestamp DESC"], limit=1)] == [
            "demand"
        ]
        assert [m.name for m in registry.search_models(tx, limit=2, offset=2)] == ["supply"]


@pytest.mark.parametrize("wrong", [{"filter": "name = demand"}, {"filter": "owner = 'x'"}, {"filter": "name < 'a'"},
                                   {"filter": "().__class__"}, {"filter": "name = 'a' OR name = 'b'"},
                                   {"order_by": ["owner"]}, {"order_by": ["name", "name DESC"]}, {"limit": 10**9},
                                   {"limit": 0}, {"offset": -1}, {"offset": 10**12}, {"limit": True}])  # fmt: skip
def test_what_cannot_be_meant_is_refused(shelf, wrong):
    with shelf.read() as tx:
        for search in (registry.search_models, registry.search_versions):
            with pytest.raises(InvalidInput):
                search(tx, **wrong)


def test_deleted_ones_are_not_found(shelf):
    with shelf.write() as tx:
        registry.delete_version(tx, shelf.call(ANN), "demand", 3)
        registry.delete_model(tx, shelf.call(ANN), "Demand North")
        assert [(v.model, v.number) for v in registry.search_versions(tx)] == [("demand", 2), ("demand", 1)]
        assert [m.name for m in registry.search_models(tx)] == ["demand", "supply"]
        with pytest.raises(NotFound):
            registry.registered_version(tx, "demand", 3)


def test_a_search_takes_as_many_statements_for_one_as_for_many(shelf):
    from sqlalchemy import event

    said: list[str] = []
    event.listen(shelf.db.engine, "before_cursor_execute", lambda *a: said.append(a[2]))
    with shelf.read() as tx:
        said.clear()
        registry.search_versions(tx, "name = 'Demand North'")
        one = len(said)
        registry.search_versions(tx)
    assert len(said) - one == one
