"""Evidence and verdicts are kept with their events, and void one another when something changes."""

from __future__ import annotations

import json
import math

import pytest

from keepwell.charter.gates import parse_gate
from keepwell.core.digests import digest_bytes
from keepwell.core.errors import Conflict, InvalidInput
from keepwell.flows.kit import Kit
from keepwell.ledger.service import entries
from keepwell.releases import service as releases
from keepwell.releases.model import Evidence

GATES = [parse_gate("mape <= 0.45"), parse_gate("mape < baseline.mape")]
CHARTER = "sha256:" + "c" * 64


def measured(version: str, mape: float | None = 0.3, baseline: float | None = 0.4) -> list[Evidence]:
    return [
        Evidence(version, "all", "baseline", "mape", baseline, 120),
        Evidence(version, "all", "self", "mape", mape, 120),
    ]


def keep(kit: Kit, rows: list[Evidence], key: str | None = None) -> int:
    with kit.write() as tx:
        return releases.add_evidence(tx, kit.call("loop:m", key), "m", rows, blobs=kit.blobs)


def judge(kit: Kit, *versions: str) -> int:
    with kit.write() as tx:
        fleet = releases.judge_fleet(GATES, versions, releases.evidence_of(tx, versions), {}, 20)
        return releases.record_verdicts(tx, kit.call("loop:m"), "m", fleet, CHARTER, blobs=kit.blobs)


def test_evidence_is_kept_as_it_is(kit: Kit) -> None:
    v = kit.ids.new("ver")
    assert keep(kit, measured(v, None)) == 2
    with kit.read() as tx:
        assert releases.evidence(tx, v) == measured(v, None)
        assert releases.evidence(tx, kit.ids.new("ver")) == []
        told = entries(tx)[0]
        narrow = releases.evidence_of(tx, [v], subjects=["self"], metrics=["mape"], slices=["all"])
        with pytest.raises(InvalidInput):
            releases.evidence(tx, "../../x")
    assert narrow.subject == ("self",)
    assert math.isnan(narrow.value[0])
    assert (told.kind, told.body["count"], told.body["versions"]) == ("model.evidence_added", 2, 1)
    kept = json.loads(kit.blobs.get(str(told.body["evidence"])))
    assert kept == [[v, "all", "baseline", "mape", 0.4, 120], [v, "all", "self", "mape", None, 120]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_reaches_the_store(kit: Kit, value: float) -> None:
    v = kit.ids.new("ver")
    with pytest.raises(InvalidInput, match="not known"):
        keep(kit, measured(v, value))
    columns = releases.columns_of(measured(v, math.inf))
    with kit.write() as tx, pytest.raises(InvalidInput, match="infinite"):
        releases.add_evidence(tx, kit.call("loop:m"), "m", columns)
    with kit.read() as tx:
        assert releases.evidence(tx, v) == []
        assert entries(tx) == []


def test_the_same_key_adds_once(kit: Kit) -> None:
    v = kit.ids.new("ver")
    assert keep(kit, measured(v), "k") == keep(kit, measured(v), "k") == 2
    with pytest.raises(Conflict):
        keep(kit, measured(v, 0.1), "k")
    with kit.read() as tx:
        assert len(entries(tx)) == 1


def test_a_verdict_is_kept_with_clause_numbers_and_reason(kit: Kit) -> None:
    v, w = sorted(kit.ids.new("ver") for _ in range(2))
    keep(kit, measured(v) + measured(w, 0.5, None))
    seq = judge(kit, v, w)
    with kit.read() as tx:
        found = releases.verdicts(tx, [v, w, kit.ids.new("ver")])
        bare = releases.verdicts(tx, [v], with_gates=False)
        counts = releases.clause_counts(tx, [v, w])
        told = entries(tx)[0]
    assert set(found) == {v, w}
    assert (found[v].outcome, found[v].seq, found[v].charter, found[v].void) == ("passed", seq, CHARTER, None)
    assert [g.reason for g in found[w].gates] == [
        "mape is 0.5; allowed is <= 0.45; 120 rows.",
        "baseline.mape is not known, so there is nothing to compare with.",
    ]
    assert [(g.outcome, g.left, g.right, g.n) for g in found[w].gates] == [
        ("failed", 0.5, 0.45, 120), ("undecided", 0.5, None, 120),
    ]  # fmt: skip
    assert bare[v].gates == ()
    assert counts["mape <= 0.45", "failed"] == 1
    assert counts["mape < baseline.mape", "undecided"] == 1
    assert (told.kind, told.body["passed"], told.body["failed"], told.body["undecided"]) == (
        "model.gates_judged", 1, 1, 0,
    )  # fmt: skip
    assert digest_bytes(kit.blobs.get(str(told.body["verdicts"]))) == told.body["verdicts"]


def test_measuring_again_voids_the_verdict(kit: Kit) -> None:
    v, w = kit.ids.new("ver"), kit.ids.new("ver")
    keep(kit, measured(v) + measured(w))
    judge(kit, v, w)
    keep(kit, [Evidence(v, "all", "self", "mape", 0.2, 130)])
    with kit.read() as tx:
        found = releases.verdicts(tx, [v, w])
        assert [e.value for e in releases.evidence(tx, v)] == [0.4, 0.2]
    assert found[v].void == "its evidence was measured again"
    assert found[w].void is None
    judge(kit, v)
    with kit.read() as tx:
        history = releases.verdict_history(tx, v)
        assert releases.verdicts(tx, [v])[v] == history[0]
    assert [h.void for h in history] == [None, "its evidence was measured again"]
    assert [len(h.gates) for h in history] == [2, 2]


def test_a_charter_without_gates_is_recorded_too(kit: Kit) -> None:
    v = kit.ids.new("ver")
    with kit.write() as tx:
        fleet = releases.judge_fleet([], [v], releases.columns_of([]), {})
        releases.record_verdicts(tx, kit.call("loop:m"), "m", fleet, CHARTER)
    with kit.read() as tx:
        assert releases.verdicts(tx, [v])[v].outcome == "passed"
