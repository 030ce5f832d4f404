"""Register and gate a fleet in one call: whole or not at all, and in a number of statements that does not grow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import event

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.flows.certify import Certified, certify, judge_now, register_and_gate
from keepwell.flows.kit import Kit
from keepwell.flows.promote import promote_fleet
from keepwell.governance.charters import AppliedCharter, apply_charter
from keepwell.ledger.service import entries
from keepwell.models import service as models
from keepwell.releases import service as releases
from keepwell.releases.model import Evidence
from keepwell.testing import fleets

CHARTER = """
model: demand
segments: [region]
data: {dataset: shipments, time: week, target: units, keys: [outlet]}
evaluate: {metrics: [wmape], slices: [format]}
gates:
  - wmape <= 0.30
  - wmape < baseline.wmape
  - wmape <= champion.wmape * 1.02
release: {environments: [test, prod]}
monitor: {min_rows: 20}
"""


@dataclass(frozen=True)
class M:
    slice: str
    subject: str
    metric: str
    value: float | None
    n: int = 100


@dataclass(frozen=True)
class T:
    segment: str
    artifact: bytes
    evidence: Sequence[M]
    facts: dict[str, object] = field(default_factory=dict)


def trained(segment: str, wmape: float | None, baseline: float | None = 0.4, n: int = 100, content: str = "1") -> T:
    return T(
        f"region={segment}",
        f"{segment}{content}".encode(),
        [M("all", "self", "wmape", wmape, n), M("all", "baseline", "wmape", baseline, n)],
        {"rows": n},
    )


@pytest.fixture
def applied(kit: Kit) -> AppliedCharter:
    with kit.write() as tx:
        return apply_charter(tx, kit.call("person:ann"), CHARTER, "charters")


def do(kit: Kit, applied: AppliedCharter, *members: T, key: str | None = None) -> Certified:
    return register_and_gate(kit, applied, members, fleets.lineage(kit), "loop:demand", key=key)


def standing(kit: Kit, done: Certified) -> dict[str, tuple[str, str | None]]:
    with kit.read() as tx:
        return {s.segment: (s.state, s.reason) for s in models.standings(tx, list(done.versions.values()))}


def test_each_member_gets_its_outcome(kit: Kit, applied: AppliedCharter) -> None:
    done = do(
        kit, applied, trained("good", 0.2), trained("bad", 0.35), trained("worse than baseline", 0.25, 0.24),
        trained("unknown", None), trained("nan", math.nan), trained("infinite", -math.inf), trained("few", 0.1, n=7),
        trained("no baseline", 0.1, None), trained("no evidence", 0.1),
    )  # fmt: skip
    assert {s.removeprefix("region="): o for s, o in done.outcomes.items()} == {
        "good": "passed", "bad": "failed", "worse than baseline": "failed", "unknown": "undecided", "nan": "undecided",
        "infinite": "undecided", "few": "undecided", "no baseline": "undecided", "no evidence": "passed",
    }  # fmt: skip
    now = standing(kit, done)
    assert now["region=good"] == ("registered", None)
    assert now["region=bad"] == ("held", "wmape <= 0.30 failed: wmape is 0.35; allowed is <= 0.3; 100 rows.")
    assert now["region=few"][1] == "wmape <= 0.30 undecided: wmape rests on 7 rows; at least 20 are needed to judge."
    assert {s for s, (state, _) in now.items() if state == "held"} == set(done.reasons)
    assert done.that("failed") == [done.versions["region=bad"], done.versions["region=worse than baseline"]]


def test_no_evidence_at_all_is_undecided(kit: Kit, applied: AppliedCharter) -> None:
    done = do(kit, applied, replace(trained("a", 0.1), evidence=[]))
    assert done.outcomes == {"region=a": "undecided"}


def test_what_is_kept(kit: Kit, applied: AppliedCharter) -> None:
    done = do(kit, applied, trained("a", 0.2))
    version_id = done.versions["region=a"]
    with kit.read() as tx:
        version = models.version(tx, version_id)
        verdict = releases.verdicts(tx, [version_id])[version_id]
        evidence = releases.evidence(tx, version_id)
        told = [e.kind for e in entries(tx, after=0)]
    assert (version.metrics, version.facts, version.batch) == ({"wmape": 0.2}, {"rows": 100}, done.batch)
    assert models.artifact(kit.blobs, version) == b"a1"
    assert verdict.charter == applied.digest
    assert verdict.gates[2].reason == "Not applicable: no champion."
    assert len(evidence) == 2
    assert told == ["charter.applied", "model.batch_registered", "model.evidence_added", "model.gates_judged"]


def test_the_champion_is_what_a_challenger_is_held_against(kit: Kit, applied: AppliedCharter) -> None:
    first = do(kit, applied, trained("a", 0.2), trained("b", 0.2))
    promote_fleet(kit, applied, "prod", first.that("passed"), "loop:demand", "first")
    beside = trained("b", 0.25, content="2")
    on_same_rows = M("all", first.versions["region=b"], "wmape", 0.28)
    second = do(
        kit, applied, trained("a", 0.25, content="2"), replace(beside, evidence=[*beside.evidence, on_same_rows]),
        trained("c", 0.25),
    )  # fmt: skip
    assert second.outcomes == {"region=a": "failed", "region=b": "passed", "region=c": "passed"}
    with kit.read() as tx:
        verdict = releases.verdicts(tx, [second.versions["region=b"]])[second.versions["region=b"]]
    assert verdict.champion == first.versions["region=b"]
    assert verdict.gates[2].right == pytest.approx(0.28 * 1.02)


def test_a_champion_without_evidence_is_undecided(kit: Kit, applied: AppliedCharter) -> None:
    pack, members = models.pack(kit.blobs, {"region=a": b"old"})
    with kit.write() as tx:
        old = models.register(
            tx, kit.call("loop:demand"), "demand", members, pack=pack, run_id=None, dataset_version=None, code=None,
            environment=None, trained_at=kit.clock.now(), trained_until="", blobs=kit.blobs,
        )  # fmt: skip
        models.promote(tx, kit.call("loop:demand"), "demand", "prod", [old[0].id], "by hand")
    done = do(kit, applied, trained("a", 0.1))
    assert done.outcomes == {"region=a": "undecided"}
    assert done.reasons["region=a"].startswith("wmape <= champion.wmape * 1.02 undecided:")


def test_the_same_key_does_it_once(kit: Kit, applied: AppliedCharter, clock: SimulatedClock) -> None:
    lineage = fleets.lineage(kit)
    members = [trained("a", 0.2), trained("b", 0.5)]
    first = register_and_gate(kit, applied, members, lineage, "loop:demand", key="train:1")
    assert register_and_gate(kit, applied, members, lineage, "loop:demand", key="train:1") == first
    with pytest.raises(Conflict, match="another request"):
        register_and_gate(kit, applied, [trained("a", 0.3)], lineage, "loop:demand", key="train:1")
    with kit.read() as tx:
        assert len(models.versions(tx, "demand").versions) == 2


def test_a_segment_trained_twice_is_refused_and_nothing_is_written(kit: Kit, applied: AppliedCharter) -> None:
    with pytest.raises(InvalidInput, match="'region=a' was trained twice"):
        do(kit, applied, trained("a", 0.2), trained("b", 0.2), trained("a", 0.3))
    with pytest.raises(InvalidInput, match="not a segment's key"):
        do(kit, applied, replace(trained("a", 0.2), segment="nowhere"))
    twice = trained("a", 0.2)
    with pytest.raises(InvalidInput, match="twice"):
        do(kit, applied, replace(twice, evidence=[*twice.evidence, twice.evidence[0]]))
    with kit.read() as tx:
        assert models.models(tx) == []


def test_judging_again(kit: Kit, applied: AppliedCharter) -> None:
    done = do(kit, applied, trained("a", 0.2), trained("b", 0.35))
    a, b = done.versions["region=a"], done.versions["region=b"]
    with kit.write() as tx:
        rows = [Evidence(a, "all", "self", "wmape", 0.5, 100), Evidence(b, "all", "self", "wmape", 0.1, 100)]
        releases.add_evidence(tx, kit.call("loop:demand"), "demand", rows)
    verdicts = certify(kit, applied, [b, a], "person:ann", key="k")
    assert [(v.version_id, v.outcome) for v in verdicts] == [(b, "passed"), (a, "failed")]
    assert {s: state for s, (state, _) in standing(kit, done).items()} == {"region=a": "held", "region=b": "registered"}
    assert certify(kit, applied, [b, a], "person:ann", key="k") == verdicts
    with kit.read() as tx:
        preview = judge_now(tx, applied.charter, models.versions_by_id(tx, [a]))
    assert preview.outcome.tolist() == [2]


def test_what_cannot_be_judged(kit: Kit, applied: AppliedCharter) -> None:
    done = do(kit, applied, trained("a", 0.2))
    with pytest.raises(NotFound):
        certify(kit, applied, [kit.ids.new("ver")], "person:ann")
    with kit.write() as tx:
        models.set_state(tx, kit.call("person:ann"), list(done.versions.values()), "discarded", "no")
    with pytest.raises(Conflict, match="final"):
        certify(kit, applied, list(done.versions.values()), "person:ann")
    other = fleets.generated_fleet(kit, 2, promote=False)
    with pytest.raises(InvalidInput, match="is a version of generated"):
        certify(kit, applied, list(other.certified[0].versions.values()), "person:ann")


def test_champions_are_judged_and_stay_champions(kit: Kit, applied: AppliedCharter) -> None:
    done = do(kit, applied, trained("a", 0.2))
    promote_fleet(kit, applied, "prod", done.that("passed"), "loop:demand", "first")
    with kit.write() as tx:
        rows = [Evidence(done.versions["region=a"], "all", "self", "wmape", 0.9, 100)]
        releases.add_evidence(tx, kit.call("loop:demand"), "demand", rows)
    assert certify(kit, applied, list(done.versions.values()), "person:ann")[0].outcome == "failed"
    assert standing(kit, done)["region=a"][0] == "promoted"


def test_the_number_of_statements_does_not_grow_with_the_fleet(kit: Kit) -> None:
    def count(n: int, seed: int) -> int:
        seen: list[str] = []

        def note(conn: object, cursor: object, statement: str, *rest: object) -> None:
            seen.append(statement)

        applied = fleets.applied_charter(kit, f"fleet {n}", "loop:g")
        event.listen(kit.db.engine, "before_cursor_execute", note)
        try:
            done = register_and_gate(kit, applied, fleets.members(n, seed), fleets.lineage(kit), "loop:g")
            promote_fleet(kit, applied, "prod", done.that("passed"), "loop:g", "passed")
        finally:
            event.remove(kit.db.engine, "before_cursor_execute", note)
        assert len(set(done.outcomes.values())) > 1
        return len(seen)

    few, many = count(40, 5), count(400, 5)
    assert many == few if kit.db.backend.name == "sqlite" else many <= few  # many rows go by COPY, which is not seen
