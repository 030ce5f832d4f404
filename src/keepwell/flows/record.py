"""Record what a client logged: a batch of its operations in one transaction, each once, whatever was sent again."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import assert_never

import msgspec

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.digests import check_digest
from keepwell.core.errors import Conflict, Damaged, InvalidInput, KeepwellError, NotFound, Unavailable
from keepwell.core.ids import check_id
from keepwell.core.points import Batch, pack, unpack
from keepwell.core.secrets import hide_credentials
from keepwell.db import NotSerial, Transaction
from keepwell.flows.kit import Kit
from keepwell.ledger import once
from keepwell.tracking import rules as tracking_rules
from keepwell.tracking import service as tracking
from keepwell.tracking import sessions_store, wire
from keepwell.tracking.model import DEFAULT, DEFAULT_NAME, DatasetInput, Point, Run, Series

SESSION_TAG, PARENT_TAG = "keepwell.session", "mlflow.parentRunId"
EXPERIMENT_TAG = "keepwell.experiment"
"""The experiment that a run asked for and did not get, as it is deleted."""
CONTEXT_TAG, VERSION_TAG = "mlflow.data.context", "keepwell.version"
MOST_BLOB = 1 << 20
PATCH = "code/changes.patch"
MOST_EXPERIMENTS = 50_000


@dataclass(slots=True)
class _Batch:
    """What the operations of one batch share.

    Attributes:
        session: whose they are.
        blobs: digests and sizes of the bytes of small artifacts, by the number of the operation.
        experiments: ids by name.
    """

    session: str
    blobs: Mapping[int, tuple[str, int]]
    experiments: dict[str, int] = field(default_factory=dict)


def record(kit: Kit, call: Call, batch: wire.Batch) -> wire.Outcome:
    """Store what a client logged, in its order; what was stored before is passed over.

    The whole batch is one transaction. When an operation is refused, the batch is done again one by one, so that what
    is good of it is stored.

    Raises:
        Unavailable: not now; send it again.
        InvalidInput: the session's id is none.
    """
    check_session(batch.session)
    for data in batch.blobs:
        if len(data) > MOST_BLOB:
            raise InvalidInput("What a batch carries for its starts is at most 1 MiB each.", where="blobs")
        kit.blobs.put(data)
    blobs = dict(_kept(kit, batch.ops))
    shared = _Batch(batch.session, blobs)
    last = batch.ops[-1][0] if batch.ops else 0
    try:
        _at_once(kit, call, shared, batch.ops)
    except (Unavailable, Damaged):
        raise
    except KeepwellError:
        shared.experiments.clear()
        return wire.Outcome(last, list(_one_by_one(kit, call, shared, batch.ops)))
    return wire.Outcome(last)


def _kept(kit: Kit, ops: list[tuple[int, wire.Op]]) -> Iterator[tuple[int, tuple[str, int]]]:
    """Yield the digest and size of what small artifacts hold, and of patches that are there, by the operation."""
    for seq, op in ops:
        if isinstance(op, wire.Put):
            yield seq, (kit.blobs.put(op.data), len(op.data))
        elif isinstance(op, wire.Start) and op.changes is not None:
            size = kit.blobs.size(check_digest(op.changes))
            if size is not None:
                yield seq, (op.changes, size)


def keep(kit: Kit, call: Call, owner: str, path: str, digest: str, size: int) -> None:
    """Note bytes that are in the blob store as an artifact of a run or a logged model; once more changes nothing.

    Raises:
        NotFound: there is no such run or model.
        InvalidInput: the path cannot be an artifact's.
    """
    with kit.write() as tx:
        tracking.put_artifact(tx, call, owner, path, check_digest(digest), size)


def record_run(kit: Kit, call: Call, run_id: str, ops: list[wire.Op]) -> Run:
    """Record the operations of one new run in one transaction, and return the run.

    Raises:
        Conflict: there is a run of that id.
    """
    with kit.write() as tx:

        def effect() -> Run:
            for seq, op in enumerate(ops):
                _do(tx, call, _Batch("", {}), seq, op)
            return tracking.run(tx, run_id)

        return once(tx, call, ["record_run", [msgspec.to_builtins(op) for op in ops]], effect, Run)


def experiment_ids(tx: Transaction, wanted: Sequence[str | int] | None) -> list[int]:
    """Return the numbers of experiments by name or number; of all that are active without any.

    Raises:
        NotFound: there is no such experiment.
    """
    if wanted is None:
        return [e.id for e in tracking.search_experiments(tx, limit=MOST_EXPERIMENTS)]
    found = []
    for one in wanted:
        if isinstance(one, int):
            found.append(tracking.experiment(tx, one).id)
            continue
        named = tracking.experiment_by_name(tx, one)
        if named is None:
            raise NotFound(f"There is no experiment {one!a}.", where="experiments")
        found.append(named.id)
    return found


def packed(name: str, series: Series) -> bytes:
    """Return a metric's points as a packed batch."""
    steps, ats, values = array("q"), array("q"), array("d")
    for column, given in ((steps, series.steps), (ats, series.ats), (values, series.values)):
        column.frombytes(given.tobytes())
    return pack(Batch((name,), array("i", bytes(4 * len(steps))), steps, ats, values))


