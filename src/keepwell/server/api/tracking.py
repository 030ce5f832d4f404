"""Experiments, and everything that is recorded of runs: the routes of the SDK, and of whoever does without it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from keepwell.core.digests import check_digest
from keepwell.core.errors import InvalidInput
from keepwell.core.points import batch_of, pack, unpack
from keepwell.flows import record as recording
from keepwell.server.routing import Ask, Body, Download, Name, Page, Paging, Query, Reply, Route, Upload
from keepwell.tracking import rules, service, wire
from keepwell.tracking.model import Artifact, Experiment, Latest, Run, View

POINTS = "application/vnd.keepwell.points"
MOST_BATCH = 8 << 20
_READ, _WRITE, _DELETE = "runs.read", "runs.write", "runs.delete"

Filter = Annotated[str, msgspec.Meta(max_length=20_000)]
Order = Annotated[str, msgspec.Meta(max_length=1000)]
Path = Annotated[str, msgspec.Meta(max_length=500)]


class ExperimentsQuery(Paging, frozen=True, kw_only=True):
    """Which experiments."""

    filter: Filter = ""
    view: View = "active"


class NewExperiment(Body, frozen=True, kw_only=True):
    """An experiment to make."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class Renamed(Body, frozen=True, kw_only=True):
    """A new name."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class RunsSearch(Body, frozen=True, kw_only=True):
    """Which runs, by the grammar of filters.

    Attributes:
        experiments: their names, or numbers; none: all.
        filter: such as `metrics.loss < 0.1 and params.depth = '4'`.
        order_by: such as `metrics.loss ASC`.
        view: active, deleted or all.
        limit: how many.
        offset: how many to pass over.
    """

    experiments: Annotated[list[str | int], msgspec.Meta(max_length=1000)] | None = None
    filter: Filter = ""
    order_by: Annotated[list[Order], msgspec.Meta(max_length=20)] = msgspec.field(default_factory=list)
    view: View = "active"
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    offset: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0


class NewPoint(Body, frozen=True, kw_only=True):
    """A metric's value in a run that is recorded in one call."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=250)]
    value: float | Literal["NaN", "Infinity", "-Infinity"]
    step: int = 0
    at: int | None = None


class NewRun(Body, frozen=True, kw_only=True):
    """A run: begun, or recorded whole when it has a status that a run ends with.

    Attributes:
        name: what it is called.
        id: its id, when the caller made one: the same call again is then the same run.
        experiment: the name of its experiment, made when it is not there.
        kind: what sort of work it is.
        parent: the run it is a part of.
        model: the model it works for.
        user: who ran it.
        params: parameters.
        tags: tags.
        metrics: points.
        started_at: when, milliseconds since 1970.
        status: running, finished, failed or interrupted.
        finished_at: when it ended, milliseconds since 1970.
        error: why it failed.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=250)]
    id: Name | None = None
    experiment: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    kind: Name = "train"
    parent: Name | None = None
    model: Name | None = None
    user: Name | None = None
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    metrics: list[NewPoint] = msgspec.field(default_factory=list)
    started_at: int | None = None
    status: Literal["running", "finished", "failed", "interrupted"] = "running"
    finished_at: int | None = None
    error: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class HistoryQuery(Query, frozen=True, kw_only=True):
    """Which metric; with `most`, so many of its points at most, spread evenly."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=250)]
    most: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


class FolderQuery(Query, frozen=True, kw_only=True):
    """Which folder of a run's artifacts; without it, the outermost."""

    folder: Path = ""


def experiments(ask: Ask[ExperimentsQuery, None]) -> Page[Experiment]:
    """List experiments."""
    wanted = ask.query
    offset = ask.after(int) or 0
    with ask.read() as tx:
        found = service.search_experiments(tx, wanted.filter, view=wanted.view, limit=ask.limit + 1, offset=offset)
    return ask.page(found, lambda _: offset + ask.limit)


def new_experiment(ask: Ask[None, NewExperiment]) -> Experiment:
    """Make an experiment."""
    with ask.write() as tx:
        return service.create_experiment(tx, ask.call(), ask.body.name, ask.body.tags)


