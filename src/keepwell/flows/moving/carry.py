"""Moves in from a store of MLflow: everything that is carried, in an order in which each thing finds what it names.

Every run, logged model and version is written whole in one transaction with the row that says so. A call that died is
simply made again: what is written is passed over, and what was only stored as bytes is stored under the same digest.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from keepwell.core import failpoints
from keepwell.core.clock import iso
from keepwell.core.digests import digest_bytes, digest_json
from keepwell.core.errors import Conflict, InvalidInput, NotFound, NotSupported
from keepwell.core.events import Event
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.flows.moving import names
from keepwell.flows.moving.context import ORIGIN, Carrying
from keepwell.flows.moving.database_store import DatabaseSource, is_database
from keepwell.flows.moving.folder import FolderSource, is_file_store
from keepwell.flows.moving.http_client import HttpClient
from keepwell.flows.moving.models import carry_models
from keepwell.flows.moving.registered import carry_registered
from keepwell.flows.moving.report import Notes, Progress, Renamed, Report
from keepwell.flows.moving.runs import carry_runs, settle_parents
from keepwell.flows.moving.server import ServerSource
from keepwell.flows.moving.source import Experiment, Source
from keepwell.ledger import append
from keepwell.settings import MlflowAccess
from keepwell.tracking import foreign
from keepwell.tracking import service as tracking
from keepwell.tracking.foreign import Known
from keepwell.tracking.model import DEFAULT

KIND = "experiment"
_THREADS = 4
"""Runs that are read at once from a server."""


def open_source(where: str, notes: Notes, access: MlflowAccess, artifacts: Path | None = None) -> Source:
    """Return a reader of what a person named: a server's address, a folder, or a database.

    Raises:
        InvalidInput: it is none of these.
        NotFound: it is not there.
        NotSupported: it is a database that is asked through MLflow's own server.
    """
    split = urlsplit(where)
    if split.scheme in ("http", "https"):
        return ServerSource(HttpClient(where, access), notes)
    if split.scheme in ("postgresql", "mysql", "mssql") or split.scheme.partition("+")[0] in ("postgresql", "mysql"):
        raise NotSupported("Start `mlflow server` on that database, and name the server's address.", where="source")
    if split.scheme not in ("", "file", "sqlite") or "\0" in where:
        raise InvalidInput("Name a server (http(s)://host:port), a folder `mlruns`, or a file `mlflow.db`.",
                           where="source")  # fmt: skip
    path = Path(where)
    if split.scheme:
        path = Path(unquote(split.path[1:] if split.scheme == "sqlite" else split.path))
    if path.is_file():
        if not is_database(path):
            raise InvalidInput(f"{path} is no SQLite database.", where="source")
        return DatabaseSource(path, notes, artifacts)
    if not path.is_dir():
        raise NotFound(f"There is no file or folder {path}.", where="source")
    return _in_folder(path, notes, artifacts)


def _in_folder(path: Path, notes: Notes, artifacts: Path | None) -> Source:
    stores = [one for one in (path, path / "mlruns") if is_file_store(one)]
    database = path / "mlflow.db"
    if is_database(database):
        if stores:
            raise InvalidInput(f"{path} holds a database and a file store; name {database} or {stores[0]}.",
                               where="source")  # fmt: skip
        return DatabaseSource(database, notes, artifacts)
    if not stores:
        raise InvalidInput(f"{path} holds neither MLflow's `mlruns` nor its `mlflow.db`.", where="source")
    return FolderSource(stores[0], notes, artifacts)


def carry(
    kit: Kit, source: Source, actor: str, notes: Notes, *, recheck: bool = False, progress: Progress | None = None
) -> Report:
    """Carry everything of a store that is not here yet, and return the report.

    Args:
        kit: the opened house.
        source: the store.
        actor: who moves in.
        notes: what the reader was opened with.
        recheck: look again at files and histories of what seems not to have changed.
        progress: told how far it is.

    Raises:
        Unavailable: the server or the disk does not answer; the same call again goes on.
        Unauthenticated, Denied: the server refuses.
    """
    threads = _THREADS if isinstance(source, ServerSource) else 1
    carrying = Carrying(kit, source, actor, notes, recheck, threads, progress)
    report = Report(source=source.address, started_at=iso(kit.clock.now()))
    gone: list[Experiment] = []
    for experiment in source.experiments():
        try:
            number = _experiment(carrying, experiment)
        except (InvalidInput, Conflict, NotFound) as error:
            notes("experiment", experiment.name or experiment.id, error.message)
            continue
        if number is None:
            continue
        carry_runs(carrying, experiment, number)
        carry_models(carrying, experiment, number)
        if experiment.lifecycle == "deleted":
            gone.append(experiment)
    settle_parents(carrying)
    carry_registered(carrying)
    for experiment in gone:
        _delete(carrying, experiment)
    return _finished(carrying, report)


def _experiment(carrying: Carrying, experiment: Experiment) -> int | None:
    """Make an experiment, or find the one of its name; write its tags, and return its number.

    One that is deleted there and was carried is deleted here too, and has nothing new: None.
    """
    key = f"{carrying.source.address}#{experiment.id}"
    tags, refused = names.run_labels(experiment.tags)
    for name in refused:
        carrying.notes("tag", f"{experiment.name}/{name}", "Its name or text is too long, or unreadable.")
    stamp = digest_json([experiment.name, tags])
    with carrying.kit.write() as tx:
        call = carrying.call()
        tracking.ensure_default(tx, call)
        known = foreign.known(tx, ORIGIN, KIND, [key]).get(key)
        number = int(known.ours) if known is not None else _named(carrying, tx, experiment)
        there = tracking.experiment(tx, number)
        if there.lifecycle == "deleted" and known is not None and experiment.lifecycle == "deleted":
            return None
        if there.lifecycle == "deleted":
            raise Conflict(f"The experiment {there.name!r} is deleted here; restore it to carry its runs.")
        if known is None or known.stamp != stamp:
            for name, text in tags.items():
                if (name not in there.tags) if known is None else there.tags.get(name) != text:
                    tracking.set_experiment_tag(tx, call, number, name, text)
            foreign.remember(tx, call, ORIGIN, KIND, Known(key, str(number), stamp))
    failpoints.reach("moving.experiment_made")
    return number


def _named(carrying: Carrying, tx: Transaction, experiment: Experiment) -> int:
    name = names.label(experiment.name, 500) or f"experiment {experiment.id}"
    tags = {} if name == experiment.name else {names.NAME_TAG: experiment.name}
    there = tracking.experiment_by_name(tx, name)
    if there is not None and experiment.lifecycle == "deleted" and there.id != DEFAULT:
        there, name = None, f"{name[:400]} (deleted, {digest_bytes(carrying.source.address.encode())[7:15]})"
        tags = {names.NAME_TAG: experiment.name}
    carrying.notes.name("experiment", experiment.name, name)
    if there is not None:
        return there.id
    carrying.counts.experiments += 1
    return tracking.create_experiment(tx, carrying.call(), name, tags).id


def _delete(carrying: Carrying, experiment: Experiment) -> None:
    """Delete an experiment that is deleted where it came from, unless others use its name here."""
    key = f"{carrying.source.address}#{experiment.id}"
    with carrying.kit.write() as tx:
        known = foreign.known(tx, ORIGIN, KIND, [key]).get(key)
        if known is None or int(known.ours) == DEFAULT:
            return
        number = int(known.ours)
        active = tracking.count_runs(tx, [number], "", "active")
        if active:
            carrying.notes("experiment", experiment.name, "It is deleted there; here it has active runs, and stays.")
        elif tracking.experiment(tx, number).lifecycle == "active":
            tracking.delete_experiment(tx, carrying.call(), number)
    failpoints.reach("moving.experiment_deleted")


def _finished(carrying: Carrying, report: Report) -> Report:
    notes, kit = carrying.notes, carrying.kit
    done = msgspec.structs.replace(
        report,
        finished_at=iso(kit.clock.now()),
        counts=carrying.counts,
        renamed=[Renamed(kind, there, here) for (kind, there), here in notes.renamed.items()],
        not_carried=list(notes.lost),
        more_not_carried=dict(notes.more),
        others=dict(carrying.source.others()),
    )
    body = {
        "report": digest_bytes(done.encoded()),
        "counts": msgspec.to_builtins(carrying.counts),
        "not_carried": len(notes.lost) + notes.more.total(),
    }
    with kit.write() as tx:
        append(tx, carrying.call(), Event("import.finished", f"import:{ORIGIN}", body, note=report.source))
    return done


def find(tx: Transaction, theirs: str) -> Known | None:
    """Return what something that was carried is called here: a run by its id, a version as NAME/NUMBER, a model."""
    for kind in ("run", "logged_model", "version"):
        if (there := foreign.known(tx, ORIGIN, kind, [theirs]).get(theirs)) is not None:
            return there
    return None
