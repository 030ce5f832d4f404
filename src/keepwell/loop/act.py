"""Act: the only place where a decision becomes work, each under an idempotency key of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from keepwell.core.clock import from_iso
from keepwell.core.digests import digest_json
from keepwell.core.errors import KeepwellError
from keepwell.datasets.service import latest as latest_dataset
from keepwell.flows.kit import Kit
from keepwell.flows.promote import ask, promote_fleet, roll_back_fleet
from keepwell.flows.receive import receive
from keepwell.flows.score import score
from keepwell.flows.train import KIND, STEP_FAILED, code_of_training, train
from keepwell.governance.charters import AppliedCharter
from keepwell.loop.decisions import (
    Advance,
    Alert,
    AskApproval,
    CloseIncident,
    Condition,
    Decision,
    Discard,
    FailOver,
    Hold,
    OpenIncident,
    Promote,
    Quarantine,
    RollBack,
    Score,
    Train,
)
from keepwell.loop.observe import ALERT, ASKED, FAILED_OVER
from keepwell.loop.ticks import Tick
from keepwell.models import service as models
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import Severity
from keepwell.pipelines.model import Progress
from keepwell.tracking import service as tracking


def act(
    kit: Kit,
    applied: AppliedCharter,
    tick: Tick,
    fleet: tuple[str, ...],
    actor: str,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Do what a tick decided, in its order. Where one thing fails, the others are done all the same.

    Args:
        kit: the opened house.
        applied: the charter in force.
        tick: the recorded tick.
        fleet: the segments that it decided for.
        actor: who acts: the loop of this charter.
        progress: called as steps of trainings end.

    Raises:
        Conflict: another process took over.
        KeepwellError: the first thing that failed; a training that failed is recorded as such and raises nothing.
    """
    failed: list[KeepwellError] = []
    for place, decision in enumerate(tick.decisions):
        try:
            _do(kit, applied, decision, fleet, actor, f"{tick.id}:{place}", progress)
        except KeepwellError as error:
            if error.code == "lease_lost":
                raise
            if error.code != STEP_FAILED:
                failed.append(error)
    if failed:
        raise failed[0]


def _do(  # noqa: C901, PLR0912  (one arm a decision)
    kit: Kit,
    applied: AppliedCharter,
    decision: Decision,
    fleet: tuple[str, ...],
    actor: str,
    key: str,
    progress: Callable[[Progress], None] | None,
) -> None:
    charter = applied.charter
    match decision:
        case Condition():
            receive(kit, applied, actor)
        case Score():
            score(kit, applied, from_iso(decision.slot), actor)
        case Train():
            _train(kit, applied, decision, fleet, actor, progress)
        case Promote():
            for environment in charter.release.environments:
                promote_fleet(kit, applied, environment, decision.versions, actor, decision.reason, key,
                              key=f"{key}:{environment}")  # fmt: skip
        case Advance():
            promote_fleet(kit, applied, decision.environment, decision.versions, actor, decision.reason, key, key=key)
        case RollBack():
            roll_back_fleet(
                kit, applied, decision.environment, decision.scope.of(fleet), actor, decision.reason, key, key=key
            )
        case Discard():
            _discard(kit, applied, decision.versions, decision.reason, actor, key)
        case AskApproval():
            if decision.what == "promotion":
                ask(kit, applied, decision.environment, decision.versions, actor, key=key)
            else:
                _open(kit, applied, decision, fleet, actor, ASKED, f"training:{charter.model}", "watch")
        case FailOver():
            cause = f"{FAILED_OVER}:{','.join(decision.versions)}"
            _open(kit, applied, decision, fleet, actor, FAILED_OVER, cause, "bad")
        case Alert():
            if decision.discards:
                _discard(kit, applied, decision.discards, decision.reason, actor, f"{key}:discard")
            _open(kit, applied, decision, fleet, actor, ALERT, decision.cause, decision.severity)
        case OpenIncident():
            _open_data(kit, charter.model, decision, actor, key)
        case CloseIncident():
            with kit.write() as tx:
                monitoring.close_incident(
                    tx, kit.call(actor, key), decision.incident, decision.reason, {f.what: f.id for f in decision.facts}
                )
        case Quarantine() | Hold():
            pass  # an arrival is quarantined as it is received; a hold is recorded with its tick
        case _:
            assert_never(decision)


def _train(
    kit: Kit, applied: AppliedCharter, decision: Train, fleet: tuple[str, ...], actor: str,
    progress: Callable[[Progress], None] | None,
) -> None:  # fmt: skip
    """Train under a key of what is trained from what: after a crash the same training goes on.

    The newest versions are a part of the key, and a newest run that failed: after either, the same data is a training
    of its own.
    """
    segments = decision.scope.of(fleet)
    with kit.read() as tx:
        data = latest_dataset(tx, applied.charter.data.dataset)
        newest = models.latest_versions(tx, applied.charter.model)
        failed = [r.id for r in tracking.runs(tx, model=applied.charter.model, kind=KIND, limit=1)
                  if r.status in ("failed", "interrupted")]  # fmt: skip
    before = [newest[s].id if s in newest else None for s in segments]
    what = [applied.digest, list(segments), data.id if data else None, code_of_training(), list(decision.triggers),
            before, failed]  # fmt: skip
    key = f"train:{digest_json(what)}"
    if decision.replaces:
        _discard(kit, applied, decision.replaces, decision.reason, actor, f"{key}:replace")
    train(kit, applied, segments, actor, cause=" and ".join(decision.triggers), key=key, progress=progress)


def _discard(
    kit: Kit, applied: AppliedCharter, versions: Sequence[str], reason: str, actor: str, key: str
) -> None:  # fmt: skip
    """Discard versions; where one answers in an environment before production, the one before it does again."""
    gone = frozenset(versions)
    for environment in applied.charter.release.environments[:-1]:
        with kit.read() as tx:
            there = models.champion_ids(tx, applied.charter.model, environment)
        segments = sorted(segment for segment, version in there.items() if version in gone)
        if segments:
            roll_back_fleet(kit, applied, environment, segments, actor, reason, key, key=f"{key}:{environment}")
    with kit.write() as tx:
        free = [v.id for v in models.versions_by_id(tx, list(versions)) if v.state != "promoted"]
        if free:
            models.set_state(tx, kit.call(actor, key), free, "discarded", reason)


def _open(
    kit: Kit, applied: AppliedCharter, decision: Alert | FailOver | AskApproval, fleet: tuple[str, ...], actor: str,
    kind: str, cause: str, severity: Severity,
) -> None:  # fmt: skip
    with kit.write() as tx:
        monitoring.open_incident(
            tx,
            kit.call(actor),
            kind=kind,
            model=applied.charter.model,
            subject=f"model:{applied.charter.model}",
            title=decision.reason,
            severity=severity,
            segments=() if decision.scope.others and not decision.scope.segments else decision.scope.of(fleet),
            facts={f.what: f.id for f in decision.facts} | {"clause": decision.clause},
            cause=cause,
        )


def _open_data(kit: Kit, model: str, decision: OpenIncident, actor: str, key: str) -> None:
    with kit.write() as tx:
        monitoring.open_incident(
            tx,
            kit.call(actor, key),
            kind=decision.incident_kind,
            model=model,
            subject=decision.subject,
            title=decision.title,
            severity=decision.severity,
            datasets=decision.datasets,
            facts={f.what: f.id for f in decision.facts},
            cause=decision.cause,
        )