def experiment(ask: Ask[None, None]) -> Experiment:
    """Return an experiment."""
    with ask.read() as tx:
        return service.experiment(tx, _number(ask))


def rename_experiment(ask: Ask[None, Renamed]) -> Experiment:
    """Rename an experiment."""
    with ask.write() as tx:
        service.update_experiment(tx, ask.call(), _number(ask), ask.body.name)
        return service.experiment(tx, _number(ask))


def delete_experiment(ask: Ask[None, None]) -> Experiment:
    """Delete an experiment and its runs, to be restored or freed later."""
    with ask.write() as tx:
        service.delete_experiment(tx, ask.call(), _number(ask))
        return service.experiment(tx, _number(ask))


def restore_experiment(ask: Ask[None, None]) -> Experiment:
    """Restore an experiment and the runs that were deleted with it."""
    with ask.write() as tx:
        service.restore_experiment(tx, ask.call(), _number(ask))
        return service.experiment(tx, _number(ask))


def search(ask: Ask[None, RunsSearch]) -> Page[Run]:
    """Return whole runs by filter and order; `next` is not used: ask again with an offset."""
    wanted = ask.body
    with ask.read() as tx:
        places = recording.experiment_ids(tx, wanted.experiments)
        found = service.search_runs(
            tx, places, wanted.filter, wanted.view, wanted.order_by, limit=wanted.limit, offset=wanted.offset
        )
    return Page(found)


def new_run(ask: Ask[None, NewRun]) -> Run:
    """Begin a run, or record one whole."""
    given = ask.body
    run_id = given.id or ask.kit.ids.new("run")
    begun = wire.Start(
        run=run_id,
        name=given.name,
        experiment=given.experiment,
        kind=given.kind,
        parent=given.parent,
        model=given.model,
        user=given.user or (ask.who.name if ask.who else None),
        at=given.started_at,
    )
    now = int(ask.call().now.timestamp() * 1000)
    rows = ((p.name, float(p.value), p.step, now if p.at is None else p.at) for p in given.metrics)
    logged = wire.Log(run=run_id, points=pack(batch_of(rows)), params=given.params, tags=given.tags)
    ops: list[wire.Op] = [begun, logged]
    if given.status != "running":
        ops.append(wire.Finish(run=run_id, status=given.status, at=given.finished_at, error=given.error))
    return recording.record_run(ask.kit, ask.call(), run_id, ops)


def log(ask: Ask[None, bytes]) -> wire.Outcome:
    """Store what a session of the SDK logged, in its order, each operation once."""
    return recording.record(ask.kit, ask.call(), wire.unpack(ask.body))


def points(ask: Ask[None, bytes]) -> dict[str, int]:
    """Store a packed batch of points of one run; the points of a run are a set."""
    batch = unpack(ask.body)
    ask.log(lambda tx: service.log_points(tx, ask.call(), ask.path["run"], batch))
    return {"points": len(batch)}


def latest(ask: Ask[None, None]) -> list[Latest]:
    """Return the latest value of each metric of a run."""
    with ask.read() as tx:
        return service.latest(tx, ask.path["run"])


def history(ask: Ask[HistoryQuery, None]) -> Reply:
    """Return a metric's points as a packed batch, by moment, step and value."""
    wanted = ask.query
    run = ask.path["run"]
    with ask.read() as tx:
        if wanted.most is None:
            series = service.history(tx, run, wanted.name)
        else:
            service.run(tx, run)
            series = service.histories(tx, [run], wanted.name, max_points=wanted.most)[run]
    return Reply(recording.packed(wanted.name, series), POINTS)


def files(ask: Ask[FolderQuery, None]) -> list[Artifact]:
    """List a folder of a run's artifacts, folders first."""
    with ask.read() as tx:
        service.run(tx, ask.path["run"])
        return service.artifacts(tx, ask.path["run"], ask.query.folder)


def check_upload(ask: Ask[None, Any]) -> None:
    """Refuse an upload for a run that is not there, or under a path that cannot be."""
    with ask.read() as tx:
        service.run(tx, ask.path["run"])
    rules.accept_path(ask.path["path"])


