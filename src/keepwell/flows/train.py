"""Train segments of a fleet: through the cached pipeline, recorded as a run, registered and judged at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import msgspec

from keepwell.charter.model import Charter
from keepwell.core import failpoints
from keepwell.core.errors import NotFound, Unavailable
from keepwell.core.lazy import pl
from keepwell.flows import fitting
from keepwell.flows.answers import readable
from keepwell.flows.certify import Certified, Lineage, register_and_gate
from keepwell.flows.fitting import Member
from keepwell.flows.frames import frame_of, last_known, latest_version
from keepwell.flows.kit import Kit
from keepwell.forecasting.service import segments_at
from keepwell.forecasting.task import task_of
from keepwell.governance.charters import AppliedCharter
from keepwell.models import service as models
from keepwell.pipelines import service as pipelines
from keepwell.pipelines.fingerprint import code_digest
from keepwell.pipelines.lookup import output
from keepwell.pipelines.model import PipelineRun, Progress
from keepwell.pipelines.runners import InProcess, Processes
from keepwell.tracking import service as tracking
from keepwell.tracking.code import code_version
from keepwell.tracking.machine import environment_of, machine_of
from keepwell.tracking.model import Code, Input, Status

KIND = "train"
STEP_FAILED = "step_failed"
ONE_PROCESS = 60_000
"""Up to this many rows a fleet is fitted in this process: starting others would take longer."""


NAMED = 200
"""Up to this many segments a run's parameters name them."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training made.

    Attributes:
        run: id of the recorded run.
        pipeline_run: id of the pipeline's run.
        certified: the registered versions and their verdicts.
        missing: segments that were asked for and have no rows.
    """

    run: str
    pipeline_run: str
    certified: Certified
    missing: tuple[str, ...]


def train(
    kit: Kit,
    applied: AppliedCharter,
    segments: Sequence[str] | None,
    actor: str,
    *,
    cause: str,
    key: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Fit segments on the newest version of the charter's dataset, register what was fitted and judge its gates.

    Args:
        kit: the opened house.
        applied: the charter in force.
        segments: which; None is every segment that the data holds.
        actor: who trains: the author of the versions.
        cause: why, such as `performance`.
        key: idempotency key: the same key again returns what is registered, and goes on with an interrupted pipeline.
        progress: called as steps end.

    Raises:
        NotFound: the dataset has no version yet, or none of the segments has rows.
        NotInstalled: a candidate needs an extra.
        Unavailable: a step failed.
    """
    charter = applied.charter
    with kit.read() as tx:
        version = latest_version(tx, charter.data.dataset)
        champions = models.champion_ids(tx, charter.model, charter.release.environments[-1])
    frame = frame_of(kit, version.id)
    origin = last_known(frame, charter.data.time, charter.data.target)
    there = segments_of(kit, applied, version.id)
    chosen = [s for s in (segments if segments is not None else there) if s in set(there)]
    if not chosen:
        raise NotFound(f"None of the segments has rows in {version.dataset} version {version.number}.")
    code, environment = _code(), environment_of(kit.blobs)
    call = kit.call(actor, key and f"{key}:run")
    with kit.write() as tx:
        run = tracking.start_run(
            tx,
            call,
            name=f"{charter.model} - {len(chosen)} segments - {cause}",
            kind=KIND,
            params={"cause": cause, "segments": len(chosen), "origin": origin, "charter": applied.digest}
            | ({"named": list(chosen)} if len(chosen) <= NAMED else {}),
            inputs=[Input(kind="dataset", name=version.dataset, id=version.id, digest=version.digest)],
            code=code,
            model=charter.model,
            environment=environment,
            machine=machine_of(),
        )
    failpoints.reach("train.started")
    try:
        done, members = _fit(kit, applied, frame, chosen, origin, champions, actor, key, progress)
    except BaseException as error:
        _end(kit, actor, run.id, "failed" if isinstance(error, Exception) else "interrupted", str(error) or "stopped")
        raise
    lineage = Lineage(run.id, version.id, code_of_training(), environment, kit.clock.now(), origin)
    certified = register_and_gate(
        kit, applied, fitting.named_rivals(members, champions), lineage, actor, key=key and f"{key}:register"
    )
    failpoints.reach("train.registered")
    _end(kit, actor, run.id, "finished", None, certified, done)
    missing = tuple(s for s in segments or () if s not in set(there))
    return Trained(run.id, done.id, certified, missing)


