"""What the SDK reads: runs, points and artifacts, from the house in this process or from a server."""

from __future__ import annotations

import shutil
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

import msgspec

from keepwell.client.transports.home import Home
from keepwell.client.transports.web import Web, artifact_at, owner_at
from keepwell.core.digests import check_digest
from keepwell.core.points import unpack
from keepwell.tracking.model import Artifact, Latest, LoggedModel, Run, View


@dataclass(frozen=True, slots=True)
class Points:
    """A metric's points, by moment.

    Attributes:
        steps: steps.
        ats: moments, milliseconds since 1970.
        values: values, NaN and infinities included.
    """

    steps: array[int]
    ats: array[int]
    values: array[float]


class Library(Protocol):
    """Answers questions about what is recorded."""

    def run(self, run_id: str) -> Run:
        """Return a run."""

    def search(
        self, experiments: Sequence[str | int] | None, text: str, view: View, order_by: Sequence[str], limit: int,
        offset: int,
    ) -> list[Run]:  # fmt: skip
        """Return the runs that a filter finds, in order."""

    def latest(self, run_id: str) -> list[Latest]:
        """Return the latest value of each metric."""

    def history(self, run_id: str, name: str) -> Points:
        """Return a metric's points."""

    def models(self, run_id: str, name: str) -> list[LoggedModel]:
        """Return the models of that name that a run logged, the newest first."""

    def logged_model(self, model_id: str) -> LoggedModel:
        """Return a logged model."""

    def artifacts(self, owner: str, folder: str) -> list[Artifact]:
        """Return what is in a folder of the artifacts of a run or a logged model."""

    def fetch(self, owner: str, path: str, into: IO[bytes]) -> None:
        """Write the bytes of an artifact into a file."""


class _Runs(msgspec.Struct, frozen=True):
    items: list[Run]


class WebLibrary:
    """A server's answers."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def run(self, run_id: str) -> Run:
        """Return a run."""
        return self._web.ask("GET", owner_at(run_id), kind=Run)

    def search(
        self, experiments: Sequence[str | int] | None, text: str, view: View, order_by: Sequence[str], limit: int,
        offset: int,
    ) -> list[Run]:  # fmt: skip
        """Return the runs that a filter finds, in order."""
        body = {
            "experiments": None if experiments is None else list(experiments),
            "filter": text,
            "view": view,
            "order_by": list(order_by),
            "limit": limit,
            "offset": offset,
        }
        return self._web.ask("POST", "/api/runs/search", kind=_Runs, body=body).items

    def latest(self, run_id: str) -> list[Latest]:
        """Return the latest value of each metric."""
        return self._web.ask("GET", f"{owner_at(run_id)}/metrics", kind=list[Latest])

    def history(self, run_id: str, name: str) -> Points:
        """Return a metric's points."""
        batch = unpack(self._web.raw("GET", f"{owner_at(run_id)}/history", query={"name": name}))
        return Points(batch.steps, batch.ats, batch.values)

    def models(self, run_id: str, name: str) -> list[LoggedModel]:
        """Return the models of that name that a run logged, the newest first."""
        return self._web.ask("GET", f"{owner_at(run_id)}/models", kind=list[LoggedModel], query={"name": name})

    def logged_model(self, model_id: str) -> LoggedModel:
        """Return a logged model."""
        return self._web.ask("GET", owner_at(model_id), kind=LoggedModel)

    def artifacts(self, owner: str, folder: str) -> list[Artifact]:
        """Return what is in a folder of the artifacts of a run or a logged model."""
        path = f"{owner_at(owner)}/artifacts"
        return self._web.ask("GET", path, kind=list[Artifact], query={"folder": folder or None})

    def fetch(self, owner: str, path: str, into: IO[bytes]) -> None:
        """Write the bytes of an artifact into a file."""
        self._web.download(artifact_at(owner, path), into)


def listed(web: Web, **wanted: object) -> list[Run]:
    """Return the newest runs of a server, of a model, a kind, a status or a parent."""
    return web.ask("GET", "/api/runs", kind=_Runs, query=wanted).items


class HomeLibrary:
    """The answers of the house in this process."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def run(self, run_id: str) -> Run:
        """Return a run."""
        from keepwell.tracking import service

        with self._home.kit.read() as tx:
            return service.run(tx, run_id)

    def search(
        self, experiments: Sequence[str | int] | None, text: str, view: View, order_by: Sequence[str], limit: int,
        offset: int,
    ) -> list[Run]:  # fmt: skip
        """Return the runs that a filter finds, in order."""
        from keepwell.flows.record import experiment_ids
        from keepwell.tracking import service

        with self._home.kit.read() as tx:
            places = experiment_ids(tx, experiments)
            return service.search_runs(tx, places, text, view, order_by, limit=limit, offset=offset)

    def latest(self, run_id: str) -> list[Latest]:
        """Return the latest value of each metric."""
        from keepwell.tracking import service

        with self._home.kit.read() as tx:
            return service.latest(tx, run_id)

    def history(self, run_id: str, name: str) -> Points:
        """Return a metric's points."""
        from keepwell.flows.record import packed
        from keepwell.tracking import service

        with self._home.kit.read() as tx:
            batch = unpack(packed(name, service.history(tx, run_id, name)))
        return Points(batch.steps, batch.ats, batch.values)

    def models(self, run_id: str, name: str) -> list[LoggedModel]:
        """Return the models of that name that a run logged, the newest first."""
        from keepwell.flows.registering import logged_by
        from keepwell.tracking import service

        with self._home.kit.read() as tx:
            return logged_by(tx, service.run(tx, run_id), name)

    def logged_model(self, model_id: str) -> LoggedModel:
        """Return a logged model."""
        from keepwell.tracking import service

        with self._home.kit.read() as tx:
            return service.logged_model(tx, model_id)

    def artifacts(self, owner: str, folder: str) -> list[Artifact]:
        """Return what is in a folder of the artifacts of a run or a logged model."""
        from keepwell.tracking import service

        with self._home.kit.read() as tx:
            there = service.logged_model(tx, owner) if owner.startswith("m-") else service.run(tx, owner)
            return service.artifacts(tx, there.id, folder)

    def fetch(self, owner: str, path: str, into: IO[bytes]) -> None:
        """Write the bytes of an artifact into a file."""
        from keepwell.tracking import service

        with self._home.kit.read() as tx:
            digest = check_digest(service.artifact(tx, owner, path).digest)
        with self._home.kit.blobs.path(digest).open("rb") as file:
            shutil.copyfileobj(file, into, 1 << 20)


def library_of(transport: Any) -> Library:
    """Return what answers questions over a transport."""
    return WebLibrary(transport) if isinstance(transport, Web) else HomeLibrary(transport)