def check_session(text: str) -> str:
    """Return the id of a session, of its lane of uploads (`-up`), or of the one that ends its orphans (`-end`).

    Raises:
        InvalidInput: it is none.
    """
    check_id(_begun_by(text), "ses")
    return text


def _at_once(kit: Kit, call: Call, shared: _Batch, ops: list[tuple[int, wire.Op]]) -> None:
    """Apply operations in one transaction; one that only logs to runs that go on waits for no governed writer."""
    if all(isinstance(op, wire.Log) and not op.models for _, op in ops):
        try:
            with kit.write(serial=False) as tx:
                if sessions_store.upto(tx, shared.session) is not None:  # its row is there to be locked
                    _apply(tx, call, shared, ops)
                    failpoints.reach("record.applied")
                    return
        except NotSerial:  # a run has ended: the ledger is to tell of it
            pass
    with kit.write() as tx:
        _apply(tx, call, shared, ops)
        failpoints.reach("record.applied")


def _begun_by(session: str) -> str:
    """Return the session itself, without the word for a lane of it."""
    return session.removesuffix("-end").removesuffix("-up")


def _apply(tx: Transaction, call: Call, shared: _Batch, ops: list[tuple[int, wire.Op]]) -> None:
    """Apply the operations that were not applied before, and note up to where they are."""
    before = sessions_store.upto(tx, shared.session)
    fresh = [(seq, op) for seq, op in ops if before is None or seq > before]
    for seq, op in fresh:
        _do(tx, call, shared, seq, op)
    if fresh:
        moment = int(call.now.timestamp() * 1000)
        sessions_store.advance(tx, shared.session, fresh[-1][0], moment, known=before is not None)


def _one_by_one(kit: Kit, call: Call, shared: _Batch, ops: list[tuple[int, wire.Op]]) -> Iterator[wire.Refused]:
    for seq, op in ops:
        parts = list(_parts(op))
        for place, part in enumerate(parts, start=1):
            whole = place == len(parts)
            try:
                with kit.write() as tx:
                    _apply(tx, call, shared, [(seq, part)]) if whole else _again(tx, call, shared, seq, part)
            except (Unavailable, Damaged):
                raise
            except KeepwellError as error:
                yield wire.Refused(seq, error.code, error.message)
                shared.experiments.clear()
                if whole:
                    _pass_over(kit, call, shared, seq)


def _again(tx: Transaction, call: Call, shared: _Batch, seq: int, part: wire.Op) -> None:
    """Apply a part of an operation, unless the operation was applied whole before."""
    before = sessions_store.upto(tx, shared.session)
    if before is None or seq > before:
        _do(tx, call, shared, seq, part)


def _pass_over(kit: Kit, call: Call, shared: _Batch, seq: int) -> None:
    with kit.write() as tx:
        before = sessions_store.upto(tx, shared.session)
        if before is None or seq > before:
            moment = int(call.now.timestamp() * 1000)
            sessions_store.advance(tx, shared.session, seq, moment, known=before is not None)


def _parts(op: wire.Op) -> Iterator[wire.Op]:
    """Yield what of an operation can be good when another part of it is not."""
    if isinstance(op, wire.Start) and not op.resume and (op.params or op.tags):
        yield msgspec.structs.replace(op, params={}, tags={})
        op = wire.Log(run=op.run, params=op.params, tags=op.tags)
    if not isinstance(op, wire.Log):
        yield op
        return
    if op.points:
        yield wire.Log(run=op.run, points=op.points)
    for name, value in op.params.items():
        yield wire.Log(run=op.run, params={name: value})
    for name in op.without:
        yield wire.Log(run=op.run, without=[name])
    for name, tag in op.tags.items():
        yield wire.Log(run=op.run, tags={name: tag})
    for point in op.models:
        yield wire.Log(run=op.run, models=[point])
    if not (op.points or op.params or op.without or op.tags or op.models):
        yield op


