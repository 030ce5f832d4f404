"""A version is traced to its run, its files, its code, its charter, its gates, its approvals and its reign."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.flows.certify import register_and_gate
from keepwell.flows.kit import Kit
from keepwell.flows.promote import approve, promote_fleet
from keepwell.flows.publish import refer
from keepwell.flows.trace import trace
from keepwell.models import service as models
from keepwell.testing import fleets
from keepwell.tracking.model import Code
from keepwell.tracking.service import start_run


def test_from_a_version_to_its_files(kit: Kit, tmp_path: Path) -> None:
    for week in range(20):
        (tmp_path / f"w{week:02d}.csv").write_text(f"week,units\n{week},{week}\n")
    data = refer(kit, kit.call("person:ann"), "generated-data", ["*.csv"], tmp_path)
    applied = fleets.applied_charter(kit, "generated", "person:ann", "{prod: [owner]}")
    with kit.write() as tx:
        run = start_run(
            tx, kit.call("loop:g"), name="train generated", kind="train", params={}, inputs=[],
            code=Code(commit="0" * 40), model="generated",
        )  # fmt: skip
    lineage = replace(fleets.lineage(kit), run_id=run.id, dataset_version=data.id)
    done = register_and_gate(kit, applied, fleets.members(4, 3), lineage, "loop:g")
    chosen = done.that("passed")[:1]
    approve(kit, applied, "prod", chosen, "person:bob")
    for environment in ("test", "prod"):
        promote_fleet(kit, applied, environment, chosen, "person:ann", "first")

    found = trace(kit, chosen[0])
    assert (found.run, found.dataset) == (run, data)
    assert [Path(s.uri).name for s in found.sources] == [f"w{week:02d}.csv" for week in range(20)]
    assert all(s.sha256.startswith("sha256:") and s.size > 0 for s in found.sources)
    assert found.charter is not None
    assert (found.charter.digest, found.charter.number) == (applied.digest, 1)
    assert [g.clause for g in found.verdicts[0].gates] == list(applied.charter.gates)
    assert [(a.state, a.settled_by) for a in found.approvals] == [("given", "person:bob")]
    assert [c.environment for c in found.champion] == ["prod", "test"]
    assert [e.kind for e in found.entries] == [
        "model.batch_registered", "model.gates_judged", "model.promoted", "model.promoted",
    ]  # fmt: skip
    assert found.missing == []
    assert len(found.evidence) == 18
    kinds = [n.kind for n in found.nodes]
    assert {k: kinds.count(k) for k in kinds} == {
        "version": 1, "run": 1, "dataset": 1, "file": 11, "files": 1, "code": 1, "charter": 1, "champion": 2,
    }  # fmt: skip
    nodes = {n.id for n in found.nodes}
    assert all(a in nodes and b in nodes for a, b in found.edges)
    assert len(found.edges) == len(found.nodes) - 1
    again = msgspec.json.decode(msgspec.json.encode(found))
    assert again["version"]["id"] == chosen[0]


def test_what_is_not_known_is_named(kit: Kit) -> None:
    fleet = fleets.generated_fleet(kit, 2, promote=False)
    found = trace(kit, next(iter(fleet.certified[0].versions.values())))
    assert len(found.missing) == 2
    assert "The run run_" in found.missing[0]
    assert "The dataset version dsv_" in found.missing[1]
    assert found.run is None
    assert found.sources == []

    pack, members = models.pack(kit.blobs, {"all": b"model"})
    with kit.write() as tx:
        bare = models.register(
            tx, kit.call("person:ann"), "bare", members, pack=pack, run_id=None, dataset_version=None, code=None,
            environment=None, trained_at=kit.clock.now(), trained_until="", blobs=kit.blobs,
        )[0]  # fmt: skip
    found = trace(kit, bare.id)
    assert found.missing == [
        "No run was recorded with it.", "No dataset version was recorded with it.",
        "Its model has no charter that it could be judged by.", "No commit of the code was recorded.",
    ]  # fmt: skip
    assert [n.kind for n in found.nodes] == ["version"]


def test_what_is_not_there(kit: Kit) -> None:
    with pytest.raises(NotFound):
        trace(kit, kit.ids.new("ver"))
    with pytest.raises(InvalidInput):
        trace(kit, "../x")
