"""Carries runs: what is read outside of any transaction, and written whole in one, with the row that says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import LATEST_MS, from_ms, iso
from keepwell.core.digests import digest_json
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.core.points import LONGEST_NAME, Batch, PointRow, batch_of
from keepwell.core.secrets import hide_credentials
from keepwell.db import Transaction
from keepwell.flows.moving import names
from keepwell.flows.moving.context import ORIGIN, Carrying, Kept, ahead, put_files, store_files
from keepwell.flows.moving.source import Dataset, Experiment, Place, Run
from keepwell.tracking import foreign
from keepwell.tracking import service as tracking
from keepwell.tracking.foreign import Known
from keepwell.tracking.model import Code, DatasetInput
from keepwell.tracking.model import Run as OurRun
from keepwell.tracking.rules import accept_datasets

KIND = "run"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
_POINTS = 200_000
"""Points that are written in one call."""
_PAGE = 200
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")


@dataclass(slots=True)
class Prepared:
    """A run that was read.

    Attributes:
        run: as it is there.
        ours: its id here.
        stamp: digest of what it holds, files aside.
        here: what is here already.
        points: its histories, as far as they are not here.
        files: its files, stored, as far as they are not here.
    """

    run: Run
    ours: str
    stamp: str
    here: OurRun | None
    points: list[PointRow]
    files: list[Kept]


def carry_runs(carrying: Carrying, experiment: Experiment, number: int) -> None:
    """Carry the runs of an experiment; those that have not changed since they were carried are passed over."""
    found = iter(carrying.source.runs(experiment))
    while some := list(islice(found, _PAGE)):
        with carrying.kit.read() as tx:
            known = foreign.known(tx, ORIGIN, KIND, (run.id for run in some))
        changed = []
        for run in some:
            there = known.get(run.id)
            if there is not None and there.stamp == stamp_of(run) and not carrying.recheck:
                carrying.counts.unchanged += 1
            else:
                changed.append((run, there))
        for prepared in ahead(lambda one: _prepared(carrying, *one), changed, carrying.threads):
            if prepared is not None:
                _write(carrying, prepared, number, known.get(prepared.run.id))
            carrying.tell(f"runs of {names.label(experiment.name, 60)}")


def stamp_of(run: Run) -> str:
    """Return the digest of what a run holds, files and all but the latest points aside."""
    latest = {name: [repr(value), step, at] for name, (value, step, at) in run.latest.items()}
    datasets = [[d.name, d.digest, d.source_type, d.source, dict(d.tags)] for d in run.datasets]
    return digest_json(
        [run.id, run.name, run.status, run.started, run.ended, run.lifecycle, run.user, dict(run.params),
         dict(run.tags), latest, datasets, list(run.models_in), [list(one) for one in run.models_out]]
    )  # fmt: skip


def _prepared(carrying: Carrying, run: Run, known: Known | None) -> Prepared | None:
    """Read what of a run is not here yet: its histories and files."""
    ours = names.run_id(run.id, run.started) if known is None else known.ours
    here, files, latest = None, {}, {}
    if known is not None:
        with carrying.kit.read() as tx:
            try:
                here = tracking.run(tx, ours)
            except NotFound:
                carrying.notes("run", run.id, f"It was carried before, and {ours} is freed here since.")
                return None
            files = {one.path: one.size for one in tracking.all_artifacts(tx, ours)}
            latest = {one.name: (one.step, one.at) for one in tracking.latest(tx, ours)}
    if here is not None and here.lifecycle == "deleted":
        if run.lifecycle == "active":
            carrying.notes("run", run.id, f"It was carried before, and {ours} is deleted here since.")
        return None
    stamp = stamp_of(run)
    try:
        run = carrying.source.whole(run)
    except NotFound as error:
        carrying.notes("run", run.id, error.message)
        return None
    wanted: list[str] = []
    for name, (_, step, at) in run.latest.items():
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            carrying.notes("metric", f"{run.id}/{name}", "Its name is longer than 250 characters, or unreadable.")
        elif latest.get(name) != (step, at) or carrying.recheck:
            wanted.append(name)
    points = list(carrying.source.history(run, wanted)) if wanted else []
    place = Place("run", run.id, run.uri, run.experiment)
    return Prepared(run, ours, stamp, here, points, store_files(carrying, place, files))


def _write(carrying: Carrying, prepared: Prepared, number: int, known: Known | None) -> None:
    """Write a run and the row that says so, in one transaction."""
    run, counts = prepared.run, carrying.counts
    before = (counts.files, counts.bytes)
    try:
        with carrying.kit.write() as tx:
            call = carrying.call()
            if prepared.here is None:
                _start(carrying, tx, call, prepared, number)
            _fill(carrying, tx, call, prepared)
            failpoints.reach("moving.run_filled")
            parent = run.tags.get(PARENT_TAG)
            waits = parent if known is None or known.waits is not None else None
            foreign.remember(tx, call, ORIGIN, KIND, Known(run.id, prepared.ours, prepared.stamp, waits))
    except (InvalidInput, NotFound, Conflict) as error:
        counts.files, counts.bytes = before
        carrying.notes("run", run.id, error.message)
        return
    failpoints.reach("moving.run_written")
    counts.points += len(prepared.points)
    if prepared.here is None:
        counts.runs += 1
    else:
        counts.changed += 1


def _start(carrying: Carrying, tx: Transaction, call: Call, prepared: Prepared, number: int) -> None:
    run = prepared.run
    started = _moment(run.started)
    if started is None:
        carrying.notes("run", run.id, "It does not say when it started, or not in the years 1970 to 9999: 1970 it is.")
    status = names.status_of(run.status)
    tracking.start_run(
        tx, call, run_id=prepared.ours, name=names.label(run.name) or run.id, kind="train", code=_code(run.tags),
        experiment=number, started_at=started or from_ms(0), user=names.label(run.user or "") or None, machine={},
        tags={names.RUN_TAG: run.id}, status="scheduled" if status == "scheduled" else "running",
    )  # fmt: skip


def _fill(carrying: Carrying, tx: Transaction, call: Call, prepared: Prepared) -> None:
    """Write what a run holds, as far as it is not here, and its end last."""
    run, ours, here = prepared.run, prepared.ours, prepared.here
    params, refused = names.run_labels(run.params)
    tags, more = names.run_labels({k: v for k, v in run.tags.items() if k not in (PARENT_TAG, NAME_TAG)})
    for name in (*refused, *more):
        carrying.notes("param or tag", f"{run.id}/{name}", "Its name or text is too long, or unreadable.")
    if here is not None:
        tags = {name: text for name, text in tags.items() if here.tags.get(name) != text}
    points = iter(prepared.points)
    tracking.log_batch(tx, call, ours, _batch(points), params, tags)
    while len(more_points := _batch(points)):
        tracking.log_points(tx, call, ours, more_points)
    _link(carrying, tx, call, run, ours)
    put_files(carrying, tx, call, ours, prepared.files)
    name, status = names.label(run.name) or run.id, names.status_of(run.status)
    if here is not None and here.name != name:
        tracking.update_run(tx, call, ours, name=name)
    if status not in ("running", "scheduled"):
        ended = _moment(run.ended) or _moment(run.started) or from_ms(0)
        if here is None or here.status != status or here.finished_at != iso(ended):
            tracking.update_run(tx, call, ours, status=status, finished_at=ended)
    elif here is not None and here.status != status:
        tracking.update_run(tx, call, ours, status=status)
    if run.lifecycle == "deleted":
        tracking.delete_run(tx, call, ours)


def _link(carrying: Carrying, tx: Transaction, call: Call, run: Run, ours: str) -> None:
    datasets = []
    for one in run.datasets:
        try:
            datasets += accept_datasets([_dataset(one)])
        except InvalidInput as error:
            carrying.notes("dataset", f"{run.id}/{one.name}", error.message)
    if datasets or run.models_in:
        tracking.log_inputs(tx, call, ours, datasets, list(run.models_in))
    if run.models_out:
        tracking.log_outputs(tx, call, ours, list(run.models_out))


def settle_parents(carrying: Carrying) -> None:
    """Tell the runs that were carried before their parents who those are."""
    with carrying.kit.read() as tx:
        waiting = foreign.waiting(tx, ORIGIN, KIND)
        parents = foreign.known(tx, ORIGIN, KIND, (one.waits for one in waiting if one.waits))
    for start in range(0, len(waiting), _PAGE):
        with carrying.kit.write() as tx:
            for one in waiting[start : start + _PAGE]:
                parent = parents.get(one.waits or "")
                if parent is not None:
                    _adopt(carrying, tx, one, parent.ours)
        failpoints.reach("moving.parents_settled")


def _adopt(carrying: Carrying, tx: Transaction, one: Known, parent: str) -> None:
    call = carrying.call()
    try:
        run = tracking.run(tx, one.ours)
        deleted = run.lifecycle == "deleted"
        if deleted:
            tracking.restore_run(tx, call, one.ours)
        tracking.set_tags(tx, call, one.ours, {PARENT_TAG: parent})
        if deleted:
            tracking.delete_run(tx, call, one.ours)
    except (NotFound, Conflict) as error:
        carrying.notes("parent", one.theirs, error.message)
    foreign.remember(tx, call, ORIGIN, KIND, Known(one.theirs, one.ours, one.stamp))


def _batch(points: Iterator[PointRow]) -> Batch:
    return batch_of(islice(points, _POINTS))


def _moment(milliseconds: int | None) -> datetime | None:
    return from_ms(milliseconds) if milliseconds is not None and 0 <= milliseconds <= LATEST_MS else None


def _dataset(one: Dataset) -> DatasetInput:
    return DatasetInput(
        name=one.name, digest=one.digest, source_type=one.source_type, source=one.source, schema=one.schema,
        profile=one.profile, tags=dict(one.tags),
    )  # fmt: skip


def _code(tags: Mapping[str, str]) -> Code:
    commit, remote = tags.get("mlflow.source.git.commit", ""), tags.get("mlflow.source.git.repoURL")
    return Code(
        commit=commit if _COMMIT.match(commit) else None, remote=None if remote is None else hide_credentials(remote)
    )
