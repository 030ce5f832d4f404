"""The walks of the kill loop: each prepares a house, and then makes one call that must happen whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from keepwell.bootstrap import open_house
from keepwell.core.calls import Call
from keepwell.core.clock import SimulatedClock
from keepwell.core.events import Event
from keepwell.core.ids import SeededIds
from keepwell.core.points import batch_of
from keepwell.datasets import service as datasets
from keepwell.db import Transaction, read
from keepwell.flows import gc
from keepwell.flows import registry as governed
from keepwell.flows.certify import Lineage, register_and_gate
from keepwell.flows.kit import Kit
from keepwell.flows.promote import promote_fleet
from keepwell.flows.receive import receive
from keepwell.flows.registering import register_from
from keepwell.governance.charters import apply_charter, current_charter
from keepwell.ledger import append, once
from keepwell.ledger.checkpoints import checkpoint
from keepwell.ledger.keys import load_or_make_key
from keepwell.models import registry
from keepwell.models import service as models
from keepwell.settings import read_settings
from keepwell.testing.fleets import applied_charter, generated_fleet, members
from keepwell.testing.migrations import load_tables
from keepwell.tracking import service as tracking

ACTOR = "person:ann"
RUN = "run_01ke6bvbr020kw71nvrk6p2fhg"
NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)

CHARTER = """
charter: 1
model: stands
owner: {business: markets, technical: forecasting}
purpose: Weekly sales of four stands.
data:
  dataset: sales
  source: arriving/*.csv
  time: week
  target: units
  keys: [stand]
  contract:
    columns: {units: {type: number, min: 0, max: 1000}}
    keys_unique: true
"""


@dataclass(frozen=True, slots=True)
class Walk:
    """One way through the house.

    Attributes:
        prepare: puts into the house and the folder of inputs what the call needs.
        act: makes the call, under an idempotency key, and returns what it answered, as JSON.
    """

    prepare: Callable[[Kit, Path], object]
    act: Callable[[Kit, Path, str], object]


def house(home: Path, seed: int = 8) -> Kit:
    """Open a house on a clock that stands still, with the same ids every time for one seed."""
    load_tables()
    clock = SimulatedClock(NOW)
    return open_house(read_settings(str(home), {}), clock=clock, ids=SeededIds(clock, seed))


def _prepare_upload(_kit: Kit, inputs: Path) -> None:
    (inputs / "model.bin").write_bytes(bytes(range(256)) * 2000)


def _upload(kit: Kit, inputs: Path, key: str) -> object:
    digests = [kit.blobs.put(b"weights" * 10_000), kit.blobs.put_file(inputs / "model.bin")]
    call = kit.call(ACTOR, key)

    def effect() -> list[str]:
        append(tx, call, *(Event("artifact.stored", f"blob:{d}", {"digest": d}, note="uploaded") for d in digests))
        return digests

    with kit.write() as tx:
        return once(tx, call, digests, effect, list[str])


def _prepare_receive(kit: Kit, inputs: Path) -> None:
    folder = inputs / "arriving"
    folder.mkdir()
    for number in range(4):
        weeks = [date(2026, 1, 5) + timedelta(weeks=3 * number + week) for week in range(3)]
        factor = 1000 if number == 3 else 1  # the last file is in another unit
        lines = [f"{week},{stand},{factor * (10 + number + week.day)}" for week in weeks for stand in "ABCD"]
        (folder / f"{number}.csv").write_text("\n".join(["week,stand,units", *lines]) + "\n", encoding="utf-8")
    with kit.write() as tx:
        applied = apply_charter(tx, kit.call(ACTOR), CHARTER, str(inputs))
    receive(kit, applied, ACTOR, files=["arriving/0.csv"])


def _receive(kit: Kit, _inputs: Path, _key: str) -> object:
    """Receiving takes no key: a file that arrived is known by its digest."""
    with read(kit.db) as tx:
        applied = current_charter(tx, "stands")
    receive(kit, applied, ACTOR)
    with read(kit.db) as tx:
        versions = datasets.versions(tx, "sales")
        arrivals = datasets.arrivals(tx, "sales")
    return [[(v.number, v.digest, v.rows) for v in versions], [(a.seq, a.state, a.failed) for a in arrivals]]


def _prepare_register(kit: Kit, _inputs: Path) -> None:
    applied_charter(kit, "generated", ACTOR)


def _register(kit: Kit, _inputs: Path, key: str) -> object:
    with read(kit.db) as tx:
        applied = current_charter(tx, "generated")
    lineage = Lineage("run_1", "dsv_1", "0123abcd", None, NOW, "2026-01-04")
    return register_and_gate(kit, applied, members(5), lineage, ACTOR, key=key)


def _prepare_promote(kit: Kit, _inputs: Path) -> None:
    generated_fleet(kit, 5, versions=1, promote=True)
    generated_fleet(kit, 5, versions=1, promote=False, seed=9)


def _promote(kit: Kit, _inputs: Path, key: str) -> object:
    with read(kit.db) as tx:
        applied = current_charter(tx, "generated")
        newest = models.latest_versions(tx, "generated")
    ids = sorted(version.id for version in newest.values())
    return promote_fleet(kit, applied, "prod", ids, ACTOR, "better by a fifth", key=key)


def _prepare_checkpoint(kit: Kit, inputs: Path) -> None:
    _prepare_promote(kit, inputs)
    load_or_make_key(kit.home)  # the key is random; the walk is what it signs


def _checkpoint(kit: Kit, _inputs: Path, _key: str) -> object:
    return checkpoint(kit.db, kit.home, kit.call(ACTOR)).size


def _prepare_track(kit: Kit, _inputs: Path) -> None:
    with kit.write() as tx:
        tracking.create_experiment(tx, kit.call(ACTOR), "tries")


def _track(kit: Kit, _inputs: Path, key: str) -> object:
    """A whole run in one call: enough points to be compacted, and a change after its end."""
    call = kit.call(ACTOR, key)

    def effect() -> str:
        run = tracking.start_run(tx, call, name="try", params={"rate": 0.1}, experiment=1, machine={})
        for start in range(0, 6_000, 1_500):
            points = [(f"m{n % 3}", n / 7, n // 3, n) for n in range(start, start + 1_500)]
            tracking.log_points(tx, call, run.id, batch_of(points))
        tracking.put_artifact(tx, call, run.id, "notes/a.txt", kit.blobs.put(b"notes"), 5)
        tracking.finish_run(tx, call, run.id, "finished", {"loss": 0.5})
        tracking.set_tags(tx, call, run.id, {"seen": "yes"})
        return run.id

    with kit.write() as tx:
        run_id = once(tx, call, "track", effect, str)
    with read(kit.db) as tx:
        return [run_id, len(tracking.history(tx, run_id, "m0")), tracking.run(tx, run_id)]


def _prepare_registry(kit: Kit, _inputs: Path) -> None:
    """Two versions of a model, one of them in a stage, and a run whose files become the third."""
    with kit.write() as tx:
        run = tracking.start_run(tx, kit.call(ACTOR), name="fit", run_id=RUN).id
        for name in ("MLmodel", "weights"):
            data = f"{name} of iris".encode()
            tracking.put_artifact(tx, kit.call(ACTOR), run, f"model/{name}", kit.blobs.put(data), len(data))
        registry.create_model(tx, kit.call(ACTOR), "iris", "petals", {"team": "botany"})
        for alias, file in (("old", "MLmodel"), ("best", "weights")):
            source = f"runs:/{run}/model/{file}"
            register_from(tx, kit, kit.call(ACTOR), "iris", source, aliases=[alias], tags={"a": alias})
        governed.transition_stage(tx, kit.call(ACTOR), "iris", 2, "Production")


def _registry(kit: Kit, _inputs: Path, key: str) -> object:
    with kit.write() as tx:
        made = register_from(
            tx, kit, kit.call(ACTOR, key), "iris", f"runs:/{RUN}/model", tags={"a": "b"}, description="third",
            aliases=["best", "new"],
        )  # fmt: skip
    steps: list[Callable[[Transaction, Call], object]] = [
        lambda tx, call: governed.set_alias(tx, call, "iris", "prod", 3),
        lambda tx, call: governed.delete_alias(tx, call, "iris", "new"),
        lambda tx, call: governed.transition_stage(tx, call, "iris", 3, "Production", True).stage,
        lambda tx, call: registry.set_model_tags(tx, call, "iris", {"team": "garden"}),
        lambda tx, call: registry.delete_version_tag(tx, call, "iris", 3, "a"),
        lambda tx, call: registry.update_version(tx, call, "iris", 3, "better").description,
        lambda tx, call: registry.delete_version(tx, call, "iris", 1),
        lambda tx, call: registry.restore_version(tx, call, "iris", 1),
    ]
    answers = []
    for number, step in enumerate(steps):
        with kit.write() as tx:
            answers.append(step(tx, kit.call(ACTOR, f"{key}:{number}")))
    return [made.id, made.number, answers]


def _rename(kit: Kit, _inputs: Path, key: str) -> object:
    with kit.write() as tx:
        return governed.rename_model(tx, kit.call(ACTOR, key), "iris", "rose").name


def _unregister(kit: Kit, _inputs: Path, key: str) -> object:
    with kit.write() as tx:
        return governed.delete_model(tx, kit.call(ACTOR, key), "iris")


def _prepare_gc(kit: Kit, inputs: Path) -> None:
    """A model and a run that were deleted long ago, and bytes that nothing ever referred to."""
    clock = kit.clock
    assert isinstance(clock, SimulatedClock)  # noqa: S101
    clock.move_to(NOW - timedelta(days=60))
    _prepare_registry(kit, inputs)
    with kit.write() as tx:
        registry.create_model(tx, kit.call(ACTOR), "rose")
        register_from(tx, kit, kit.call(ACTOR), "rose", f"runs:/{RUN}/model")
        governed.delete_model(tx, kit.call(ACTOR), "iris")
        lost = tracking.start_run(tx, kit.call(ACTOR), name="lost").id
        tracking.put_artifact(tx, kit.call(ACTOR), lost, "notes", kit.blobs.put(b"notes"), 5)
        tracking.delete_run(tx, kit.call(ACTOR), lost)
    kit.blobs.put(b"nobody's")
    clock.move_to(NOW)
    for digest in kit.blobs.digests():
        os.utime(kit.blobs.path(digest), (1_700_000_000, 1_700_000_000))


def _gc(kit: Kit, _inputs: Path, key: str) -> object:
    return gc.run(kit, ACTOR, key=key)


WALKS: dict[str, Walk] = {
    "upload": Walk(_prepare_upload, _upload),
    "receive": Walk(_prepare_receive, _receive),
    "register": Walk(_prepare_register, _register),
    "promote": Walk(_prepare_promote, _promote),
    "checkpoint": Walk(_prepare_checkpoint, _checkpoint),
    "track": Walk(_prepare_track, _track),
    "registry": Walk(_prepare_registry, _registry),
    "rename": Walk(_prepare_registry, _rename),
    "unregister": Walk(_prepare_registry, _unregister),
    "gc": Walk(_prepare_gc, _gc),
}
