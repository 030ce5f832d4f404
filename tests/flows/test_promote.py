"""Promotion: only what passed, only with approvals, never two champions; and the way back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.flows.certify import Certified, certify, register_and_gate
from keepwell.flows.kit import Kit
from keepwell.flows.promote import Promotion, approve, ask, demanded, promote_fleet, refusals, roll_back_fleet
from keepwell.governance.charters import AppliedCharter, apply_charter
from keepwell.ledger.service import entries
from keepwell.models import service as models
from keepwell.releases import service as releases
from keepwell.releases.model import Evidence
from keepwell.testing import fleets
from keepwell.testing.fleets import GeneratedMeasurement as M
from keepwell.testing.fleets import GeneratedMember

CHARTER = """
model: demand
segments: [region]
data: {{dataset: shipments, time: week, target: units, keys: [outlet]}}
evaluate: {{metrics: [wmape]}}
gates: [wmape <= {limit}{more}]
release: {{environments: [test, prod], approvals: {{prod: [{roles}]}}}}
monitor: {{min_rows: 20}}
"""


def apply(kit: Kit, *, roles: str = "", limit: float = 0.3, more: str = "") -> AppliedCharter:
    text = CHARTER.format(roles=roles, limit=limit, more=more)
    with kit.write() as tx:
        return apply_charter(tx, kit.call("person:ann"), text, "charters")


def train(kit: Kit, applied: AppliedCharter, actor: str = "loop:demand", **wmape: float | None) -> Certified:
    made = [
        GeneratedMember(f"region={s}", f"{s}{v}".encode(), [M("all", "self", "wmape", v, 100)], {})
        for s, v in wmape.items()
    ]
    return register_and_gate(kit, applied, made, fleets.lineage(kit), actor)


def promote(
    kit: Kit, applied: AppliedCharter, done: Certified, environment: str = "prod", key: str | None = None
) -> Promotion:
    return promote_fleet(kit, applied, environment, list(done.versions.values()), "loop:demand", "better", key=key)


def champions(kit: Kit, environment: str = "prod") -> dict[str, str]:
    with kit.read() as tx:
        return models.champion_ids(tx, "demand", environment)


def test_what_passed_is_promoted_and_the_rest_is_held(kit: Kit) -> None:
    applied = apply(kit)
    done = train(kit, applied, a=0.2, b=0.4, c=None)
    found = promote(kit, applied, done)
    assert [(c.segment, c.version_id) for c in found.promoted] == [("region=a", done.versions["region=a"])]
    assert [(r.segment, r.clause, r.code) for r in found.held] == [
        ("region=b", "wmape <= 0.3", "gates"), ("region=c", "wmape <= 0.3", "gates"),
    ]  # fmt: skip
    assert found.held[0].reason == "failed: wmape is 0.4; allowed is <= 0.3; 100 rows."
    assert champions(kit) == {"region=a": done.versions["region=a"]}
    with kit.read() as tx:
        told = {e.kind: e.body for e in entries(tx)}
    assert told["model.promotion_refused"]["codes"] == {"gates": 2}
    assert told["model.promoted"]["count"] == 1


def test_what_was_not_certified_is_not_promoted(kit: Kit) -> None:
    applied = apply(kit)
    pack, members = models.pack(kit.blobs, {"region=a": b"model"})
    with kit.write() as tx:
        made = models.register(
            tx, kit.call("loop:demand"), "demand", members, pack=pack, run_id=None, dataset_version=None, code=None,
            environment=None, trained_at=kit.clock.now(), trained_until="", blobs=kit.blobs,
        )  # fmt: skip
    found = promote_fleet(kit, applied, "prod", [made[0].id], "person:ann", "now")
    assert (found.promoted, found.held[0].reason) == ([], "It was not certified; judge its gates first.")
    assert champions(kit) == {}


def test_evidence_that_changed_wants_a_new_verdict(kit: Kit) -> None:
    applied = apply(kit)
    done = train(kit, applied, a=0.2)
    with kit.write() as tx:
        rows = [Evidence(done.versions["region=a"], "all", "self", "wmape", 0.1, 100)]
        releases.add_evidence(tx, kit.call("loop:demand"), "demand", rows)
    assert "measured again" in promote(kit, applied, done).held[0].reason
    certify(kit, applied, list(done.versions.values()), "loop:demand")
    assert promote(kit, applied, done).held == []


def test_gates_that_changed_want_a_new_verdict(kit: Kit) -> None:
    done = train(kit, apply(kit), a=0.2)
    stricter = apply(kit, limit=0.1)
    assert "other gates" in promote(kit, stricter, done).held[0].reason
    certify(kit, stricter, list(done.versions.values()), "loop:demand")
    assert promote(kit, stricter, done).held[0].clause == "wmape <= 0.1"


def test_a_champion_that_changed_wants_a_new_verdict(kit: Kit) -> None:
    applied = apply(kit, more=", wmape <= champion.wmape * 1.02")
    first, second = train(kit, applied, a=0.2), train(kit, applied, a=0.25)
    assert promote(kit, applied, first).held == []
    held = promote(kit, applied, second).held
    assert [(r.code, r.reason) for r in held] == [
        ("champion_changed", "The champion changed since it was judged; judge it again.")
    ]
    assert certify(kit, applied, list(second.versions.values()), "loop:demand")[0].outcome == "failed"


def test_an_old_charter_does_not_promote(kit: Kit) -> None:
    old = apply(kit)
    done = train(kit, old, a=0.2)
    apply(kit, limit=0.1)
    with pytest.raises(Conflict, match="Another charter"):
        promote(kit, old, done)
    assert champions(kit) == {}


def test_approvals_that_the_charter_demands(kit: Kit) -> None:
    applied = apply(kit, roles="owner, risk")
    done = train(kit, applied, a=0.2, b=0.2)
    ids = list(done.versions.values())
    assert demanded(applied.charter, "prod") == ("owner", "risk")
    assert demanded(applied.charter, "test") == ()
    assert promote(kit, applied, done, "test").held == []
    held = promote(kit, applied, done).held
    assert [(r.clause, r.reason) for r in held] == [
        ("release.approvals.prod", "prod wants the approval of owner; nobody was asked yet.")
    ] * 2
    request = ask(kit, applied, "prod", ids, "loop:demand", key="ask:1")
    assert ask(kit, applied, "prod", ids, "loop:demand", key="ask:1") == request
    assert ask(kit, applied, "test", ids, "loop:demand") is None
    assert "not given yet" in promote(kit, applied, done).held[0].reason
    approve(kit, applied, "prod", ids[:1], "person:bob", role="owner")
    assert "of risk" in promote(kit, applied, done).held[0].reason
    approve(kit, applied, "prod", ids[:1], "person:cat", role="risk")
    found = promote(kit, applied, done)
    assert ([c.version_id for c in found.promoted], len(found.held)) == (ids[:1], 1)
    with kit.read() as tx:
        assert [r.version_id for r in refusals(tx, applied, "prod", ids)] == ids[1:]
        told = next(e.body for e in entries(tx) if e.kind == "model.promoted")
    assert (told["charter"], told["roles"], told["approvals"]) == (applied.digest, ["owner", "risk"], [request])


def test_a_refusal_stands_until_it_is_taken_back(kit: Kit) -> None:
    applied = apply(kit, roles="owner")
    done = train(kit, applied, a=0.2)
    ids = list(done.versions.values())
    approve(kit, applied, "prod", ids, "person:bob", refuse=True, reason="the holiday weeks look wrong")
    assert promote(kit, applied, done).held[0].reason == "owner refused it (person:bob)."
    approve(kit, applied, "prod", ids, "person:bob")
    assert promote(kit, applied, done).held == []


def test_another_charter_voids_an_approval(kit: Kit) -> None:
    applied = apply(kit, roles="owner")
    done = train(kit, applied, a=0.2)
    ids = list(done.versions.values())
    approve(kit, applied, "prod", ids, "person:bob")
    changed = apply(kit, roles="owner", limit=0.25)
    certify(kit, changed, ids, "loop:demand")
    assert "void" in promote(kit, changed, done).held[0].reason
    with pytest.raises(Conflict, match="Another charter"):
        approve(kit, applied, "prod", ids, "person:bob")
    given = approve(kit, changed, "prod", ids, "person:bob", key="k")
    assert approve(kit, changed, "prod", ids, "person:bob", key="k") == given
    assert promote(kit, changed, done).held == []
    apply(kit, roles="owner", limit=0.2)
    assert approve(kit, changed, "prod", ids, "person:bob", key="k") == given


def test_an_approval_is_not_another_versions(kit: Kit) -> None:
    applied = apply(kit, roles="owner")
    first, second = train(kit, applied, a=0.2), train(kit, applied, a=0.1)
    approve(kit, applied, "prod", list(first.versions.values()), "person:bob")
    assert "nobody was asked" in promote(kit, applied, second).held[0].reason


def test_who_may_not_approve(kit: Kit) -> None:
    applied = apply(kit, roles="owner")
    ids = list(train(kit, applied, "person:bob", a=0.2).versions.values())
    with pytest.raises(Conflict, match="may not approve"):
        approve(kit, applied, "prod", ids, "person:bob")
    with pytest.raises(Conflict, match="no person"):
        approve(kit, applied, "prod", ids, "loop:demand")
    with pytest.raises(InvalidInput, match="not of cook"):
        approve(kit, applied, "prod", ids, "person:cat", role="cook")
    with pytest.raises(Conflict, match="wants no approval"):
        approve(kit, applied, "test", ids, "person:cat")
    approve(kit, applied, "prod", ids, "person:cat")


def test_what_cannot_be_asked_for(kit: Kit) -> None:
    applied = apply(kit)
    first, second = train(kit, applied, a=0.2), train(kit, applied, a=0.1)
    with pytest.raises(InvalidInput, match="not an environment"):
        promote(kit, applied, first, "moon")
    with pytest.raises(NotFound):
        promote_fleet(kit, applied, "prod", [kit.ids.new("ver")], "person:ann", "x")
    with pytest.raises(InvalidInput):
        promote_fleet(kit, applied, "prod", ["../../x"], "person:ann", "x")
    with pytest.raises(InvalidInput, match="at least one"):
        promote_fleet(kit, applied, "prod", [], "person:ann", "x")
    both = [*first.versions.values(), *second.versions.values()]
    with pytest.raises(InvalidInput, match="Two versions"):
        promote_fleet(kit, applied, "prod", both, "person:ann", "x")
    with pytest.raises(InvalidInput, match="at least one"):
        roll_back_fleet(kit, applied, "prod", [], "person:ann", "x")
    with kit.write() as tx:
        models.set_state(tx, kit.call("person:ann"), list(first.versions.values()), "discarded", "worse")
    held = promote(kit, applied, first).held[0]
    assert (held.code, held.clause) == ("state", "state")
    assert "final" in held.reason


def test_damaged_bytes_are_not_promoted(kit: Kit) -> None:
    applied = apply(kit)
    done = train(kit, applied, a=0.2)
    with kit.read() as tx:
        pack = models.version(tx, done.versions["region=a"]).pack
    kit.blobs.path(pack)
    place = kit.home / "blobs" / pack[7:9] / pack[9:]
    place.unlink()
    kit.blobs._verified.clear()
    held = promote(kit, applied, done).held[0]
    assert (held.code, held.reason) == ("damaged", f"No bytes are stored under {pack}.")


def test_the_same_key_promotes_once(kit: Kit) -> None:
    applied = apply(kit)
    first = train(kit, applied, a=0.2, b=0.5)
    done = promote(kit, applied, first, key="tick:1")
    promote(kit, applied, train(kit, applied, a=0.1))
    assert promote(kit, applied, first, key="tick:1") == done
    assert champions(kit)["region=a"] != first.versions["region=a"]
    with pytest.raises(Conflict, match="another request"):
        promote(kit, applied, first, "test", key="tick:1")


def test_rolling_back(kit: Kit) -> None:
    applied = apply(kit, roles="owner")
    first, second = train(kit, applied, a=0.2, b=0.2), train(kit, applied, a=0.1)
    for done in (first, second):
        approve(kit, applied, "prod", list(done.versions.values()), "person:bob")
        promote(kit, applied, done)
    changed = apply(kit, roles="owner", limit=0.05)
    back = roll_back_fleet(kit, changed, "prod", ["region=b", "region=a"], "loop:demand", "harm", "dec_1", key="k")
    assert [(c.segment, c.number, c.cause) for c in back.promoted] == [("region=a", 1, "rollback")]
    assert [(r.segment, r.code) for r in back.held] == [("region=b", "no_predecessor")]
    assert champions(kit) == first.versions
    assert roll_back_fleet(kit, changed, "prod", ["region=a", "region=b"], "loop:demand", "x", key="k") == back
    with pytest.raises(InvalidInput, match="not an environment"):
        roll_back_fleet(kit, changed, "moon", ["region=a"], "loop:demand", "harm")


def test_twenty_promotions_of_one_member_leave_one_champion(kit: Kit) -> None:
    applied = apply(kit, more=", wmape <= champion.wmape * 1.02")
    attempts = [train(kit, applied, a=0.2 - i / 1000) for i in range(20)]
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda done: promote(kit, applied, done), attempts))
    won = [f.promoted[0].version_id for f in found if f.promoted]
    assert len(won) == 1
    assert {r.code for f in found for r in f.held} == {"champion_changed"}
    assert champions(kit) == {"region=a": won[0]}
    with kit.read() as tx:
        assert len(models.champion_history(tx, "demand")) == 1


def test_the_same_version_promoted_at_once_by_many_is_promoted_once(kit: Kit) -> None:
    applied = apply(kit)
    done = train(kit, applied, a=0.2)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: promote(kit, applied, done), range(8)))
    assert {f.promoted[0].seq for f in found} == {found[0].promoted[0].seq}
    with kit.read() as tx:
        assert len([e for e in entries(tx) if e.kind == "model.promoted"]) == 1