def segments_of(kit: Kit, applied: AppliedCharter, version_id: str) -> tuple[str, ...]:
    """Return the segments that a dataset version holds, sorted, as they are known at its last known time."""
    unguarded = replace(kit, guard=None)
    return _segments(unguarded, applied.digest, version_id, msgspec.json.encode(applied.charter), applied.folder)


def finish_left(kit: Kit, applied: AppliedCharter, actor: str) -> None:
    """End the runs that a process which is gone left open: finished when it had registered its versions.

    Only for who holds the lease of this fleet's loop: a run of its own that is open has nobody left to end it.
    """
    with kit.read() as tx:
        left = tracking.runs(tx, model=applied.charter.model, kind=KIND, status="running", limit=50)
        mine = [run.id for run in left if run.actor == actor]
        done = {v.run_id for v in models.latest_versions(tx, applied.charter.model).values()} if mine else set()
    for run_id in mine:
        if run_id in done:
            _end(kit, actor, run_id, "finished", None)


def code_of_training() -> str:
    """Return the digest of the code that a training really uses: a changed helper changes it."""
    return _code_digest()


@lru_cache(maxsize=1)
def _code_digest() -> str:
    return code_digest(fitting.fit.does)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _code() -> Code:
    return code_version(Path(fitting.__file__).parent)


@lru_cache(maxsize=16)
def _segments(kit: Kit, digest: str, version_id: str, charter: bytes, folder: str) -> tuple[str, ...]:
    task = task_of(msgspec.json.decode(charter, type=Charter), Path(folder))
    frame = frame_of(kit, version_id)
    origin = last_known(frame, task.data.time, task.data.target)
    return tuple(segments_at(frame, task, origin)["segment"].drop_nulls().unique().sort().to_list())


def _fit(
    kit: Kit,
    applied: AppliedCharter,
    frame: pl.DataFrame,
    segments: Sequence[str],
    origin: str,
    champions: dict[str, str],
    actor: str,
    key: str | None,
    progress: Callable[[Progress], None] | None,
) -> tuple[PipelineRun, list[Member]]:
    with kit.read() as tx:
        rivals = models.versions_by_id(tx, [champions[s] for s in segments if s in champions])
    values = {"rows": frame, "rivals": msgspec.msgpack.encode(readable(kit, rivals))}
    small = frame.height <= ONE_PROCESS or kit.workers == 1 or len(segments) == 1
    chunk = len(segments) if small else -(-len(segments) // min(len(segments), kit.workers * 3))
    params = {
        "segments": list(segments),
        "spec": msgspec.to_builtins(applied.charter),
        "folder": applied.folder,
        "origin": origin,
    }
    with closing(InProcess() if small else Processes(kit.workers)) as runner:
        done = pipelines.run_pipeline(
            kit.db, kit.blobs, kit.call(actor, key and f"{key}:fit"), fitting.pipeline_of(chunk), params,
            runner=runner, progress=progress, values=values, home=kit.home,
        )  # fmt: skip
    if done.state != "finished":
        raise Unavailable(f"The training did not finish: {done.error}", code=STEP_FAILED)
    with kit.read() as tx:
        members: list[Member] = output(tx, kit.blobs, done.id, fitting.STEP, list[Member])
    return done, members


def _end(
    kit: Kit, actor: str, run_id: str, status: Status, error: str | None,
    certified: Certified | None = None, done: PipelineRun | None = None,
) -> None:  # fmt: skip
    metrics: dict[str, float | None] = {}
    if certified is not None:
        counts = Counter(certified.outcomes.values())
        metrics = {f"gates_{name}": float(counts[name]) for name in ("passed", "failed", "undecided")}
    if done is not None:
        metrics |= {f"steps_{name}": float(count) for name, count in done.counts.items() if count}
    with kit.write() as tx:
        if tracking.run(tx, run_id).status == "running":
            tracking.finish_run(tx, kit.call(actor), run_id, status, metrics, error=error)
