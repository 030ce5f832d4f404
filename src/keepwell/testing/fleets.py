"""A generated fleet of any size: members with artifacts, lineage and evidence by slice, without fitting anything.

For benchmarks, for tests of pages, and for whoever wants to see how a house of ten thousand models feels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keepwell.core.clock import iso
from keepwell.core.segments import segment_key
from keepwell.flows.certify import Certified, Lineage, register_and_gate
from keepwell.flows.kit import Kit
from keepwell.flows.promote import promote_fleet
from keepwell.governance.charters import AppliedCharter, apply_charter

REGIONS = ("North", "South", "East", "West", "Centre")
FORMATS = ("small", "large")
SLICES = ("all", "promotion=yes", "promotion=no")
METRICS = ("wmape", "mape", "rmse")

CHARTER = """
charter: 1
model: {model}
owner: {{business: planning, technical: forecasting}}
purpose: A generated fleet.
segments: [region, format, store]
data:
  dataset: {model}-data
  source: data/*.csv
  time: week
  target: units
  keys: [store, product]
  known_ahead: [promotion]
evaluate:
  metrics: [wmape, mape, rmse]
  slices: [promotion]
gates:
  - wmape <= 0.30
  - wmape < baseline.wmape
  - wmape <= champion.wmape * 1.02
  - mape <= 0.60 in every slice
release:
  environments: [test, prod]
  approvals: {approvals}
monitor:
  min_rows: 20
  performance: {{wmape: 0.30}}
"""


class GeneratedMeasurement(NamedTuple):
    """One measurement."""

    slice: str
    subject: str
    metric: str
    value: float | None
    n: int


@dataclass(frozen=True, slots=True)
class GeneratedMember:
    """One member, as training would leave it."""

    segment: str
    artifact: bytes
    evidence: Sequence[GeneratedMeasurement]
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class GeneratedFleet:
    """A fleet in a house.

    Attributes:
        applied: its charter.
        certified: what registering gave, one a generation of versions, oldest first.
    """

    applied: AppliedCharter
    certified: Sequence[Certified]


def generated_fleet(
    kit: Kit,
    n: int,
    *,
    model: str = "generated",
    versions: int = 1,
    promote: bool = True,
    seed: int = 1,
    actor: str = "loop:generated",
) -> GeneratedFleet:
    """Put a fleet of `n` segments into a house.

    Args:
        kit: the opened house.
        n: how many segments.
        model: its name.
        versions: how many versions each segment gets, one after the other.
        promote: whether what passes its gates is promoted to test and prod.
        seed: of everything random.
        actor: who does it.
    """
    applied = applied_charter(kit, model, actor)
    certified = []
    for generation in range(versions):
        made = register_and_gate(kit, applied, members(n, seed + generation), lineage(kit), actor)
        certified.append(made)
        passed = made.that("passed")
        for environment in applied.charter.release.environments if promote and passed else ():
            promote_fleet(kit, applied, environment, passed, actor, "it passed its gates")
    return GeneratedFleet(applied, certified)


def applied_charter(kit: Kit, model: str, actor: str, approvals: str = "{}") -> AppliedCharter:
    """Put the charter of a generated fleet in force; `approvals` is YAML, such as `{prod: [owner]}`."""
    with kit.write() as tx:
        return apply_charter(tx, kit.call(actor), CHARTER.format(model=model, approvals=approvals), str(kit.home))


def lineage(kit: Kit) -> Lineage:
    """Return the lineage that generated members claim."""
    now = kit.clock.now()
    return Lineage(
        run_id=kit.ids.new("run"),
        dataset_version=kit.ids.new("dsv"),
        code="0123456789abcdef0123456789abcdef01234567",
        environment=None,
        trained_at=now,
        trained_until=iso(now)[:10],
    )


def segments(n: int) -> list[str]:
    """Return `n` keys of segments."""
    return [
        segment_key({
            "region": REGIONS[i % len(REGIONS)],
            "format": FORMATS[i // len(REGIONS) % len(FORMATS)],
            "store": f"{i:05d}",
        })
        for i in range(n)
    ]  # fmt: skip


def members(n: int, seed: int = 1) -> list[GeneratedMember]:
    """Return `n` members. About nine in ten pass the gates of `CHARTER`; a few have no data, a few too little."""
    random = np.random.default_rng(seed)
    level = random.gamma(12.0, 0.015, n)
    rows = np.where(random.random(n) < 0.01, 7, random.integers(60, 400, n))
    noise = random.normal(1.0, 0.05, (n, len(SLICES), len(METRICS)))
    scale = np.asarray([1.0, 1.4, 90.0])
    own = level[:, None, None] * noise * scale
    own[random.random(n) < 0.005] = np.nan
    baseline = level[:, None, None] * random.normal(1.5, 0.1, (n, 1, 1)) * scale
    values = np.stack([own, np.broadcast_to(baseline, own.shape)], axis=1).tolist()
    keys = [(s, subject, m) for subject in ("self", "baseline") for s in SLICES for m in METRICS]
    weights = random.normal(0, 1, (n, 24)).astype("<f8")
    made = []
    for place, (segment, of_member, count) in enumerate(zip(segments(n), values, rows.tolist(), strict=True)):
        flat = [v for of_subject in of_member for of_slice in of_subject for v in of_slice]
        evidence = [
            GeneratedMeasurement(s, subject, m, value if value == value else None, count)  # noqa: PLR0124
            for (s, subject, m), value in zip(keys, flat, strict=True)
        ]
        facts = {"rows": count * 5, "series": 1 + place % 7}
        made.append(GeneratedMember(segment, weights[place].tobytes(), evidence, facts))
    return made