def _do(tx: Transaction, call: Call, shared: _Batch, seq: int, op: wire.Op) -> None:
    match op:
        case wire.Start():
            _start(tx, call, shared, op)
            if op.changes is not None and seq in shared.blobs:
                tracking.put_artifact(tx, call, op.run, PATCH, *shared.blobs[seq])
        case wire.Log():
            for name in op.without:
                _take_away(tx, call, op.run, name)
            if op.points or op.params or op.tags or op.models:
                points = unpack(op.points) if op.points else None
                tracking.log_batch(tx, call, op.run, points, op.params, op.tags, [_of_model(p) for p in op.models])
        case wire.Inputs():
            tracking.log_inputs(tx, call, op.run, datasets=[_dataset(d) for d in op.datasets], models=op.models)
        case wire.Put():
            digest, size = shared.blobs[seq]
            tracking.put_artifact(tx, call, op.owner, op.path, digest, size)
        case wire.Model():
            _log_model(tx, call, op)
        case wire.Ready():
            whole = len(tracking.all_artifacts(tx, op.model)) >= op.files
            tracking.finalize_logged_model(tx, call, op.model, "ready" if whole else "failed")
        case wire.Finish():
            _finish(tx, call, shared, op)
        case _:
            assert_never(op)


def _start(tx: Transaction, call: Call, shared: _Batch, op: wire.Start) -> None:
    tags = {**op.tags, **({SESSION_TAG: _begun_by(shared.session)} if shared.session else {})}
    if op.resume:
        tracking.update_run(tx, call, op.run, status="running")
        tracking.log_batch(tx, call, op.run, None, op.params, tags)
        return
    if tracking.is_run(tx, op.run):
        if not op.again:
            tracking.log_batch(tx, call, op.run, None, op.params, tags)
        return
    parent = op.parent
    if parent is not None and not tracking.is_run(tx, parent):
        tags[PARENT_TAG], parent = parent, None  # what another process began, and has not sent yet
    experiment = _experiment(tx, call, shared, op)
    if op.experiment is not None and experiment == DEFAULT and op.experiment != DEFAULT_NAME:
        tags[EXPERIMENT_TAG] = op.experiment
    tracking.start_run(
        tx,
        call,
        name=op.name or op.run,
        kind=op.kind,
        params=op.params,
        inputs=(),
        code=op.code,
        parent=parent,
        model=op.model,
        tags=tags,
        environment=op.environment,
        machine=op.machine,
        experiment=experiment,
        started_at=None if op.at is None else _moment(op.at),
        user=op.user,
        run_id=op.run,
    )


def _experiment(tx: Transaction, call: Call, shared: _Batch, op: wire.Start) -> int | None:
    if op.experiment is None:
        above = [] if op.experiment_id is not None or op.parent is None else tracking.runs_by_id(tx, [op.parent])
        return above[0].experiment if above else op.experiment_id
    if op.experiment not in shared.experiments:
        try:
            found = tracking.get_or_create_experiment(tx, call, op.experiment).id
        except Conflict:  # it is deleted: the run is not lost for that
            found = DEFAULT
        shared.experiments[op.experiment] = found
    return shared.experiments[op.experiment]


def _finish(tx: Transaction, call: Call, shared: _Batch, op: wire.Finish) -> None:
    status = op.status
    if status not in ("finished", "failed", "interrupted"):
        raise InvalidInput("A run ends as finished, failed or interrupted.", where="status")
    at = None if op.at is None else _moment(op.at)
    if op.orphan:
        there = tracking.run(tx, op.run)
        if there.status != "running" or there.tags.get(SESSION_TAG) != _begun_by(shared.session):
            return
    error = hide_credentials(op.error)[:2000] if op.error else None
    try:
        tracking.finish_run(tx, call, op.run, status, error=error, finished_at=at)  # type: ignore[arg-type]
    except Conflict:
        tracking.update_run(tx, call, op.run, status=status, finished_at=at)  # type: ignore[arg-type]


def _log_model(tx: Transaction, call: Call, op: wire.Model) -> None:
    """Make the logged model as an output of its run, with the run's parameters; once."""
    run = tracking.run(tx, op.run)
    params = {name: tracking_rules.text_of(value)[0] for name, value in run.params.items()}
    tracking.create_logged_model(
        tx, call, run.experiment, op.name, op.model_type, run.id, {**params, **op.params}, op.tags, op.model
    )
    tracking.log_outputs(tx, call, run.id, [(op.model, op.step)])


def _of_model(one: wire.ModelPoint) -> tuple[str, str | None, str | None, Point]:
    return one.model, one.dataset_name, one.dataset_digest, Point(one.name, one.value, one.step, one.at)


def _take_away(tx: Transaction, call: Call, run: str, name: str) -> None:
    """Take a tag away; one that is not there is away already."""
    try:
        tracking.delete_tag(tx, call, run, name)
    except NotFound as error:
        if error.where != "key":
            raise


def _dataset(given: wire.Dataset) -> DatasetInput:
    tags = {CONTEXT_TAG: given.context, VERSION_TAG: given.version}
    return DatasetInput(
        name=given.name,
        digest=given.digest,
        source_type=given.source_type,
        source=hide_credentials(given.source),
        schema=given.schema,
        profile=given.profile,
        tags={name: value for name, value in tags.items() if value},
    )


def _moment(milliseconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise InvalidInput("A moment is milliseconds since 1970, until the year 9999.", where="at") from None