def put_artifact(ask: Ask[None, Upload]) -> dict[str, object]:
    """Store an artifact of a run; the bytes that were under the path are replaced."""
    sent = ask.body
    recording.keep(ask.kit, ask.call(), ask.path["run"], ask.path["path"], sent.digest, sent.size)
    return {"path": ask.path["path"], "digest": sent.digest, "size": sent.size}


def artifact(ask: Ask[None, None]) -> Download:
    """Return the bytes of what a run made."""
    path = ask.path["path"]
    with ask.read() as tx:
        service.run(tx, ask.path["run"])
        found = service.artifact(tx, ask.path["run"], path)
    digest = check_digest(found.digest)
    return Download(ask.kit.blobs.path(digest), digest, path.rpartition("/")[2])


def delete_run(ask: Ask[None, None]) -> Run:
    """Delete a run, to be restored or freed later."""
    with ask.write() as tx:
        service.delete_run(tx, ask.call(), ask.path["run"])
        return service.run(tx, ask.path["run"])


def restore_run(ask: Ask[None, None]) -> Run:
    """Restore a deleted run."""
    with ask.write() as tx:
        service.restore_run(tx, ask.call(), ask.path["run"])
        return service.run(tx, ask.path["run"])


def _number(ask: Ask[Any, Any]) -> int:
    text = ask.path["experiment"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("The id of an experiment is a whole number.", where="experiment")
    return int(text)


ROUTES = (
    Route("GET", "/api/experiments", _READ, experiments, "List experiments.", query=ExperimentsQuery,
          answer=Page[Experiment]),
    Route("POST", "/api/experiments", _WRITE, new_experiment, "Make an experiment.", body=NewExperiment,
          answer=Experiment, status=201),
    Route("GET", "/api/experiments/{experiment}", _READ, experiment, "Return an experiment.", answer=Experiment),
    Route("POST", "/api/experiments/{experiment}/rename", _WRITE, rename_experiment, "Rename an experiment.",
          body=Renamed, answer=Experiment),
    Route("DELETE", "/api/experiments/{experiment}", _DELETE, delete_experiment,
          "Delete an experiment and its runs, to be restored or freed later.", answer=Experiment),
    Route("POST", "/api/experiments/{experiment}/restore", _DELETE, restore_experiment,
          "Restore an experiment and the runs deleted with it.", answer=Experiment),
    Route("POST", "/api/runs", _WRITE, new_run, "Begin a run, or record one whole.", body=NewRun, answer=Run,
          status=201, max_body=8 << 20),
    Route("POST", "/api/runs/search", _READ, search, "Search runs by filter and order.", body=RunsSearch,
          answer=Page[Run]),
    Route("POST", "/api/log", _WRITE, log, "Store a batch of operations of one session, each once.", raw=wire.MEDIA,
          answer=wire.Outcome, max_body=MOST_BATCH),
    Route("POST", "/api/runs/{run}/points", _WRITE, points, "Store a packed batch of points.", raw=POINTS,
          answer=dict[str, int], max_body=MOST_BATCH),
    Route("GET", "/api/runs/{run}/metrics", _READ, latest, "Return the latest value of each metric.",
          answer=list[Latest]),
    Route("GET", "/api/runs/{run}/history", _READ, history, "Return a metric's points, packed.", query=HistoryQuery),
    Route("GET", "/api/runs/{run}/artifacts", _READ, files, "List a folder of a run's artifacts.", query=FolderQuery,
          answer=list[Artifact]),
    Route("GET", "/api/runs/{run}/artifacts/{path...}", _READ, artifact, "Return what a run made, as bytes.",
          answer=Download),
    Route("PUT", "/api/runs/{run}/artifacts/{path...}", _WRITE, put_artifact, "Store an artifact of a run.",
          upload=True, before=check_upload, answer=dict[str, object], max_body=1 << 40),
    Route("DELETE", "/api/runs/{run}", _DELETE, delete_run, "Delete a run, to be restored or freed later.",
          answer=Run),
    Route("POST", "/api/runs/{run}/restore", _DELETE, restore_run, "Restore a deleted run.", answer=Run),
)  # fmt: skip
