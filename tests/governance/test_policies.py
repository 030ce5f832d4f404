"""What environments let models do: refused until said, one event a change, every unsafe load recorded first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, Denied, InvalidInput
from keepwell.flows.kit import Kit
from keepwell.governance import policies
from keepwell.governance.policies import EnvironmentPolicy
from keepwell.ledger.service import entries

DIGEST = "sha256:" + "ab" * 32


def change(kit: Kit, environment: str = "dev", key: str | None = None, **more: Any) -> EnvironmentPolicy:
    with kit.write() as tx:
        return policies.change_policy(tx, kit.call("person:ann", key), environment, **{"reason": "old models", **more})


def told(kit: Kit, kind: str) -> list[Any]:
    with kit.read() as tx:
        return [entry.body for entry in sorted(entries(tx, kind=kind), key=lambda entry: entry.seq)]


def test_every_environment_refuses_until_somebody_says_otherwise(kit: Kit) -> None:
    with kit.read() as tx:
        assert policies.policy(tx, "prod") == EnvironmentPolicy("prod", pickle=False, code=(), number=0)
        assert policies.policies(tx) == []
    with kit.write() as tx, pytest.raises(Denied, match="keepwell policy allow-pickle prod"):
        policies.record_unsafe_load(tx, kit.call("person:ann"), "prod", DIGEST, "sklearn")
    assert told(kit, "model.unsafe_loaded") == []


def test_a_change_is_one_event_and_the_same_again_is_none(kit: Kit, clock: SimulatedClock) -> None:
    made = change(kit, pickle=True)
    assert (made.pickle, made.number, made.changed_at, made.changed_by) == (True, 1, clock.now(), "person:ann")
    clock.advance(timedelta(days=1))
    assert change(kit, pickle=True) == made
    assert change(kit, "DEV", pickle=True) == made
    assert change(kit, code=["shop.models", "shop.models"]).code == ("shop.models",)
    assert change(kit, pickle=False).number == 3
    assert told(kit, "policy.changed") == [
        {"environment": "dev", "number": 1, "pickle": True, "code": [], "before": {"pickle": False, "code": []}},
        {"environment": "dev", "number": 2, "pickle": True, "code": ["shop.models"],
         "before": {"pickle": True, "code": []}},
        {"environment": "dev", "number": 3, "pickle": False, "code": ["shop.models"],
         "before": {"pickle": True, "code": ["shop.models"]}},
    ]  # fmt: skip


def test_environments_are_apart(kit: Kit) -> None:
    change(kit, "dev", pickle=True)
    with kit.read() as tx:
        assert [p.environment for p in policies.policies(tx) if p.pickle] == ["dev"]
        assert not policies.policy(tx, "prod").pickle


def test_an_unsafe_load_is_recorded_with_its_digest(kit: Kit) -> None:
    change(kit, pickle=True)
    with kit.write() as tx:
        policies.record_unsafe_load(tx, kit.call("service:scorer"), "dev", DIGEST, "sklearn", "demand")
    assert told(kit, "model.unsafe_loaded") == [
        {"environment": "dev", "digest": DIGEST, "flavor": "sklearn", "model": "demand", "policy": 1}
    ]


def test_a_key_makes_a_change_safe_to_repeat(kit: Kit) -> None:
    change(kit, key="k", pickle=True)
    change(kit, key="k", pickle=True)
    assert len(told(kit, "policy.changed")) == 1
    with pytest.raises(Conflict):
        change(kit, key="k", pickle=False)


@pytest.mark.parametrize(
    ("environment", "more"),
    [
        ("../prod", {"pickle": True}),
        ("dev\n", {"pickle": True}),
        ("dev", {"pickle": True, "reason": " "}),
        ("dev", {"code": ["os"]}),
        ("dev", {"code": ["subprocess.Popen"]}),
        ("dev", {"code": ["builtins"]}),
        ("dev", {"code": ["a b"]}),
        ("dev", {"code": ["*"]}),
        ("dev", {"code": [f"m{n}" for n in range(101)]}),
    ],
)
def test_what_cannot_be_said(kit: Kit, environment: str, more: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        change(kit, environment, **more)
    assert told(kit, "policy.changed") == []
